//! The proxy: who has a host name of Entra ID built in reaches the emulator through it, and nobody reaches anything else.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use azure_managed_redis_emulator::{ClusteringPolicy, Emulator, Event, EventKind, Presented, Service};
use support::{Client, PATIENCE, http, resp, tls_over, token_of};

const HOSTS: &[&str] = &[
    "login.microsoftonline.com",
    "login.microsoft.com",
    "login.windows.net",
    "sts.windows.net",
    "login.microsoftonline.us",
    "login.partner.microsoftonline.cn",
    "login.chinacloudapi.cn",
];
const TENANT: &str = "7e4a4700-0000-4000-8000-000000000000";

/// Sends what a client sends to a proxy, and gives the connection with the head of the reply.
fn ask(emulator: &Emulator, request: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", emulator.proxy_port())).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => break,
        }
    }
    (stream, String::from_utf8(head).unwrap())
}

fn connect(emulator: &Emulator, host: &str) -> (TcpStream, String) {
    ask(emulator, &format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
}

fn get(path: &str, host: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
}

#[test]
fn every_host_of_entra_id_is_answered_with_a_certificate_in_its_name() {
    let emulator = Emulator::start().unwrap();
    for host in HOSTS {
        let (stream, head) = connect(&emulator, &format!("{host}:443"));
        assert!(head.starts_with("HTTP/1.1 200"), "{host}: {head}");
        let asked = format!("https://{host}/{TENANT}/oauth2/v2.0/authorize");
        let path = format!("/common/discovery/instance?api-version=1.1&authorization_endpoint={asked}");
        let reply = http(&mut tls_over(&emulator, stream, host), get(&path, host));
        let configuration = format!("https://{host}/{TENANT}/v2.0/.well-known/openid-configuration");
        assert_eq!(reply.json["tenant_discovery_endpoint"], configuration, "{reply:?}");

        let (stream, _) = connect(&emulator, &format!("{host}:443"));
        let path = format!("/{TENANT}/v2.0/.well-known/openid-configuration");
        let reply = http(&mut tls_over(&emulator, stream, host), get(&path, host));
        assert_eq!(reply.json["token_endpoint"], format!("https://{host}/{TENANT}/oauth2/v2.0/token"));
        let connected = format!("{host}:443");
        let seen = |event: &Event| matches!(&event.kind, EventKind::ProxyConnected { host } if *host == connected);
        assert_eq!(emulator.events().iter().filter(|event| seen(event)).count(), 2);
    }
}

/// A client that was given another authority asks the well-known host on that authority's port whether it may trust it.
#[test]
fn entra_id_is_found_at_its_own_port_too() {
    let emulator = Emulator::start().unwrap();
    let host = format!("login.microsoftonline.com:{}", emulator.entra_port());
    let (stream, head) = connect(&emulator, &host);
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let asked = format!("https://localhost/{TENANT}/oauth2/v2.0/authorize");
    let path = format!("/common/discovery/instance?api-version=1.1&authorization_endpoint={asked}");
    let reply = http(&mut tls_over(&emulator, stream, "login.microsoftonline.com"), get(&path, &host));
    let configuration = reply.json["tenant_discovery_endpoint"].as_str().unwrap();
    assert!(configuration.starts_with(&format!("https://localhost:{}/", emulator.entra_port())), "{configuration}");
}

#[test]
fn a_token_is_had_through_the_proxy() {
    let emulator = Emulator::start().unwrap();
    let environment = emulator.environment("service-principal").unwrap().through_proxy();
    let proxy = format!("http://127.0.0.1:{}", emulator.proxy_port());
    for name in ["HTTPS_PROXY", "https_proxy"] {
        assert_eq!(environment.get(name), Some(proxy.as_str()));
    }
    for name in ["NO_PROXY", "no_proxy"] {
        assert_eq!(environment.get(name), Some("localhost,127.0.0.1,::1"));
    }
    assert_eq!(environment.get("NODE_USE_ENV_PROXY"), Some("1"), "Node.js has to be told to look at the others");
    let java = environment.get("JDK_JAVA_OPTIONS").unwrap();
    let port = emulator.proxy_port();
    assert!(java.contains(&format!(" -Dhttps.proxyHost=127.0.0.1 -Dhttps.proxyPort={port} ")), "{java}");
    let direct = emulator.environment("service-principal").unwrap();
    assert_eq!(direct.get("HTTPS_PROXY"), None, "only where asked for");
    assert!(!direct.get("JDK_JAVA_OPTIONS").unwrap().contains("proxy"), "only where asked for");

    let (stream, _) = connect(&emulator, "login.microsoftonline.com:443");
    let body = format!(
        "grant_type=client_credentials&client_id={}&client_secret={}&scope=https%3A%2F%2Fredis.azure.com%2F.default",
        environment.get("AZURE_CLIENT_ID").unwrap(),
        environment.get("AZURE_CLIENT_SECRET").unwrap()
    );
    let request = format!(
        "POST /{TENANT}/oauth2/v2.0/token HTTP/1.1\r\nHost: login.microsoftonline.com\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let reply = http(&mut tls_over(&emulator, stream, "login.microsoftonline.com"), request);
    let token = reply.json["access_token"].as_str().unwrap_or_else(|| panic!("{reply:?}"));
    let mut client = Client::connect(&emulator);
    assert_eq!(client.sign_in("0b1ec700-0000-4000-8000-000000000003", token), "+OK");
}

#[test]
fn the_emulators_own_ports_are_passed_on_to() {
    let emulator = Emulator::builder().clustering_policy(ClusteringPolicy::OssCluster).start().unwrap();
    for host in ["localhost", "127.0.0.1", "[::1]"] {
        let (stream, head) = connect(&emulator, &format!("{host}:{}", emulator.entra_port()));
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        let reply = http(&mut tls_over(&emulator, stream, "localhost"), get("/common/discovery/keys", "localhost"));
        assert_eq!(reply.status, 200);
    }
    let (object_id, token) = token_of(&emulator, "user");
    let mut direct = Client::connect(&emulator);
    assert_eq!(direct.sign_in(&object_id, &token), "+OK");
    // Every shard of a cluster, also after one has moved to another port.
    let ports = |client: &mut Client| -> Vec<u16> {
        let length: usize = client.command(&["CLUSTER", "NODES"])[1..].parse().unwrap();
        let mut lines = Vec::new();
        while lines.iter().map(|line: &String| line.len() + 1).sum::<usize>() < length {
            lines.push(client.line());
        }
        client.line();
        let address = |line: &String| line.split(' ').nth(1).unwrap().split('@').next().unwrap().to_owned();
        lines
            .iter()
            .map(|line| address(line).rsplit_once(':').unwrap().1.parse().unwrap())
            .filter(|port| *port != 0)
            .collect()
    };
    let before = ports(&mut direct);
    emulator.control().fail_over(0).unwrap();
    let mut direct = Client::connect(&emulator);
    assert_eq!(direct.sign_in(&object_id, &token), "+OK");
    let mut after = ports(&mut direct);
    after.sort_unstable();
    assert_ne!(before, after);
    after.push(emulator.redis_port());
    for port in after {
        let (stream, head) = connect(&emulator, &format!("localhost:{port}"));
        if head.starts_with("HTTP/1.1 200") {
            let mut stream = tls_over(&emulator, stream, "localhost");
            stream.write_all(&resp(&["AUTH", &object_id, &token])).unwrap();
            let mut reply = [0; 5];
            stream.read_exact(&mut reply).unwrap();
            assert_eq!(&reply, b"+OK\r\n", "{port}");
        } else {
            panic!("{port}: {head}");
        }
    }
}

#[test]
fn everything_else_is_refused_with_a_message_and_an_event() {
    let emulator = Emulator::start().unwrap();
    let only_entra = "answers for Microsoft Entra ID only";
    for (host, says) in [
        ("example.com:443", only_entra),
        ("login.microsoftonline.com.example.com:443", only_entra),
        ("evil-login.microsoftonline.com:443", only_entra),
        ("login.microsoftonline.com:80", only_entra),
        ("management.azure.com:443", only_entra),
        ("169.254.169.254:80", only_entra),
        ("10.0.0.1:443", only_entra),
        ("localhost:1", "is not the emulator's"),
        ("127.0.0.1:22", "is not the emulator's"),
    ] {
        let (mut stream, head) = connect(&emulator, host);
        assert!(head.starts_with("HTTP/1.1 403"), "{host}: {head}");
        let length =
            head.to_lowercase().split("content-length: ").nth(1).unwrap().split('\r').next().unwrap().parse().unwrap();
        let mut body = vec![0; length];
        stream.read_exact(&mut body).unwrap();
        let body = String::from_utf8(body).unwrap();
        assert!(body.contains(says), "{host}: {body}");
        let last = emulator.events().pop().unwrap();
        let EventKind::ProxyRefused { host: logged, why } = &last.kind else { panic!("{last}") };
        assert!(logged == host && why.contains(says), "{last}");
    }
    for request in [
        "GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n",
        "GET http://169.254.169.254/metadata HTTP/1.1\r\nHost: 169.254.169.254\r\nMetadata: true\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: login.microsoftonline.com\r\nContent-Length: 0\r\n\r\n",
    ] {
        let (_, head) = ask(&emulator, request);
        assert!(head.starts_with("HTTP/1.1 403"), "{request}: {head}");
        assert!(matches!(emulator.events().pop().unwrap().kind, EventKind::ProxyRefused { .. }), "{request}");
    }
}

#[test]
fn malformed_and_endless_requests_end() {
    let emulator = Emulator::start().unwrap();
    for request in [
        "nonsense\r\n\r\n".to_owned(),
        "CONNECT / HTTP/1.1\r\n\r\n".to_owned(),
        "CONNECT  HTTP/1.1\r\n\r\n".to_owned(),
        format!("CONNECT login.microsoftonline.com:443 HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(100_000)),
    ] {
        let mut stream = TcpStream::connect(("127.0.0.1", emulator.proxy_port())).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // It may hang up before all of it was sent.
        let _ = stream.write_all(request.as_bytes());
        let mut reply = Vec::new();
        let _ = stream.read_to_end(&mut reply);
        let reply = String::from_utf8_lossy(&reply);
        assert!(reply.starts_with("HTTP/1.1 4") || reply.is_empty(), "{reply}");
    }
    assert!(connect(&emulator, "login.microsoftonline.com:443").1.starts_with("HTTP/1.1 200"));
}

#[test]
fn a_client_that_says_nothing_or_half_is_let_go() {
    let emulator = Emulator::start().unwrap();
    let waiting = ["", "CONNECT login.microsoftonline.com:443 HTTP/1.1\r\n"].map(|said| {
        let mut stream = TcpStream::connect(("127.0.0.1", emulator.proxy_port())).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(said.as_bytes()).unwrap();
        stream
    });
    for mut stream in waiting {
        stream.read_to_end(&mut Vec::new()).expect("the proxy hangs up before this test loses its patience");
    }
}

#[test]
fn wrong_certificates_and_silence_are_seen_through_the_proxy_too() {
    let emulator = Emulator::start().unwrap();
    emulator.control().present(Service::Entra, Presented::OtherAuthority).unwrap();
    let (stream, _) = connect(&emulator, "login.microsoftonline.com:443");
    let mut stream = tls_over(&emulator, stream, "login.microsoftonline.com");
    assert!(stream.write_all(b"GET / HTTP/1.1\r\n\r\n").is_err(), "the client must notice");
    drop(stream);
    let failed = |event: &Event| matches!(&event.kind, EventKind::TlsFailed { service: Service::Entra, .. });
    assert!(emulator.wait_for(PATIENCE, |events| events.iter().any(failed)));

    let emulator = Emulator::builder().entra_unreachable(true).start().unwrap();
    let (_, head) = connect(&emulator, "login.microsoftonline.com:443");
    assert!(head.starts_with("HTTP/1.1 502"), "{head}");
    assert!(emulator.wait_for(Duration::ZERO, |events| {
        events.iter().any(|event| matches!(event.kind, EventKind::ProxyRefused { .. }))
    }));
}
