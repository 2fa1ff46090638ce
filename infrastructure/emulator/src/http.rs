//! The HTTP side that Entra ID and the managed identity endpoint share: a request comes in, a plain function answers it,
//! the exchange goes to the event log with everything secret cut out.

mod pace;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue, PRAGMA};
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;

use crate::azure;
use crate::events::{EventKind, EventLog, Flow, HttpExchange, Service};
use crate::faults::{Fault, Faults};
use crate::tls::{self, Tls};

use pace::Pace;

/// Larger bodies are refused: the largest honest one, a token request with a client assertion, has a few kilobytes.
const LARGEST_BODY: usize = 256 * 1024;

/// A request, read whole.
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: HeaderMap,
    pub(crate) form: Vec<(String, String)>,
    pub(crate) is_form: bool,
    /// Path and query as they came.
    pub(crate) uri: String,
}

/// The reply, and what it means for the log.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
    pub(crate) outcome: Outcome,
}

/// What the log says of a request.
pub(crate) enum Outcome {
    Issued {
        identity: String,
        object_id: String,
        client_id: String,
        flow: Flow,
        audience: String,
        token: String,
        lifetime: u64,
        expires: u64,
    },
    Refused {
        flow: Option<Flow>,
        client_id: Option<String>,
        error: String,
        code: Option<String>,
        why: String,
    },
    Neither,
}

impl Request {
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        find(&self.query, name)
    }

    pub(crate) fn form(&self, name: &str) -> Option<&str> {
        find(&self.form, name).filter(|value| !value.is_empty())
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

fn find<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

impl Answer {
    pub(crate) fn ok(body: Value) -> Self {
        Answer { status: 200, body, outcome: Outcome::Neither }
    }

    pub(crate) fn not_found(what: &str) -> Self {
        Answer {
            status: 404,
            body: json!({ "error": "not_found", "error_description": format!("The emulator does not answer for {what}.") }),
            outcome: Outcome::Neither,
        }
    }
}

/// What the HTTP servers of an emulator share, and what tells them apart.
pub(crate) struct Server {
    pub(crate) service: Service,
    /// Absent for plain HTTP.
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) log: Arc<EventLog>,
    pub(crate) faults: Arc<Faults>,
}

/// Serves one of the HTTP services on `listener` until the runtime ends.
pub(crate) async fn serve<F>(listener: TcpListener, server: Arc<Server>, answer: Arc<F>)
where
    F: Fn(&Request) -> Answer + Send + Sync + 'static,
{
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, most likely: give the open connections a moment to end.
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let (server, answer) = (server.clone(), answer.clone());
        tokio::spawn(async move {
            let Some(tls) = &server.tls else { return serve_connection(stream, server, answer).await };
            let failed = |why| server.log.record(EventKind::TlsFailed { service: server.service, why });
            match tokio::time::timeout(azure::HANDSHAKE_TIME, tls.acceptor().accept(stream)).await {
                Ok(Ok(stream)) => serve_connection(stream, server, answer).await,
                Ok(Err(error)) => failed(tls::explain(&error)),
                Err(_) => failed(tls::TIMED_OUT.to_owned()),
            }
        });
    }
}

