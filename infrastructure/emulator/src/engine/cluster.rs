//! Engines as the shards of a real Redis Cluster, ready in a fraction of a second, and one that takes another's place.
//!
//! A primary that starts with slots of its own stays unwritable for two seconds, whatever its configuration says. A replica does
//! not, and neither does a replica that takes its primary's place. So each engine starts as the replica of a primary that is
//! only a line in its `nodes.conf`, takes over from it at once, and everybody forgets the line.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fs, io};

use redis::Value;

use super::{Engine, EngineInfo, SNAPSHOT, START_TIME};
use crate::cache::ClusteringPolicy;
use crate::{Error, token};

/// Where a node is said to be that is only a line: nobody listens at port 1 (tcpmux) of any machine of today. Without an address
/// Valkey would count it as failed.
const NOWHERE: (u16, u16) = (1, 1);

/// How often new bus ports are tried: between finding a free one and listening there, another program may take it.
const ATTEMPTS: usize = 5;

/// One shard, as it is written into `nodes.conf` and as the front needs it.
#[derive(Clone, Debug)]
pub(crate) struct ClusterNode {
    /// 40 hexadecimal digits.
    id: String,
    /// The same for all nodes that ever serve its slots.
    shard: String,
    /// Where clients are told to find it: a listener of the front.
    port: u16,
    bus_port: u16,
    /// All nodes as this one is to see them when it starts.
    nodes: String,
}

impl ClusterNode {
    /// Writes its `nodes.conf` and gives its part of the configuration.
    pub(super) fn settings(&self, folder: &Path) -> io::Result<String> {
        fs::write(folder.join("nodes.conf"), &self.nodes)?;
        Ok(format!(
            "cluster-enabled yes\n\
             cluster-config-file nodes.conf\n\
             cluster-port {bus}\n\
             cluster-announce-ip 127.0.0.1\n\
             cluster-announce-port {port}\n\
             cluster-announce-bus-port {bus}\n\
             cluster-node-timeout 60000\n\
             cluster-allow-replica-migration no\n",
            bus = self.bus_port,
            port = self.port,
        ))
    }
}

/// What the table of nodes says of one.
struct Line<'a> {
    id: &'a str,
    /// Absent for engines that know no such id. Others lose count of the shard when the node that it began with is forgotten,
    /// and end at the first SPUBLISH.
    shard: Option<&'a str>,
    /// Port and bus port.
    address: (u16, u16),
    flags: &'a str,
    primary: &'a str,
    epoch: usize,
    slots: &'a str,
}

impl Line<'_> {
    fn write(&self, nodes: &mut String) {
        let Line { id, shard, address, flags, primary, epoch, slots } = self;
        let (port, bus) = address;
        let _ = write!(nodes, "{id} 127.0.0.1:{port}@{bus}");
        if let Some(shard) = shard {
            // Between the commas there would be a host name.
            let _ = write!(nodes, ",,shard-id={shard}");
        }
        let _ = writeln!(nodes, " {flags} {primary} 0 0 {epoch} connected {slots}");
    }
}

/// The shards of a cluster.
pub(crate) struct Shards {
    nodes: Vec<(ClusterNode, String)>,
}

impl Shards {
    /// Starts a shard for each of `ports`, the addresses that clients are told, in a folder of its own below `folder`.
    pub(crate) fn start(info: &EngineInfo, folder: &Path, ports: &[u16]) -> Result<(Self, Vec<Engine>), Error> {
        let mut last = None;
        for attempt in 0..ATTEMPTS {
            match Self::try_start(info, &folder.join(format!("cluster-{attempt}")), ports) {
                Ok(started) => return Ok(started),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| Error::Engine("a cluster needs at least one attempt".to_owned())))
    }

