//! Small servers on loopback that answer as a test wants. Each lives until the test program ends.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use redis::{Parser, Value};
use rustix::io::Errno;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value as Json, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

/// Serves every connection to a new port of localhost, IPv4 and, where there is one, IPv6.
pub(crate) fn serve(handle: impl Fn(TcpStream) + Send + Sync + 'static) -> u16 {
    let (port, listeners) = listeners();
    let handle = Arc::new(handle);
    for listener in listeners {
        let handle = handle.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let handle = handle.clone();
                thread::spawn(move || handle(stream));
            }
        });
    }
    port
}

fn listeners() -> (u16, Vec<TcpListener>) {
    for _ in 0..100 {
        let v4 = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = v4.local_addr().unwrap().port();
        match TcpListener::bind(("::1", port)) {
            Ok(v6) => return (port, vec![v4, v6]),
            // Somebody else's: a client that prefers IPv6 would reach the wrong server.
            Err(e) if e.kind() == std::io::ErrorKind::AddrInUse => {}
            Err(_) => return (port, vec![v4]),
        }
    }
    panic!("no port is free for both IPv4 and IPv6");
}

/// A port on which nobody listens, and nobody will: it stays taken.
pub(crate) fn closed_port() -> u16 {
    use rustix::net::{AddressFamily, SocketType, bind, socket};
    loop {
        let v4 = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        bind(&v4, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let port = TcpListener::from(v4.try_clone().unwrap()).local_addr().unwrap().port();
        let v6 = socket(AddressFamily::INET6, SocketType::STREAM, None)
            .and_then(|v6| bind(&v6, &SocketAddr::from((Ipv6Addr::LOCALHOST, port))).map(|()| v6));
        if !matches!(v6, Err(Errno::ADDRINUSE)) {
            std::mem::forget((v4, v6));
            return port;
        }
    }
}

/// A port that neither takes nor refuses a connection: its queue is full, and nobody empties it.
pub(crate) fn deaf_port() -> u16 {
    use rustix::net::{AddressFamily, SocketType, bind, listen, socket};
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&socket, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
    listen(&socket, 0).unwrap();
    let listener = TcpListener::from(socket);
    let address = listener.local_addr().unwrap();
    for _ in 0..1_000 {
        match TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
            Ok(waiting) => std::mem::forget(waiting),
            Err(e) => {
                assert_eq!(e.kind(), std::io::ErrorKind::TimedOut, "{e}");
                std::mem::forget(listener);
                return address.port();
            }
        }
    }
    panic!("the queue of a socket that accepts nothing never fills");
}

/// How a server of a test answers a command.
pub(crate) enum Answer {
    Bytes(Vec<u8>),
    Silence,
    Close,
}

impl Answer {
    pub(crate) fn line(line: &str) -> Self {
        Answer::Bytes(format!("{line}\r\n").into_bytes())
    }

    pub(crate) fn bulk(text: &str) -> Self {
        Answer::Bytes(format!("${}\r\n{text}\r\n", text.len()).into_bytes())
    }
}

/// Something like Redis: takes any sign-in, and answers the rest as `answer` says, or as a server without a cluster would.
pub(crate) fn redis(tls: Arc<ServerConfig>, answer: impl Fn(&str) -> Option<Answer> + Send + Sync + 'static) -> u16 {
    serve(move |tcp| {
        let mut stream = StreamOwned::new(ServerConnection::new(tls.clone()).unwrap(), tcp);
        let mut parser = Parser::new();
        while let Ok(Value::Array(words)) = parser.parse_value(&mut stream) {
            let words: Vec<String> = words
                .into_iter()
                .map(|word| match word {
                    Value::BulkString(bytes) => String::from_utf8(bytes).unwrap(),
                    other => panic!("a command is made of strings: {other:?}"),
                })
                .collect();
            let usual = || match words[0].as_str() {
                "AUTH" => Answer::line("+OK"),
                "ACL" => Answer::bulk("somebody"),
                "PING" => Answer::line("+PONG"),
                _ => Answer::line("-ERR This instance has cluster support disabled"),
            };
            match answer(&words.join(" ")).unwrap_or_else(usual) {
                Answer::Bytes(bytes) => {
                    if stream.write_all(&bytes).and_then(|()| stream.flush()).is_err() {
                        return;
                    }
                }
                Answer::Silence => thread::sleep(Duration::from_secs(60)),
                Answer::Close => return,
            }
        }
    })
}

