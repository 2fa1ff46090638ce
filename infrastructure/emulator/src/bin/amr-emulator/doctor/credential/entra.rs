//! The token endpoint of Entra ID, and what its refusals mean.

use azure_managed_redis_emulator::azure::client::{self as azure, aadsts};
use serde_json::Value;
use ureq::http::Uri;

use super::super::cause::Cause;
use super::http::{Failure, Request, send};
use super::{Attempt, Outcome, sentence, variable};

/// Where an application asks for its token.
pub(super) struct Endpoint {
    pub(super) authority: String,
    pub(super) url: Uri,
    pub(super) tenant: String,
    pub(super) client: String,
}

/// What a refusal's explanation may need.
pub(super) enum Proof<'a> {
    Secret,
    Certificate {
        thumbprint: &'a str,
    },
    /// Issuer, subject and audience of the projected token.
    Federated {
        presented: &'a str,
    },
    /// A person, in the Azure CLI.
    Person,
}

impl Endpoint {
    /// From `AZURE_AUTHORITY_HOST`, `AZURE_TENANT_ID` and `AZURE_CLIENT_ID`; the last two must be there.
    pub(super) fn from_environment() -> Result<Self, Box<Cause>> {
        const HOST: &str = "AZURE_AUTHORITY_HOST";
        let (tenant, client) =
            (variable("AZURE_TENANT_ID").unwrap_or_default(), variable("AZURE_CLIENT_ID").unwrap_or_default());
        let plain = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
        if !plain(&tenant) {
            let why = "a tenant is a GUID or a domain name, and this is neither";
            return Err(Box::new(Cause::bad_setting("AZURE_TENANT_ID", why)));
        }
        let given = variable(HOST).unwrap_or_else(|| azure::AUTHORITY.to_owned());
        let with_scheme = if given.contains("://") { given } else { format!("https://{given}") };
        let bad = |why: &str| Box::new(Cause::bad_setting(HOST, why));
        let parsed: Uri = with_scheme.parse().map_err(|_| bad("it is not a URL"))?;
        let address = parsed.authority().ok_or_else(|| bad("it names no host"))?;
        if parsed.scheme_str() != Some("https") {
            return Err(bad("Azure's libraries take https only"));
        }
        let authority = format!("https://{address}");
        let url = format!("{authority}/{tenant}/oauth2/v2.0/token").parse().map_err(|_| bad("it is not a URL"))?;
        Ok(Endpoint { authority, url, tenant, client })
    }
}

impl Attempt<'_> {
    /// Asks for a token with the client's `proof` in the form fields `with`.
    pub(super) fn ask_entra(&mut self, endpoint: &Endpoint, with: &[(&str, &str)], proof: Proof<'_>) -> Outcome {
        let mut form = vec![
            ("grant_type", "client_credentials"),
            ("client_id", endpoint.client.as_str()),
            ("scope", azure::REDIS_SCOPE),
        ];
        form.extend_from_slice(with);
        let request = Request { url: &endpoint.url, headers: &[("accept", "application/json")], form: Some(&form) };
        let reply = match send(self.case, self.secrets, &request) {
            Ok(reply) => reply,
            Err(failure) => return Outcome::failed(self.no_answer(endpoint, failure)),
        };
        if reply.clock.is_some() {
            *self.clock = reply.clock;
        }
        match (reply.status, reply.token, reply.json.as_ref().and_then(refusal)) {
            (200, Some(text), _) => {
                Outcome::Token { text, note: format!("for {}, from {}", endpoint.client, endpoint.authority) }
            }
            (_, _, Some((code, said))) => {
                Outcome::failed(refused(code, &said, &endpoint.tenant, &endpoint.client, proof))
            }
            _ => Outcome::failed(Cause::bad_token_answer(&endpoint.authority, &reply.words)),
        }
    }

    fn no_answer(&self, endpoint: &Endpoint, failure: Failure) -> Cause {
        let authority = &endpoint.authority;
        match failure {
            Failure::Unreachable(why) => Cause::entra_unreachable(authority, &why),
            Failure::NotPermitted => Cause::bad_setting("AZURE_AUTHORITY_HOST", "that is no address of Entra ID"),
            Failure::NotTrusted(why) => Cause::entra_not_trusted(authority, &why, &self.case.trust.source),
            Failure::Proxy(proxy, why) => Cause::proxy(&proxy, endpoint.url.host().unwrap_or_default(), &why),
            Failure::Setting(variable, why) => Cause::bad_setting(variable, &why),
            Failure::NotHttp(why) => Cause::bad_token_answer(authority, &why),
        }
    }
}

/// Number and text of an error of Entra ID, if the answer is one.
pub(super) fn refusal(json: &Value) -> Option<(Option<u32>, String)> {
    let description = json["error_description"].as_str().or(json["error"].as_str())?;
    let code =
        json["error_codes"][0].as_u64().and_then(|code| u32::try_from(code).ok()).or_else(|| code_in(description));
    Some((code, said(description)))
}

/// The number behind the first "AADSTS".
pub(super) fn code_in(text: &str) -> Option<u32> {
    let (_, from) = text.split_once("AADSTS")?;
    let digits = from.find(|c: char| !c.is_ascii_digit()).unwrap_or(from.len());
    from[..digits].parse().ok()
}

/// The text without the ids of the request, which help Microsoft only.
pub(super) fn said(description: &str) -> String {
    sentence(description.split("Trace ID").next().unwrap_or(description))
}

/// The cause behind a refusal.
pub(super) fn refused(code: Option<u32>, said: &str, tenant: &str, client: &str, proof: Proof<'_>) -> Cause {
    match (code, proof) {
        (Some(aadsts::WRONG_SECRET), _) => Cause::wrong_secret(client, said),
        (Some(aadsts::EXPIRED_SECRET), _) => Cause::secret_expired(client, said),
        (Some(aadsts::UNKNOWN_CLIENT), _) => Cause::unknown_client(client, tenant, said),
        (Some(aadsts::ASSERTION_TIME), _) => Cause::assertion_time(said),
        (Some(aadsts::CERTIFICATE), Proof::Certificate { thumbprint }) => {
            Cause::certificate_not_registered(client, thumbprint, said)
        }
        (Some(code), Proof::Federated { presented }) if aadsts::FEDERATION.contains(&code) => {
            Cause::federation_mismatch(client, presented, said)
        }
        (Some(code), _) if aadsts::UNKNOWN_TENANT.contains(&code) => Cause::unknown_tenant(tenant, said),
        (Some(code), _) if aadsts::REDIS_NOT_IN_TENANT.contains(&code) => Cause::redis_not_in_tenant(tenant, said),
        _ => Cause::entra_refused(said),
    }
}
