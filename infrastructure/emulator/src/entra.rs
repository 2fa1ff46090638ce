//! Microsoft Entra ID: discovery, keys and the token endpoints, as far as signing in to Redis asks for them.

pub(crate) mod assertion;

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::Error;
use crate::azure::{self, EntraError};
use crate::credentials::ISSUER_PATH;
use crate::directory::{ClientId, Credential, Identity};
use crate::events::{Flow, Service};
use crate::http::{Answer, Answers, Body, Outcome, Request, cut_long};
use crate::tenant::Tenant;

/// Entra ID of one directory.
pub(crate) struct Entra {
    pub(crate) tenant: Arc<Tenant>,
    pub(crate) hosts: Hosts,
}

/// The names under which Entra ID is reached: this machine's, and through the proxy those of Microsoft's clouds.
#[derive(Clone, Copy)]
pub(crate) struct Hosts {
    pub(crate) port: u16,
}

/// Why there is no token, with what the log should say beyond Entra's own words.
pub(crate) struct NoToken {
    pub(crate) error: EntraError,
    pub(crate) why: String,
}

/// The two token endpoints. The older asks for a `resource`, the newer for a `scope`.
#[derive(Clone, Copy)]
enum Version {
    V1,
    V2,
}

impl From<EntraError> for NoToken {
    fn from(error: EntraError) -> Self {
        NoToken { why: error.text.clone(), error }
    }
}

/// This machine's names.
pub(crate) const LOCAL: &[&str] = &["localhost", "127.0.0.1", "[::1]"];

fn is_one_of(names: &[&str], name: &str) -> bool {
    names.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// The name of a host, and its port if there is one.
fn name_and_port(host: &str) -> (&str, Option<&str>) {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (host, None),
    }
}

impl Hosts {
    /// Whether `host`, with its port if it has one, is a name of this Entra ID.
    pub(crate) fn are_ours(&self, host: &str) -> bool {
        let (name, port) = name_and_port(host);
        let port = port.map_or(Some(443), |port| port.parse().ok());
        (is_one_of(LOCAL, name) && port == Some(self.port))
            || (is_one_of(azure::ENTRA_HOSTS, name) && (port == Some(443) || port == Some(self.port)))
    }

    /// The same, but MSAL leaves out the port when it asks whether it may trust a host.
    fn may_be_trusted(host: &str) -> bool {
        let (name, _) = name_and_port(host);
        is_one_of(LOCAL, name) || is_one_of(azure::ENTRA_HOSTS, name)
    }

    /// The authority to name in an answer to somebody who asked `host`.
    pub(crate) fn authority(&self, host: &str) -> String {
        if self.are_ours(host) { format!("https://{host}") } else { format!("https://localhost:{}", self.port) }
    }
}

impl Answers for Entra {
    fn bears_faults_of(&self, request: &Request) -> Option<Service> {
        request.path.trim_end_matches('/').ends_with("/token").then_some(Service::Entra)
    }

    fn answer(&self, request: &Request) -> Answer {
        let segments: Vec<&str> = request.path.split('/').filter(|segment| !segment.is_empty()).collect();
        match segments.as_slice() {
            // The cluster's issuer is another service.
            [ISSUER_PATH, ..] => self.issuer(request, &segments[1..]),
            _ => with_request_id(self.answer_of_entra(request, &segments)),
        }
    }

    fn fail(&self, request: &Request, status: u16) -> Answer {
        let refused = NoToken { error: EntraError::failing(status), why: azure::ON_PURPOSE.to_owned() };
        with_request_id(refusal(request, refused))
    }
}

/// Gives an answer the id by which Entra ID's log knows it.
fn with_request_id(mut answer: Answer) -> Answer {
    let id = match &answer.body {
        Body::Json(body) => body["trace_id"].as_str().map(str::to_owned),
        Body::Printed(_) | Body::Text(_) => None,
    };
    answer.headers.push((azure::REQUEST_ID, id.unwrap_or_else(|| Uuid::new_v4().to_string())));
    answer
}

