//! The eighth step: which cluster policy the cache has, whether the addresses that its nodes announce can be reached, and
//! what a cluster client needs for that.

use std::io;

use redis::Value;
use rustls::pki_types::ServerName;

use super::azure;
use super::case::Case;
use super::cause::Cause;
use super::clients::MAPPINGS;
use super::name::resolve;
use super::network::all_at_once;
use super::redis::{Connection, Reply};
use super::report::{Examined, Fact, StepName};
use super::tls::{Failure, shake_hands};

const STEP: StepName = StepName::Cluster;

/// More nodes than this are announced, but not tried.
const MOST: usize = 32;

/// Two keys of different slots. They are only asked for, never written.
const KEYS: [&str; 2] = ["amr-emulator-doctor{a}", "amr-emulator-doctor{b}"];

/// What the end of the report should say about the cluster.
pub(super) struct Found {
    pub(super) needs_mapping: bool,
}

/// A node as `CLUSTER SLOTS` tells it.
#[derive(Debug, PartialEq, Eq)]
struct Node {
    host: String,
    port: u16,
    /// First and last of each range.
    slots: Vec<(u16, u16)>,
}

/// How connecting to a node went: under its own address, and under the host name.
struct Tried {
    as_itself: Result<(), Failure>,
    as_host: Result<(), Failure>,
}

pub(super) fn examine(case: &Case, connection: &mut Connection) -> Examined<Found> {
    match connection.command(&["CLUSTER", "SLOTS"]) {
        Reply::Value(value) => match nodes(&value, &case.target.host) {
            Some(nodes) => oss_cluster(case, connection, &nodes),
            None => {
                let facts = vec![Fact::new("CLUSTER SLOTS", "not to be understood").remark("")];
                Examined::ok(STEP, "the policy is not to be told", facts, Found { needs_mapping: false })
            }
        },
        Reply::Error(said) => one_endpoint(connection, said),
        Reply::Lost(said) | Reply::NotRedis(said) => {
            let facts = vec![Fact::new("CLUSTER SLOTS", &said).bad("")];
            Examined::failed(STEP, "nothing works any more", facts, Cause::command_failed("CLUSTER SLOTS", &said))
        }
    }
}

/// Every other policy refuses `CLUSTER`; two keys of different slots tell the rest.
fn one_endpoint(connection: &mut Connection, said: String) -> Examined<Found> {
    let mut facts = vec![Fact::new("CLUSTER SLOTS", said.clone())];
    let found = Found { needs_mapping: false };
    if said.contains(azure::CLUSTER_DISABLED) {
        let note = "as an open-source server says it";
        facts[0] = Fact::new("CLUSTER SLOTS", said).note(note);
        return Examined::ok(STEP, "no cluster: one address, and keys of all slots together", facts, found);
    }
    if !said.contains(azure::CLUSTER_REFUSED) {
        let summary = if said.starts_with("NOPERM") {
            "the access string does not permit to ask"
        } else {
            "the policy is not to be told"
        };
        return Examined::ok(STEP, summary, facts, found);
    }
    let reply = connection.command(&[azure::ONE_SLOT_COMMAND, KEYS[0], KEYS[1]]);
    let (answer, summary) = match &reply {
        Reply::Error(said) if said.starts_with("CROSSSLOT") => {
            (said.as_str(), "EnterpriseCluster: one address; most commands take keys of one slot only")
        }
        Reply::Value(_) => ("served", "NoCluster: one address, and keys of all slots together"),
        Reply::Error(said) | Reply::Lost(said) | Reply::NotRedis(said) => {
            (said.as_str(), "EnterpriseCluster or NoCluster: one address")
        }
    };
    facts.push(Fact::new("keys of two slots", answer));
    Examined::ok(STEP, summary, facts, found)
}

