//! `redis-cli` and `redis-benchmark` under each clustering policy, with a token as the password. Who has not got them, or has them
//! without TLS, skips, and is told.

mod support;

use std::collections::BTreeMap;
use std::process::Command;

use azure_managed_redis_emulator::{ClusteringPolicy, Emulator, EventKind};
use support::{PATIENCE, both, lacks, token_of};

/// Enough requests that each shard gets some.
const REQUESTS: u64 = 3_000;

/// Whether the machine has that tool, and that one can do TLS.
fn has(tool: &str) -> bool {
    let help = Command::new(tool).arg("--help").output();
    let can_tls = help.is_ok_and(|help| both(&help).contains("--tls"));
    can_tls || lacks(&format!("{tool} with TLS, as Debian's package redis-tools has it"))
}

/// A tool that is told how to reach the cache and who asks.
fn tool(name: &str, emulator: &Emulator, arguments: &[&str]) -> Command {
    let object_id = emulator.directory().identity("user").unwrap().object_id.to_string();
    let mut command = Command::new(name);
    command.args(["-h", "localhost", "-p", &emulator.redis_port().to_string(), "--tls", "--sni", "localhost"]);
    command.arg("--cacert").arg(emulator.ca_file()).args(["--user", &object_id]).args(arguments);
    command
}

fn printed(mut command: Command) -> String {
    let output = command.output().unwrap();
    let printed = both(&output).trim().to_owned();
    assert!(output.status.success(), "{:?}\n{printed}", command.get_program());
    printed
}

/// How often each command was sent, once all connections are closed. Asserts that all were of that identity.
fn commands_of(emulator: &Emulator, identity: &str) -> BTreeMap<String, u64> {
    let all_closed = emulator.wait_for(PATIENCE, |events| {
        let count = |which: fn(&EventKind) -> bool| events.iter().filter(|event| which(&event.kind)).count();
        let opened = count(|event| matches!(event, EventKind::ConnectionOpened { .. }));
        opened == count(|event| matches!(event, EventKind::ConnectionClosed { .. }))
    });
    assert!(all_closed, "a connection is left: {:#?}", emulator.control().connections());
    let (mut total, mut signed_in) = (BTreeMap::new(), BTreeMap::new());
    for event in emulator.events() {
        match event.kind {
            EventKind::SignInAccepted { connection, identity, .. } => {
                signed_in.insert(connection, identity);
            }
            EventKind::ConnectionClosed { connection, commands, .. } => {
                assert_eq!(signed_in.get(&connection).map(String::as_str), Some(identity), "connection #{connection}");
                for (name, count) in commands {
                    *total.entry(name).or_default() += count;
                }
            }
            _ => {}
        }
    }
    total
}

#[test]
fn redis_cli_works_under_each_policy() {
    if !has("redis-cli") {
        return;
    }
    for &(_, policy) in ClusteringPolicy::ALL {
        let emulator = Emulator::builder().clustering_policy(policy).start().unwrap();
        let (_, token) = token_of(&emulator, "user");
        let cli = |arguments: &[&str]| {
            let mut command = tool("redis-cli", &emulator, arguments);
            command.env("REDISCLI_AUTH", &token);
            printed(command)
        };
        let is_cluster = policy == ClusteringPolicy::OssCluster;
        let follow: &[&str] = if is_cluster { &["-c"] } else { &[] };
        // Keys of all shards.
        for n in 0..6 {
            let (key, value) = (format!("order:{n}"), n.to_string());
            assert_eq!(cli(&[follow, &["SET", &key, &value]].concat()), "OK", "{policy:?}");
            assert_eq!(cli(&[follow, &["GET", &key]].concat()), value, "{policy:?}");
        }
        let plain: Vec<String> = (0..6).map(|n| cli(&["GET", &format!("order:{n}")])).collect();
        let moved = plain.iter().filter(|said| said.starts_with("MOVED")).count();
        assert_eq!(moved > 0, is_cluster, "without -c it has to be told of another shard: {plain:?}");
        assert_eq!(cli(&["ACL", "WHOAMI"]), emulator.directory().identity("user").unwrap().object_id.to_string());
        let commands = commands_of(&emulator, "user");
        assert!(commands["SET"] >= 6 && commands["GET"] >= 12, "{commands:?}");
    }
}

#[test]
fn redis_benchmark_works_under_each_policy() {
    if !has("redis-benchmark") {
        return;
    }
    for &(_, policy) in ClusteringPolicy::ALL {
        let emulator = Emulator::builder().clustering_policy(policy).start().unwrap();
        let (_, token) = token_of(&emulator, "user");
        let is_cluster = policy == ClusteringPolicy::OssCluster;
        let requests = REQUESTS.to_string();
        let mut arguments =
            vec!["-a", &token, "-n", &requests, "-c", "9", "-P", "4", "-r", "1000", "-t", "set,get", "-q"];
        arguments.extend(is_cluster.then_some("--cluster"));
        let said = printed(tool("redis-benchmark", &emulator, &arguments));
        for test in ["SET: ", "GET: "] {
            let rates =
                said.split(['\r', '\n']).filter(|line| line.contains(test) && line.contains("requests per second"));
            assert_eq!(rates.count(), 1, "{policy:?}: {said}");
        }
        assert!(!said.to_lowercase().contains("error"), "{policy:?}: {said}");
        let emulator_saw = commands_of(&emulator, "user");
        for command in ["SET", "GET"] {
            assert!(emulator_saw[command] >= REQUESTS, "{policy:?}: {emulator_saw:?}");
        }
    }
}