impl Entra {
    /// The issuer of the cluster's tokens, which this server plays too.
    fn issuer(&self, request: &Request, segments: &[&str]) -> Answer {
        match segments {
            [".well-known", "openid-configuration"] => {
                Answer::ok(self.tenant.credentials.issuer.openid_configuration())
            }
            ["openid", "v1", "jwks"] => match self.tenant.credentials.issuer.published_keys() {
                Ok(keys) => Answer::ok(keys),
                Err(error) => unable(&error),
            },
            _ => Answer::not_found(request),
        }
    }

    fn answer_of_entra(&self, request: &Request, segments: &[&str]) -> Answer {
        let token = |version| self.token(request, version).unwrap_or_else(|refused| refusal(request, refused));
        match segments {
            ["common", "discovery", "instance"] => self.instance(request),
            [tenant, "v2.0", ".well-known", "openid-configuration"] => self.with_tenant(request, tenant, |tenant| {
                Answer::ok(azure::openid_configuration(&self.hosts.authority(&request.host), tenant))
            }),
            ["common", "discovery", "keys"] => self.published_keys(None),
            ["common", "discovery", "v2.0", "keys"] => self.published_keys(Some("{tenantid}")),
            [tenant, "discovery", "keys"] => self.with_tenant(request, tenant, |_| self.published_keys(None)),
            [tenant, "discovery", "v2.0", "keys"] => {
                self.with_tenant(request, tenant, |tenant| self.published_keys(Some(&tenant.to_string())))
            }
            [tenant, "oauth2", "token"] => self.with_tenant(request, tenant, |_| token(Version::V1)),
            [tenant, "oauth2", "v2.0", "token"] => self.with_tenant(request, tenant, |_| token(Version::V2)),
            _ => Answer::not_found(request),
        }
    }

    fn with_tenant(&self, request: &Request, name: &str, answer: impl FnOnce(Uuid) -> Answer) -> Answer {
        let known = self.tenant.directory().tenant_id;
        match Uuid::try_parse(name) {
            Ok(tenant) if tenant == known => answer(tenant),
            _ => {
                let why = format!("the only tenant here is {known}: check AZURE_TENANT_ID");
                refusal(request, NoToken { error: EntraError::unknown_tenant(&cut_long(name, 64)), why })
            }
        }
    }

    fn instance(&self, request: &Request) -> Answer {
        // MSAL asks whether it may trust the host of an authority. Ours, and the names of the clouds, it may.
        let asked = request.query("authorization_endpoint").unwrap_or_default();
        let host = asked.strip_prefix("https://").and_then(|rest| rest.split('/').next()).unwrap_or_default();
        if !Hosts::may_be_trusted(host) {
            let why = format!("instance discovery for '{}', which is not this authority", cut_long(asked, 128));
            return refusal(request, NoToken { error: EntraError::unknown_instance(), why });
        }
        let tenant = asked.split('/').nth(3).filter(|tenant| !tenant.is_empty()).unwrap_or("common");
        Answer::ok(azure::instance_discovery(&self.hosts.authority(host), tenant))
    }

    /// The key set of version 2.0 for a tenant, or that of version 1.0.
    fn published_keys(&self, tenant: Option<&str>) -> Answer {
        let issuer = tenant.map(|tenant| format!("https://login.microsoftonline.com/{tenant}/v2.0"));
        match self.tenant.keys.key_set() {
            Ok(keys) => {
                let keys: Vec<_> = keys.iter().map(|key| key.jwk(issuer.as_deref())).collect();
                Answer::ok(json!({ "keys": keys }))
            }
            Err(error) => unable(&error),
        }
    }

