//! Why an emulator does not start: each message says what, why, and what to do.

use std::path::PathBuf;
use std::time::Duration;

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
    /// There is no identity of that name.
    #[error("there is no identity '{name}'; the directory has: {known}")]
    UnknownIdentity {
        /// The name.
        name: String,
        /// All names.
        known: String,
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
