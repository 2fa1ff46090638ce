//! The rule of `EnterpriseCluster`: most commands may only have keys of one slot, and so may a transaction. The engine behind it
//! is not clustered and would allow everything, so the keys are found here, by the engine's own description of its commands.

use crate::azure;
use crate::engine::{Begin, Find, KeySpec};

use super::commands::Role;

/// What a connection has open that ties keys to one slot.
#[derive(Default)]
pub(super) struct Transaction {
    open: bool,
    /// The slot of its first key, and that key.
    first: Option<(u16, Vec<u8>)>,
}

impl Transaction {
    /// Notes what a command does to it.
    pub(super) fn command(&mut self, role: Role) {
        match role {
            Role::Multi => self.open = true,
            Role::Exec | Role::Discard => *self = Transaction::default(),
            _ => {}
        }
    }

    /// The engine answered a MULTI with this error.
    pub(super) fn refused(&mut self, error: &[u8]) {
        // Inside a transaction there can be no other; the first stays open.
        if error.starts_with(b"-NOPERM") || error.starts_with(b"-NOAUTH") {
            *self = Transaction::default();
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    /// Checks a command with all its arguments. The error line to send in place of running it, if its keys are of several slots.
    pub(super) fn check(&mut self, specs: &[KeySpec], arguments: &[Vec<u8>]) -> Result<(), String> {
        let mut first = if self.open { self.first.clone() } else { None };
        for key in keys(specs, arguments) {
            let slot = slot(key);
            match &first {
                None => first = Some((slot, key.to_vec())),
                Some((other, known)) if *other != slot => {
                    return Err(azure::cross_slot(self.open, &arguments[0], known, key));
                }
                Some(_) => {}
            }
        }
        if self.open {
            self.first = first;
        }
        Ok(())
    }
}

/// The keys of a command. What is malformed has none: the engine will say what is wrong.
fn keys<'a>(specs: &[KeySpec], arguments: &'a [Vec<u8>]) -> Vec<&'a [u8]> {
    let count = i64::try_from(arguments.len()).unwrap_or(i64::MAX);
    let mut keys = Vec::new();
    for spec in specs {
        let begin = match &spec.begin {
            Begin::Index(index) => *index,
            Begin::Keyword { word, from } => match keyword(word, *from, arguments) {
                Some(at) => at + 1,
                None => continue,
            },
        };
        let (first, last, step) = match spec.find {
            Find::Range { last, step, limit } => {
                let last = if last >= 0 {
                    begin + last
                } else if limit > 1 {
                    // The arguments that are left are keys and something else for each.
                    begin + (count - begin) / limit - 1
                } else {
                    count + last
                };
                (begin, last, step)
            }
            Find::Number { number, first, step } => {
                let said = usize::try_from(begin + number).ok().and_then(|at| arguments.get(at));
                let said = said.and_then(|text| std::str::from_utf8(text).ok()?.parse::<i64>().ok()).unwrap_or(0);
                let first = begin + first;
                (first, first.saturating_add(said.saturating_sub(1).saturating_mul(step)), step)
            }
        };
        let mut at = first;
        while at <= last.min(count - 1) && step > 0 {
            if let Some(key) = usize::try_from(at).ok().and_then(|at| arguments.get(at)) {
                keys.push(key.as_slice());
            }
            at += step;
        }
    }
    keys
}

/// Where `word` stands; searched from the end if `from` is negative.
fn keyword(word: &[u8], from: i64, arguments: &[Vec<u8>]) -> Option<i64> {
    let count = i64::try_from(arguments.len()).ok()?;
    let is_it = |at: &i64| usize::try_from(*at).is_ok_and(|at| arguments[at].eq_ignore_ascii_case(word));
    if from >= 0 { (from..count).find(is_it) } else { (1..=count + from).rev().find(is_it) }
}

