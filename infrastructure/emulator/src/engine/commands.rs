//! What the engine says of its own commands (`COMMAND`): their names, which of them are administrative, and where their keys are.

use std::collections::HashMap;

use redis::Value;

use crate::azure;
use crate::cache::ClusteringPolicy;

/// All commands of an engine, by their lower-case names; a subcommand is written `client|setinfo`.
#[derive(Clone, Default)]
pub(crate) struct CommandTable(HashMap<String, Command>);

/// One command.
#[derive(Clone, Default)]
pub(crate) struct Command {
    is_admin: bool,
    has_subcommands: bool,
    pub(crate) keys: Vec<KeySpec>,
}

/// Where some of the keys of a command are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeySpec {
    pub(crate) begin: Begin,
    pub(crate) find: Find,
}

/// Where to begin to look for keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    /// At this argument; the command's name is number 0.
    Index(i64),
    /// Behind this word, looked for from that argument on, from the end if negative.
    Keyword { word: Vec<u8>, from: i64 },
}

/// Which arguments from there on are keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Find {
    /// Up to `last`, counted from the beginning or, if negative, from the end. With a `limit` of 2 only the first half of what is
    /// left, with 3 the first third.
    Range { last: i64, step: i64, limit: i64 },
    /// As many as the argument `number` further on says; the first is `first` further on.
    Number { number: i64, first: i64, step: i64 },
}

impl KeySpec {
    /// Whether it can mean more than one key.
    fn is_plural(&self) -> bool {
        !matches!(self.find, Find::Range { last: 0, .. })
    }
}

impl Command {
    /// Whether it can have more than one key.
    pub(crate) fn may_have_several_keys(&self) -> bool {
        self.keys.len() > 1 || self.keys.iter().any(KeySpec::is_plural)
    }
}

impl CommandTable {
    /// Commands that have a name and nothing else.
    #[cfg(test)]
    pub(crate) fn named(names: &[&str]) -> Self {
        CommandTable(names.iter().map(|name| ((*name).to_owned(), Command::default())).collect())
    }

    /// Reads the reply of `COMMAND`.
    pub(super) fn read(reply: &[Value]) -> Self {
        let mut table = CommandTable::default();
        for command in reply {
            table.add(command);
        }
        table
    }

    fn add(&mut self, command: &Value) {
        let Value::Array(fields) = command else { return };
        let Some(name) = fields.first().and_then(text) else { return };
        let list = |at: usize| match fields.get(at) {
            Some(Value::Array(items) | Value::Set(items)) => items.as_slice(),
            _ => &[],
        };
        let is_admin = list(6).iter().any(|category| text(category).as_deref() == Some("@admin"));
        let subcommands = list(9);
        let keys = list(8).iter().filter_map(key_spec).collect();
        self.0.insert(name, Command { is_admin, has_subcommands: !subcommands.is_empty(), keys });
        for subcommand in subcommands {
            self.add(subcommand);
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&String, &Command)> {
        self.0.iter()
    }

    /// The commands that nobody may use on Azure, sorted.
    pub(crate) fn blocked(&self, policy: ClusteringPolicy) -> Vec<String> {
        // A container (CONFIG, CLIENT …) is blocked by its parts, so that the parts that users have stay theirs.
        let is_blocked = |(name, command): &(&String, &Command)| {
            let name = name.as_str();
            if let Some(subcommand) = name.strip_prefix("cluster|") {
                return policy != ClusteringPolicy::OssCluster || !azure::CLUSTER_SUBCOMMANDS.contains(&subcommand);
            }
            !command.has_subcommands
                && (command.is_admin && !azure::ADMIN_LEFT_TO_USERS.contains(&name)
                    || azure::BLOCKED_BESIDES_ADMIN.contains(&name))
        };
        let mut blocked: Vec<String> = self.iter().filter(is_blocked).map(|(name, _)| name.clone()).collect();
        blocked.sort();
        blocked
    }
}

fn key_spec(value: &Value) -> Option<KeySpec> {
    let begin = field(value, "begin_search")?;
    let begin_spec = field(begin, "spec")?;
    let begin = match text(field(begin, "type")?)?.as_str() {
        "index" => Begin::Index(number(field(begin_spec, "index")?)?),
        "keyword" => Begin::Keyword {
            word: text(field(begin_spec, "keyword")?)?.into_bytes(),
            from: number(field(begin_spec, "startfrom")?)?,
        },
        _ => return None,
    };
    let find = field(value, "find_keys")?;
    let find_spec = field(find, "spec")?;
    let at = |name: &str| number(field(find_spec, name)?);
    let find = match text(field(find, "type")?)?.as_str() {
        "range" => Find::Range { last: at("lastkey")?, step: at("keystep")?, limit: at("limit")? },
        "keynum" => Find::Number { number: at("keynumidx")?, first: at("firstkey")?, step: at("keystep")? },
        _ => return None,
    };
    Some(KeySpec { begin, find })
}

/// A field of a map, which RESP2 gives as a list of names and values.
fn field<'v>(map: &'v Value, name: &str) -> Option<&'v Value> {
    match map {
        Value::Array(items) => {
            items.chunks_exact(2).find(|pair| text(&pair[0]).as_deref() == Some(name)).map(|pair| &pair[1])
        }
        Value::Map(pairs) => pairs.iter().find(|(key, _)| text(key).as_deref() == Some(name)).map(|(_, value)| value),
        _ => None,
    }
}

fn number(value: &Value) -> Option<i64> {
    match value {
        Value::Int(number) => Some(*number),
        _ => None,
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => Some(String::from_utf8_lossy(bytes).to_ascii_lowercase()),
        Value::SimpleString(text) => Some(text.to_ascii_lowercase()),
        _ => None,
    }
}
