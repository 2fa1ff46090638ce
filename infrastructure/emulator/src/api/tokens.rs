//! How tokens are given out: faults, the key that signs, the clock that dates, the certificates that are presented on the way.

use std::time::Duration;

use axum::Json as Reply;
use axum::extract::State;
use hyper::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::act;
use super::guard::Guarded;
use super::problem::{BadBody, NotThere, Problem};
use super::request::{Json, Path, at_most};
use crate::control::Control;
use crate::events::Service;
use crate::faults::Fault;
use crate::keys::Presented;

/// The longest time that a fault may last, or take, and a key be honoured: a year.
const LONGEST: Duration = Duration::from_secs(31_536_000);

/// The clock can be off by ten years.
const FARTHEST_SHIFT: u64 = 315_360_000;

/// For how long the key before is honoured, if nobody says.
const HONOURED: Duration = Duration::from_secs(86_400);

/// What goes wrong with requests for tokens at a service.
#[derive(Serialize, ToSchema)]
#[schema(as = Fault)]
pub(super) struct FaultReply {
    service: Service,
    kind: FaultKind,
    /// Of `fail`: the HTTP status
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    /// Of `slow`: how much later the answer comes
    #[serde(skip_serializing_if = "Option::is_none")]
    delay_ms: Option<u64>,
    /// How much longer it lasts; null for until it is cleared
    ends_in_ms: Option<u64>,
}

/// `fail`: each request is answered with an error. `slow`: each is answered late. `hang`: none is answered.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
enum FaultKind {
    Fail,
    Slow,
    Hang,
}

/// The faults that last at the moment.
#[derive(Serialize, ToSchema)]
pub(super) struct Faults {
    faults: Vec<FaultReply>,
}

/// A fault as it is to be.
#[derive(Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum NewFault {
    /// Each request is answered with this status, 400 to 599, and an error body
    Fail {
        status: u16,
        /// For how long, at most a year; without it until it is cleared
        lasts_ms: Option<u64>,
    },
    /// Each request is answered, but only after this time
    Slow {
        delay_ms: u64,
        /// For how long, at most a year; without it until it is cleared
        lasts_ms: Option<u64>,
    },
    /// No request is answered while this lasts
    Hang {
        /// For how long, at most a year; without it until it is cleared
        lasts_ms: Option<u64>,
    },
}

impl NewFault {
    fn checked(self) -> Result<(Fault, Option<Duration>), Problem> {
        let longest = u64::try_from(LONGEST.as_millis()).unwrap_or(u64::MAX);
        let time = |name, milliseconds| at_most(name, milliseconds, longest).map(Duration::from_millis);
        let (fault, lasts) = match self {
            NewFault::Fail { status, lasts_ms } => (Fault::Fail { status }, lasts_ms),
            NewFault::Slow { delay_ms, lasts_ms } => (Fault::Slow { delay: time("delay_ms", delay_ms)? }, lasts_ms),
            NewFault::Hang { lasts_ms } => (Fault::Hang, lasts_ms),
        };
        Ok((fault, lasts.map(|lasts| time("lasts_ms", lasts)).transpose()?))
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn faults_of(control: &Control) -> Vec<FaultReply> {
    let reply = |service| {
        let (fault, left) = control.fault(service)?;
        let (kind, status, delay) = match fault {
            Fault::Fail { status } => (FaultKind::Fail, Some(status), None),
            Fault::Slow { delay } => (FaultKind::Slow, None, Some(delay)),
            Fault::Hang => (FaultKind::Hang, None, None),
        };
        let (delay_ms, ends_in_ms) = (delay.map(milliseconds), left.map(milliseconds));
        Some(FaultReply { service, kind, status, delay_ms, ends_in_ms })
    };
    [Service::Entra, Service::ManagedIdentity].into_iter().filter_map(reply).collect()
}

/// The faults that last at the moment
#[utoipa::path(
    get, path = "/v1/faults", tag = "tokens", security(("token" = [])),
    responses((status = 200, description = "The faults", body = Faults), Guarded)
)]
pub(super) async fn faults(State(control): State<Control>) -> Reply<Faults> {
    Reply(Faults { faults: faults_of(&control) })
}

/// Makes requests for tokens go wrong
///
/// In place of the fault that the service has. Discovery and keys are answered as ever.
#[utoipa::path(
    put, path = "/v1/faults/{service}", tag = "tokens", security(("token" = [])),
    params(("service" = Service, Path, description = "entra or managed-identity")),
    request_body = NewFault,
    responses((status = 204, description = "From now on it goes wrong"), Guarded, BadBody, NotThere)
)]
pub(super) async fn put_fault(
    State(control): State<Control>,
    Path(service): Path<Service>,
    Json(new): Json<NewFault>,
) -> Result<StatusCode, Problem> {
    let (fault, lasts) = new.checked()?;
    control.set_fault(service, fault, lasts)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lets a service give out tokens again
#[utoipa::path(
    delete, path = "/v1/faults/{service}", tag = "tokens", security(("token" = [])),
    params(("service" = Service, Path, description = "entra or managed-identity")),
    responses((status = 204, description = "It has no fault"), Guarded, NotThere)
)]
pub(super) async fn delete_fault(
    State(control): State<Control>,
    Path(service): Path<Service>,
) -> Result<StatusCode, Problem> {
    if service == Service::Redis {
        return Err(crate::Error::NoTokensThere.into());
    }
    control.clear_fault(service);
    Ok(StatusCode::NO_CONTENT)
}

