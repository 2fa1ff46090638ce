//! The engine's command names as small numbers, so that counting a command costs one look-up. A client's own text never
//! reaches the log: what is no command is counted as `UNKNOWN`.

use std::collections::{BTreeMap, HashMap, HashSet};

/// Number of a command.
pub(super) type CommandId = u16;

const UNKNOWN: CommandId = 0;
const LONGEST: usize = 64;

/// All names.
pub(crate) struct Commands {
    ids: HashMap<Vec<u8>, CommandId>,
    names: Vec<String>,
    /// Whether the command has subcommands (`CLIENT`), by id.
    containers: Vec<bool>,
}

/// How often each command was sent on a connection.
#[derive(Default)]
pub(super) struct Counts(Vec<u64>);

impl Commands {
    /// `names` are lower case, a subcommand is written `client|setinfo`.
    pub(crate) fn new(names: &HashSet<String>) -> Self {
        let mut sorted: Vec<&String> = names.iter().collect();
        sorted.sort();
        let containers: HashSet<&str> = names.iter().filter_map(|name| Some(name.split_once('|')?.0)).collect();
        let mut commands = Commands { ids: HashMap::new(), names: vec!["UNKNOWN".to_owned()], containers: vec![false] };
        for name in sorted {
            let Ok(id) = CommandId::try_from(commands.names.len()) else { break };
            commands.ids.insert(name.clone().into_bytes(), id);
            commands.names.push(name.to_ascii_uppercase());
            commands.containers.push(containers.contains(name.as_str()));
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
        if !self.containers[usize::from(id)] || second.is_empty() || second.len() > LONGEST || name.len() > LONGEST {
            return id;
        }
        lower[name.len()] = b'|';
        let end = name.len() + 1 + second.len();
        lower[name.len() + 1..end].copy_from_slice(second);
        lower[..end].make_ascii_lowercase();
        self.ids.get(&lower[..end]).copied().unwrap_or(id)
    }

    pub(super) fn name(&self, id: CommandId) -> &str {
        &self.names[usize::from(id)]
    }

    /// The counts by name.
    pub(super) fn named(&self, counts: &Counts) -> BTreeMap<String, u64> {
        let numbered = counts.0.iter().enumerate().filter(|(_, count)| **count > 0);
        numbered.map(|(id, count)| (self.names[id].clone(), *count)).collect()
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
        let names = ["get", "client", "client|setinfo"].map(str::to_owned).into_iter().collect();
        let commands = Commands::new(&names);
        let name = |name: &str, second: &str| commands.name(commands.id(name.as_bytes(), second.as_bytes())).to_owned();
        assert_eq!(name("Get", "key"), "GET");
        assert_eq!(name("client", "SETINFO"), "CLIENT|SETINFO");
        assert_eq!(name("client", "eyJsecret"), "CLIENT");
        assert_eq!(name("eyJsecret", ""), "UNKNOWN");
        assert_eq!(name(&"x".repeat(500), ""), "UNKNOWN");
    }
}
