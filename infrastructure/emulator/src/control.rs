//! Changing an emulator while it runs: identities, assignments, faults, keys, connections, engines. Tests call it in Rust; the
//! control API, and through it the command, come here too.

mod now;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::runtime::Handle;

use crate::assignment::{Assignment, AssignmentName};
use crate::cache::{AccessKeys, Cache, ClusteringPolicy};
use crate::configuration::{Configuration, check_ids};
use crate::directory::{Directory, Identity, ObjectId};
use crate::events::{ClosedBy, EventKind, EventLog, Service};
use crate::faults::{Fault, Faults};
use crate::front::{Endpoint, Front, Who};
use crate::keys::Presented;
use crate::listen::Loopback;
use crate::tenant::Tenant;
use crate::tls::Tls;
use crate::{Error, azure};

/// Changes an emulator while it runs. Made by [`Emulator::control`](crate::Emulator::control); clones act on the same emulator.
/// Whatever is done here is in the event log too. Programs in other languages do the same over HTTP, at
/// [`Emulator::control_address`](crate::Emulator::control_address).
///
/// ```
/// use azure_managed_redis_emulator::{Emulator, EventKind, Fault, Service};
/// use std::time::Duration;
///
/// let emulator = Emulator::start()?;
/// let control = emulator.control();
/// // For a minute Entra ID is down.
/// control.set_fault(Service::Entra, Fault::Fail { status: 503 }, Some(Duration::from_secs(60)))?;
/// // This principal may only read from now on; its open connections too.
/// let principal = control.directory().identity("user").unwrap().object_id;
/// control.assign("user", principal, Some("+@read ~*"))?;
/// // Between two tests: everything as at the start.
/// control.reset()?;
/// assert!(emulator.events().iter().all(|event| matches!(event.kind, EventKind::Control { .. })));
/// # Ok::<(), azure_managed_redis_emulator::Error>(())
/// ```
#[derive(Clone)]
pub struct Control(Arc<Parts>);

/// What there is to change.
pub(crate) struct Parts {
    pub(crate) start: Configuration,
    pub(crate) tenant: Arc<Tenant>,
    pub(crate) cache: Arc<Cache>,
    pub(crate) front: Arc<Front>,
    pub(crate) faults: Arc<Faults>,
    pub(crate) log: Arc<EventLog>,
    pub(crate) places: Places,
    pub(crate) redis_tls: Arc<Tls>,
    pub(crate) entra_tls: Arc<Tls>,
    /// What each server presented at the start.
    pub(crate) presented: (Presented, Presented),
    pub(crate) runtime: Handle,
    /// The ports of the shards of an `OSSCluster`.
    pub(crate) shard_ports: Arc<Mutex<Vec<u16>>>,
}

/// Where everything is.
pub(crate) struct Places {
    pub(crate) redis: u16,
    pub(crate) entra: u16,
    pub(crate) managed_identity: u16,
    pub(crate) proxy: u16,
    pub(crate) control: u16,
    pub(crate) identity_header: String,
    pub(crate) trust_bundle: PathBuf,
    /// The same certificates for Java.
    pub(crate) trust_store: PathBuf,
    /// Where files for programs are written.
    pub(crate) run_folder: PathBuf,
}

/// An open connection to the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenConnection {
    /// Its number in the event log.
    pub connection: u64,
    /// The shard that serves it, from 0.
    pub shard: usize,
    /// The identity that has signed in; `None` before that, and with an access key.
    pub identity: Option<String>,
    /// Whether it has signed in with an access key.
    pub access_key: bool,
}

/// A token that was made for somebody who did not ask Entra ID for it. Its debug form does not tell the secret.
#[derive(Clone)]
pub struct Token {
    /// The object id of its principal: the user name to sign in with.
    pub user_name: ObjectId,
    /// The token itself: the password to sign in with.
    pub secret: String,
    /// How long it is good.
    pub lifetime: Duration,
    /// Until when, in seconds since 1970.
    pub expires: u64,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Token { user_name, lifetime, expires, .. } = self;
        f.debug_struct("Token")
            .field("user_name", user_name)
            .field("lifetime", lifetime)
            .field("expires", expires)
            .finish_non_exhaustive()
    }
}

