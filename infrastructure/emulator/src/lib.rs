//! Microsoft Entra ID, managed identity and the Azure Managed Redis front on a developer's machine, for tests of programs that
//! sign in to Azure Managed Redis with a token instead of a key. Unofficial: Microsoft has no part in it.
//!
//! Real in it: a Redis or Valkey server, RS256 tokens, an X.509 chain, TLS. A program runs unchanged; its environment tells it
//! where to go.
//!
//! ```
//! use azure_managed_redis_emulator::{Emulator, EventKind};
//! use std::process::Command;
//!
//! let emulator = Emulator::start()?;
//! // Any program, in any language; here one that prints where the cache is.
//! let output = Command::new("sh")
//!     .args(["-c", "echo $REDIS_HOST:$REDIS_PORT"])
//!     .envs(&emulator.environment("system")?)
//!     .output()?;
//! assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), format!("localhost:{}", emulator.redis_port()));
//! // What it did is in the event log: this one never signed in.
//! assert!(!emulator.events().iter().any(|event| matches!(event.kind, EventKind::SignInAccepted { .. })));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![warn(missing_docs)]

mod api;
mod assignment;
pub mod azure;
mod azure_cli;
mod cache;
mod configuration;
mod control;
mod credentials;
mod directory;
mod emulator;
mod engine;
mod entra;
mod environment;
mod error;
mod events;
mod faults;
mod front;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod http;
mod java_trust;
mod keys;
mod listen;
mod managed_identity;
mod proxy;
mod tenant;
mod tls;
mod token;
mod token_cache;

pub use assignment::{Assignment, AssignmentName};
pub use cache::{AccessKeys, ClusteringPolicy};
pub use configuration::{Configuration, Lifetime};
pub use control::{Control, OpenConnection, Token};
pub use directory::{
    CertificateSource, ClientId, Credential, Directory, FederatedCredential, Identity, IdentityKind, ObjectId,
};
pub use emulator::{Builder, Emulator};
pub use engine::EngineInfo;
pub use environment::{Environment, Hosting};
pub use error::Error;
pub use events::{ClosedBy, Event, EventKind, Flow, HttpExchange, RespExchange, Service};
pub use faults::Fault;
pub use keys::Presented;
pub use token::Refusal;