/// The keys whose tokens are good.
#[derive(Serialize, ToSchema)]
pub(super) struct SigningKeys {
    /// Their names (`kid`), the one that signs now first
    keys: Vec<String>,
}

/// How the signing key is to be rotated.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rotation {
    /// For how long tokens of the key before stay good, at most a year; without it a day
    honoured_seconds: Option<u64>,
}

/// The keys whose tokens are good
#[utoipa::path(
    get, path = "/v1/signing-keys", tag = "tokens", security(("token" = [])),
    responses((status = 200, description = "The keys", body = SigningKeys), Guarded)
)]
pub(super) async fn signing_keys(State(control): State<Control>) -> Reply<SigningKeys> {
    Reply(SigningKeys { keys: control.signing_keys() })
}

/// From now on another key signs
#[utoipa::path(
    post, path = "/v1/signing-keys", tag = "tokens", security(("token" = [])),
    request_body = Option<Rotation>,
    responses((status = 201, description = "The keys", body = SigningKeys), Guarded, BadBody)
)]
pub(super) async fn rotate_signing_key(
    State(control): State<Control>,
    rotation: Option<Json<Rotation>>,
) -> Result<(StatusCode, Reply<SigningKeys>), Problem> {
    let Rotation { honoured_seconds } = rotation.map(|Json(rotation)| rotation).unwrap_or_default();
    let honoured = honoured_seconds.unwrap_or(HONOURED.as_secs());
    let honoured = Duration::from_secs(at_most("honoured_seconds", honoured, LONGEST.as_secs())?);
    act(control, move |control| {
        control.rotate_signing_key(honoured)?;
        Ok((StatusCode::CREATED, Reply(SigningKeys { keys: control.signing_keys() })))
    })
    .await
}

/// How wrong the clock is that tokens are dated by.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Clock {
    /// Seconds that tokens are dated into the future; negative for the past. Ten years at most
    shift_seconds: i64,
}

/// The clock that tokens are dated by
#[utoipa::path(
    get, path = "/v1/clock", tag = "tokens", security(("token" = [])),
    responses((status = 200, description = "The clock", body = Clock), Guarded)
)]
pub(super) async fn clock(State(control): State<Control>) -> Reply<Clock> {
    Reply(Clock { shift_seconds: control.clock_shift() })
}

/// Dates tokens as if the clock of whoever issues them were wrong
///
/// The cache's own clock stays right.
#[utoipa::path(
    put, path = "/v1/clock", tag = "tokens", security(("token" = [])),
    request_body = Clock,
    responses((status = 200, description = "The clock", body = Clock), Guarded, BadBody)
)]
pub(super) async fn put_clock(
    State(control): State<Control>,
    Json(clock): Json<Clock>,
) -> Result<Reply<Clock>, Problem> {
    at_most("shift_seconds", clock.shift_seconds.unsigned_abs(), FARTHEST_SHIFT)?;
    control.shift_clock(clock.shift_seconds);
    Ok(Reply(clock))
}

/// What a server presents to new connections.
#[derive(Serialize, ToSchema)]
pub(super) struct Certificate {
    service: Service,
    presents: Presented,
}

/// What the servers present to new connections. The managed identity endpoint speaks plain HTTP.
#[derive(Serialize, ToSchema)]
pub(super) struct Certificates {
    certificates: Vec<Certificate>,
}

/// What a server is to present.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CertificateChange {
    presents: Presented,
}

pub(super) fn certificates_of(control: &Control) -> Vec<Certificate> {
    let reply = |service| control.presented(service).map(|presents| Certificate { service, presents });
    [Service::Entra, Service::Redis].into_iter().filter_map(reply).collect()
}

/// The certificates
#[utoipa::path(
    get, path = "/v1/certificates", tag = "tokens", security(("token" = [])),
    responses((status = 200, description = "The certificates", body = Certificates), Guarded)
)]
pub(super) async fn certificates(State(control): State<Control>) -> Reply<Certificates> {
    Reply(Certificates { certificates: certificates_of(&control) })
}

/// From now on a server presents another certificate to new connections
#[utoipa::path(
    put, path = "/v1/certificates/{service}", tag = "tokens", security(("token" = [])),
    params(("service" = Service, Path, description = "entra or redis")),
    request_body = CertificateChange,
    responses((status = 200, description = "The certificate", body = Certificate), Guarded, BadBody, NotThere)
)]
pub(super) async fn put_certificate(
    State(control): State<Control>,
    Path(service): Path<Service>,
    Json(CertificateChange { presents }): Json<CertificateChange>,
) -> Result<Reply<Certificate>, Problem> {
    act(control, move |control| {
        control.present(service, presents)?;
        Ok(Reply(Certificate { service, presents }))
    })
    .await
}