impl Control {
    pub(crate) fn new(parts: Parts) -> Self {
        Control(Arc::new(parts))
    }

    fn done(&self, action: &str, detail: impl Into<String>) {
        self.0.log.record(EventKind::Control { action: action.to_owned(), detail: detail.into() });
    }

    /// The tenant and its identities, as they are now.
    pub fn directory(&self) -> Arc<Directory> {
        self.0.tenant.directory()
    }

    /// Adds an identity, or changes the one of that name. Tokens that it has already got stay good. A certificate or key set that
    /// can't be read is refused; a certificate that is to be generated is so when its environment is first asked for.
    pub fn set_identity(&self, identity: Identity) -> Result<(), Error> {
        let name = identity.name.clone();
        self.0.tenant.credentials.check(&identity)?;
        let is_new = self.0.tenant.change(|directory| {
            let mut identities = directory.identities.clone();
            let known = identities.iter().position(|known| known.name == name);
            match known {
                Some(at) => identities[at] = identity,
                None => identities.push(identity),
            }
            check_ids(&identities).map_err(|why| Error::IdentityConflict { name: name.clone(), why })?;
            directory.identities = identities;
            Ok::<_, Error>(known.is_none())
        })?;
        self.done(if is_new { "identity-added" } else { "identity-changed" }, name);
        Ok(())
    }

    /// Removes an identity: it gets no more tokens. Those that it has stay good until they expire, and so does its assignment.
    pub fn remove_identity(&self, name: &str) -> Result<(), Error> {
        self.0.tenant.change(|directory| {
            let known = directory.names();
            let at = directory.identities.iter().position(|identity| identity.name == name);
            let at = at.ok_or_else(|| Error::UnknownIdentity { name: name.to_owned(), known })?;
            directory.identities.remove(at);
            Ok::<_, Error>(())
        })?;
        self.done("identity-removed", name);
        Ok(())
    }

    /// Makes a token for Redis, as the identity would get it at this moment, without anybody having asked Entra ID for it: for
    /// tools that take a user name and a password. No fault concerns it.
    ///
    /// ```
    /// use azure_managed_redis_emulator::Emulator;
    ///
    /// let emulator = Emulator::start()?;
    /// let token = emulator.control().issue_token("user")?;
    /// assert_eq!(token.user_name, emulator.directory().identity("user").unwrap().object_id);
    /// assert!(token.secret.starts_with("eyJ"), "the password");
    /// # Ok::<(), azure_managed_redis_emulator::Error>(())
    /// ```
    pub fn issue_token(&self, identity: &str) -> Result<Token, Error> {
        let directory = self.directory();
        let unknown = || Error::UnknownIdentity { name: identity.to_owned(), known: directory.names() };
        let known = directory.identity(identity).ok_or_else(unknown)?;
        let issued = self.0.tenant.issue(known, known.usual_flow(), azure::REDIS_AUDIENCES[0]);
        self.done("token-issued", format!("{identity}: <token uti={}>", issued.uti));
        let lifetime = Duration::from_secs(issued.lifetime);
        Ok(Token { user_name: known.object_id, secret: issued.jwt, lifetime, expires: issued.expires })
    }

    /// The cache's access policy assignments.
    pub fn assignments(&self) -> Vec<Assignment> {
        self.0.cache.assignments()
    }

    /// Creates an access policy assignment, or changes the one of that name, whose connections stay. Without an access string it
    /// allows everything. A bad one is refused as Azure refuses it, with `InvalidAccessString`, and so is a second assignment
    /// of the same principal.
    pub fn assign(&self, name: &str, object_id: ObjectId, access_string: Option<&str>) -> Result<Assignment, Error> {
        let access_string = access_string.unwrap_or(azure::DEFAULT_ACCESS_STRING).to_owned();
        let assignment = Assignment { name: name.parse()?, object_id, access_string };
        let is_new = self.0.cache.assign(assignment.clone())?;
        let action = if is_new { "assignment-created" } else { "assignment-changed" };
        self.done(action, format!("{name}: {object_id} {}", assignment.access_string));
        Ok(assignment)
    }

