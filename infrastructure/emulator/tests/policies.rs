//! The clustering policies as a client meets them: what each allows, what it refuses and in which words, and what a failover
//! looks like.

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use azure_managed_redis_emulator::{ClosedBy, ClusteringPolicy, Emulator, EventKind};
use support::{Client, PATIENCE, refusals, resp, tls, token_of};

fn start(policy: ClusteringPolicy) -> Emulator {
    Emulator::builder().clustering_policy(policy).start().unwrap()
}

/// The ports of the shards, as a cluster client learns them.
fn shard_ports(client: &mut Client) -> Vec<u16> {
    let nodes = client.text(&["CLUSTER", "NODES"]);
    let mut ports: Vec<(u32, u16)> = nodes
        .lines()
        .filter(|line| line.contains("master"))
        .filter_map(|line| {
            let mut words = line.split(' ');
            let address = words.nth(1)?;
            let slots = line.rsplit(' ').find(|word| !word.is_empty())?;
            let first = slots.split('-').next()?.parse().ok()?;
            let port = address.split('@').next()?.rsplit(':').next()?.parse().ok()?;
            Some((first, port))
        })
        .collect();
    ports.sort_unstable();
    ports.into_iter().map(|(_, port)| port).collect()
}

/// Where a reply `MOVED slot address:port` leads.
fn moved_to(reply: &str) -> Option<u16> {
    reply.strip_prefix("-MOVED ")?.rsplit(':').next()?.parse().ok()
}

#[test]
fn an_oss_cluster_announces_addresses_and_each_shard_answers_for_its_slots() {
    let emulator = start(ClusteringPolicy::OssCluster);
    let mut seed = Client::signed_in(&emulator, emulator.redis_port(), "system");
    let nodes = seed.text(&["CLUSTER", "NODES"]);
    assert_eq!(
        nodes.lines().filter(|line| line.contains("127.0.0.1:") && line.contains("master")).count(),
        3,
        "{nodes}"
    );
    assert_eq!(nodes.lines().filter(|line| !line.trim().is_empty()).count(), 3, "nobody else is known: {nodes}");
    assert!(seed.text(&["CLUSTER", "INFO"]).contains("cluster_state:ok"));
    let ports = shard_ports(&mut seed);
    assert_eq!(ports.len(), 3);
    assert!(!ports.contains(&emulator.redis_port()), "the cache's own port is none of them");

    let mut shards: Vec<Client> = ports.iter().map(|port| Client::signed_in(&emulator, *port, "system")).collect();
    let mut owners = BTreeSet::new();
    for n in 0..60 {
        let key = format!("key:{n}");
        let replies: Vec<String> = shards.iter_mut().map(|shard| shard.command(&["SET", &key, "value"])).collect();
        let owner = replies.iter().position(|reply| reply == "+OK").unwrap_or_else(|| panic!("{replies:?}"));
        owners.insert(owner);
        for (shard, reply) in replies.iter().enumerate() {
            assert!(shard == owner || moved_to(reply) == Some(ports[owner]), "{key}: {replies:?}");
        }
    }
    assert_eq!(owners.len(), 3, "every shard has keys");
    let opened: BTreeSet<Option<usize>> = emulator
        .events()
        .iter()
        .filter_map(|event| match event.kind {
            EventKind::ConnectionOpened { shard, .. } => Some(shard),
            _ => None,
        })
        .collect();
    assert_eq!(opened, BTreeSet::from([None, Some(0), Some(1), Some(2)]), "the log tells which shard was called");
}

#[test]
fn an_oss_cluster_has_the_commands_that_azure_has() {
    let emulator = start(ClusteringPolicy::OssCluster);
    let mut client = Client::signed_in(&emulator, emulator.redis_port(), "system");
    assert!(client.command(&["CLUSTER", "SLOTS"]).starts_with("*3"));
    let mut client = Client::signed_in(&emulator, emulator.redis_port(), "system");
    assert_eq!(client.command(&["CLUSTER", "KEYSLOT", "key1"]), ":9189");
    assert_eq!(client.command(&["cluster", "myid"]), "-ERR unknown subcommand 'myid'");
    assert_eq!(client.command(&["CLUSTER", "RESET", "HARD"]), "-ERR unknown subcommand 'RESET'");
    assert_eq!(client.command(&["READONLY"]), "-ERR unknown command 'READONLY'");
    assert_eq!(client.command(&["ASKING"]), "-ERR unknown command 'ASKING'");
    assert_eq!(client.command(&["SELECT", "0"]), "+OK");
    assert_eq!(client.command(&["SELECT", "1"]), "-ERR DB index is out of range");
    let cross = client.command(&["MSET", "key1", "a", "key2", "b"]);
    assert!(cross.starts_with("-CROSSSLOT Keys in request don't hash to the same slot"), "{cross}");
}

