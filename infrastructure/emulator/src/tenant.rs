//! The tenant as it is now: the directory, which can change while the emulator runs, what its applications prove themselves with,
//! the keys that sign its tokens, and the clock that they are dated by. Entra ID, the managed identity endpoints and the cache share it.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, RwLock};

use crate::credentials::Credentials;
use crate::directory::{Directory, Identity};
use crate::events::Flow;
use crate::keys::Keys;
use crate::token::{self, IssuedToken};

/// One tenant.
pub(crate) struct Tenant {
    directory: RwLock<Arc<Directory>>,
    pub(crate) keys: Keys,
    pub(crate) credentials: Credentials,
    /// Seconds that issued tokens are dated into the future; negative for the past.
    clock_shift: AtomicI64,
}

impl Tenant {
    pub(crate) fn new(directory: Directory, keys: Keys, credentials: Credentials) -> Self {
        Tenant { directory: RwLock::new(Arc::new(directory)), keys, credentials, clock_shift: AtomicI64::new(0) }
    }

    /// The fixed directory, with credentials that are kept nowhere.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn fixed(keys: Keys) -> Self {
        let folders = crate::credentials::Folders { state: None, run: std::path::PathBuf::new() };
        Tenant::new(Directory::fixed(), keys, Credentials::new(&folders, 0))
    }

    /// The directory as it is at this moment.
    pub(crate) fn directory(&self) -> Arc<Directory> {
        self.directory.read().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    /// Changes the directory; whoever holds the one before keeps that.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Directory) -> T) -> T {
        let mut directory = self.directory.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        change(Arc::make_mut(&mut directory))
    }

    /// How far the clock of whoever issues tokens is off, in seconds.
    pub(crate) fn clock_shift(&self) -> i64 {
        self.clock_shift.load(Ordering::Relaxed)
    }

    pub(crate) fn shift_clock(&self, seconds: i64) {
        self.clock_shift.store(seconds, Ordering::Relaxed);
    }

    /// A token for `identity`, signed with the key of the day.
    pub(crate) fn issue(&self, identity: &Identity, flow: Flow, audience: &str) -> IssuedToken {
        let now = token::seconds_since_1970().saturating_add_signed(self.clock_shift());
        token::issue(self.directory().tenant_id, &self.keys.signing(), identity, flow, audience, now)
    }
}
