//! How fast the emulator is: sign-ins beside what bounds them, the bare check of an RS256 signature; commands with replies
//! counted and not; handshakes; starts with each policy. Beside other TLS servers: `benches/compare`.
//!
//! `cargo bench -p azure-managed-redis-emulator`.

use std::hint::black_box;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::RSA_PKCS1_2048_8192_SHA256;
use azure_managed_redis_emulator::{ClusteringPolicy, Emulator};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;

/// Sign-ins that are sent together, so that the way there and back is not what is measured.
const PIPELINE: usize = 64;

type Stream = BufReader<StreamOwned<ClientConnection, TcpStream>>;

fn tls_config(emulator: &Emulator) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(emulator.ca_file()).expect("the CA")).expect("a CA certificate");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("TLS 1.3");
    Arc::new(config.with_root_certificates(roots).with_no_client_auth())
}

fn connect(emulator: &Emulator, config: &Arc<ClientConfig>) -> Stream {
    let connection = ClientConnection::new(config.clone(), "localhost".try_into().expect("a name")).expect("a session");
    let stream = TcpStream::connect(("127.0.0.1", emulator.redis_port())).expect("the Redis port");
    stream.set_nodelay(true).expect("a socket option");
    BufReader::new(StreamOwned::new(connection, stream))
}

/// Sends `bytes`, which hold `replies` commands with replies of one line.
fn exchange(stream: &mut Stream, bytes: &[u8], replies: usize) {
    stream.get_mut().write_all(bytes).expect("the connection is open");
    stream.get_mut().flush().expect("the connection is open");
    let mut line = String::new();
    for _ in 0..replies {
        line.clear();
        stream.read_line(&mut line).expect("a reply");
        assert!(line.starts_with('+'), "{line}");
    }
}

fn resp(arguments: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", arguments.len()).into_bytes();
    for argument in arguments {
        bytes.extend_from_slice(format!("${}\r\n{argument}\r\n", argument.len()).as_bytes());
    }
    bytes
}

/// Object id and token of the system-assigned identity, fetched as a program would.
fn token(emulator: &Emulator) -> (String, String) {
    let environment = emulator.environment("system").expect("the identity");
    let endpoint = environment.get("IDENTITY_ENDPOINT").expect("an endpoint").strip_prefix("http://").expect("http");
    let (address, path) = endpoint.split_once('/').expect("a path");
    let header = environment.get("IDENTITY_HEADER").expect("a header");
    let mut stream = TcpStream::connect(address).expect("the endpoint");
    write!(
        stream,
        "GET /{path}?api-version=2019-08-01&resource=https://redis.azure.com HTTP/1.1\r\nHost: {address}\r\n\
         X-IDENTITY-HEADER: {header}\r\nConnection: close\r\n\r\n"
    )
    .expect("the request is sent");
    let reply = std::io::read_to_string(stream).expect("a reply");
    let body: Value = serde_json::from_str(reply.split("\r\n\r\n").nth(1).expect("a body")).expect("JSON");
    let object_id = emulator.directory().identity("system").expect("the identity").object_id.to_string();
    (object_id, body["access_token"].as_str().expect("a token").to_owned())
}

