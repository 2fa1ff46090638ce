//! The proxy for hosts that a program has built in. It answers for the host names of Entra ID itself, so that such a program
//! runs unchanged; what is asked of the emulator's own ports it passes on; everything else it refuses, so that nothing leaves
//! this machine through it.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use crate::entra::{Hosts, LOCAL};
use crate::events::{EventKind, EventLog};
use crate::http::{self, Server, cut_long};

/// Time for a client to say what it wants, from its connection on.
const HEADER_TIME: Duration = Duration::from_secs(10);

/// The most that a request may be long: one names a host, and little else.
const LARGEST_REQUEST: usize = 16 * 1024;

/// The proxy of one emulator.
pub(crate) struct Proxy {
    pub(crate) hosts: Hosts,
    /// Who speaks for the hosts of Entra ID; `None` if nobody is to answer there.
    pub(crate) entra: Option<Arc<Server>>,
    /// The ports of the emulator that connections are passed on to.
    pub(crate) own_ports: Vec<u16>,
    /// The same of the shards of a cluster, which come and go.
    pub(crate) shard_ports: Arc<Mutex<Vec<u16>>>,
    pub(crate) log: Arc<EventLog>,
}

/// What becomes of a request.
enum Way {
    /// Entra ID answers on this connection.
    Entra(Arc<Server>),
    /// To a port of the emulator.
    Own(u16),
    Refused(StatusCode, String),
}

/// Serves `listener` until the runtime ends.
pub(crate) async fn serve(listener: TcpListener, proxy: Arc<Proxy>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, most likely: give the open connections a moment to end.
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let proxy = proxy.clone();
        tokio::spawn(async move {
            let handler = service_fn(move |request| {
                let proxy = proxy.clone();
                async move { Ok::<_, Infallible>(proxy.respond(request).await) }
            });
            // An error here is a client that went away, took too long or does not speak HTTP.
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIME)
                .max_buf_size(LARGEST_REQUEST)
                .serve_connection(TokioIo::new(stream), handler)
                .with_upgrades()
                .await;
        });
    }
}

impl Proxy {
    async fn respond(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let asked = match request.method() {
            &Method::CONNECT => request.uri().authority().map(ToString::to_string).unwrap_or_default(),
            _ => request.uri().to_string(),
        };
        let asked = cut_long(&asked, 256);
        let way = if request.method() == Method::CONNECT {
            self.way(&asked)
        } else {
            let why = format!(
                "The emulator's proxy takes CONNECT only, and this was {} {asked}. Set HTTPS_PROXY to it, not HTTP_PROXY.",
                request.method()
            );
            Way::Refused(StatusCode::FORBIDDEN, why)
        };
        match way {
            Way::Entra(server) => {
                self.log.record(EventKind::ProxyConnected { host: asked });
                tokio::spawn(async move {
                    if let Ok(stream) = hyper::upgrade::on(request).await {
                        http::serve_connection(TokioIo::new(stream), server).await;
                    }
                });
                Response::new(Full::default())
            }
            Way::Own(port) => match TcpStream::connect(("127.0.0.1", port)).await {
                Ok(mut upstream) => {
                    self.log.record(EventKind::ProxyConnected { host: asked });
                    let _ = upstream.set_nodelay(true);
                    tokio::spawn(async move {
                        if let Ok(stream) = hyper::upgrade::on(request).await {
                            // An error is that one of the two went away.
                            let _ = copy_bidirectional(&mut TokioIo::new(stream), &mut upstream).await;
                        }
                    });
                    Response::new(Full::default())
                }
                Err(error) => self.refuse(asked, StatusCode::BAD_GATEWAY, &format!("Nobody answers there: {error}.")),
            },
            Way::Refused(status, why) => self.refuse(asked, status, &why),
        }
    }

    fn way(&self, asked: &str) -> Way {
        let (name, port) = asked.rsplit_once(':').unwrap_or((asked, ""));
        let port: u16 = port.parse().unwrap_or_default();
        let is_local = LOCAL.iter().any(|known| known.eq_ignore_ascii_case(name));
        if is_local {
            let shards = self.shard_ports.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            return if self.own_ports.contains(&port) || shards.contains(&port) {
                Way::Own(port)
            } else {
                let why = format!("Port {port} of this machine is not the emulator's. Put localhost into NO_PROXY.");
                Way::Refused(StatusCode::FORBIDDEN, why)
            };
        }
        if !self.hosts.are_ours(asked) {
            let why = format!(
                "The emulator's proxy answers for Microsoft Entra ID only (login.microsoftonline.com:443 and the like), so that nothing leaves this machine; this was {asked}."
            );
            return Way::Refused(StatusCode::FORBIDDEN, why);
        }
        match &self.entra {
            Some(server) => Way::Entra(server.clone()),
            None => Way::Refused(StatusCode::BAD_GATEWAY, "Entra ID is unreachable here on purpose.".to_owned()),
        }
    }

    fn refuse(&self, host: String, status: StatusCode, why: &str) -> Response<Full<Bytes>> {
        self.log.record(EventKind::ProxyRefused { host, why: why.to_owned() });
        let mut response = Response::new(Full::new(Bytes::from(format!("{why}\n"))));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        response
    }
}