    fn token(&self, request: &Request, version: Version) -> Result<Answer, NoToken> {
        if request.method != "POST" {
            return Err(EntraError::only_post(&request.method).into());
        }
        if !request.is_form {
            let why = "the request's content type is not application/x-www-form-urlencoded".to_owned();
            return Err(NoToken { error: EntraError::malformed_request(), why });
        }
        let required = |name: &str| request.form(name).ok_or_else(|| EntraError::missing_parameter(name));
        let grant = required("grant_type")?;
        if grant != "client_credentials" {
            return Err(EntraError::unsupported_grant(&cut_long(grant, 64)).into());
        }
        let basic = basic_credentials(request);
        let client_id = request
            .form("client_id")
            .or(basic.as_ref().map(|(id, _)| id.as_str()))
            .ok_or_else(|| EntraError::missing_parameter("client_id"))?;
        let asked = required(match version {
            Version::V1 => "resource",
            Version::V2 => "scope",
        })?;
        let directory = self.tenant.directory();
        let Some((identity, credentials)) =
            client_id.parse::<ClientId>().ok().and_then(|id| directory.service_principal(id))
        else {
            let error = EntraError::unknown_client(&cut_long(client_id, 64));
            let why = format!("no application has the client id {}: check AZURE_CLIENT_ID", cut_long(client_id, 64));
            return Err(NoToken { error, why });
        };
        let resource = match version {
            Version::V1 => asked,
            Version::V2 => resource_of_scope(asked)?,
        };
        let flow = match request.form("client_assertion") {
            Some(assertion) => {
                if required("client_assertion_type")? != azure::JWT_BEARER {
                    let why = format!("client_assertion_type must be {}", azure::JWT_BEARER);
                    return Err(NoToken { error: EntraError::unknown_assertion_type(), why });
                }
                let check = assertion::Check {
                    tenant_id: directory.tenant_id,
                    hosts: &self.hosts,
                    credentials: &self.tenant.credentials,
                    application: identity,
                    registered: credentials,
                    now: OffsetDateTime::now_utc(),
                };
                check.check(assertion)?
            }
            None => {
                let sent = request
                    .form("client_secret")
                    .or(basic.as_ref().map(|(_, secret)| secret.as_str()))
                    .ok_or_else(EntraError::no_client_credential)?;
                check_secret(identity, credentials, sent)?
            }
        };
        if !azure::is_known_resource(resource) {
            return Err(EntraError::unknown_resource(&cut_long(resource, 128)).into());
        }
        let token = self.tenant.issue(identity, flow, resource);
        let body = match version {
            Version::V1 => azure::entra_token_v1(&token, resource),
            Version::V2 => azure::entra_token_v2(&token),
        };
        Ok(Answer::new(200, body, Outcome::issued(identity, flow, resource, &token)))
    }
}

fn unable(error: &Error) -> Answer {
    Answer::new(500, json!({ "error": error.to_string() }), Outcome::Neither)
}

/// The resource that a scope names, with what OpenID Connect adds left out.
fn resource_of_scope(scope: &str) -> Result<&str, EntraError> {
    let mut of_resources = scope.split_whitespace().filter(|scope| !azure::OPENID_SCOPES.contains(scope));
    match (of_resources.next().and_then(|scope| scope.strip_suffix("/.default")), of_resources.next()) {
        (Some(resource), None) => Ok(resource),
        (_, Some(_)) => Err(EntraError::several_resources(&cut_long(scope, 128))),
        (None, None) => Err(EntraError::scope_without_default(&cut_long(scope, 128))),
    }
}

fn check_secret(identity: &Identity, credentials: &[Credential], sent: &str) -> Result<Flow, NoToken> {
    let is_right = |credential: &Credential| matches!(credential, Credential::Secret(secret) if verify_slices_are_equal(sent.as_bytes(), secret.as_bytes()).is_ok());
    if !credentials.iter().any(is_right) {
        let why = format!("wrong client secret for {}: check AZURE_CLIENT_SECRET", identity.name);
        return Err(NoToken { error: EntraError::wrong_secret(&identity.client_id.to_string()), why });
    }
    Ok(Flow::ClientSecret)
}

fn basic_credentials(request: &Request) -> Option<(String, String)> {
    let encoded = request.header("authorization")?.strip_prefix("Basic ")?;
    let text = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    Some((id.to_owned(), secret.to_owned()))
}

fn refusal(request: &Request, NoToken { error, why }: NoToken) -> Answer {
    let flow = match request.form("client_assertion") {
        Some(assertion) => assertion::flow(assertion),
        None => (request.form("client_secret").is_some() || request.header("authorization").is_some())
            .then_some(Flow::ClientSecret),
    };
    let outcome = Outcome::Refused {
        flow,
        client_id: request.form("client_id").map(|id| cut_long(id, 64)),
        error: error.error.to_owned(),
        code: Some(format!("AADSTS{}", error.code)),
        why,
    };
    let correlation_id = request.header("client-request-id").or(request.query("client-request-id"));
    Answer::new(error.status, error.body(correlation_id), outcome)
}