async fn serve_connection<S, F>(stream: S, server: Arc<Server>, answer: Arc<F>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Fn(&Request) -> Answer + Send + Sync + 'static,
{
    let pace = Pace::new();
    let requests = pace.clone();
    let handler = service_fn(move |request| {
        let (server, answer, running) = (server.clone(), answer.clone(), requests.request());
        async move {
            let response = respond(request, &server, answer.as_ref()).await;
            drop(running);
            Ok::<_, Infallible>(response)
        }
    });
    let builder = auto::Builder::new(TokioExecutor::new());
    tokio::select! {
        // An error here is a client that went away or does not speak HTTP: nothing that anybody could act on.
        _ = builder.serve_connection(TokioIo::new(stream), handler) => {}
        () = pace.too_slow() => {}
    }
}

/// What a fault does to a request: an answer in place of the right one, or time that passes first.
async fn disturb(server: &Server, request: &Request) -> Option<Answer> {
    // Only tokens: discovery and keys are not what a fault is about.
    if !request.path.trim_end_matches('/').ends_with("token") {
        return None;
    }
    let started = Instant::now();
    loop {
        match server.faults.now(server.service)? {
            Fault::Fail { status } => return Some(azure::failing(server.service, status)),
            Fault::Slow { delay } => {
                tokio::time::sleep(delay.saturating_sub(started.elapsed())).await;
                return None;
            }
            // Looked at again and again, because it may be over before the client gives up.
            Fault::Hang => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
        }
    }
}

async fn respond(
    request: hyper::Request<Incoming>,
    server: &Server,
    answer: &(impl Fn(&Request) -> Answer + Send + Sync),
) -> Response<Full<Bytes>> {
    let started = Instant::now();
    let (parts, body) = request.into_parts();
    let body = tokio::time::timeout(pace::BODY_TIME, Limited::new(body, LARGEST_BODY).collect()).await;
    let answered = match body {
        Ok(Ok(body)) => {
            let body = body.to_bytes();
            let request = Request {
                method: parts.method.to_string(),
                path: parts.uri.path().to_owned(),
                query: pairs(parts.uri.query().unwrap_or_default().as_bytes()),
                is_form: parts
                    .headers
                    .get(CONTENT_TYPE)
                    .and_then(|value| value.to_str().ok())
                    .is_some_and(|value| value.starts_with("application/x-www-form-urlencoded")),
                headers: parts.headers,
                form: pairs(&body),
                uri: parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
            };
            let answer = match disturb(server, &request).await {
                Some(disturbed) => disturbed,
                None => answer(&request),
            };
            (request, answer)
        }
        unreadable => {
            let request = Request {
                method: parts.method.to_string(),
                path: parts.uri.path().to_owned(),
                query: Vec::new(),
                headers: parts.headers,
                form: Vec::new(),
                is_form: false,
                uri: parts.uri.path().to_owned(),
            };
            let body = json!({
                "error": "invalid_request",
                "error_description": format!(
                    "The request has no readable body of at most {LARGEST_BODY} bytes within {} s.",
                    pace::BODY_TIME.as_secs()
                ),
            });
            let status = if unreadable.is_err() { 408 } else { 413 };
            (request, Answer { status, body, outcome: Outcome::Neither })
        }
    };
    let (request, answer) = answered;
    let body = answer.body.to_string();
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store, no-cache"));
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    server.log.record(event(server.service, &request, answer, started));
    response
}

fn pairs(text: &[u8]) -> Vec<(String, String)> {
    form_urlencoded::parse(text).into_owned().collect()
}

fn event(service: Service, request: &Request, answer: Answer, started: Instant) -> EventKind {
    let exchange = HttpExchange {
        method: request.method.clone(),
        path: cut_long(&request.uri, 1024),
        request_headers: shown_headers(&request.headers),
        request_body: if request.is_form { shown_form(&request.form) } else { String::new() },
        status: answer.status,
        response_body: shown_reply(&answer),
        duration_us: u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
    };
    match answer.outcome {
        Outcome::Issued { identity, object_id, client_id, flow, audience, token, lifetime, expires } => {
            EventKind::TokenIssued {
                identity,
                object_id,
                client_id,
                flow,
                audience,
                token,
                lifetime,
                expires,
                exchange: Some(exchange),
            }
        }
        Outcome::Refused { flow, client_id, error, code, why } => EventKind::TokenRefused {
            flow,
            client_id,
            status: answer.status,
            error,
            code,
            why,
            exchange: Some(exchange),
        },
        Outcome::Neither => EventKind::HttpRequest { service, exchange },
    }
}

/// The headers that a sign-in depends on; the secret one by name only.
fn shown_headers(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut shown = BTreeMap::new();
    for name in ["content-type", "metadata"] {
        if let Some(value) = headers.get(name).and_then(|value| value.to_str().ok()) {
            shown.insert(name.to_owned(), cut_long(value, 128));
        }
    }
    for name in ["x-identity-header", "authorization"] {
        if headers.contains_key(name) {
            shown.insert(name.to_owned(), "<secret>".to_owned());
        }
    }
    shown
}

/// The form fields that are no secret; of any other only the name.
fn shown_form(form: &[(String, String)]) -> String {
    const OPEN: &[&str] = &[
        "client_id",
        "grant_type",
        "scope",
        "resource",
        "client_assertion_type",
        "client_info",
        "requested_token_use",
    ];
    form.iter()
        .map(|(name, value)| {
            let open = OPEN.contains(&name.as_str());
            format!("{}={}", cut_long(name, 64), if open { cut_long(value, 256) } else { "<secret>".to_owned() })
        })
        .collect::<Vec<_>>()
        .join("&")
}

fn shown_reply(answer: &Answer) -> String {
    let mut body = answer.body.clone();
    if let (Outcome::Issued { token, .. }, Some(field)) = (&answer.outcome, body.get_mut("access_token")) {
        *field = json!(format!("<token uti={token}>"));
    }
    cut_long(&body.to_string(), 4096)
}

/// Cuts text that a client sent to a length that a log can bear.
pub(crate) fn cut_long(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        None => text.to_owned(),
        Some((at, _)) => format!("{}…", &text[..at]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Outputs;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// Sends `bytes` one by one, a second apart, and gives what came back and how long it took until the end.
    async fn trickle(bytes: Vec<u8>) -> (String, Duration) {
        let (mut client, server) = tokio::io::duplex(64 * 1024);
        let shared = Arc::new(Server {
            service: Service::Entra,
            tls: None,
            log: Arc::new(EventLog::new(Outputs::default())),
            faults: Arc::new(Faults::default()),
        });
        let serving = tokio::spawn(serve_connection(server, shared, Arc::new(|_: &Request| Answer::ok(json!({})))));
        let started = tokio::time::Instant::now();
        for byte in bytes {
            if client.write_all(&[byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let mut reply = String::new();
        let _ = client.read_to_string(&mut reply).await;
        serving.await.unwrap();
        (reply, started.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn who_only_trickles_is_let_go() {
        let long = Duration::from_secs(200);
        let (reply, passed) = trickle(b"GET / HTTP/1.1\r\n".iter().copied().chain([b'x'; 1000]).collect()).await;
        assert!(reply.is_empty() && passed < long, "{passed:?} {reply}");
        // The start of the preface of HTTP/2, of which nobody can tell yet what it is.
        let (reply, passed) = trickle(b"PRI * HTTP/2.0\r\n".to_vec()).await;
        assert!(reply.is_empty() && passed < long, "{passed:?} {reply}");
        let body = "POST /t HTTP/1.1\r\nContent-Length: 1000\r\n\r\nbody";
        let (reply, passed) = trickle(body.into()).await;
        assert!(reply.starts_with("HTTP/1.1 408") && passed < long, "{passed:?} {reply}");
    }
}
