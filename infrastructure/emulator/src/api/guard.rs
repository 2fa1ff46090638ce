//! Who may call: programs on this machine that know the token of this run. A web page in a browser on this machine is no such
//! program, even if it has its own name resolve to this address (DNS rebinding): the headers Host and Origin give it away.

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use hyper::header::{AUTHORIZATION, CACHE_CONTROL, HOST, HeaderValue, ORIGIN, WWW_AUTHENTICATE};
use utoipa::IntoResponses;

use super::problem::Problem;

/// The name of the token in the description.
pub(super) const SCHEME: &str = "token";

/// What a request must show.
pub(super) struct Guard {
    token: String,
    /// By which names a client on this machine calls us.
    hosts: [String; 3],
}

/// What the description says of it at every route.
#[derive(IntoResponses)]
#[allow(dead_code, reason = "only described")]
pub(super) enum Guarded {
    /// No token, or not the token of this run
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthorized(#[to_schema] Problem),
    /// The request is for another host, or comes from a web page
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(#[to_schema] Problem),
}

impl Guard {
    pub(super) fn new(token: String, port: u16) -> Self {
        Guard { token, hosts: ["localhost", "127.0.0.1", "[::1]"].map(|host| format!("{host}:{port}")) }
    }

    fn check(&self, request: &Request) -> Result<(), Problem> {
        let headers = request.headers();
        let is_ours = |host: &str| self.hosts.iter().any(|ours| ours.eq_ignore_ascii_case(host));
        let host_is_ours = |host: &HeaderValue| host.to_str().is_ok_and(is_ours);
        let mut hosts = headers.get_all(HOST).iter();
        let is_for_us = matches!((hosts.next(), hosts.next()), (Some(host), None) if host_is_ours(host))
            && request.uri().authority().is_none_or(|authority| is_ours(authority.as_str()));
        if !is_for_us {
            return Err(self.forbidden("the header Host names another host or port"));
        }
        let origin_is_ours = |origin: &HeaderValue| {
            origin.to_str().ok().and_then(|origin| origin.strip_prefix("http://")).is_some_and(is_ours)
        };
        if !headers.get_all(ORIGIN).iter().all(origin_is_ours) {
            return Err(self.forbidden("the header Origin names another site: web pages may not change an emulator"));
        }
        let mut authorizations = headers.get_all(AUTHORIZATION).iter();
        let token = match (authorizations.next(), authorizations.next()) {
            (Some(value), None) => value.as_bytes().split_first_chunk::<7>(),
            _ => None,
        };
        match token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer ")).map(|(_, token)| token) {
            None => Err(unauthorized("the request has no header 'Authorization: Bearer TOKEN'")),
            Some(token) if verify_slices_are_equal(token, self.token.as_bytes()).is_ok() => Ok(()),
            Some(_) => Err(unauthorized("the token is not that of this run of the emulator")),
        }
    }

    fn forbidden(&self, why: &str) -> Problem {
        let detail = format!("{why}. Call http://{} from a program on this machine", self.hosts[1]);
        Problem::new(StatusCode::FORBIDDEN, "forbidden", "The request is not for this emulator", detail)
    }
}

fn unauthorized(why: &str) -> Problem {
    let detail = format!(
        "{why}. Below `amr-emulator exec` it is in AMR_EMULATOR_CONTROL_TOKEN; of an emulator that runs by itself it is in the file \
         control.env in its state folder"
    );
    Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", "The token of this run is needed", detail)
}

/// Lets through who may call.
pub(super) async fn guard(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let mut response = match guard.check(&request) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    let is_unauthorized = response.status() == StatusCode::UNAUTHORIZED;
    let headers = response.headers_mut();
    if is_unauthorized {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    // Access keys and client secrets are in some replies.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(headers: &[(&str, &str)]) -> Option<u16> {
        let mut request = Request::builder().uri("/v1/status");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(axum::body::Body::empty()).unwrap();
        Guard::new("right".to_owned(), 7).check(&request).err().map(|problem| problem.status())
    }

    #[test]
    fn only_a_local_program_with_the_token_is_let_through() {
        let (host, token) = (("host", "localhost:7"), ("authorization", "Bearer right"));
        for host in ["localhost:7", "LOCALHOST:7", "127.0.0.1:7", "[::1]:7"] {
            assert_eq!(status(&[("host", host), token]), None, "{host}");
        }
        assert_eq!(status(&[host, token, ("origin", "http://localhost:7")]), None);
        assert_eq!(status(&[host, ("authorization", "bearer right")]), None);
        for host in
            ["", "localhost", "localhost:8", "evil.example", "evil.example:7", "127.0.0.1:7.evil.example", "::1:7"]
        {
            assert_eq!(status(&[("host", host), token]), Some(403), "{host}");
        }
        assert_eq!(status(&[token]), Some(403));
        assert_eq!(status(&[host, ("host", "evil.example"), token]), Some(403));
        for origin in ["null", "http://evil.example", "https://localhost:7", "http://localhost", "http://localhost:8"] {
            assert_eq!(status(&[host, token, ("origin", origin)]), Some(403), "{origin}");
        }
        for wrong in ["", "right", "Bearer", "Bearer ", "Bearer wrong", "Bearer right ", "Bearer  right", "Basic right"]
        {
            assert_eq!(status(&[host, ("authorization", wrong)]), Some(401), "{wrong}");
        }
        assert_eq!(status(&[host]), Some(401));
        assert_eq!(status(&[host, token, ("authorization", "Bearer wrong")]), Some(401));
    }

    #[test]
    fn a_request_line_may_name_no_other_host_either() {
        let request = Request::builder().uri("http://evil.example/v1/status").header("host", "localhost:7");
        let request = request.header("authorization", "Bearer right").body(axum::body::Body::empty()).unwrap();
        assert!(Guard::new("right".to_owned(), 7).check(&request).is_err());
    }
}