/// One that takes every sign-in and works.
pub(crate) fn good_redis(tls: Arc<ServerConfig>) -> u16 {
    redis(tls, |_| None)
}

/// A request to a server of a test.
#[derive(Debug)]
pub(crate) struct Request {
    /// Method and target.
    pub(crate) line: String,
    /// Names in small letters.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A field of a form.
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        form_urlencoded::parse(self.body.as_bytes())
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.into_owned())
    }
}

/// The reply of a server of a test.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: String,
    /// How far its clock is from ours, in seconds.
    pub(crate) clock: i64,
}

impl Reply {
    pub(crate) fn json(status: u16, body: &Json) -> Self {
        Reply { status, body: body.to_string(), clock: 0 }
    }

    pub(crate) fn token(token: &str) -> Self {
        Self::json(200, &json!({ "access_token": token, "token_type": "Bearer", "expires_in": 3600 }))
    }

    /// As Entra ID refuses.
    pub(crate) fn aadsts(code: u32, text: &str) -> Self {
        let description = format!("AADSTS{code}: {text} Trace ID: 0 Correlation ID: 0 Timestamp: 2026-01-01 00:00:00Z");
        Self::json(401, &json!({ "error": "invalid_client", "error_description": description, "error_codes": [code] }))
    }

    pub(crate) fn with_clock(mut self, seconds: i64) -> Self {
        self.clock = seconds;
        self
    }
}

/// An HTTP server.
pub(crate) fn http(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> u16 {
    serve(move |mut tcp| exchange(&mut tcp, &answer))
}

/// An HTTPS server.
pub(crate) fn https(tls: Arc<ServerConfig>, answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> u16 {
    serve(move |tcp| {
        let mut stream = StreamOwned::new(ServerConnection::new(tls.clone()).unwrap(), tcp);
        exchange(&mut stream, &answer);
        stream.conn.send_close_notify();
        let _ = stream.flush();
    })
}

/// A proxy that connects whatever it is asked for to one port of localhost, or refuses.
pub(crate) fn proxy(to: Option<u16>) -> u16 {
    serve(move |mut tcp| {
        let Some(request) = read(&mut tcp) else { return };
        assert!(request.line.starts_with("CONNECT "), "{request:?}");
        let Some(to) = to else {
            let _ = tcp.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
            return;
        };
        let server = TcpStream::connect(("127.0.0.1", to)).unwrap();
        tcp.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").unwrap();
        let (mut from_client, mut to_server) = (tcp.try_clone().unwrap(), server.try_clone().unwrap());
        thread::spawn(move || std::io::copy(&mut from_client, &mut to_server));
        let (mut from_server, mut to_client) = (server, tcp);
        let _ = std::io::copy(&mut from_server, &mut to_client);
    })
}

fn exchange(stream: &mut (impl Read + Write), answer: &impl Fn(&Request) -> Reply) {
    let Some(request) = read(stream) else { return };
    let reply = answer(&request);
    let date = (OffsetDateTime::now_utc() + time::Duration::seconds(reply.clock)).format(&Rfc2822).unwrap();
    let date = date.replace("+0000", "GMT");
    let text = format!(
        "HTTP/1.1 {} Whatever\r\nDate: {date}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{}",
        reply.status,
        reply.body.len(),
        reply.body
    );
    let _ = stream.write_all(text.as_bytes()).and_then(|()| stream.flush());
}

/// `None` if the client goes away before it has asked.
fn read(stream: &mut impl Read) -> Option<Request> {
    let mut reader = BufReader::new(ByteByByte(stream));
    let mut line = || {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|&count| count > 0).map(|_| line.trim_end().to_owned())
    };
    let first = line()?;
    let mut headers = Vec::new();
    while let Some((name, value)) = line()?.split_once(':') {
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut request = Request { line: first, headers, body: String::new() };
    let length = request.header("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    request.body = String::from_utf8(body).unwrap();
    Some(request)
}

/// So that nothing behind a request is taken from the stream.
struct ByteByByte<'a, R>(&'a mut R);

impl<R: Read> Read for ByteByByte<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let most = buffer.len().min(1);
        self.0.read(&mut buffer[..most])
    }
}
