//! The open connections, so that they can be closed from outside: when an assignment is removed, a shard fails over, or a test
//! wants them gone.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use crate::directory::ObjectId;
use crate::events::ClosedBy;

/// All open connections.
#[derive(Default)]
pub(crate) struct Connections {
    last: AtomicU64,
    open: Mutex<BTreeMap<u64, Arc<Connection>>>,
}

/// One of them, as others see it.
pub(crate) struct Connection {
    /// From 1.
    pub(crate) number: u64,
    /// The shard whose engine serves it.
    pub(crate) shard: usize,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    who: Option<Who>,
    closing: Option<ClosedBy>,
}

/// Who has signed in on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Principal { object_id: ObjectId, identity: String },
    AccessKey,
}

/// Takes the connection off the list when it ends, however that comes about.
pub(super) struct Entry<'a> {
    connections: &'a Connections,
    pub(super) connection: Arc<Connection>,
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.connections.open().remove(&self.connection.number);
    }
}

impl Connections {
    fn open(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, Arc<Connection>>> {
        self.open.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(super) fn add(&self, shard: usize) -> Entry<'_> {
        let number = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let connection = Connection { number, shard, state: Mutex::default(), changed: Notify::new() };
        let connection = Arc::new(connection);
        self.open().insert(number, connection.clone());
        Entry { connections: self, connection }
    }

    /// The open ones, the oldest first, with who has signed in on each.
    pub(crate) fn list(&self) -> Vec<(Arc<Connection>, Option<Who>)> {
        self.open().values().map(|connection| (connection.clone(), connection.state().who.clone())).collect()
    }

    /// Closes those that are `meant`. Gives how many.
    pub(crate) fn close(&self, by: ClosedBy, meant: impl Fn(&Connection, Option<&Who>) -> bool) -> usize {
        let open = self.open();
        let meant = open.values().filter(|connection| meant(connection, connection.state().who.as_ref()));
        meant.map(|connection| connection.close(by)).count()
    }
}

impl Connection {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Who has signed in, as of now.
    pub(super) fn belongs_to(&self, who: Who) {
        self.state().who = Some(who);
    }

    fn close(&self, by: ClosedBy) {
        self.state().closing.get_or_insert(by);
        self.changed.notify_one();
    }

    /// Why it is to be closed, if it is.
    pub(super) fn closing(&self) -> Option<ClosedBy> {
        self.state().closing
    }

    /// Waits until it is to be closed.
    pub(super) async fn closed(&self) -> ClosedBy {
        loop {
            if let Some(by) = self.closing() {
                return by;
            }
            self.changed.notified().await;
        }
    }
}
