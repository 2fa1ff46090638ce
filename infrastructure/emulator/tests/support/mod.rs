//! A client for the tests that sends the very bytes it is told to, over TLS that trusts the emulator's CA.
#![allow(dead_code, reason = "each test file uses a part")]

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use azure_managed_redis_emulator::{Emulator, Event, EventKind, Refusal};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;

/// Longer than anything should take, so that a test that waits for nothing ends.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) type Stream = StreamOwned<ClientConnection, TcpStream>;

/// Tells that a test is skipped because the machine lacks something, and gives `false`. Where everything is required that is a
/// failure.
pub(crate) fn lacks(what: &str) -> bool {
    let required = std::env::var_os("AMR_BOOK_REQUIRE_ALL").is_some_and(|all| !all.is_empty() && all != "0");
    assert!(!required, "needs {what}");
    eprintln!("skipped: needs {what}");
    false
}

/// What a program printed, to either output.
pub(crate) fn both(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The emulator in a process of its own, on free ports, and what it printed before it was ready.
pub(crate) fn start_command(state: &Path, options: &[&str]) -> (Child, Vec<String>) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_amr-emulator"))
        .args(["--quiet", "--free-ports"])
        .args(options)
        .arg("--state")
        .arg(state)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut printed = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if line.starts_with("Ready.") {
            return (child, printed);
        }
        printed.push(line);
    }
    panic!("it ended before it was ready, {}: {printed:#?}", child.wait().unwrap());
}

/// TLS settings of a client that trusts that CA.
pub(crate) fn trusting(ca_file: &Path) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca_file).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

/// A TLS connection to a port of localhost.
pub(crate) fn tls(emulator: &Emulator, port: u16) -> Stream {
    tls_with(trusting(emulator.ca_file()), port)
}

/// The same with settings that are at hand.
pub(crate) fn tls_with(config: Arc<ClientConfig>, port: u16) -> Stream {
    tls_to(config, open(port), "localhost")
}

/// TLS over a connection, to a server of that name.
pub(crate) fn tls_over(emulator: &Emulator, stream: TcpStream, name: &str) -> Stream {
    tls_to(trusting(emulator.ca_file()), stream, name)
}

fn tls_to(config: Arc<ClientConfig>, stream: TcpStream, name: &str) -> Stream {
    StreamOwned::new(ClientConnection::new(config, name.to_owned().try_into().unwrap()).unwrap(), stream)
}

fn open(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// A Redis client that keeps to the wire.
pub(crate) struct Client {
    pub(crate) stream: Stream,
    read: VecDeque<u8>,
}

/// A reply of any type of RESP2 or RESP3.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Reply {
    /// Of one line: a status, an error, a number, a null and so on, with the byte that tells which.
    Line(String),
    Bulk(String),
    /// An array, a set, a map (its keys and values in turn) or a push, with the byte that tells which.
    List(char, Vec<Reply>),
}

impl Reply {
    /// The line; panics if it is no reply of one line.
    pub(crate) fn text(&self) -> &str {
        match self {
            Reply::Line(text) | Reply::Bulk(text) => text,
            Reply::List(..) => panic!("{self:?} is no text"),
        }
    }

    pub(crate) fn items(&self) -> &[Reply] {
        match self {
            Reply::List(_, items) => items,
            _ => panic!("{self:?} is no list"),
        }
    }
}

impl Client {
    pub(crate) fn connect(emulator: &Emulator) -> Self {
        Self::connect_to(emulator, emulator.redis_port())
    }

    /// To another port of the cache, by the name that the certificate is for.
    pub(crate) fn connect_to(emulator: &Emulator, port: u16) -> Self {
        Self::over(tls(emulator, port))
    }

    pub(crate) fn over(stream: Stream) -> Self {
        Client { stream, read: VecDeque::new() }
    }

    /// Connects and signs in.
    pub(crate) fn signed_in(emulator: &Emulator, port: u16, identity: &str) -> Self {
        let (object_id, token) = token_of(emulator, identity);
        let mut client = Self::connect_to(emulator, port);
        assert_eq!(client.sign_in(&object_id, &token), "+OK");
        client
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
        self.stream.flush().unwrap();
    }

    /// Sends a command and gives the first line of its reply.
    pub(crate) fn command(&mut self, arguments: &[&str]) -> String {
        self.send(resp(arguments));
        self.line()
    }