    fn try_start(info: &EngineInfo, folder: &Path, ports: &[u16]) -> Result<(Self, Vec<Engine>), Error> {
        let bus_ports = free_ports(ports.len()).map_err(|e| Error::Runtime(e.to_string()))?;
        let ids: Vec<String> = ports.iter().map(|_| random_id()).collect();
        let stand_ins: Vec<String> = ports.iter().map(|_| random_id()).collect();
        let shards: Vec<String> = ports.iter().map(|_| random_id()).collect();
        let slots = slots_of(ports.len());
        let node = |own: usize| {
            let mut nodes = String::new();
            for at in 0..ports.len() {
                let address = (ports[at], bus_ports[at]);
                let flags = if at == own { "myself,slave" } else { "slave" };
                let shard = info.knows_shards().then_some(shards[at].as_str());
                Line { id: &ids[at], shard, address, flags, primary: &stand_ins[at], epoch: at + 1, slots: "" }
                    .write(&mut nodes);
                Line {
                    id: &stand_ins[at],
                    shard,
                    address: NOWHERE,
                    flags: "master",
                    primary: "-",
                    epoch: at + 1,
                    slots: &slots[at],
                }
                .write(&mut nodes);
            }
            let _ = writeln!(nodes, "vars currentEpoch {} lastVoteEpoch 0", 2 * ports.len());
            let (id, shard) = (ids[own].clone(), shards[own].clone());
            ClusterNode { id, shard, port: ports[own], bus_port: bus_ports[own], nodes }
        };
        let nodes: Vec<ClusterNode> = (0..ports.len()).map(node).collect();
        // Side by side: each waits for its engine to answer.
        let engines: Vec<Engine> = std::thread::scope(|scope| {
            let start = |(at, node): (usize, &ClusterNode)| {
                let (folder, node) = (folder.join(at.to_string()), node.clone());
                scope.spawn(move || Engine::start(info, &folder, ClusteringPolicy::OssCluster, Some(&node)))
            };
            let starting: Vec<_> = nodes.iter().enumerate().map(start).collect();
            let ended = || Error::Engine("the thread that starts an engine ended".to_owned());
            starting
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|_| Err(ended())))
                .collect::<Result<_, Error>>()
        })?;
        for engine in &engines {
            take_over(engine)?;
        }
        for engine in &engines {
            eventually("each shard knows the owner of each slot", || owns(engine, &ids))?;
        }
        for engine in &engines {
            for stand_in in &stand_ins {
                engine.command(&["CLUSTER", "FORGET", stand_in])?;
            }
        }
        Ok((Shards { nodes: nodes.into_iter().zip(slots).collect() }, engines))
    }

    /// Starts an engine that takes the place of the shard number `at`, whose engine wrote `snapshot` and has ended. It has another
    /// id and another port. `others` are the engines of the other shards.
    pub(crate) fn replace(
        &mut self,
        info: &EngineInfo,
        folder: &Path,
        at: usize,
        port: u16,
        snapshot: &Path,
        others: &[&Engine],
    ) -> Result<Engine, Error> {
        let (before, slots) = &self.nodes[at];
        let id = random_id();
        let bus_port = free_ports(1).map_err(|e| Error::Runtime(e.to_string()))?[0];
        let mut nodes = String::new();
        let shard_of = |node: &'_ ClusterNode| info.knows_shards().then(|| node.shard.clone());
        let epoch = 2 * self.nodes.len();
        let own = shard_of(before);
        Line {
            id: &id,
            shard: own.as_deref(),
            address: (port, bus_port),
            flags: "myself,slave",
            primary: &before.id,
            epoch: 0,
            slots: "",
        }
        .write(&mut nodes);
        let primary = Line { id: "", shard: None, address: NOWHERE, flags: "master", primary: "-", epoch, slots: "" };
        Line { id: &before.id, shard: own.as_deref(), slots, ..primary }.write(&mut nodes);
        for (other, slots) in self.nodes.iter().filter(|(other, _)| other.id != before.id) {
            let address = (other.port, other.bus_port);
            Line { id: &other.id, shard: shard_of(other).as_deref(), address, slots, ..primary }.write(&mut nodes);
        }
        let _ = writeln!(nodes, "vars currentEpoch {epoch} lastVoteEpoch 0");
        let node = ClusterNode { id, shard: before.shard.clone(), port, bus_port, nodes };

        let folder: PathBuf = folder.join(&node.id[..8]);
        let copied = fs::create_dir_all(&folder).and_then(|()| fs::copy(snapshot, folder.join(SNAPSHOT)));
        copied.map_err(|e| Error::State { path: folder.clone(), why: e.to_string() })?;
        let engine = Engine::start(info, &folder, ClusteringPolicy::OssCluster, Some(&node))?;
        for other in others {
            other.command(&["CLUSTER", "MEET", "127.0.0.1", &port.to_string(), &bus_port.to_string()])?;
        }
        for other in others {
            eventually("the other shards know the new one", || Ok(knows(other, &node.id)?.is_some()))?;
        }
        take_over(&engine)?;
        let old = before.id.clone();
        let ids: Vec<String> =
            self.nodes.iter().map(|(other, _)| if other.id == old { &node.id } else { &other.id }).cloned().collect();
        for engine in others.iter().copied().chain([&engine]) {
            eventually("each shard knows the new owner", || owns(engine, &ids))?;
            engine.command(&["CLUSTER", "FORGET", &old])?;
        }
        self.nodes[at].0 = node;
        Ok(engine)
    }
}

