//! Talking to Redis over an encrypted connection, one command at a time. Requests are written and replies read by the
//! `redis` crate.

use std::io::{self, Read, Write};
use std::time::Duration;

use redis::{Parser, Value, cmd};

use super::network::explain;
use super::tls::Encrypted;

/// The longest reply that is read: a cluster with every slot by itself fits in.
const MOST: u64 = 8 * 1024 * 1024;

/// A connection to what should be Redis.
pub(super) struct Connection {
    stream: Encrypted,
    parser: Parser,
    patience: Duration,
}

/// A reply, or why there is none.
pub(super) enum Reply {
    Value(Value),
    /// Redis says no; the whole line.
    Error(String),
    /// There is no answer.
    Lost(String),
    /// The answer is not in Redis's protocol; how it begins.
    NotRedis(String),
}

impl Connection {
    pub(super) fn new(stream: Encrypted, patience: Duration) -> Self {
        Connection { stream, parser: Parser::new(), patience }
    }

    /// Sends a command and waits for its reply.
    pub(super) fn command(&mut self, words: &[&str]) -> Reply {
        self.stream.get_mut().allow(self.patience);
        let mut command = cmd(words[0]);
        for word in &words[1..] {
            command.arg(*word);
        }
        if let Err(e) = self.stream.write_all(&command.get_packed_command()).and_then(|()| self.stream.flush()) {
            return Reply::Lost(explain(&e));
        }
        let mut heard = Heard { stream: &mut self.stream, left: MOST, start: Vec::new(), failure: None };
        let parsed = self.parser.parse_value(&mut heard);
        let Heard { start, failure, .. } = heard;
        match (parsed, failure) {
            (Ok(Value::ServerError(error)), _) => {
                Reply::Error(format!("{} {}", error.code(), error.details().unwrap_or_default()).trim_end().to_owned())
            }
            (Ok(value), _) => Reply::Value(value),
            (Err(_), Some(e)) => Reply::Lost(explain(&e)),
            (Err(_), None) if start.is_empty() => Reply::Lost("the connection is closed".to_owned()),
            (Err(_), None) => {
                let text = String::from_utf8_lossy(&start).lines().next().unwrap_or_default().to_owned();
                Reply::NotRedis(format!("'{text}'"))
            }
        }
    }
}

/// Listens in on what the parser reads, because it tells neither how a reply that it does not understand begins nor what the
/// system said.
struct Heard<'a> {
    stream: &'a mut Encrypted,
    left: u64,
    start: Vec<u8>,
    failure: Option<io::Error>,
}

impl Read for Heard<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        match self.stream.read(&mut buffer[..most]) {
            Ok(count) => {
                self.left -= count as u64;
                let kept = count.min(80_usize.saturating_sub(self.start.len()));
                self.start.extend_from_slice(&buffer[..kept]);
                Ok(count)
            }
            Err(e) => {
                let kind = e.kind();
                self.failure = Some(e);
                Err(kind.into())
            }
        }
    }
}
