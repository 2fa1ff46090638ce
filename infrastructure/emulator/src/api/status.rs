//! The emulator as a whole: how it is, and everything as at the start.

use axum::Json as Reply;
use axum::extract::State;
use hyper::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::act;
use super::cache::{Engine, Shard, engine_of, shards_of};
use super::guard::Guarded;
use super::problem::{Failing, Problem};
use super::tokens::{Certificate, FaultReply, certificates_of, faults_of};
use crate::control::Control;

/// How a running emulator is.
#[derive(Serialize, ToSchema)]
pub(super) struct Status {
    /// Of the emulator
    version: &'static str,
    /// Its process id
    process: u32,
    engine: Engine,
    /// `NoCluster`, `EnterpriseCluster` or `OSSCluster`
    clustering_policy: &'static str,
    ports: Ports,
    shards: Vec<Shard>,
    tenant_id: Uuid,
    /// Whether access keys work
    access_keys: bool,
    /// Seconds that tokens are dated into the future; negative for the past
    clock_shift_seconds: i64,
    faults: Vec<FaultReply>,
    certificates: Vec<Certificate>,
    /// How many connections to the cache are open
    connections: usize,
    /// Number of the last event
    last_event: u64,
}

/// Ports on localhost.
#[derive(Serialize, ToSchema)]
struct Ports {
    /// TLS
    redis: u16,
    /// HTTPS
    entra: u16,
    /// HTTP
    managed_identity: u16,
    /// The proxy for programs that have the hosts of Entra ID built in
    proxy: u16,
    /// This API, HTTP
    control: u16,
}

/// How the emulator is
#[utoipa::path(
    get, path = "/v1/status", tag = "emulator", security(("token" = [])),
    responses((status = 200, description = "What runs where, and what is other than usual", body = Status), Guarded)
)]
pub(super) async fn status(State(control): State<Control>) -> Result<Reply<Status>, Problem> {
    act(control, |control| {
        let places = control.places();
        Ok(Reply(Status {
            version: env!("CARGO_PKG_VERSION"),
            process: std::process::id(),
            engine: engine_of(control),
            clustering_policy: control.clustering_policy().name(),
            ports: Ports {
                redis: places.redis,
                entra: places.entra,
                managed_identity: places.managed_identity,
                proxy: places.proxy,
                control: places.control,
            },
            shards: shards_of(control),
            tenant_id: control.directory().tenant_id,
            access_keys: control.access_keys().is_some(),
            clock_shift_seconds: control.clock_shift(),
            faults: faults_of(control),
            certificates: certificates_of(control),
            connections: control.connections().len(),
            last_event: control.log().last(),
        }))
    })
    .await
}

/// Makes everything as it was at the start
///
/// Identities, assignments and access keys; no faults, the right clock and certificates; engines that run and are empty; no
/// connections. Signing keys stay, so tokens stay good. The events go on.
#[utoipa::path(
    post, path = "/v1/reset", tag = "emulator", security(("token" = [])),
    responses((status = 204, description = "It is as at the start"), Guarded, Failing)
)]
pub(super) async fn reset(State(control): State<Control>) -> Result<StatusCode, Problem> {
    act(control, |control| control.reset()).await?;
    Ok(StatusCode::NO_CONTENT)
}