/// Makes a replica the primary of its primary's slots.
fn take_over(engine: &Engine) -> Result<(), Error> {
    // Only from this state on it goes without the two seconds.
    eventually("a shard sees a whole cluster", || {
        Ok(text(&engine.command(&["CLUSTER", "INFO"])?).contains("cluster_state:ok"))
    })?;
    engine.command(&["CLUSTER", "FAILOVER", "TAKEOVER"]).map(drop)
}

/// Whether every one of `ids` is a primary with slots, as `engine` sees it.
fn owns(engine: &Engine, ids: &[String]) -> Result<bool, Error> {
    for id in ids {
        let owner = knows(engine, id)?.is_some_and(|line| line.contains("master") && line.ends_with(char::is_numeric));
        if !owner {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What `engine` says of a node, if it knows it under its own id. The line of a primary ends with its slots.
fn knows(engine: &Engine, id: &str) -> Result<Option<String>, Error> {
    let nodes = text(&engine.command(&["CLUSTER", "NODES"])?);
    Ok(nodes
        .lines()
        .find(|line| line.starts_with(id) && !line.contains("handshake"))
        .map(|line| line.trim().to_owned()))
}

fn text(value: &Value) -> String {
    match value {
        Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => text.clone(),
        _ => String::new(),
    }
}

fn eventually(what: &str, mut holds: impl FnMut() -> Result<bool, Error>) -> Result<(), Error> {
    let started = Instant::now();
    while !holds()? {
        if started.elapsed() > START_TIME {
            return Err(Error::Engine(format!("it did not come about within {} s that {what}", START_TIME.as_secs())));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// The 16,384 slots in as many ranges as there are shards.
fn slots_of(shards: usize) -> Vec<String> {
    const SLOTS: usize = 16_384;
    let start = |shard: usize| shard * SLOTS / shards;
    (0..shards).map(|shard| format!("{}-{}", start(shard), start(shard + 1) - 1)).collect()
}

fn random_id() -> String {
    (0..2).map(|_| token::random_guid().simple().to_string()).collect::<String>()[..40].to_owned()
}

/// Ports that nobody listens on at this moment.
fn free_ports(count: usize) -> io::Result<Vec<u16>> {
    let held: Vec<TcpListener> =
        (0..count).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect::<io::Result<_>>()?;
    held.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_has_one_owner() {
        assert_eq!(slots_of(3), ["0-5460", "5461-10921", "10922-16383"]);
        assert_eq!(slots_of(1), ["0-16383"]);
    }
}
