//! The HTTP side that Entra ID and the managed identity endpoints share: a request comes in, the service answers it, the
//! exchange goes to the event log with everything secret cut out.

mod pace;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, PRAGMA};
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;

use crate::azure;
use crate::directory::Identity;
use crate::events::{EventKind, EventLog, Flow, HttpExchange, Service};
use crate::faults::{Fault, Faults};
use crate::tls::{self, Tls};
use crate::token::IssuedToken;

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
    /// The host that was asked, with its port if one was named; empty if none was.
    pub(crate) host: String,
}

/// The reply, and what it means for the log.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Body,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) outcome: Outcome,
    /// What the log shows in place of the request's body, where that says more.
    pub(crate) request_as_told: Option<String>,
}

/// The body of a reply.
pub(crate) enum Body {
    /// JSON in one line, as services send it.
    Json(Value),
    /// JSON over many lines, as tools print it.
    Printed(Value),
    Text(String),
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

impl Outcome {
    /// A token was given out.
    pub(crate) fn issued(identity: &Identity, flow: Flow, audience: &str, token: &IssuedToken) -> Self {
        Outcome::Issued {
            identity: identity.name.clone(),
            object_id: identity.object_id.to_string(),
            client_id: identity.client_id.to_string(),
            flow,
            audience: audience.to_owned(),
            token: token.uti.clone(),
            lifetime: token.lifetime,
            expires: token.expires,
        }
    }
}

impl Answer {
    pub(crate) fn new(status: u16, body: Value, outcome: Outcome) -> Self {
        Answer { status, body: Body::Json(body), headers: Vec::new(), outcome, request_as_told: None }
    }

    pub(crate) fn ok(body: Value) -> Self {
        Answer::new(200, body, Outcome::Neither)
    }

    pub(crate) fn not_found(request: &Request) -> Self {
        let what = format!("{} {}", request.method, cut_long(&request.path, 256));
        let description = format!("The emulator does not answer for {what}.");
        Answer::new(404, json!({ "error": "not_found", "error_description": description }), Outcome::Neither)
    }
}

/// A service that answers requests.
pub(crate) trait Answers: Send + Sync + 'static {
    /// Whose faults a request has to bear. `None` if it asks for no token: discovery and keys are not what a fault is about.
    fn bears_faults_of(&self, request: &Request) -> Option<Service>;

    /// The answer.
    fn answer(&self, request: &Request) -> Answer;

    /// The answer in place of a token while a fault lasts.
    fn fail(&self, request: &Request, status: u16) -> Answer;
}

/// One of the HTTP servers of an emulator.
pub(crate) struct Server {
    pub(crate) service: Service,
    /// Absent for plain HTTP.
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) log: Arc<EventLog>,
    pub(crate) faults: Arc<Faults>,
    pub(crate) answers: Box<dyn Answers>,
}

/// Serves one of the HTTP services on `listener` until the runtime ends.
pub(crate) async fn serve(listener: TcpListener, server: Arc<Server>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, most likely: give the open connections a moment to end.
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        tokio::spawn(serve_connection(stream, server.clone()));
    }
}

/// Serves one connection, from the TLS handshake on.
pub(crate) async fn serve_connection<S>(stream: S, server: Arc<Server>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Some(tls) = &server.tls else { return serve_requests(stream, None, server).await };
    let failed = |why| server.log.record(EventKind::TlsFailed { service: server.service, why });
    match tokio::time::timeout(azure::HANDSHAKE_TIME, tls.acceptor().accept(stream)).await {
        Ok(Ok(stream)) => {
            let version = tls::version(stream.get_ref().1);
            serve_requests(stream, Some(version), server).await;
        }
        Ok(Err(error)) => failed(tls::explain(&error)),
        Err(_) => failed(tls::TIMED_OUT.to_owned()),
    }
}