/// The slot of a key: CRC16 (XMODEM) of it, or of what stands between its first braces.
fn slot(key: &[u8]) -> u16 {
    let tag = memchr::memchr(b'{', key).and_then(|open| {
        let rest = &key[open + 1..];
        memchr::memchr(b'}', rest).filter(|end| *end > 0).map(|end| &rest[..end])
    });
    let mut crc: u16 = 0;
    for byte in tag.unwrap_or(key) {
        crc ^= u16::from(*byte) << 8;
        for _ in 0..8 {
            crc = if crc & 0x8000 != 0 { crc << 1 ^ 0x1021 } else { crc << 1 };
        }
    }
    crc % 16_384
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<Vec<u8>> {
        line.split(' ').map(|word| word.as_bytes().to_vec()).collect()
    }

    fn found(spec: KeySpec, line: &str) -> String {
        let arguments = words(line);
        let keys = keys(&[spec], &arguments);
        keys.iter().map(|key| String::from_utf8_lossy(key)).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn slots_are_those_of_redis_cluster() {
        assert_eq!(slot(b"123456789"), 12_739);
        assert_eq!(slot(b"key1"), 9_189);
        assert_eq!(slot(b"key2"), 4_998);
        assert_eq!(slot(b"{user1000}.following"), slot(b"user1000"));
        assert_eq!(slot(b"foo{}{bar}"), 8_363);
        assert_eq!(slot(b"foo{{bar}}zap"), slot(b"{bar"));
    }

    #[test]
    fn keys_are_found_as_the_engine_describes_them() {
        let all = KeySpec { begin: Begin::Index(1), find: Find::Range { last: -1, step: 1, limit: 0 } };
        assert_eq!(found(all, "SINTER a b c"), "a b c");
        let but_last = KeySpec { begin: Begin::Index(1), find: Find::Range { last: -2, step: 1, limit: 0 } };
        assert_eq!(found(but_last, "BLPOP a b 0"), "a b");
        let pairs = KeySpec { begin: Begin::Index(1), find: Find::Range { last: -1, step: 2, limit: 0 } };
        assert_eq!(found(pairs, "MSETNX a 1 b 2"), "a b");
        let numbered = KeySpec { begin: Begin::Index(2), find: Find::Number { number: 0, first: 1, step: 1 } };
        assert_eq!(found(numbered.clone(), "EVAL script 2 a b argument"), "a b");
        assert_eq!(found(numbered.clone(), "EVAL script 9 a b"), "a b");
        assert_eq!(found(numbered.clone(), "EVAL script x a b"), "");
        assert_eq!(found(numbered, "EVAL"), "");
        let word = Begin::Keyword { word: b"streams".to_vec(), from: 1 };
        let streams = KeySpec { begin: word, find: Find::Range { last: -1, step: 1, limit: 2 } };
        assert_eq!(found(streams.clone(), "XREAD COUNT 2 STREAMS a b 0 0"), "a b");
        assert_eq!(found(streams, "XREAD COUNT 2"), "");
        let from_end = Begin::Keyword { word: b"keys".to_vec(), from: -2 };
        let migrate = KeySpec { begin: from_end, find: Find::Range { last: -1, step: 1, limit: 0 } };
        assert_eq!(found(migrate, "MIGRATE host 1 x 0 5 KEYS a b"), "a b");
    }

    #[test]
    fn a_transaction_keeps_to_the_slot_of_its_first_key() {
        let key = KeySpec { begin: Begin::Index(1), find: Find::Range { last: 0, step: 1, limit: 0 } };
        let mut transaction = Transaction::default();
        assert!(transaction.check(std::slice::from_ref(&key), &words("SET key1 x")).is_ok());
        assert!(transaction.check(std::slice::from_ref(&key), &words("SET key2 x")).is_ok(), "no transaction is open");
        transaction.command(Role::Multi);
        assert!(transaction.check(std::slice::from_ref(&key), &words("SET key1 x")).is_ok());
        let error = transaction.check(std::slice::from_ref(&key), &words("SET key2 x")).unwrap_err();
        assert!(
            error.contains("context='within MULTI', command='SET', first-key='key1', violating-key='key2'"),
            "{error}"
        );
        transaction.command(Role::Exec);
        assert!(transaction.check(&[key], &words("SET key2 x")).is_ok());
    }
}