    /// Removes an assignment and drops the connections of its principal.
    pub fn unassign(&self, name: &str) -> Result<(), Error> {
        let name: AssignmentName = name.parse()?;
        let object_id = self.0.cache.unassign(&name)?.object_id;
        self.done("assignment-removed", format!("{name}: {object_id}"));
        let theirs = |who: Option<&Who>| matches!(who, Some(Who::Principal { object_id: id, .. }) if *id == object_id);
        self.0.front.connections.close(ClosedBy::AssignmentRemoved, |_, who| theirs(who));
        self.0.cache.forget(object_id)
    }

    /// The two access keys, if they work.
    pub fn access_keys(&self) -> Option<AccessKeys> {
        self.0.cache.access_keys()
    }

    /// Switches access keys on, or off, which drops every connection, Entra ID's too, as on Azure.
    pub fn switch_access_keys(&self, on: bool) -> Result<Option<AccessKeys>, Error> {
        if on {
            let keys = self.0.cache.switch_access_keys_on()?;
            self.done("access-keys", "on");
            return Ok(Some(keys));
        }
        let were_on = self.0.cache.access_keys().is_some();
        if were_on {
            self.0.front.connections.close(ClosedBy::AccessKeysOff, |_, _| true);
            self.0.cache.switch_access_keys_off()?;
        }
        self.done("access-keys", "off");
        Ok(None)
    }

    /// Makes requests for tokens go wrong, until the time is over or [`Control::clear_fault`]. [`Service::Entra`] and
    /// [`Service::ManagedIdentity`] give out tokens.
    pub fn set_fault(&self, service: Service, fault: Fault, lasts: Option<Duration>) -> Result<(), Error> {
        if service == Service::Redis {
            return Err(Error::NoTokensThere);
        }
        if let Fault::Fail { status } = fault
            && !(400..=599).contains(&status)
        {
            return Err(Error::FaultStatus { status });
        }
        let lasts_text = lasts.map_or("until cleared".to_owned(), |lasts| format!("for {} ms", lasts.as_millis()));
        self.done("fault-set", format!("{service}: {fault:?} {lasts_text}"));
        self.0.faults.set(service, fault, lasts);
        Ok(())
    }

    /// Lets a service give out tokens again.
    pub fn clear_fault(&self, service: Service) {
        self.0.faults.clear(service);
        self.done("fault-cleared", service.to_string());
    }

    /// From now on tokens are signed with a new key. Tokens of the key before are good for as long as `honoured`.
    pub fn rotate_signing_key(&self, honoured: Duration) -> Result<(), Error> {
        self.0.tenant.keys.rotate(honoured)?;
        self.done("signing-key-rotated", format!("the key before is honoured for {} s", honoured.as_secs()));
        Ok(())
    }

    /// Dates tokens as if the clock of whoever issues them were wrong by that many seconds.
    pub fn shift_clock(&self, seconds: i64) {
        self.0.tenant.shift_clock(seconds);
        self.done("clock-shifted", format!("tokens are dated {seconds} s ahead"));
    }

    /// From now on a server presents another certificate to new connections. The managed identity endpoint has none.
    pub fn present(&self, service: Service, presented: Presented) -> Result<(), Error> {
        let tls = match service {
            Service::Redis => &self.0.redis_tls,
            Service::Entra => &self.0.entra_tls,
            Service::ManagedIdentity => return Err(Error::NoTlsThere),
        };
        tls.present(&self.0.tenant.keys, presented)?;
        self.done("certificate", format!("{service}: {presented:?}"));
        Ok(())
    }

    /// The open connections, the oldest first.
    pub fn connections(&self) -> Vec<OpenConnection> {
        let open = self.0.front.connections.list().into_iter();
        open.map(|(connection, who)| OpenConnection {
            connection: connection.number,
            shard: connection.shard,
            access_key: who == Some(Who::AccessKey),
            identity: match who {
                Some(Who::Principal { identity, .. }) => Some(identity),
                _ => None,
            },
        })
        .collect()
    }

