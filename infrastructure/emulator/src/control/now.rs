//! What an emulator is like at the moment, beside what its directory, its cache and its log tell.

use std::sync::Arc;
use std::time::Duration;

use super::{Control, Places};
use crate::Error;
use crate::cache::ClusteringPolicy;
use crate::engine::EngineInfo;
use crate::environment::{Addresses, Environment, Hosting};
use crate::events::{EventLog, Service};
use crate::faults::Fault;
use crate::keys::Presented;

impl Control {
    /// The variables for a program that runs as this identity, or that signs in with an access key, as they are now; see
    /// [`Emulator::environment`](crate::Emulator::environment).
    pub fn environment(&self, identity: &str) -> Result<Environment, Error> {
        self.environment_in(Hosting::AppService, identity)
    }

    /// The same in another hosting; see [`Emulator::environment_in`](crate::Emulator::environment_in).
    pub fn environment_in(&self, hosting: Hosting, identity: &str) -> Result<Environment, Error> {
        let places = self.places();
        let addresses = Addresses {
            entra: places.entra,
            managed_identity: places.managed_identity,
            redis: places.redis,
            proxy: places.proxy,
            identity_header: &places.identity_header,
            trust_bundle: &places.trust_bundle,
            trust_store: &places.trust_store,
            credentials: &self.0.tenant.credentials,
            run_folder: &places.run_folder,
        };
        if identity == Environment::ACCESS_KEY {
            let keys = self.access_keys().ok_or(Error::AccessKeysOff)?;
            return Environment::with_access_key(&keys.primary, hosting, &addresses);
        }
        Environment::new(&self.directory(), identity, hosting, &addresses)
    }

    /// How the cache is clustered. This does not change while it runs.
    pub fn clustering_policy(&self) -> ClusteringPolicy {
        self.0.cache.policy
    }

    /// The engine that the cache runs on.
    pub fn engine(&self) -> &EngineInfo {
        &self.0.cache.info
    }

    /// Whether the cache has an engine that runs.
    pub fn engine_runs(&self) -> bool {
        self.0.cache.any_node().is_some()
    }

    /// The port of each shard on `localhost`. Only an `OSSCluster` has shards with ports of their own; otherwise it is the cache's.
    pub fn shards(&self) -> Vec<u16> {
        match self.clustering_policy() {
            ClusteringPolicy::OssCluster => self.shard_ports().clone(),
            _ => vec![self.places().redis],
        }
    }

    /// What goes wrong with requests for tokens at the moment, and how much longer, if it ends by itself.
    pub fn fault(&self, service: Service) -> Option<(Fault, Option<Duration>)> {
        self.0.faults.active(service)
    }

    /// By how many seconds the clock of whoever issues tokens is wrong.
    pub fn clock_shift(&self) -> i64 {
        self.0.tenant.clock_shift()
    }

    /// The names (`kid`) of the keys whose tokens are good, the one that signs now first.
    pub fn signing_keys(&self) -> Vec<String> {
        self.0.tenant.keys.published().iter().map(|key| key.kid.clone()).collect()
    }

    /// The certificate that a server presents. The managed identity endpoint has none.
    pub fn presented(&self, service: Service) -> Option<Presented> {
        match service {
            Service::Redis => Some(self.0.redis_tls.presented()),
            Service::Entra => Some(self.0.entra_tls.presented()),
            Service::ManagedIdentity => None,
        }
    }

    pub(crate) fn places(&self) -> &Places {
        &self.0.places
    }

    pub(crate) fn log(&self) -> &Arc<EventLog> {
        &self.0.log
    }
}