/// The key that Entra ID publishes: its modulus and its exponent, as base64url.
fn published_key(emulator: &Emulator, config: &Arc<ClientConfig>) -> (String, String) {
    let connection = ClientConnection::new(config.clone(), "localhost".try_into().expect("a name")).expect("a session");
    let stream = TcpStream::connect(("127.0.0.1", emulator.entra_port())).expect("the Entra port");
    let mut stream = StreamOwned::new(connection, stream);
    stream
        .write_all(b"GET /common/discovery/keys HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .expect("the request is sent");
    let mut reply = Vec::new();
    // Some servers end TLS without a goodbye; the body is whole by then.
    let _ = std::io::Read::read_to_end(&mut stream, &mut reply);
    let reply = String::from_utf8(reply).expect("text");
    let keys: Value = serde_json::from_str(reply.split("\r\n\r\n").nth(1).expect("a body")).expect("JSON");
    let member = |name: &str| keys["keys"][0][name].as_str().expect("a member of the key").to_owned();
    (member("n"), member("e"))
}

/// Sign-ins on one connection, so on one core of the front, beside the bare check of the same token's signature.
fn sign_ins(c: &mut Criterion) {
    let emulator = Emulator::start().expect("an emulator");
    let config = tls_config(&emulator);
    let (object_id, token) = token(&emulator);
    let mut group = c.benchmark_group("sign-in");

    let (n, e) = published_key(&emulator, &config);
    let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).expect("base64url");
    let bare = PublicKeyComponents { n: bytes(&n), e: bytes(&e) };
    let bare = bare.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256).expect("a key");
    let key = DecodingKey::from_rsa_components(&n, &e).expect("a key");
    let mut validation = Validation::new(Algorithm::RS256);
    validation.set_audience(&["https://redis.azure.com"]);
    group.throughput(Throughput::Elements(1));
    let (message, signature) = token.rsplit_once('.').expect("three parts");
    let signature = bytes(signature);
    group.bench_function("RS256 alone", |b| {
        b.iter(|| bare.verify_sig(black_box(message.as_bytes()), &signature).expect("a good signature"));
    });
    group.bench_function("a token by jsonwebtoken", |b| {
        b.iter(|| jsonwebtoken::decode::<Value>(black_box(&token), &key, &validation).expect("a good token"));
    });

    let pipeline = resp(&["AUTH", &object_id, &token]).repeat(PIPELINE);
    let mut stream = connect(&emulator, &config);
    group.throughput(Throughput::Elements(PIPELINE as u64));
    // One pipeline is always on its way while the replies to the one before are read, so that the front never waits for us.
    exchange(&mut stream, &pipeline, 0);
    group.bench_function("AUTH through the front", |b| b.iter(|| exchange(&mut stream, &pipeline, PIPELINE)));
    group.finish();
}

/// Commands on one connection, with replies counted and not.
fn commands(c: &mut Criterion) {
    let mut group = c.benchmark_group("SET");
    for (name, counted) in [("replies counted", true), ("replies not counted", false)] {
        let emulator = Emulator::builder().count_replies(counted).start().expect("an emulator");
        let (object_id, token) = token(&emulator);
        let mut stream = connect(&emulator, &tls_config(&emulator));
        exchange(&mut stream, &resp(&["AUTH", &object_id, &token]), 1);
        for pipeline in [1, 16] {
            let bytes = resp(&["SET", "key", "value"]).repeat(pipeline);
            group.throughput(Throughput::Elements(pipeline as u64));
            group.bench_function(format!("{name}, pipeline of {pipeline}"), |b| {
                b.iter(|| exchange(&mut stream, &bytes, pipeline));
            });
        }
    }
    group.finish();
}

/// TLS connections to the first reply, which says that nobody has signed in.
fn handshakes(c: &mut Criterion) {
    let emulator = Emulator::start().expect("an emulator");
    let mut fresh = (*tls_config(&emulator)).clone();
    fresh.resumption = rustls::client::Resumption::disabled();
    let fresh = Arc::new(fresh);
    c.bench_function("handshake", |b| {
        b.iter(|| {
            let mut stream = connect(&emulator, &fresh);
            stream.get_mut().write_all(b"PING\r\n").expect("the connection is open");
            let mut line = String::new();
            stream.read_line(&mut line).expect("a reply");
            assert!(line.starts_with("-NOAUTH"), "{line}");
        });
    });
}

/// From nothing to everything answering, with keys that this process has made before; and the end, which is not counted.
fn start(c: &mut Criterion) {
    let mut group = c.benchmark_group("start");
    group.sample_size(20).measurement_time(Duration::from_secs(10));
    for (name, policy) in ClusteringPolicy::ALL {
        group.bench_function(*name, |b| {
            b.iter_with_large_drop(|| Emulator::builder().clustering_policy(*policy).start().expect("an emulator"));
        });
    }
    group.finish();
}

criterion_group!(benches, sign_ins, commands, handshakes, start);
criterion_main!(benches);
