//! Why an emulator does not start: each message says what, why, and what to do.

use std::path::PathBuf;
use std::time::Duration;

use crate::environment::Hosting;

/// Why an emulator does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A port can't be listened on.
    #[error(
        "port {port} on localhost can't be used for {what}: {why}. Stop what listens there, or choose another with {option} (0: any free one)"
    )]
    Port {
        /// The port.
        port: u16,
        /// What wanted it.
        what: &'static str,
        /// The option of the command that sets it.
        option: &'static str,
        /// What the system says.
        why: String,
    },
    /// No usable engine was found.
    #[error("no Redis or Valkey server was found: {why}{}", others(.passed_over))]
    NoEngine {
        /// Engines on PATH that can't be used, and why.
        passed_over: Vec<String>,
        /// Why there is no other.
        why: String,
    },
    /// A module is not there.
    #[error("the module {} can't be used: {why}. Name a file that the engine can load, for example rejson.so", .path.display())]
    Module {
        /// The file.
        path: PathBuf,
        /// What the system says.
        why: String,
    },
    /// An engine does not start.
    #[error("the engine {} can't be used: {why}", .path.display())]
    EngineStart {
        /// The program.
        path: PathBuf,
        /// Its last words, or the system's.
        why: String,
    },
    /// A running engine refused something.
    #[error("the engine refused a command of the emulator: {0}")]
    Engine(String),
    /// An access string is not one.
    #[error("InvalidAccessString: Failed to provision access string '{access_string}': {why}")]
    InvalidAccessString {
        /// The string.
        access_string: String,
        /// What the engine says.
        why: String,
    },
    /// The name of an assignment has other characters than letters and digits.
    #[error(
        "'{name}' is no name for an access policy assignment: it does not fully match the regular expression pattern '^[A-Za-z0-9]{{1,60}}$'. Use letters and digits only"
    )]
    AssignmentName {
        /// The name.
        name: String,
    },
    /// A principal can have one assignment on a cache.
    #[error(
        "An invalid access policy assignment was detected due to duplicate entries: the principal {object_id} has the assignment '{other}' already, so '{name}' can't be created. Change '{other}', or remove it first"
    )]
    DuplicateAssignment {
        /// The new one.
        name: String,
        /// The principal.
        object_id: String,
        /// The one that there is.
        other: String,
    },
    /// An assignment keeps its principal.
    #[error("the assignment '{name}' belongs to the principal {object_id}: remove it first, or choose another name")]
    AssignmentOfAnother {
        /// The assignment.
        name: String,
        /// Whose it is.
        object_id: String,
    },
    /// There is no assignment of that name.
    #[error("there is no assignment '{name}'; the cache has: {known}")]
    UnknownAssignment {
        /// The name.
        name: String,
        /// All names.
        known: String,
    },
    /// There is no clustering policy of that name.
    #[error("there is no clustering policy '{name}'; there are NoCluster, EnterpriseCluster and OSSCluster")]
    ClusteringPolicy {
        /// The name.
        name: String,
    },
    /// There is no shard of that number.
    #[error("there is no shard {shard}; the cache has {shards}, counted from 0")]
    UnknownShard {
        /// The number, from 0.
        shard: usize,
        /// How many there are.
        shards: usize,
    },
    /// An identity can't be what it is to be.
    #[error("the identity '{name}' can't be set: {why}")]
    Identity {
        /// Its name.
        name: String,
        /// Why.
        why: String,
    },
    /// An identity can't be told from another.
    #[error("the identity '{name}' can't be set: {why}")]
    IdentityConflict {
        /// Its name.
        name: String,
        /// What it has in common with which other.
        why: String,
    },
    /// Redis gives out no tokens.
    #[error("Redis gives out no tokens; faults are for Entra ID and the managed identity endpoint")]
    NoTokensThere,
    /// The managed identity endpoint speaks plain HTTP.
    #[error("the managed identity endpoint presents no certificate, it speaks plain HTTP on loopback as in Azure")]
    NoTlsThere,
    /// A fault with a status that is no failure.
    #[error("{status} is no HTTP status of a failure; there are 400 to 599")]
    FaultStatus {
        /// The status.
        status: u16,
    },
    /// The engine was stopped.
    #[error("the engine is stopped; start it first")]
    EngineStopped,
    /// A configuration is not one.
    #[error("{}: {why}", .path.display())]
    Configuration {
        /// The file.
        path: PathBuf,
        /// What is wrong in it, and what to write instead.
        why: String,
    },
    /// There is no identity of that name.
    #[error("there is no identity '{name}'; the directory has: {known}")]
    UnknownIdentity {
        /// The name.
        name: String,
        /// All names.
        known: String,
    },
    /// There is no access key to sign in with.
    #[error(
        "access keys are off, as on a new cache of Azure, so no program can sign in with one. Switch them on: `--access-keys` at the start, or `amr-emulator control access-keys on`; in Rust, `Builder::access_keys` or `Control::switch_access_keys`"
    )]
    AccessKeysOff,
    /// A certificate can't be used.
    #[error("the certificate {} can't be used: {why}", .path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A certificate comes in PEM only.
    #[error(
        "'{name}' has no certificate that the emulator made, so there is none as PKCS#12; give it one with generated-certificate = true"
    )]
    NoPfx {
        /// The identity.
        name: String,
    },
    /// There is no hosting of that name.
    #[error("there is no hosting '{name}'; there are app-service, imds and msi-2017")]
    Hosting {
        /// The name.
        name: String,
    },
    /// Only managed identities depend on the hosting.
    #[error("'{name}' is no managed identity, so the hosting {hosting} gives it nothing; leave the hosting out")]
    NoManagedIdentity {
        /// The identity.
        name: String,
        /// The hosting.
        hosting: Hosting,
    },
    /// A token lifetime is not a whole number of seconds.
    #[error("the token lifetime {lifetime:?} of '{identity}' is not a whole number of seconds of at least 1")]
    Lifetime {
        /// The identity.
        identity: String,
        /// The lifetime.
        lifetime: Duration,
    },
    /// A file or folder can't be used.
    #[error("{}: {why}", .path.display())]
    State {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// Keys or certificates can't be made.
    #[error("keys and certificates can't be made: {0}")]
    Keys(String),
    /// Threads or listeners can't be made.
    #[error("the emulator's servers can't be started: {0}")]
    Runtime(String),
    /// A program can't be run.
    #[error("{program} can't be started: {why}")]
    Program {
        /// The program.
        program: String,
        /// What the system says.
        why: String,
    },
}

fn others(engines: &[String]) -> String {
    if engines.is_empty() { String::new() } else { format!(". Passed over: {}", engines.join("; ")) }
}
