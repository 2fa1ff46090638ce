//! Microsoft Entra ID: discovery, keys and the token endpoint, as far as signing in to Redis asks for them.

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use uuid::Uuid;

use crate::azure::{self, EntraError};
use crate::directory::{ClientId, Credential, Identity};
use crate::events::Flow;
use crate::http::{Answer, Outcome, Request, cut_long};
use crate::tenant::Tenant;

/// Entra ID of one directory.
pub(crate) struct Entra {
    pub(crate) tenant: Arc<Tenant>,
    /// Where it is reached: `https://localhost:PORT`.
    pub(crate) authority: String,
}

/// Why there is no token, with what the log should say beyond Entra's own words.
struct NoToken {
    error: EntraError,
    why: String,
}

impl From<EntraError> for NoToken {
    fn from(error: EntraError) -> Self {
        NoToken { why: error.text.clone(), error }
    }
}

impl Entra {
    pub(crate) fn answer(&self, request: &Request) -> Answer {
        let segments: Vec<&str> = request.path.split('/').filter(|segment| !segment.is_empty()).collect();
        match segments.as_slice() {
            ["common", "discovery", "instance"] => self.instance(request),
            [tenant, "v2.0", ".well-known", "openid-configuration"] => self.with_tenant(request, tenant, |tenant| {
                Answer::ok(azure::openid_configuration(&self.authority, tenant))
            }),
            ["common", "discovery", "keys"] | ["common", "discovery", "v2.0", "keys"] => {
                self.published_keys("{tenantid}")
            }
            [tenant, "discovery", "keys"] | [tenant, "discovery", "v2.0", "keys"] => {
                self.with_tenant(request, tenant, |tenant| self.published_keys(&tenant.to_string()))
            }
            [tenant, "oauth2", "v2.0", "token"] => self.with_tenant(request, tenant, |_| match self.token(request) {
                Ok(answer) => answer,
                Err(refused) => refusal(request, refused),
            }),
            _ => Answer::not_found(&format!("{} {}", request.method, cut_long(&request.path, 256))),
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
        let known = format!("https://{host}") == self.authority
            || host.split(':').next().is_some_and(|name| name == "login.microsoftonline.com" || name == "127.0.0.1");
        if !known {
            let why = format!("instance discovery for '{}', which is not this authority", cut_long(asked, 128));
            return refusal(request, NoToken { error: EntraError::unknown_instance(), why });
        }
        let tenant = asked.split('/').nth(3).filter(|tenant| !tenant.is_empty()).unwrap_or("common");
        Answer::ok(azure::instance_discovery(&self.authority, tenant))
    }

    fn published_keys(&self, tenant: &str) -> Answer {
        let issuer = format!("https://login.microsoftonline.com/{tenant}/v2.0");
        let keys: Vec<_> = self.tenant.keys.published().iter().map(|key| key.jwk(&issuer)).collect();
        Answer::ok(json!({ "keys": keys }))
    }

    fn token(&self, request: &Request) -> Result<Answer, NoToken> {
        if request.method != "POST" {
            return Err(EntraError::only_post(&request.method).into());
        }
        if !request.is_form {
            let why = "the request's content type is not application/x-www-form-urlencoded".to_owned();
            return Err(NoToken { error: EntraError::malformed_request(), why });
        }
        let grant = request.form("grant_type").ok_or_else(|| EntraError::missing_parameter("grant_type"))?;
        if grant != "client_credentials" {
            return Err(EntraError::unsupported_grant(&cut_long(grant, 64)).into());
        }
        let basic = basic_credentials(request);
        let client_id = request
            .form("client_id")
            .or(basic.as_ref().map(|(id, _)| id.as_str()))
            .ok_or_else(|| EntraError::missing_parameter("client_id"))?;
        let scope = request.form("scope").ok_or_else(|| EntraError::missing_parameter("scope"))?;
        let directory = self.tenant.directory();
        let Some((identity, credentials)) =
            client_id.parse::<ClientId>().ok().and_then(|id| directory.service_principal(id))
        else {
            let error = EntraError::unknown_client(&cut_long(client_id, 64));
            let why = format!("no application has the client id {}: check AZURE_CLIENT_ID", cut_long(client_id, 64));
            return Err(NoToken { error, why });
        };
        let Some(resource) = scope.strip_suffix("/.default") else {
            return Err(EntraError::scope_without_default(&cut_long(scope, 128)).into());
        };
        if request.form("client_assertion").is_some() {
            return Err(EntraError::unregistered_certificate().into());
        }
        let sent = request
            .form("client_secret")
            .or(basic.as_ref().map(|(_, secret)| secret.as_str()))
            .ok_or_else(EntraError::no_client_credential)?;
        let is_right = |credential: &Credential| matches!(credential, Credential::Secret(secret) if verify_slices_are_equal(sent.as_bytes(), secret.as_bytes()).is_ok());
        if !credentials.iter().any(is_right) {
            let why = format!("wrong client secret for {}: check AZURE_CLIENT_SECRET", identity.name);
            return Err(NoToken { error: EntraError::wrong_secret(client_id), why });
        }
        if !azure::is_known_resource(resource) {
            return Err(EntraError::unknown_resource(&cut_long(resource, 128)).into());
        }
        Ok(self.issue(identity, resource, Flow::ClientSecret))
    }

    fn issue(&self, identity: &Identity, resource: &str, flow: Flow) -> Answer {
        let token = self.tenant.issue(identity, flow, resource);
        Answer {
            status: 200,
            body: json!({
                "token_type": "Bearer",
                "expires_in": token.lifetime,
                "ext_expires_in": token.lifetime,
                "access_token": token.jwt,
            }),
            outcome: Outcome::Issued {
                identity: identity.name.clone(),
                object_id: identity.object_id.to_string(),
                client_id: identity.client_id.to_string(),
                flow,
                audience: resource.to_owned(),
                token: token.uti,
                lifetime: token.lifetime,
                expires: token.expires,
            },
        }
    }
}

fn basic_credentials(request: &Request) -> Option<(String, String)> {
    let encoded = request.header("authorization")?.strip_prefix("Basic ")?;
    let text = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    Some((id.to_owned(), secret.to_owned()))
}

fn refusal(request: &Request, NoToken { error, why }: NoToken) -> Answer {
    let flow = (request.form("client_secret").is_some() || request.header("authorization").is_some())
        .then_some(Flow::ClientSecret);
    Answer {
        status: error.status,
        body: error.body(request.header("client-request-id").or(request.query("client-request-id"))),
        outcome: Outcome::Refused {
            flow,
            client_id: request.form("client_id").map(|id| cut_long(id, 64)),
            error: error.error.to_owned(),
            code: Some(format!("AADSTS{}", error.code)),
            why,
        },
    }
}