fn oss_cluster(case: &Case, connection: &mut Connection, nodes: &[Node]) -> Examined<Found> {
    let mut facts = Vec::new();
    if let Reply::Value(Value::BulkString(info)) = connection.command(&["CLUSTER", "INFO"]) {
        let info = String::from_utf8_lossy(&info).into_owned();
        if let Some(state) = info.lines().find_map(|line| line.trim().strip_prefix("cluster_state:")) {
            let fact = Fact::new("cluster_state", state);
            facts.push(if state == "ok" { fact.good("") } else { fact.bad("some keys cannot be reached") });
        }
    }
    let host = &case.target.host;
    let tried = &nodes[..nodes.len().min(MOST)];
    let places: Vec<usize> = (0..tried.len()).collect();
    let attempts = all_at_once(&places, |at| try_node(case, &tried[at]));

    let mut cause = None;
    let mut needs_mapping = false;
    for (node, attempt) in tried.iter().zip(&attempts) {
        let place = node.place();
        let (note, this) = match (&attempt.as_itself, &attempt.as_host) {
            (Ok(()), _) => (format!("its certificate is for {} too", node.host), None),
            (Err(own), Ok(())) => {
                needs_mapping = true;
                (format!("TLS as {host}: yes; as {}: no, {}", node.host, own.explain()), None)
            }
            (Err(_), Err(failure)) => {
                let why = failure.explain();
                let cause = match failure {
                    Failure::Network(_) => Cause::node_unreachable(&place, &why),
                    _ => Cause::node_certificate(&place, host, &why),
                };
                (why, Some(cause))
            }
        };
        let fact = Fact::new(place, node.shown_slots());
        facts.push(if this.is_some() { fact.bad(note) } else { fact.good(note) });
        if cause.is_none() {
            cause = this;
        }
    }
    if nodes.len() > MOST {
        facts.push(Fact::new("not tried", format!("{} more", nodes.len() - MOST)));
    }
    if needs_mapping {
        let rule = format!("every announced address to {host}, the port as announced");
        facts.push(
            Fact::new("mapping", rule)
                .note("a cluster client needs it, because the certificate is for the host name only"),
        );
        facts.extend(MAPPINGS.iter().map(|(client, setting)| Fact::new(*client, *setting)));
    }
    let count = nodes.len();
    match cause {
        Some(cause) => {
            Examined::failed(STEP, format!("OSSCluster: not all of {count} nodes can be used"), facts, cause)
                .leaving(Found { needs_mapping })
        }
        None => Examined::ok(
            STEP,
            format!("OSSCluster: {count} nodes, a cluster client is needed"),
            facts,
            Found { needs_mapping },
        ),
    }
}

fn try_node(case: &Case, node: &Node) -> Tried {
    let addresses = resolve(&node.host, node.port, case.patience).unwrap_or_default();
    let hand = |name: Option<ServerName<'static>>| {
        let (Some(address), Some(name)) = (addresses.first(), name) else {
            return Err(Failure::Network(io::Error::other("it has no address")));
        };
        shake_hands(*address, &name, &case.trust, case.patience).result.map(drop)
    };
    Tried {
        as_itself: hand(ServerName::try_from(node.host.clone()).ok()),
        as_host: hand(Some(case.target.server_name.clone())),
    }
}

impl Node {
    fn place(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    fn shown_slots(&self) -> String {
        match self.slots.as_slice() {
            [(first, last)] => format!("slots {first} to {last}"),
            several => format!(
                "{} slots",
                several.iter().map(|(first, last)| u32::from(last.saturating_sub(*first)) + 1).sum::<u32>()
            ),
        }
    }
}

/// The nodes of a `CLUSTER SLOTS` reply: `[[first, last, [host, port, …], …], …]`. A node that announces no host is reached
/// where the client asked.
fn nodes(value: &Value, asked: &str) -> Option<Vec<Node>> {
    let Value::Array(ranges) = value else { return None };
    let mut nodes: Vec<Node> = Vec::new();
    for range in ranges {
        let Value::Array(parts) = range else { return None };
        let [Value::Int(first), Value::Int(last), serving @ ..] = parts.as_slice() else { return None };
        let range = (u16::try_from(*first).ok()?, u16::try_from(*last).ok()?);
        for node in serving {
            let Value::Array(node) = node else { return None };
            let [host, Value::Int(port), ..] = node.as_slice() else { return None };
            let host = match host {
                Value::BulkString(host) if !host.is_empty() => String::from_utf8_lossy(host).into_owned(),
                Value::SimpleString(host) => host.clone(),
                _ => asked.to_owned(),
            };
            let port = u16::try_from(*port).ok()?;
            match nodes.iter_mut().find(|known| known.host == host && known.port == port) {
                Some(known) => known.slots.push(range),
                None => nodes.push(Node { host, port, slots: vec![range] }),
            }
        }
    }
    Some(nodes).filter(|nodes| !nodes.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_of_cluster_slots() {
        let reply = "*3\r\n*3\r\n:0\r\n:99\r\n*3\r\n$8\r\n10.0.2.4\r\n:8501\r\n$2\r\nid\r\n\
                     *3\r\n:100\r\n:199\r\n*2\r\n$0\r\n\r\n:10000\r\n\
                     *3\r\n:200\r\n:299\r\n*2\r\n$8\r\n10.0.2.4\r\n:8501\r\n";
        let nodes = nodes(&redis::parse_redis_value(reply.as_bytes()).unwrap(), "cache").unwrap();
        let own = Node { host: "10.0.2.4".to_owned(), port: 8501, slots: vec![(0, 99), (200, 299)] };
        assert_eq!(nodes, [own, Node { host: "cache".to_owned(), port: 10_000, slots: vec![(100, 199)] }]);
        assert_eq!(
            (nodes[0].shown_slots(), nodes[1].shown_slots()),
            ("200 slots".to_owned(), "slots 100 to 199".to_owned())
        );
    }
}
