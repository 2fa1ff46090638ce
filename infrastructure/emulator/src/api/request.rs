//! How requests are read: what is wrong in them is told as a [`Problem`], and what nobody knows is refused.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequest, FromRequestParts, OptionalFromRequest, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE};
use hyper::http::request::Parts;
use serde::de::DeserializeOwned;

use super::LARGEST_BODY;
use super::problem::Problem;

/// How long a client may take to send a body.
const BODY_TIME: Duration = Duration::from_secs(5);

/// Reads the whole body before anything is answered, needed or not. After an answer that came before the end of the body the
/// connection is closed, and a client that has sent its next request over it only learns that it failed.
pub(super) async fn read_whole(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    // One that says so beforehand need not even be read.
    let length = parts.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let read = match length.is_some_and(|length| length > LARGEST_BODY as u64) {
        true => Err(Problem::too_large()),
        false => match tokio::time::timeout(BODY_TIME, to_bytes(body, LARGEST_BODY)).await {
            Ok(Ok(body)) => Ok(body),
            Ok(Err(_)) => Err(Problem::too_large()),
            Err(_) => Err(Problem::slow()),
        },
    };
    match read {
        Ok(body) => next.run(Request::from_parts(parts, Body::from(body))).await,
        Err(problem) => ([(CONNECTION, "close")], problem).into_response(),
    }
}

/// A body in JSON.
pub(super) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let axum::Json(body) = <axum::Json<T> as FromRequest<S>>::from_request(request, state).await?;
        Ok(Json(body))
    }
}

/// For requests that may have none.
impl<T: DeserializeOwned, S: Send + Sync> OptionalFromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Option<Self>, Problem> {
        if !request.headers().contains_key(CONTENT_TYPE) {
            return Ok(None);
        }
        <Self as FromRequest<S>>::from_request(request, state).await.map(Some)
    }
}

/// What stands in the path in place of `{…}`.
pub(super) struct Path<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Path::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Path(value)),
            Err(rejection) => {
                let says = rejection.body_text();
                let says = says.strip_prefix("Invalid URL: ").unwrap_or(&says);
                Err(Problem::not_there(format!("the path names nothing that there is: {says}")))
            }
        }
    }
}

/// The query.
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Query::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(value)) => Ok(Query(value)),
            Err(rejection) => Err(Problem::wrong(rejection.body_text())),
        }
    }
}

/// A number that is not too large to be meant.
pub(super) fn at_most(name: &str, number: u64, most: u64) -> Result<u64, Problem> {
    if number <= most {
        Ok(number)
    } else {
        Err(Problem::wrong(format!("{name} is {number}; it can be {most} at most")))
    }
}
