//! Managed identities: the endpoints that a hosting in Azure gives its applications.

use azure_managed_redis_emulator::azure::client as azure;
use serde_json::Value;
use ureq::http::Uri;

use super::super::cause::Cause;
use super::entra::{self, Proof};
use super::http::{Failure, Request, send};
use super::{Attempt, Outcome, sentence, variable};

/// How one kind of endpoint is asked.
struct Kind<'a> {
    /// Where the address is from.
    variable: &'a str,
    version: &'a str,
    /// The parameter for the client id of a user-assigned identity.
    client_parameter: &'a str,
    header: (&'a str, &'a str),
}

impl Attempt<'_> {
    pub(super) fn app_service(&mut self) -> Outcome {
        let Some(endpoint) = variable("IDENTITY_ENDPOINT") else {
            return Outcome::skipped("IDENTITY_ENDPOINT is not set");
        };
        if variable("IDENTITY_SERVER_THUMBPRINT").is_some() {
            return Outcome::skipped("this is Service Fabric, which this command does not know");
        }
        let Some(header) = variable("IDENTITY_HEADER") else {
            if variable("IMDS_ENDPOINT").is_some() {
                return Outcome::skipped("this is Azure Arc, which this command does not know");
            }
            return Outcome::failed(Cause::credential_incomplete("app-service", "IDENTITY_HEADER is not set"));
        };
        let kind = Kind {
            variable: "IDENTITY_ENDPOINT",
            version: azure::APP_SERVICE_VERSION,
            client_parameter: "client_id",
            header: ("X-IDENTITY-HEADER", &header),
        };
        self.ask_managed_identity(&endpoint, &kind)
    }

    pub(super) fn app_service_2017(&mut self) -> Outcome {
        let Some(endpoint) = variable("MSI_ENDPOINT") else {
            return Outcome::skipped("MSI_ENDPOINT is not set");
        };
        let Some(secret) = variable("MSI_SECRET") else {
            return Outcome::skipped("MSI_SECRET is not set: this is Cloud Shell, which this command does not know");
        };
        let kind = Kind {
            variable: "MSI_ENDPOINT",
            version: azure::APP_SERVICE_2017_VERSION,
            client_parameter: "clientid",
            header: ("secret", &secret),
        };
        self.ask_managed_identity(&endpoint, &kind)
    }

    pub(super) fn pod_identity(&mut self) -> Outcome {
        const VARIABLE: &str = "AZURE_POD_IDENTITY_AUTHORITY_HOST";
        match variable(VARIABLE) {
            Some(host) => self.ask_imds(VARIABLE, &host),
            None => Outcome::skipped(format!("{VARIABLE} is not set")),
        }
    }

    pub(super) fn imds(&mut self) -> Outcome {
        if self.case.imds {
            self.ask_imds("--imds", &format!("http://{}", azure::IMDS_HOST))
        } else {
            Outcome::skipped("only with --imds, on a virtual machine in Azure")
        }
    }

    fn ask_imds(&mut self, variable: &str, host: &str) -> Outcome {
        let endpoint = format!("{}{}", host.trim_end_matches('/'), azure::IMDS_PATH);
        let kind = Kind {
            variable,
            version: azure::IMDS_VERSION,
            client_parameter: "client_id",
            header: ("Metadata", "true"),
        };
        self.ask_managed_identity(&endpoint, &kind)
    }

    fn ask_managed_identity(&mut self, endpoint: &str, kind: &Kind<'_>) -> Outcome {
        let client = variable("AZURE_CLIENT_ID");
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("api-version", kind.version).append_pair("resource", azure::REDIS_RESOURCE);
        if let Some(client) = &client {
            query.append_pair(kind.client_parameter, client);
        }
        let parsed = endpoint.parse::<Uri>().ok().filter(|uri| {
            uri.host().is_some() && uri.query().is_none() && matches!(uri.scheme_str(), Some("http" | "https"))
        });
        let Some(url) = parsed.and_then(|_| format!("{endpoint}?{}", query.finish()).parse().ok()) else {
            return Outcome::failed(Cause::bad_setting(kind.variable, "it is not an http URL"));
        };
        let reply = match send(self.case, self.secrets, &Request { url: &url, headers: &[kind.header], form: None }) {
            Ok(reply) => reply,
            Err(Failure::Unreachable(why) | Failure::NotTrusted(why) | Failure::Proxy(_, why)) => {
                return Outcome::failed(Cause::managed_identity_unreachable(kind.variable, endpoint, &why));
            }
            Err(Failure::NotPermitted) => {
                return Outcome::skipped(format!("{} names {}: only with --imds", kind.variable, azure::IMDS_HOST));
            }
            Err(Failure::Setting(variable, why)) => return Outcome::failed(Cause::bad_setting(variable, &why)),
            Err(Failure::NotHttp(why)) => return Outcome::failed(Cause::bad_token_answer(endpoint, &why)),
        };
        if reply.clock.is_some() {
            *self.clock = reply.clock;
        }
        if let (200, Some(text)) = (reply.status, reply.token) {
            let who = client
                .map_or_else(|| "the system-assigned identity".to_owned(), |client| format!("client id {client}"));
            return Outcome::Token { text, note: format!("for {who}, from {endpoint}") };
        }
        Outcome::failed(match reply.json.as_ref().and_then(message) {
            Some(said) => refused(reply.status, &said, client.as_deref(), endpoint),
            // A wrong header is sometimes answered with bare words.
            None if reply.status == 401 => Cause::managed_identity_refused(endpoint, &sentence(&reply.words)),
            None => Cause::bad_token_answer(endpoint, &reply.words),
        })
    }
}

/// The text of an error, in all the shapes of the hostings.
fn message(json: &Value) -> Option<String> {
    [&json["message"], &json["Message"], &json["error_description"], &json["error"]["message"], &json["error"]]
        .into_iter()
        .find_map(Value::as_str)
        .map(entra::said)
}

fn refused(status: u16, said: &str, client: Option<&str>, endpoint: &str) -> Cause {
    if let Some(code) = entra::code_in(said) {
        return entra::refused(Some(code), said, "of the identity", client.unwrap_or_default(), Proof::Person);
    }
    // "Identity not found", "No User Assigned or Delegated Managed Identity found", "Unable to load the proper Managed
    // Identity", "Multiple user assigned identities exist": no number tells them, only these words.
    let words = said.to_ascii_lowercase();
    if status == 400 && (words.contains("identity") || words.contains("identities")) {
        Cause::no_such_identity(client, said)
    } else {
        Cause::managed_identity_refused(endpoint, &format!("HTTP {status}, {said}"))
    }
}
