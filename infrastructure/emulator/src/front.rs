//! The Redis ports: TLS in front of the engines, sign-in by Entra token, the connection closed when the token runs out.

mod awaiting;
mod commands;
mod connection;
mod connections;
pub(crate) mod replies;
pub(crate) mod requests;
mod session;
mod sign_in;
mod slots;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Error;
use crate::cache::{Cache, ClusteringPolicy, Node};
use crate::events::{EventKind, EventLog, Service};
use crate::listen::Loopback;
use crate::tenant::Tenant;
use crate::tls::{self, Tls};

pub(crate) use commands::Commands;
pub(crate) use connections::{Connections, Who};

/// What all connections share.
pub(crate) struct Front {
    pub(crate) tenant: Arc<Tenant>,
    pub(crate) cache: Arc<Cache>,
    pub(crate) commands: Commands,
    pub(crate) log: Arc<EventLog>,
    pub(crate) limits: Limits,
    pub(crate) connections: Connections,
    tls: Arc<Tls>,
    listening: Mutex<HashMap<Endpoint, Vec<AbortHandle>>>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// What emulator settings say of connections.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// Whether replies are read: for the log, and for Azure's own error text on engines that have another.
    pub(crate) counts_replies: bool,
    pub(crate) handshake_time: Duration,
    pub(crate) sign_in_time: Duration,
    pub(crate) idle_time: Duration,
}

/// An address of the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Endpoint {
    /// The one that a program is given.
    Cache,
    /// The one that a cluster client learns of.
    Shard(usize),
}

impl Front {
    pub(crate) fn new(
        tenant: Arc<Tenant>,
        cache: Arc<Cache>,
        log: Arc<EventLog>,
        tls: Arc<Tls>,
        limits: Limits,
    ) -> Self {
        let table = cache.any_node().and_then(|node| node.engine()).map(|engine| engine.commands.clone());
        Front {
            tenant,
            commands: Commands::new(&table.unwrap_or_default(), cache.policy),
            cache,
            log,
            limits,
            connections: Connections::default(),
            tls,
            listening: Mutex::default(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }
    }

    /// Starts to accept connections for `endpoint`. Called inside the runtime.
    pub(crate) fn listen(self: &Arc<Self>, endpoint: Endpoint, listener: Loopback) -> Result<(), Error> {
        let listeners = listener.into_tokio().map_err(|e| Error::Runtime(e.to_string()))?;
        let accept = |listener| self.tasks.spawn(self.clone().accept(endpoint, listener)).abort_handle();
        let accepting = listeners.into_iter().map(accept).collect();
        self.listening.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).insert(endpoint, accepting);
        Ok(())
    }

    /// Lets go of the port of `endpoint`. Open connections stay.
    pub(crate) fn stop_listening(&self, endpoint: Endpoint) {
        let mut listening = self.listening.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        listening.remove(&endpoint).into_iter().flatten().for_each(|accepting| accepting.abort());
    }

    /// Ends everything, and returns when all of it is in the log, or after a second.
    pub(crate) async fn shut_down(&self) {
        self.stop.cancel();
        self.tasks.close();
        let _ = tokio::time::timeout(Duration::from_secs(1), self.tasks.wait()).await;
    }

    async fn accept(self: Arc<Self>, endpoint: Endpoint, listener: TcpListener) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.stop.cancelled() => return,
            };
            let Ok((stream, _)) = accepted else {
                // Out of file descriptors, most likely: give the open connections a moment to end.
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            };
            self.tasks.spawn(self.clone().connection(endpoint, stream));
        }
    }

    async fn connection(self: Arc<Self>, endpoint: Endpoint, stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let failed = |why: String| self.log.record(EventKind::TlsFailed { service: Service::Redis, why });
        let handshake = tokio::time::timeout(self.limits.handshake_time, self.tls.acceptor().accept(stream));
        let handshake = tokio::select! {
            handshake = handshake => handshake,
            () = self.stop.cancelled() => return,
        };
        match handshake {
            Ok(Ok(stream)) => connection::serve(&self, endpoint, stream).await,
            Ok(Err(error)) => failed(tls::explain(&error)),
            Err(_) => failed(tls::TIMED_OUT.to_owned()),
        }
    }

    /// Whether keys of several slots are refused here, which no engine does that is not clustered.
    fn checks_slots(&self) -> bool {
        self.cache.policy == ClusteringPolicy::EnterpriseCluster
    }

    /// Where connections to `endpoint` lead.
    fn node(&self, endpoint: Endpoint) -> Option<Arc<Node>> {
        match endpoint {
            Endpoint::Cache => self.cache.any_node(),
            Endpoint::Shard(shard) => self.cache.nodes().get(shard).cloned(),
        }
    }
}
