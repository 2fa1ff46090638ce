//! The engine's commands as small numbers, so that counting a command costs one look-up. A client's own text never reaches the
//! log: what is no command is counted as `UNKNOWN`.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::azure;
use crate::cache::ClusteringPolicy;
use crate::engine::{CommandTable, KeySpec};

/// Number of a command.
pub(super) type CommandId = u16;

const UNKNOWN: CommandId = 0;
const LONGEST: usize = 64;

/// All commands.
pub(crate) struct Commands {
    ids: HashMap<Vec<u8>, CommandId>,
    /// By id.
    known: Vec<Known>,
}

struct Known {
    /// Upper case, for the log.
    name: String,
    role: Role,
    /// Whether it has subcommands (`CLIENT`).
    is_container: bool,
    is_blocked: bool,
    /// Whether its keys must be of one slot, because it can have several. Only with `EnterpriseCluster`.
    is_one_slot: bool,
    keys: Vec<KeySpec>,
}

/// What a command is to a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Role {
    #[default]
    Plain,
    /// SUBSCRIBE and its like.
    Subscription(Confirms),
    Multi,
    Exec,
    Discard,
    Hello,
    /// Azure does not know RESET, and no ACL can take it from a user.
    Reset,
    /// CLIENT, whatever its subcommand.
    Client,
    ClientReply,
}

/// The commands that are answered by confirmations, which bear their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Confirms {
    Subscribe,
    Unsubscribe,
    Psubscribe,
    Punsubscribe,
    Ssubscribe,
    Sunsubscribe,
}

impl Confirms {
    /// The one of that name, in lower case.
    pub(super) fn named(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"subscribe" => Confirms::Subscribe,
            b"unsubscribe" => Confirms::Unsubscribe,
            b"psubscribe" => Confirms::Psubscribe,
            b"punsubscribe" => Confirms::Punsubscribe,
            b"ssubscribe" => Confirms::Ssubscribe,
            b"sunsubscribe" => Confirms::Sunsubscribe,
            _ => return None,
        })
    }
}

impl Role {
    fn of(name: &str) -> Self {
        match name {
            "multi" => Role::Multi,
            "exec" => Role::Exec,
            "discard" => Role::Discard,
            "hello" => Role::Hello,
            "reset" => Role::Reset,
            "client" => Role::Client,
            "client|reply" => Role::ClientReply,
            _ => Confirms::named(name.as_bytes()).map_or(Role::Plain, Role::Subscription),
        }
    }
}

/// How often each command was sent on a connection.
#[derive(Default)]
pub(super) struct Counts(Vec<u64>);

impl Commands {
    pub(crate) fn new(table: &CommandTable, policy: ClusteringPolicy) -> Self {
        let blocked: HashSet<String> = table.blocked(policy).into_iter().collect();
        let containers: HashSet<&str> = table.iter().filter_map(|(name, _)| Some(name.split_once('|')?.0)).collect();
        let mut sorted: Vec<_> = table.iter().collect();
        sorted.sort_by_key(|(name, _)| *name);
        let unknown = Known {
            name: "UNKNOWN".to_owned(),
            role: Role::Plain,
            is_container: false,
            is_blocked: false,
            is_one_slot: false,
            keys: Vec::new(),
        };
        let mut commands = Commands { ids: HashMap::new(), known: vec![unknown] };
        for (name, command) in sorted {
            let Ok(id) = CommandId::try_from(commands.known.len()) else { break };
            commands.ids.insert(name.clone().into_bytes(), id);
            commands.known.push(Known {
                name: name.to_ascii_uppercase(),
                role: Role::of(name),
                is_container: containers.contains(name.as_str()),
                is_blocked: blocked.contains(name),
                is_one_slot: policy == ClusteringPolicy::EnterpriseCluster
                    && command.may_have_several_keys()
                    && !azure::ACROSS_SLOTS.contains(&name.as_str()),
                keys: command.keys.clone(),
            });
        }
        commands
    }

    /// The number of the command that a client sent.
    pub(super) fn id(&self, name: &[u8], second: &[u8]) -> CommandId {
        let mut lower = [0; LONGEST + 1 + LONGEST];
        let Some(start) = lower.get_mut(..name.len()) else { return UNKNOWN };
        start.copy_from_slice(name);
        start.make_ascii_lowercase();
        let Some(&id) = self.ids.get(&lower[..name.len()]) else { return UNKNOWN };
        if !self.known[usize::from(id)].is_container
            || second.is_empty()
            || second.len() > LONGEST
            || name.len() > LONGEST
        {
            return id;
        }
        lower[name.len()] = b'|';
        let end = name.len() + 1 + second.len();
        lower[name.len() + 1..end].copy_from_slice(second);
        lower[..end].make_ascii_lowercase();
        self.ids.get(&lower[..end]).copied().unwrap_or(id)
    }

    pub(super) fn name(&self, id: CommandId) -> &str {
        &self.known[usize::from(id)].name
    }

    pub(super) fn role(&self, id: CommandId) -> Role {
        self.known[usize::from(id)].role
    }

    /// Whether nobody may use it on Azure.
    pub(super) fn is_blocked(&self, id: CommandId) -> bool {
        self.known[usize::from(id)].is_blocked
    }

    /// Whether it must be seen whole, for its keys; inside a transaction one key is enough.
    pub(super) fn must_be_checked(&self, id: CommandId, in_transaction: bool) -> bool {
        let known = &self.known[usize::from(id)];
        known.is_one_slot || in_transaction && (!known.keys.is_empty() || known.is_container)
    }

    /// Where its keys are.
    pub(super) fn keys(&self, id: CommandId) -> &[KeySpec] {
        &self.known[usize::from(id)].keys
    }

    /// The counts by name.
    pub(super) fn named(&self, counts: &Counts) -> BTreeMap<String, u64> {
        let numbered = counts.0.iter().enumerate().filter(|(_, count)| **count > 0);
        numbered.map(|(id, count)| (self.known[id].name.clone(), *count)).collect()
    }
}

impl Counts {
    pub(super) fn add(&mut self, id: CommandId) {
        let at = usize::from(id);
        if self.0.len() <= at {
            self.0.resize(at + 1, 0);
        }
        self.0[at] += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_engines_and_never_the_clients() {
        let table = CommandTable::named(&["get", "client", "client|setinfo"]);
        let commands = Commands::new(&table, ClusteringPolicy::NoCluster);
        let name = |name: &str, second: &str| commands.name(commands.id(name.as_bytes(), second.as_bytes())).to_owned();
        assert_eq!(name("Get", "key"), "GET");
        assert_eq!(name("client", "SETINFO"), "CLIENT|SETINFO");
        assert_eq!(name("client", "eyJsecret"), "CLIENT");
        assert_eq!(name("eyJsecret", ""), "UNKNOWN");
        assert_eq!(name(&"x".repeat(500), ""), "UNKNOWN");
    }
}