/// The very error that users report: nodes are announced by address, and no certificate names that.
#[test]
fn a_node_can_be_reached_by_the_caches_name_and_not_by_its_own_address() {
    use rustls::pki_types::pem::PemObject;
    let emulator = start(ClusteringPolicy::OssCluster);
    let mut seed = Client::signed_in(&emulator, emulator.redis_port(), "system");
    let port = shard_ports(&mut seed)[0];
    assert_eq!(Client::signed_in(&emulator, port, "system").command(&["PING"]), "+PONG");

    let mut roots = rustls::RootCertStore::empty();
    roots.add(rustls::pki_types::CertificateDer::from_pem_file(emulator.ca_file()).unwrap()).unwrap();
    let config =
        rustls::ClientConfig::builder_with_provider(std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
    let name = "127.0.0.1".try_into().unwrap();
    let mut connection = rustls::ClientConnection::new(std::sync::Arc::new(config), name).unwrap();
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    let error = loop {
        if let Err(error) = connection.complete_io(&mut stream) {
            break error.to_string();
        }
        assert!(connection.is_handshaking(), "the address was taken for the name");
    };
    assert!(error.contains("NotValidForName") || error.contains("not valid for name"), "{error}");
}

#[test]
fn a_shard_that_fails_over_has_its_data_at_another_port() {
    let emulator = start(ClusteringPolicy::OssCluster);
    let mut seed = Client::signed_in(&emulator, emulator.redis_port(), "system");
    let before = shard_ports(&mut seed);
    let key = (0..).map(|n| format!("key:{n}")).find(|key| moved_to(&seed.command(&["GET", key])) == Some(before[1]));
    let key = key.unwrap();
    let mut old = Client::signed_in(&emulator, before[1], "system");
    let mut other = Client::signed_in(&emulator, before[2], "user");
    assert_eq!(old.command(&["SET", &key, "kept"]), "+OK");

    emulator.control().fail_over(1).unwrap();
    assert!(old.is_closed());
    assert!(std::net::TcpStream::connect(("127.0.0.1", before[1])).is_err(), "nobody is left at the old port");
    assert_eq!(other.command(&["PING"]), "+PONG", "connections to the other shards stay");
    let after = shard_ports(&mut seed);
    assert_eq!((after[0], after[2]), (before[0], before[2]));
    assert_ne!(after[1], before[1]);
    assert_eq!(moved_to(&seed.command(&["GET", &key])), Some(after[1]));
    let mut new = Client::signed_in(&emulator, after[1], "system");
    assert_eq!(new.bulk(&["GET", &key]), "kept");
    assert_eq!(shard_ports(&mut new), after, "the new shard sees the same cluster");
    assert_eq!(new.command(&["SET", &key, "again"]), "+OK");
    assert!(
        emulator
            .events()
            .iter()
            .any(|event| { matches!(event.kind, EventKind::ConnectionClosed { by: ClosedBy::Failover, .. }) })
    );

    // Once more, and the first shard, which also stands behind the cache's own endpoint.
    emulator.control().fail_over(1).unwrap();
    emulator.control().fail_over(0).unwrap();
    let mut seed = Client::signed_in(&emulator, emulator.redis_port(), "system");
    assert_eq!(shard_ports(&mut seed).len(), 3);
    assert!(emulator.control().fail_over(3).unwrap_err().to_string().contains("there is no shard 3"));
}

/// Some engines lose count of a shard whose first node is gone, and end at the first message to one of its channels.
#[test]
fn shards_stay_whole_and_carry_messages_after_a_failover_too() {
    let emulator = start(ClusteringPolicy::OssCluster);
    for failed_over in [false, true] {
        if failed_over {
            emulator.control().fail_over(1).unwrap();
        }
        let mut seed = Client::signed_in(&emulator, emulator.redis_port(), "system");
        let ports = shard_ports(&mut seed);
        for port in ports {
            let mut client = Client::signed_in(&emulator, port, "system");
            let published = (0..100).find(|n| client.command(&["SPUBLISH", &format!("channel:{n}"), "x"]) == ":0");
            assert!(published.is_some(), "failed over {failed_over}");
            assert_eq!(client.ask(&["CLUSTER", "SHARDS"]).items().len(), 3, "failed over {failed_over}");
        }
    }
}

#[test]
fn a_plain_cache_that_fails_over_has_its_data_at_the_same_port() {
    for policy in [ClusteringPolicy::NoCluster, ClusteringPolicy::EnterpriseCluster] {
        let emulator = start(policy);
        let mut client = Client::signed_in(&emulator, emulator.redis_port(), "system");
        client.command(&["SET", "greeting", "kept"]);
        emulator.control().fail_over(0).unwrap();
        assert!(client.is_closed());
        let mut client = Client::signed_in(&emulator, emulator.redis_port(), "system");
        assert_eq!(client.bulk(&["GET", "greeting"]), "kept");
    }
}

#[test]
fn engines_that_were_stopped_start_empty_and_know_everybody() {
    for policy in [ClusteringPolicy::NoCluster, ClusteringPolicy::OssCluster] {
        let emulator = start(policy);
        let control = emulator.control();
        let mut client = Client::signed_in(&emulator, emulator.redis_port(), "system");
        client.command(&["SET", "key1", "gone"]);
        assert!(control.stop_engine());
        assert!(client.is_closed());
        let (object_id, token) = token_of(&emulator, "system");
        let mut stream = tls(&emulator, emulator.redis_port());
        use std::io::{Read, Write};
        let _ = stream.write_all(&resp(&["AUTH", &object_id, &token]));
        assert!(!matches!(stream.read(&mut [0]), Ok(1..)), "nobody answers while the engine is stopped");
        assert!(control.start_engine().unwrap());
        assert!(!control.start_engine().unwrap());
        let mut client = Client::signed_in(&emulator, emulator.redis_port(), "system");
        assert_eq!(client.command(&["DBSIZE"]), ":0");
    }
}

#[test]
fn an_enterprise_cluster_refuses_keys_of_several_slots_as_azure_does() {
    let emulator = start(ClusteringPolicy::EnterpriseCluster);
    let mut client = Client::signed_in(&emulator, emulator.redis_port(), "system");
    let cross = "-CROSSSLOT Keys in request don't hash to the same slot";
    for allowed in [
        vec!["MSET", "key1", "a", "key2", "b"],
        vec!["DEL", "key1", "key2"],
        vec!["EXISTS", "key1", "key2"],
        vec!["UNLINK", "key1", "key2"],
        vec!["TOUCH", "key1", "key2"],
        vec!["SINTERSTORE", "{a}1", "{a}2", "{a}3"],
        vec!["RENAMENX", "{a}1", "{a}2"],
        vec!["EVAL", "return 1", "2", "{a}1", "{a}2"],
        vec!["EVAL", "return redis.call('SET', KEYS[1], ARGV[1])", "1", "key1", "key2"],
        vec!["PUBLISH", "channel", "message"],
        vec!["MSETNX", "key1", "a"],
    ] {
        let reply = client.command(&allowed);
        assert!(!reply.starts_with("-CROSSSLOT"), "{allowed:?}: {reply}");
    }
    assert_eq!(client.command(&["MGET", "key1", "key2"]), "*2");
    client.line();
    client.line();
    let mut client = Client::signed_in(&emulator, emulator.redis_port(), "system");
    for refused in [
        vec!["MSETNX", "key1", "a", "key2", "b"],
        vec!["msetnx", "key1", "a", "key2", "b"],
        vec!["RENAME", "key1", "key2"],
        vec!["SINTER", "key1", "key2"],
        vec!["SUNIONSTORE", "key1", "key2"],
        vec!["BLPOP", "key1", "key2", "1"],
        vec!["WATCH", "key1", "key2"],
        vec!["EVAL", "return 1", "2", "key1", "key2"],
        vec!["XREAD", "COUNT", "1", "STREAMS", "key1", "key2", "0", "0"],
        vec!["PFCOUNT", "key1", "key2"],
        vec!["ZUNIONSTORE", "key1", "1", "key2"],
        vec!["LMPOP", "2", "key1", "key2", "LEFT"],
    ] {
        assert_eq!(client.command(&refused), cross, "{refused:?}");
    }
    assert_eq!(client.command(&["PING"]), "+PONG");
    client.send("MSETNX key1 a key2 b\r\nPING\r\n");
    assert_eq!((client.line().as_str(), client.line().as_str()), (cross, "+PONG"), "inline and in order");
    let errors = emulator
        .events()
        .iter()
        .filter(|event| matches!(&event.kind, EventKind::ErrorReply { error, .. } if error == "CROSSSLOT"))
        .count();
    assert_eq!(errors, 13);
}

#[test]
fn a_transaction_of_an_enterprise_cluster_is_refused_where_azure_refuses_it() {
    let emulator = start(ClusteringPolicy::EnterpriseCluster);
    let mut client = Client::signed_in(&emulator, emulator.redis_port(), "system");
    assert_eq!(client.command(&["MULTI"]), "+OK");
    assert_eq!(client.command(&["SET", "key1", "value1"]), "+QUEUED");
    assert_eq!(
        client.command(&["SET", "key2", "value2"]),
        "-CROSSSLOT Keys in request don't hash to the same slot (context='within MULTI', command='SET', first-key='key1', violating-key='key2')"
    );
    let aborted = client.command(&["EXEC"]);
    assert!(aborted.starts_with("-EXECABORT"), "{aborted}");
    assert_eq!(client.command(&["EXISTS", "key1"]), ":0");
    for command in [["MULTI"].as_slice(), &["SET", "{a}1", "x"], &["SET", "{a}2", "y"]] {
        assert!(client.command(command).starts_with('+'));
    }
    assert_eq!(client.command(&["EXEC"]), "*2");
}

#[test]
fn cluster_commands_are_refused_where_there_is_no_cluster() {
    for policy in [ClusteringPolicy::NoCluster, ClusteringPolicy::EnterpriseCluster] {
        let emulator = start(policy);
        let mut client = Client::signed_in(&emulator, emulator.redis_port(), "system");
        for subcommand in ["SLOTS", "NODES", "INFO", "SHARDS", "MYID"] {
            assert_eq!(client.command(&["CLUSTER", subcommand]), "-ERR command is not allowed", "{policy:?}");
        }
        assert_eq!(client.command(&["CLUSTER", "KEYSLOT", "key"]), "-ERR command is not allowed", "{policy:?}");
    }
}

#[test]
fn without_a_cluster_any_keys_go_together() {
    let emulator = start(ClusteringPolicy::NoCluster);
    let mut client = Client::signed_in(&emulator, emulator.redis_port(), "system");
    assert_eq!(client.command(&["MSETNX", "key1", "a", "key2", "b"]), ":1");
    assert!(refusals(&emulator).is_empty());
}

/// Every shard has the users: rights, removal and expiry are the same at each.
#[test]
fn assignments_hold_on_every_shard() {
    let emulator = Emulator::builder()
        .clustering_policy(ClusteringPolicy::OssCluster)
        .token_lifetime("user", Duration::from_secs(3))
        .start()
        .unwrap();
    let mut seed = Client::signed_in(&emulator, emulator.redis_port(), "system");
    let ports = shard_ports(&mut seed);
    let mut short: Vec<Client> = ports.iter().map(|port| Client::signed_in(&emulator, *port, "user")).collect();
    let mut system: Vec<Client> = ports.iter().map(|port| Client::signed_in(&emulator, *port, "system")).collect();
    let object_id = emulator.directory().identity("system").unwrap().object_id;
    emulator.control().assign("system", object_id, Some("+@read +ping ~*")).unwrap();
    for client in &mut system {
        assert!(client.command(&["FLUSHALL"]).starts_with("-NOPERM"), "changed without a new connection");
        assert_eq!(client.command(&["PING"]), "+PONG");
    }
    emulator.control().unassign("system").unwrap();
    assert!(system.iter_mut().all(Client::is_closed));
    assert!(short.iter_mut().all(Client::is_closed), "their token ran out");
    assert!(emulator.wait_for(PATIENCE, |events| {
        let closed = |by| {
            events.iter().filter(|e| matches!(e.kind, EventKind::ConnectionClosed { by: b, .. } if b == by)).count()
        };
        closed(ClosedBy::AssignmentRemoved) == 4 && closed(ClosedBy::Expiry) == 3
    }));
}
