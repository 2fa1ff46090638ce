//! The Redis port: TLS in front of the engine, sign-in by Entra token, the connection closed when the token runs out.

mod commands;
mod connection;
mod replies;
mod requests;
mod session;
mod sign_in;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsAcceptor;

use crate::directory::Directory;
use crate::engine::Engine;
use crate::events::{EventKind, EventLog, Service};
use crate::keys::Keys;
use crate::tls;

pub(crate) use commands::Commands;

/// What all connections share.
pub(crate) struct Front {
    pub(crate) directory: Arc<Directory>,
    pub(crate) keys: Arc<Keys>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) commands: Commands,
    pub(crate) log: Arc<EventLog>,
    pub(crate) acceptor: TlsAcceptor,
    pub(crate) limits: Limits,
    connections: AtomicU64,
}

/// What an emulator's settings say of connections.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// Whether replies are read: for the log, and for Azure's own error text on engines that have another.
    pub(crate) counts_replies: bool,
    pub(crate) handshake_time: Duration,
    pub(crate) sign_in_time: Duration,
}

impl Front {
    pub(crate) fn new(
        directory: Arc<Directory>,
        keys: Arc<Keys>,
        engine: Arc<Engine>,
        log: Arc<EventLog>,
        acceptor: TlsAcceptor,
        limits: Limits,
    ) -> Self {
        let commands = Commands::new(&engine.command_names);
        Front { directory, keys, engine, commands, log, acceptor, limits, connections: AtomicU64::new(0) }
    }

    /// Serves `listener` until the runtime ends. Connections end when the sender of `stop` is dropped; each holds its `alive`
    /// until all of it is in the log.
    pub(crate) async fn serve(
        self: Arc<Self>,
        listener: TcpListener,
        stop: watch::Receiver<()>,
        alive: mpsc::Sender<()>,
    ) {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                // Out of file descriptors, most likely: give the open connections a moment to end.
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            };
            tokio::spawn(self.clone().connection(stream, stop.clone(), alive.clone()));
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, mut stop: watch::Receiver<()>, _alive: mpsc::Sender<()>) {
        let _ = stream.set_nodelay(true);
        let failed = |why: String| self.log.record(EventKind::TlsFailed { service: Service::Redis, why });
        let handshake = tokio::time::timeout(self.limits.handshake_time, self.acceptor.accept(stream));
        let handshake = tokio::select! {
            handshake = handshake => handshake,
            _ = stop.changed() => return,
        };
        match handshake {
            Ok(Ok(stream)) => {
                let number = self.connections.fetch_add(1, Ordering::Relaxed) + 1;
                connection::serve(&self, stream, number, &mut stop).await;
            }
            Ok(Err(error)) => failed(tls::explain(&error)),
            Err(_) => failed(tls::TIMED_OUT.to_owned()),
        }
    }
}