    /// Sends a command whose reply is one bulk string, and gives that.
    pub(crate) fn bulk(&mut self, arguments: &[&str]) -> String {
        let length = self.command(arguments);
        assert!(length.starts_with('$'), "{arguments:?}: {length}");
        self.line()
    }

    /// The same for a text of several lines.
    pub(crate) fn text(&mut self, arguments: &[&str]) -> String {
        let header = self.command(arguments);
        let length = header.strip_prefix(['$', '=']).and_then(|length| length.parse::<usize>().ok());
        let length = length.unwrap_or_else(|| panic!("{arguments:?}: {header}"));
        self.blob(length)
    }

    fn blob(&mut self, length: usize) -> String {
        let mut text = self.bytes(length + 2);
        text.truncate(length);
        String::from_utf8(text).unwrap()
    }

    /// The next bytes, whatever they are.
    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        let known = self.read.len().min(count);
        let mut bytes: Vec<u8> = self.read.drain(..known).collect();
        bytes.resize(count, 0);
        self.stream.read_exact(&mut bytes[known..]).unwrap();
        bytes
    }

    /// The next reply, whole.
    pub(crate) fn reply(&mut self) -> Reply {
        let line = self.line();
        let count = || line[1..].parse::<usize>().ok();
        match (line.chars().next(), count()) {
            (Some('$' | '=' | '!'), Some(length)) => Reply::Bulk(self.blob(length)),
            (Some(mark @ ('*' | '~' | '>')), Some(count)) => {
                Reply::List(mark, (0..count).map(|_| self.reply()).collect())
            }
            (Some(mark @ ('%' | '|')), Some(count)) => {
                Reply::List(mark, (0..2 * count).map(|_| self.reply()).collect())
            }
            _ => Reply::Line(line),
        }
    }

    /// Sends a command and gives its reply, whole.
    pub(crate) fn ask(&mut self, arguments: &[&str]) -> Reply {
        self.send(resp(arguments));
        self.reply()
    }

    /// Signs in.
    pub(crate) fn sign_in(&mut self, username: &str, token: &str) -> String {
        self.command(&["AUTH", username, token])
    }

    /// The next line, without its end. Panics if the connection ends first.
    pub(crate) fn line(&mut self) -> String {
        self.try_line().expect("a reply, but the connection was closed")
    }

    /// The next line, or `None` if the connection ends.
    pub(crate) fn try_line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.read.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                return Some(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            let mut buffer = [0; 16 * 1024];
            match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(count) => self.read.extend(&buffer[..count]),
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => panic!("no reply within {PATIENCE:?}"),
                Err(_) => return None,
            }
        }
    }

    /// Whether the other side closes the connection without another byte.
    pub(crate) fn is_closed(&mut self) -> bool {
        self.try_line().is_none()
    }
}

/// A command as clients send it.
pub(crate) fn resp(arguments: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", arguments.len()).into_bytes();
    for argument in arguments {
        bytes.extend_from_slice(format!("${}\r\n{argument}\r\n", argument.len()).as_bytes());
    }
    bytes
}

/// The reply to an HTTP request.
#[derive(Debug)]
pub(crate) struct HttpReply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) json: Value,
    pub(crate) body: String,
}

