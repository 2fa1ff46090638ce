//! The managed identity endpoint of an App Service: what `IDENTITY_ENDPOINT` and `IDENTITY_HEADER` point at.

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use serde_json::json;

use crate::azure::{self, ManagedIdentityError};
use crate::directory::{Directory, ManagedIdentityId};
use crate::events::Flow;
use crate::http::{Answer, Outcome, Request, cut_long};
use crate::tenant::Tenant;

/// Path of the endpoint.
pub(crate) const PATH: &str = "/msi/token";

/// Path for a hosting that has no managed identity. It is there so that a program that asks for one all the same is answered
/// here: most client libraries would turn to the address of Azure's virtual machines if no endpoint were set.
pub(crate) const PATH_WITHOUT_IDENTITY: &str = "/msi/none";

const API_VERSION: &str = "2019-08-01";

/// The endpoint of one application, which has all managed identities of the directory.
pub(crate) struct ManagedIdentity {
    pub(crate) tenant: Arc<Tenant>,
    /// Value of `IDENTITY_HEADER`: whoever knows it runs inside the application.
    pub(crate) header: String,
}

impl ManagedIdentity {
    pub(crate) fn answer(&self, request: &Request) -> Answer {
        let result = match request.path.trim_end_matches('/') {
            PATH if request.method == "GET" => self.token(request),
            PATH_WITHOUT_IDENTITY => {
                let why = "the program runs as a service principal here, where there is no managed identity, and asked for one";
                Err((ManagedIdentityError::unknown_identity(), why.to_owned()))
            }
            _ => return Answer::not_found(&format!("{} {}", request.method, cut_long(&request.path, 256))),
        };
        result.unwrap_or_else(|(error, why)| Answer {
            status: error.status,
            body: error.body(),
            outcome: Outcome::Refused {
                flow: Some(Flow::ManagedIdentity),
                client_id: request.query("client_id").map(|id| cut_long(id, 64)),
                error: cut_long(&error.message, 128),
                code: None,
                why,
            },
        })
    }

    fn token(&self, request: &Request) -> Result<Answer, (ManagedIdentityError, String)> {
        let sent = request.header("x-identity-header").unwrap_or_default();
        if verify_slices_are_equal(sent.as_bytes(), self.header.as_bytes()).is_err() {
            let why = if sent.is_empty() { "it is missing" } else { "it is another one" };
            return Err((
                ManagedIdentityError::wrong_header(),
                format!("the header X-IDENTITY-HEADER must hold the value of IDENTITY_HEADER; {why}"),
            ));
        }
        let version = request.query("api-version").unwrap_or_default();
        if version != API_VERSION {
            let error =
                ManagedIdentityError::unsupported_version(&cut_long(&request.path, 128), &cut_long(version, 32));
            return Err((error, format!("api-version must be {API_VERSION}")));
        }
        let Some(asked) = request.query("resource").filter(|resource| !resource.is_empty()) else {
            return Err((ManagedIdentityError::missing_resource(), "the request names no resource".to_owned()));
        };
        let resource = asked.strip_suffix("/.default").unwrap_or(asked);
        if !azure::is_known_resource(resource) {
            let why =
                format!("no resource is called {}. For Redis ask for https://redis.azure.com", cut_long(resource, 128));
            return Err((ManagedIdentityError::unknown_resource(), why));
        }
        let wanted = wanted(request);
        let directory = self.tenant.directory();
        let Some(identity) = directory.managed_identity(&wanted) else {
            let why = match wanted {
                ManagedIdentityId::SystemAssigned => "this application has no system-assigned identity".to_owned(),
                ManagedIdentityId::Client(id) => not_found(&directory, "client id", &id),
                ManagedIdentityId::Object(id) => not_found(&directory, "object id", &id),
                ManagedIdentityId::Resource(id) => not_found(&directory, "resource id", &id),
            };
            return Err((ManagedIdentityError::unknown_identity(), why));
        };
        let token = self.tenant.issue(identity, Flow::ManagedIdentity, resource);
        Ok(Answer {
            status: 200,
            // More than App Service sends: `expires_in` is there because some clients read it.
            body: json!({
                "access_token": token.jwt,
                "expires_on": token.expires.to_string(),
                "expires_in": token.lifetime.to_string(),
                "resource": asked,
                "token_type": "Bearer",
                "client_id": identity.client_id.to_string(),
            }),
            outcome: Outcome::Issued {
                identity: identity.name.clone(),
                object_id: identity.object_id.to_string(),
                client_id: identity.client_id.to_string(),
                flow: Flow::ManagedIdentity,
                audience: resource.to_owned(),
                token: token.uti,
                lifetime: token.lifetime,
                expires: token.expires,
            },
        })
    }
}

fn not_found(directory: &Directory, what: &str, id: &str) -> String {
    let known: Vec<String> = directory
        .identities
        .iter()
        .filter(|identity| {
            directory.managed_identity(&ManagedIdentityId::Client(identity.client_id.to_string())).is_some()
        })
        .map(|identity| format!("{} (client id {})", identity.name, identity.client_id))
        .collect();
    format!(
        "no user-assigned identity of this application has the {what} {}. It has: {}",
        cut_long(id, 128),
        known.join(", ")
    )
}

/// Every parameter name that a client library sends.
fn wanted(request: &Request) -> ManagedIdentityId {
    let id = |names: &[&str]| names.iter().find_map(|name| request.query(name)).map(str::to_ascii_lowercase);
    if let Some(id) = id(&["client_id", "clientid"]) {
        ManagedIdentityId::Client(id)
    } else if let Some(id) = id(&["object_id", "principal_id"]) {
        ManagedIdentityId::Object(id)
    } else if let Some(id) = id(&["mi_res_id", "msi_res_id"]) {
        ManagedIdentityId::Resource(id)
    } else {
        ManagedIdentityId::SystemAssigned
    }
}