    /// Cuts connections as if their token had run out now: those of one identity, or all that signed in with a token. Gives how
    /// many.
    pub fn expire_connections(&self, identity: Option<&str>) -> Result<usize, Error> {
        if let Some(name) = identity {
            let directory = self.directory();
            let known = || Error::UnknownIdentity { name: name.to_owned(), known: directory.names() };
            directory.identity(name).ok_or_else(known)?;
        }
        self.done("connections-expired", identity.unwrap_or("all"));
        let meant = |who: Option<&Who>| match who {
            Some(Who::Principal { identity: theirs, .. }) => identity.is_none_or(|name| name == theirs),
            _ => false,
        };
        Ok(self.0.front.connections.close(ClosedBy::Expiry, |_, who| meant(who)))
    }

    /// Ends the engines, as if the cache were down: connections close, new ones too. All data is lost. False if they had ended
    /// before.
    pub fn stop_engine(&self) -> bool {
        let ran = self.0.cache.stop_engines();
        self.done("engine", "stopped");
        ran
    }

    /// Starts the engines again, empty. False if they run.
    pub fn start_engine(&self) -> Result<bool, Error> {
        let started = self.0.cache.start_engines(&self.shard_ports())?;
        self.done("engine", "started");
        Ok(started)
    }

    /// Lets another engine take the place of one, with its data, as when Azure patches a node: the shard's connections are
    /// closed, and in an `OSSCluster` it is found at another port afterwards.
    pub fn fail_over(&self, shard: usize) -> Result<(), Error> {
        let shards = self.0.cache.nodes().len();
        if shard >= shards {
            return Err(Error::UnknownShard { shard, shards });
        }
        // Before anything is closed that would stay closed.
        if !self.engine_runs() {
            return Err(Error::EngineStopped);
        }
        self.done("fail-over", format!("shard {shard}"));
        let front = &self.0.front;
        if self.0.cache.policy != ClusteringPolicy::OssCluster {
            front.connections.close(ClosedBy::Failover, |_, _| true);
            return self.0.cache.fail_over(shard, 0);
        }
        let listener = Loopback::bind(0, "a shard", "--port")?;
        let port = listener.port;
        front.stop_listening(Endpoint::Shard(shard));
        front.connections.close(ClosedBy::Failover, |connection, _| connection.shard == shard);
        self.0.cache.fail_over(shard, port)?;
        self.shard_ports()[shard] = port;
        let _inside = self.0.runtime.enter();
        front.listen(Endpoint::Shard(shard), listener)
    }

    fn shard_ports(&self) -> MutexGuard<'_, Vec<u16>> {
        self.0.shard_ports.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Makes everything as it was at the start: identities, assignments, access keys; no faults, the right clock and
    /// certificates; engines that run and are empty; no connections. Signing keys stay, so tokens stay good. The event log goes on.
    pub fn reset(&self) -> Result<(), Error> {
        let parts = &self.0;
        parts.front.connections.close(ClosedBy::Reset, |_, _| true);
        parts.faults.clear(Service::Entra);
        parts.faults.clear(Service::ManagedIdentity);
        parts.tenant.shift_clock(0);
        parts.tenant.change(|directory| *directory = parts.start.directory.clone());
        parts.redis_tls.present(&parts.tenant.keys, parts.presented.0)?;
        parts.entra_tls.present(&parts.tenant.keys, parts.presented.1)?;
        parts.cache.start_engines(&self.shard_ports())?;
        parts.cache.flush()?;
        let wanted = &parts.start.assignments;
        for assignment in parts.cache.assignments() {
            if !wanted.iter().any(|it| it.name == assignment.name && it.object_id == assignment.object_id) {
                let object_id = parts.cache.unassign(&assignment.name)?.object_id;
                parts.cache.forget(object_id)?;
            }
        }
        for assignment in wanted {
            parts.cache.assign(assignment.clone())?;
        }
        match parts.start.access_keys {
            true => drop(parts.cache.switch_access_keys_on()?),
            false => drop(parts.cache.switch_access_keys_off()?),
        }
        self.done("reset", "everything is as it was at the start");
        Ok(())
    }
}