async fn serve_requests<S>(stream: S, tls: Option<String>, server: Arc<Server>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let pace = Pace::new();
    let requests = pace.clone();
    let handler = service_fn(move |request| {
        let (tls, server, running) = (tls.clone(), server.clone(), requests.request());
        async move {
            let response = respond(request, tls, &server).await;
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
    let service = server.answers.bears_faults_of(request)?;
    let started = Instant::now();
    loop {
        match server.faults.now(service)? {
            Fault::Fail { status } => return Some(server.answers.fail(request, status)),
            Fault::Slow { delay } => {
                tokio::time::sleep(delay.saturating_sub(started.elapsed())).await;
                return None;
            }
            // Looked at again and again, because it may be over before the client gives up.
            Fault::Hang => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
        }
    }
}

async fn respond(request: hyper::Request<Incoming>, tls: Option<String>, server: &Server) -> Response<Full<Bytes>> {
    let started = Instant::now();
    let (parts, body) = request.into_parts();
    // HTTP/2 names the host in the address, HTTP/1.1 in a header.
    let named = parts.uri.authority().map(|authority| authority.as_str());
    let host = named.or_else(|| parts.headers.get(HOST)?.to_str().ok()).unwrap_or_default().to_ascii_lowercase();
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
                host,
            };
            let answer = match disturb(server, &request).await {
                Some(disturbed) => disturbed,
                None => server.answers.answer(&request),
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
                host,
            };
            let body = json!({
                "error": "invalid_request",
                "error_description": format!(
                    "The request has no readable body of at most {LARGEST_BODY} bytes within {} s.",
                    pace::BODY_TIME.as_secs()
                ),
            });
            let status = if unreadable.is_err() { 408 } else { 413 };
            (request, Answer::new(status, body, Outcome::Neither))
        }
    };
    let (request, answer) = answered;
    let (body, content_type) = match &answer.body {
        Body::Json(body) => (body.to_string(), "application/json; charset=utf-8"),
        Body::Printed(body) => (format!("{body:#}\n"), "application/json; charset=utf-8"),
        Body::Text(text) => (text.clone(), "text/plain; charset=utf-8"),
    };
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store, no-cache"));
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    for (name, value) in &answer.headers {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(*name, value);
        }
    }
    server.log.record(event(server.service, tls, &request, answer, started));
    response
}

fn pairs(text: &[u8]) -> Vec<(String, String)> {
    form_urlencoded::parse(text).into_owned().collect()
}

fn event(service: Service, tls: Option<String>, request: &Request, answer: Answer, started: Instant) -> EventKind {
    let exchange = HttpExchange {
        service,
        tls,
        method: request.method.clone(),
        path: cut_long(&request.uri, 1024),
        request_headers: shown_headers(&request.headers),
        request_body: match &answer.request_as_told {
            Some(told) => told.clone(),
            None if request.is_form => shown_form(&request.form),
            None => String::new(),
        },
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
    for name in ["x-identity-header", "secret", "authorization"] {
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
    let instead = match &answer.outcome {
        Outcome::Issued { token, .. } => Some(format!("<token uti={token}>")),
        _ => None,
    };
    let shown = match (&answer.body, instead) {
        (Body::Json(body) | Body::Printed(body), Some(instead)) if body.is_object() => {
            let mut body = body.clone();
            for name in ["access_token", "accessToken"] {
                if let Some(field) = body.get_mut(name) {
                    *field = json!(instead);
                }
            }
            body.to_string()
        }
        // A tool that printed a part of the reply: most likely the token.
        (_, Some(instead)) => instead,
        (Body::Json(body) | Body::Printed(body), None) => body.to_string(),
        (Body::Text(text), None) => text.clone(),
    };
    cut_long(&shown, 4096)
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

    /// Answers everything with nothing.
    struct Nothing;

    impl Answers for Nothing {
        fn bears_faults_of(&self, _: &Request) -> Option<Service> {
            None
        }
        fn answer(&self, _: &Request) -> Answer {
            Answer::ok(json!({}))
        }
        fn fail(&self, _: &Request, _: u16) -> Answer {
            Answer::ok(json!({}))
        }
    }

    /// Sends `bytes` one by one, a second apart, and gives what came back and how long it took until the end.
    async fn trickle(bytes: Vec<u8>) -> (String, Duration) {
        let (mut client, server) = tokio::io::duplex(64 * 1024);
        let shared = Arc::new(Server {
            service: Service::Entra,
            tls: None,
            log: Arc::new(EventLog::new(Outputs::default())),
            faults: Arc::new(Faults::default()),
            answers: Box::new(Nothing),
        });
        let serving = tokio::spawn(serve_requests(server, None, shared));
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
