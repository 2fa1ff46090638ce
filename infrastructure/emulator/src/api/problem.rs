//! Why a request was refused, in the form of RFC 9457: what, why, and what to do.

use axum::extract::rejection::JsonRejection;
use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use serde::Serialize;
use utoipa::{IntoResponses, ToSchema};

use super::LARGEST_BODY;
use crate::Error;

/// Why a request was refused, or failed.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Problem {
    /// Names the kind of problem for programs, for example `urn:amr-emulator:unknown-identity`.
    #[serde(rename = "type")]
    kind: String,
    /// The kind of problem in words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What is wrong here, why, and what to do.
    detail: String,
}

/// What the description says of requests that have a body.
#[derive(IntoResponses)]
#[allow(dead_code, reason = "only described")]
pub(super) enum BadBody {
    /// The body is no JSON
    #[response(status = 400, content_type = "application/problem+json")]
    NoJson(#[to_schema] Problem),
    /// The body did not come in time
    #[response(status = 408, content_type = "application/problem+json")]
    Slow(#[to_schema] Problem),
    /// The body is larger than 64 KiB
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(#[to_schema] Problem),
    /// The header Content-Type does not say application/json
    #[response(status = 415, content_type = "application/problem+json")]
    OtherType(#[to_schema] Problem),
    /// The body asks for something that can't be, or has a field that nobody knows
    #[response(status = 422, content_type = "application/problem+json")]
    Wrong(#[to_schema] Problem),
}

/// What the description says of paths with a name in them.
#[derive(IntoResponses)]
#[allow(dead_code, reason = "only described")]
pub(super) enum NotThere {
    /// There is nothing of that name
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(#[to_schema] Problem),
}

/// What the description says of requests with a query.
#[derive(IntoResponses)]
#[allow(dead_code, reason = "only described")]
pub(super) enum BadQuery {
    /// The query asks for something that can't be, or has a parameter that nobody knows
    #[response(status = 422, content_type = "application/problem+json")]
    Wrong(#[to_schema] Problem),
}

/// What the description says of changes that depend on how things are.
#[derive(IntoResponses)]
#[allow(dead_code, reason = "only described")]
pub(super) enum Conflicting {
    /// It can't be, as things are now
    #[response(status = 409, content_type = "application/problem+json")]
    Conflict(#[to_schema] Problem),
}

/// What the description says of changes that need an engine.
#[derive(IntoResponses)]
#[allow(dead_code, reason = "only described")]
pub(super) enum Failing {
    /// The engine, or a file, did not do as it should
    #[response(status = 500, content_type = "application/problem+json")]
    Failed(#[to_schema] Problem),
}

impl Problem {
    pub(super) fn new(status: StatusCode, kind: &str, title: &'static str, detail: impl Into<String>) -> Self {
        let kind = format!("urn:amr-emulator:{kind}");
        Problem { kind, title, status: status.as_u16(), detail: detail.into() }
    }

    /// The request was understood, but can't be done as it is.
    pub(super) fn wrong(detail: impl Into<String>) -> Self {
        let title = "The request asks for something that can't be";
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "wrong-content", title, detail)
    }

    pub(super) fn not_there(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "There is no such thing", detail)
    }

    pub(super) fn no_resource() -> Self {
        let detail = "no resource has this path; GET /v1/openapi.json describes all there are";
        Self::new(StatusCode::NOT_FOUND, "unknown-resource", "There is no such resource", detail)
    }

    pub(super) fn no_method() -> Self {
        let detail = "the resource does not have this method; the header Allow names those that it has";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "unknown-method", "The resource has other methods", detail)
    }

    pub(super) fn too_large() -> Self {
        let detail = format!("the body has more than {LARGEST_BODY} bytes; no request of this API needs that many");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The body is too large", detail)
    }

    pub(super) fn slow() -> Self {
        let detail = "the body did not come in time; check Content-Length and the connection";
        Self::new(StatusCode::REQUEST_TIMEOUT, "slow-body", "The body did not come in time", detail)
    }

    pub(super) fn broken(detail: impl Into<String>) -> Self {
        let title = "The emulator could not do it";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "failed", title, detail)
    }

    #[cfg(test)]
    pub(super) fn status(&self) -> u16 {
        self.status
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, axum::Json(self)).into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        let (status, says) = (rejection.status(), rejection.body_text());
        // What the JSON library says comes after what axum says of it.
        let says = says.split_once(": ").map_or(says.as_str(), |(_, says)| says);
        match status {
            StatusCode::UNPROCESSABLE_ENTITY => Problem::wrong(says),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                let detail = "send JSON, and say so with the header 'Content-Type: application/json'";
                Problem::new(status, "not-json", "The body is not said to be JSON", detail)
            }
            _ => Problem::new(StatusCode::BAD_REQUEST, "bad-json", "The body is no JSON", says),
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        use StatusCode as Status;
        let (status, kind, title) = match &error {
            Error::UnknownIdentity { .. } => (Status::NOT_FOUND, "unknown-identity", "There is no such identity"),
            Error::UnknownAssignment { .. } => (Status::NOT_FOUND, "unknown-assignment", "There is no such assignment"),
            Error::UnknownShard { .. } => (Status::NOT_FOUND, "unknown-shard", "There is no such shard"),
            Error::NoTokensThere => (Status::NOT_FOUND, "no-tokens-there", "That service gives out no tokens"),
            Error::NoTlsThere => (Status::NOT_FOUND, "no-tls-there", "That service has no certificate"),
            Error::DuplicateAssignment { .. } => {
                (Status::CONFLICT, "duplicate-assignment", "The principal has an assignment already")
            }
            Error::AssignmentOfAnother { .. } => {
                (Status::CONFLICT, "assignment-of-another", "The assignment belongs to another principal")
            }
            Error::IdentityConflict { .. } => {
                (Status::CONFLICT, "identity-conflict", "The identity can't be told from another")
            }
            Error::AccessKeysOff => (Status::CONFLICT, "access-keys-off", "Access keys are off"),
            Error::EngineStopped => (Status::CONFLICT, "engine-stopped", "The engine is stopped"),
            Error::InvalidAccessString { .. } => {
                (Status::UNPROCESSABLE_ENTITY, "invalid-access-string", "The access string is not one")
            }
            Error::AssignmentName { .. } => {
                (Status::UNPROCESSABLE_ENTITY, "invalid-assignment-name", "The name is none for an assignment")
            }
            Error::Identity { .. }
            | Error::Certificate { .. }
            | Error::NoPfx { .. }
            | Error::Hosting { .. }
            | Error::NoManagedIdentity { .. }
            | Error::Lifetime { .. }
            | Error::FaultStatus { .. }
            | Error::ClusteringPolicy { .. }
            | Error::Configuration { .. } => return Problem::wrong(error.to_string()),
            _ => return Problem::broken(error.to_string()),
        };
        Problem::new(status, kind, title, error.to_string())
    }
}