impl HttpReply {
    /// The names of the body's members, in their order.
    pub(crate) fn members(&self) -> Vec<&str> {
        self.json.as_object().unwrap_or_else(|| panic!("{self:?}")).keys().map(String::as_str).collect()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let headers = self.head.lines().filter_map(|line| line.split_once(": "));
        headers.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The claims of the token.
    pub(crate) fn claims(&self) -> Value {
        claims(self.json["access_token"].as_str().unwrap_or_else(|| panic!("{self:?}")))
    }
}

/// The claims of a token.
pub(crate) fn claims(token: &str) -> Value {
    use base64::Engine as _;
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

/// Sends a request that asks for the connection to be closed, and reads the reply.
pub(crate) fn http(stream: &mut (impl Read + Write), request: impl AsRef<[u8]>) -> HttpReply {
    stream.write_all(request.as_ref()).unwrap();
    stream.flush().unwrap();
    let mut reply = Vec::new();
    // Some servers end TLS without a goodbye; what has come is what counts.
    let _ = stream.read_to_end(&mut reply);
    let reply = String::from_utf8_lossy(&reply).into_owned();
    let status = reply.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{reply}"));
    let (head, body) = reply.split_once("\r\n\r\n").unwrap_or_default();
    let json = serde_json::from_str(body).unwrap_or(Value::Null);
    HttpReply { status, head: head.to_owned(), json, body: body.to_owned() }
}

/// A request to one of the managed identity endpoints: `path` with its query, and these headers.
pub(crate) fn hosting(emulator: &Emulator, method: &str, path: &str, headers: &[(&str, &str)]) -> HttpReply {
    let environment = emulator.environment("system").unwrap();
    let endpoint = environment.get("IDENTITY_ENDPOINT").unwrap();
    let address = endpoint.strip_prefix("http://").unwrap().split('/').next().unwrap();
    let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    http(&mut stream, request)
}

/// What the last event says of a refused token: the AADSTS code, if there is one, and why.
pub(crate) fn last_refusal(emulator: &Emulator) -> (Option<String>, String) {
    match emulator.events().pop().map(|event| event.kind) {
        Some(EventKind::TokenRefused { code, why, .. }) => (code, why),
        other => panic!("{other:?}"),
    }
}

/// GET from Entra ID.
pub(crate) fn entra_get(emulator: &Emulator, path: &str) -> HttpReply {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    http(&mut tls(emulator, emulator.entra_port()), request)
}

/// POST of a form to Entra ID.
pub(crate) fn entra_post(emulator: &Emulator, path: &str, form: &[(&str, &str)]) -> HttpReply {
    let mut body = form_urlencoded::Serializer::new(String::new());
    body.extend_pairs(form);
    let body = body.finish();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    http(&mut tls(emulator, emulator.entra_port()), request)
}

/// GET from the managed identity endpoint, with `query` behind the `?` and the right header unless another is given.
pub(crate) fn managed_identity(emulator: &Emulator, query: &str, header: Option<&str>) -> HttpReply {
    let environment = emulator.environment("system").unwrap();
    managed_identity_at(emulator, environment.get("IDENTITY_ENDPOINT").unwrap(), query, header)
}

/// The same, from the endpoint at that address.
pub(crate) fn managed_identity_at(emulator: &Emulator, endpoint: &str, query: &str, header: Option<&str>) -> HttpReply {
    let environment = emulator.environment("system").unwrap();
    let (address, path) = endpoint.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let header = header.unwrap_or(environment.get("IDENTITY_HEADER").unwrap());
    let request = format!(
        "GET /{path}?{query} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nX-IDENTITY-HEADER: {header}\r\n\r\n"
    );
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    http(&mut stream, request)
}

/// Object id and a fresh Redis token of an identity.
pub(crate) fn token_of(emulator: &Emulator, identity: &str) -> (String, String) {
    token_for(emulator, identity, "https://redis.azure.com")
}

/// Object id and a fresh token of an identity for a resource.
pub(crate) fn token_for(emulator: &Emulator, identity: &str, resource: &str) -> (String, String) {
    let object_id = emulator.directory().identity(identity).unwrap().object_id.to_string();
    let environment = emulator.environment(identity).unwrap();
    let reply = match environment.get("AZURE_CLIENT_SECRET") {
        Some(secret) => entra_post(
            emulator,
            &format!("/{}/oauth2/v2.0/token", environment.get("AZURE_TENANT_ID").unwrap()),
            &[
                ("grant_type", "client_credentials"),
                ("client_id", environment.get("AZURE_CLIENT_ID").unwrap()),
                ("client_secret", secret),
                ("scope", &format!("{resource}/.default")),
            ],
        ),
        None => {
            let client = environment.get("AZURE_CLIENT_ID").map(|id| format!("&client_id={id}")).unwrap_or_default();
            managed_identity(emulator, &format!("api-version=2019-08-01&resource={resource}{client}"), None)
        }
    };
    assert_eq!(reply.status, 200, "{reply:?}");
    (object_id, reply.json["access_token"].as_str().unwrap().to_owned())
}

/// The reasons of all refused sign-ins so far.
pub(crate) fn refusals(emulator: &Emulator) -> Vec<Refusal> {
    let reason = |event: &Event| match event.kind {
        EventKind::SignInRefused { reason, .. } => Some(reason),
        _ => None,
    };
    emulator.events().iter().filter_map(reason).collect()
}
