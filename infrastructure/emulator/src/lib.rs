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
//!
//! # Who there is
//!
//! [`Emulator::start`] has a fixed directory, whose ids never change: the identities `system`, `user`, `service-principal`,
//! `certificate`, `workload` and `developer` may use the cache, `unassigned` may not. [`Emulator::environment`] tells what a program
//! finds that runs as one of them, [`Environment::ACCESS_KEY`] what one finds that has an access key. A [`Configuration`] has other
//! identities:
//!
//! ```
//! use azure_managed_redis_emulator::{ClusteringPolicy, Configuration, Emulator};
//! use std::time::Duration;
//!
//! let configuration = Configuration::parse(
//!     "[identities.orders]
//!      kind = 'user-assigned'
//!      [assignments.orders]
//!      identity = 'orders'
//!      access-string = '+@read ~orders:*'",
//! )?;
//! let emulator = Emulator::builder()
//!     .configuration(configuration)
//!     .clustering_policy(ClusteringPolicy::OssCluster)
//!     // So short that the program has to renew its token while the test looks on.
//!     .token_lifetime("orders", Duration::from_secs(10))
//!     .start()?;
//! assert!(emulator.environment("orders")?.get("AZURE_CLIENT_ID").is_some());
//! assert_eq!(emulator.control().shards().len(), 3);
//! # Ok::<(), azure_managed_redis_emulator::Error>(())
//! ```
//!
//! # What happens
//!
//! [`Emulator::events`] is the log: who asked for a token by which flow, which token signed in on which connection, why it was refused.
//! No event holds a token or a secret. [`Emulator::wait_for`] waits for something in it, so no test needs to sleep.
//!
//! ```
//! use azure_managed_redis_emulator::{Emulator, EventKind, Refusal};
//! use std::time::Duration;
//!
//! let emulator = Emulator::start()?;
//! # let port = emulator.redis_port();
//! # let roots = rustls::pki_types::pem::PemObject::from_pem_file(emulator.ca_file()).unwrap();
//! # let mut store = rustls::RootCertStore::empty();
//! # store.add(roots).unwrap();
//! # let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
//! # let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
//! # let config = config.with_root_certificates(store).with_no_client_auth();
//! # let name = "localhost".try_into().unwrap();
//! # let tls = rustls::ClientConnection::new(std::sync::Arc::new(config), name).unwrap();
//! # let socket = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
//! # let mut program = rustls::StreamOwned::new(tls, socket);
//! // A program signs in with a password that is no token.
//! # use std::io::Write;
//! program.write_all(b"AUTH default secret\r\n")?;
//! let refused = |kind: &EventKind| matches!(kind, EventKind::SignInRefused { reason: Refusal::AccessKey, .. });
//! let seen = emulator.wait_for(Duration::from_secs(5), |events| events.iter().any(|event| refused(&event.kind)));
//! assert!(seen, "Redis says WRONGPASS, the log says why");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What goes wrong
//!
//! [`Emulator::control`] changes it while it runs: [faults](Control::set_fault) of whoever gives out tokens, tokens that
//! [run out](Control::expire_connections), assignments that [come](Control::assign) and [go](Control::unassign), shards that
//! [fail over](Control::fail_over), keys, clocks, certificates. [`Control::reset`] makes everything as it was, between two tests.
//! Programs in other languages do the same over HTTP, at [`Emulator::control_address`].
//!
//! # Where it differs from Azure
//!
//! [`azure::DIFFERENCES`] and [`azure::UNCERTAIN`] are the lists. Everything that the emulator states of Azure is in [`azure`].

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

/// The README's examples are tests too.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
