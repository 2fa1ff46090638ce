//! Listening on loopback, IPv4 and IPv6, and nowhere else.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener as StdListener};

use tokio::net::TcpListener;

use crate::Error;

/// How often a free port is looked for that is free on both addresses.
const ATTEMPTS: usize = 20;

/// How many connections may wait to be accepted. The standard library's 128 are soon too few for clients that all come back
/// at the same second; whoever finds no room waits a second and more before the next try.
const WAITING: i32 = 4096;

/// Listeners on the same port of 127.0.0.1 and, where the machine has IPv6, ::1.
pub(crate) struct Loopback {
    pub(crate) port: u16,
    listeners: Vec<StdListener>,
}

impl Loopback {
    /// Port 0 asks for any free one. `what` and `option` are for the error: what wanted the port, and how to choose another.
    pub(crate) fn bind(port: u16, what: &'static str, option: &'static str) -> Result<Self, Error> {
        let mut last = None;
        for _ in 0..if port == 0 { ATTEMPTS } else { 1 } {
            match Self::try_bind(port) {
                Ok(bound) => return Ok(bound),
                Err(error) => last = Some(error),
            }
        }
        let why = last.map(|error| error.to_string()).unwrap_or_default();
        Err(Error::Port { port, what, option, why })
    }

    fn try_bind(port: u16) -> io::Result<Self> {
        let v4 = StdListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
        let port = v4.local_addr()?.port();
        let mut listeners = vec![v4];
        match StdListener::bind(SocketAddr::from((Ipv6Addr::LOCALHOST, port))) {
            Ok(v6) => listeners.push(v6),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
            // No IPv6 here: `localhost` is then 127.0.0.1 for every client.
            Err(_) => {}
        }
        for listener in &listeners {
            listener.set_nonblocking(true)?;
            rustix::net::listen(listener, WAITING)?;
        }
        Ok(Loopback { port, listeners })
    }

    /// The listeners for the runtime that this is called in.
    pub(crate) fn into_tokio(self) -> io::Result<Vec<TcpListener>> {
        self.listeners.into_iter().map(TcpListener::from_std).collect()
    }
}
