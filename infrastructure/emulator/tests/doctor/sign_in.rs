//! Signing in, and what comes after.

use std::time::Duration;

use azure_managed_redis_emulator::Emulator;

use crate::authority::{Authority, Wanted};
use crate::examination::{Doctor, IN_TIME, good_token};
use crate::servers::{self, Answer, closed_port, good_redis, redis};

/// At something like Redis that answers `command` in this way.
fn answering(authority: &Authority, command: &'static str, line: &'static str) -> Doctor {
    let port = redis(authority.server(), move |sent| sent.starts_with(command).then(|| Answer::line(line)));
    Doctor::at(port, authority).with_token(&good_token())
}

#[test]
fn a_principal_without_an_assignment() {
    let emulator = Emulator::start().unwrap();
    let report = Doctor::inside(&emulator.environment("unassigned").unwrap()).run();
    let object_id = "0b1ec700-0000-4000-8000-000000000004";
    report.is_caused_by("not-assigned", 8, &[object_id, "WRONGPASS", "access policy assignment", "its log"]);
    let commands = report.json["cause"]["commands"].to_string();
    assert!(commands.contains("access-policy-assignment create") && commands.contains(object_id), "{commands}");
    // The older service's words.
    let authority = Authority::new();
    let report = answering(&authority, "AUTH", "-ERR WRONGPASS invalid username-password pair").run();
    report.is_caused_by("not-assigned", 8, &[]);
}

#[test]
fn a_sign_in_that_is_refused_otherwise() {
    let authority = Authority::new();
    let no_password = "-ERR AUTH <password> called without any password configured for the default user";
    let report = answering(&authority, "AUTH", no_password).run();
    report.is_caused_by("sign-in-refused", 8, &["without any password", "Microsoft Entra authentication"]);
}

#[test]
fn a_sign_in_without_an_answer() {
    let authority = Authority::new();
    let closing = redis(authority.server(), |_| Some(Answer::Close));
    let report = Doctor::at(closing, &authority).with_token(&good_token()).run();
    report.is_caused_by("sign-in-no-answer", 8, &["closed"]);
    let silent = redis(authority.server(), |_| Some(Answer::Silence));
    let report = Doctor::at(silent, &authority).with_token(&good_token()).arg(IN_TIME).run();
    report.is_caused_by("sign-in-no-answer", 8, &["no answer in time"]);
}

#[test]
fn a_server_that_is_no_redis() {
    let authority = Authority::new();
    let tls = authority.server();
    let web = servers::serve(move |tcp| {
        use std::io::Write;
        let mut stream = rustls::StreamOwned::new(rustls::ServerConnection::new(tls.clone()).unwrap(), tcp);
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").and_then(|()| stream.flush());
        std::thread::sleep(Duration::from_secs(60));
    });
    let report = Doctor::at(web, &authority).with_token(&good_token()).run();
    report.is_caused_by("not-redis", 8, &["HTTP/1.1 400 Bad Request", "10000"]);
}

#[test]
fn commands_that_fail_after_the_sign_in() {
    let authority = Authority::new();
    answering(&authority, "PING", "-LOADING Redis is loading the dataset in memory").run().is_caused_by(
        "command-failed",
        9,
        &["PING", "LOADING"],
    );
}

/// A cluster whose nodes announce themselves with 127.0.0.1 and these ports.
fn cluster(authority: &Authority, nodes: &[u16]) -> Doctor {
    let slots: String = nodes
        .iter()
        .enumerate()
        .map(|(number, port)| {
            let first = number * 100;
            format!("*3\r\n:{first}\r\n:{}\r\n*3\r\n$9\r\n127.0.0.1\r\n:{port}\r\n$4\r\nnode\r\n", first + 99)
        })
        .collect();
    let slots = format!("*{}\r\n{slots}", nodes.len());
    let port = redis(authority.server(), move |command| match command {
        "CLUSTER SLOTS" => Some(Answer::Bytes(slots.clone().into_bytes())),
        "CLUSTER INFO" => Some(Answer::bulk("cluster_state:ok\r\ncluster_slots_assigned:16384")),
        _ => None,
    });
    Doctor::at(port, authority).with_token(&good_token())
}

#[test]
fn nodes_of_a_cluster_need_the_host_name() {
    let authority = Authority::new();
    let nodes = [good_redis(authority.server()), good_redis(authority.server())];
    let report = cluster(&authority, &nodes).run();
    report.is_well();
    assert!(report.step("cluster")["summary"].as_str().unwrap().starts_with("OSSCluster: 2 nodes"), "{report:#?}");
    for node in nodes {
        let fact = report.fact("cluster", &format!("127.0.0.1:{node}"));
        assert!(fact.contains("TLS as localhost: yes; as 127.0.0.1: no, it is for another name"), "{fact}");
    }
    assert!(report.fact("cluster", "mapping").contains("to localhost"), "{report:#?}");
    assert!(report.fact("cluster", "Rust: redis").contains("node_address_map"), "{report:#?}");
    assert!(report.json["remarks"].to_string().contains("must map"), "{report:#?}");
}

#[test]
fn nodes_whose_certificate_names_their_address_need_nothing() {
    let authority = Authority::new();
    let wanted = Wanted { names: vec!["localhost", "127.0.0.1"], ..Wanted::default() };
    let report = cluster(&authority, &[good_redis(authority.server_with(&wanted))]).run();
    report.is_well();
    assert!(report.json.to_string().contains("its certificate is for 127.0.0.1 too"), "{report:#?}");
    assert!(!report.json.to_string().contains("node_address_map"), "{report:#?}");
}

#[test]
fn a_node_that_cannot_be_reached() {
    let authority = Authority::new();
    let closed = closed_port();
    let report = cluster(&authority, &[good_redis(authority.server()), closed]).run();
    report.is_caused_by("node-unreachable", 9, &[&format!("127.0.0.1:{closed}"), "refused", "8500 to 8599"]);
}

#[test]
fn a_node_with_a_certificate_for_something_else() {
    let authority = Authority::new();
    let wanted = Wanted { names: vec!["elsewhere.example"], ..Wanted::default() };
    let report = cluster(&authority, &[good_redis(authority.server_with(&wanted))]).run();
    report.is_caused_by("node-certificate", 9, &["it is for another name", "localhost"]);
}
