//! The managed identity endpoints: that of App Service, in its two versions, and that of virtual machines (IMDS). They answer on
//! one port, and beside them the Azure CLI's stand-in is answered.

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;

use crate::azure::{self, Endpoint, ManagedIdentityError};
use crate::azure_cli::{self, AzureCli};
use crate::directory::{Directory, Identity, IdentityKind, ManagedIdentityId};
use crate::events::{Flow, Service};
use crate::http::{Answer, Answers, Outcome, Request, cut_long};
use crate::tenant::Tenant;
use crate::token_cache::TokenCache;

/// Path of App Service's endpoint.
pub(crate) const APP_SERVICE: &str = "/msi/token";

/// Path for a hosting that has no managed identity. It is there so that a program that asks for one all the same is answered
/// here: most client libraries would turn to the address of Azure's virtual machines if no endpoint were set.
pub(crate) const WITHOUT_IDENTITY: &str = "/msi/none";

/// The endpoints of one application, which has all managed identities of the directory.
pub(crate) struct ManagedIdentity {
    tenant: Arc<Tenant>,
    /// Value of `IDENTITY_HEADER`: whoever knows it runs inside the application.
    header: String,
    /// What IMDS has given out.
    cache: TokenCache,
    cli: AzureCli,
}

/// A refusal, with the sentence for the log.
type Refused = (ManagedIdentityError, String);

/// The versions of App Service's endpoint, and the header in which each wants its secret.
const VERSIONS: &[(&str, &str)] = &[("2019-08-01", "X-IDENTITY-HEADER"), ("2017-09-01", "secret")];

/// What a request is for.
enum Asked<'a> {
    AppService,
    Imds,
    NoIdentity,
    Cli(&'a str),
    Nothing,
}

impl<'a> Asked<'a> {
    /// Client libraries write the paths with slashes too many, before and after.
    fn of(request: &'a Request) -> Self {
        let segments: Vec<&str> = request.path.split('/').filter(|segment| !segment.is_empty()).collect();
        match segments.as_slice() {
            ["msi", "token"] if request.method == "GET" => Asked::AppService,
            ["msi", "none"] => Asked::NoIdentity,
            ["metadata", "identity", "oauth2", "token"] => Asked::Imds,
            [azure_cli::PATH, person] if request.method == "POST" => Asked::Cli(person),
            _ => Asked::Nothing,
        }
    }
}

impl Answers for ManagedIdentity {
    fn bears_faults_of(&self, request: &Request) -> Option<Service> {
        match Asked::of(request) {
            Asked::AppService | Asked::Imds => Some(Service::ManagedIdentity),
            // The CLI gets its tokens from Entra ID.
            Asked::Cli(_) if AzureCli::asks_for_a_token(request) => Some(Service::Entra),
            _ => None,
        }
    }

    fn answer(&self, request: &Request) -> Answer {
        match Asked::of(request) {
            Asked::AppService => self.app_service(request).unwrap_or_else(|refused| refusal(request, refused)),
            Asked::Imds => self.imds(request).unwrap_or_else(|refused| refusal(request, refused)),
            Asked::NoIdentity => {
                let why = "the program runs as a service principal or a person here, where there is no managed identity, and asked for one";
                let error = ManagedIdentityError::unknown_identity(Endpoint::AppService);
                refusal(request, (error, why.to_owned()))
            }
            Asked::Cli(person) => self.cli.answer(request, person, &self.header),
            Asked::Nothing => Answer::not_found(request),
        }
    }

    fn fail(&self, request: &Request, status: u16) -> Answer {
        let endpoint = match Asked::of(request) {
            Asked::Cli(_) => return self.cli.fail(request, status),
            Asked::Imds => Endpoint::Imds,
            _ => Endpoint::AppService,
        };
        refusal(request, (ManagedIdentityError::failing(endpoint, status), azure::ON_PURPOSE.to_owned()))
    }
}

impl ManagedIdentity {
    pub(crate) fn new(tenant: Arc<Tenant>, header: String) -> Self {
        let cli = AzureCli { tenant: tenant.clone(), cache: TokenCache::default() };
        ManagedIdentity { tenant, header, cache: TokenCache::default(), cli }
    }

    fn app_service(&self, request: &Request) -> Result<Answer, Refused> {
        let version = request.query("api-version").unwrap_or_default();
        let Some((version, header)) = VERSIONS.iter().find(|(known, _)| *known == version) else {
            let error =
                ManagedIdentityError::unsupported_version(&cut_long(&request.path, 128), &cut_long(version, 32));
            let known: Vec<&str> = VERSIONS.iter().map(|(known, _)| *known).collect();
            return Err((error, format!("api-version must be one of {}", known.join(" and "))));
        };
        let sent = request.header(header).unwrap_or_default();
        if verify_slices_are_equal(sent.as_bytes(), self.header.as_bytes()).is_err() {
            let variable = if *version == "2017-09-01" { "MSI_SECRET" } else { "IDENTITY_HEADER" };
            let why = if sent.is_empty() { "it is missing" } else { "it is another one" };
            return Err((
                ManagedIdentityError::wrong_header(header),
                format!("for api-version {version} the header {header} must hold the value of {variable}; {why}"),
            ));
        }
        let (asked, resource) = resource(request, Endpoint::AppService)?;
        // The older version knows one name only, and passes over every other.
        let wanted = match *version {
            "2017-09-01" => match request.query("clientid") {
                Some(id) => ManagedIdentityId::Client(id.to_ascii_lowercase()),
                None => ManagedIdentityId::SystemAssigned,
            },
            _ => wanted(request),
        };
        let directory = self.tenant.directory();
        let identity = directory.managed_identity(&wanted).ok_or_else(|| {
            (ManagedIdentityError::unknown_identity(Endpoint::AppService), not_found(&directory, wanted))
        })?;
        let token = self.tenant.issue(identity, Flow::ManagedIdentity, resource);
        let expires_on = match *version {
            "2017-09-01" => azure::date_text(token.expires),
            _ => token.expires.to_string(),
        };
        let body = azure::app_service_token(&token.jwt, &expires_on, asked, identity.client_id);
        Ok(Answer::new(200, body, Outcome::issued(identity, Flow::ManagedIdentity, resource, &token)))
    }

    fn imds(&self, request: &Request) -> Result<Answer, Refused> {
        // First of all, whatever else is wrong: client libraries find out with a bare request whether IMDS is there.
        if request.header("metadata").is_none_or(|value| !value.eq_ignore_ascii_case("true")) {
            let why = "the header 'Metadata: true' is missing; client libraries leave it out on purpose to see whether IMDS is there";
            return Err((ManagedIdentityError::no_metadata_header(), why.to_owned()));
        }
        if request.method != "GET" {
            return Err((ManagedIdentityError::only_get(&request.method), "IMDS takes GET only".to_owned()));
        }
        if request.query("api-version").is_none_or(str::is_empty) {
            let error = ManagedIdentityError::missing_parameter(Endpoint::Imds, "api-version");
            return Err((error, "the request names no api-version; 2018-02-01 is one".to_owned()));
        }
        let (asked, resource) = resource(request, Endpoint::Imds)?;
        let directory = self.tenant.directory();
        let identity = imds_identity(&directory, wanted(request))?;
        let token = self.cache.token(&self.tenant, identity, Flow::ManagedIdentity, resource, is_fresh);
        let body = azure::imds_token(&token, asked, identity.client_id);
        Ok(Answer::new(200, body, Outcome::issued(identity, Flow::ManagedIdentity, resource, &token)))
    }
}

/// Whether IMDS gives a token out again that has `left` of its life. When the real one asks for another is not known; clients ask
/// it long after the half.
fn is_fresh(left: u64, of: u64) -> bool {
    2 * left > of
}

/// On a virtual machine whoever names no identity gets the system-assigned one, or the only one that there is.
fn imds_identity(directory: &Directory, wanted: ManagedIdentityId) -> Result<&Identity, Refused> {
    let unknown = ManagedIdentityError::unknown_identity(Endpoint::Imds);
    if let Some(identity) = directory.managed_identity(&wanted) {
        return Ok(identity);
    }
    if matches!(wanted, ManagedIdentityId::SystemAssigned) {
        match user_assigned(directory).as_slice() {
            [] => {}
            [only] => return Ok(only),
            several => {
                let names: Vec<&str> = several.iter().map(|identity| identity.name.as_str()).collect();
                let why = format!(
                    "the request names no identity, there is no system-assigned one, and several user-assigned ones: {}",
                    names.join(", ")
                );
                return Err((ManagedIdentityError::several_identities(), why));
            }
        }
    }
    Err((unknown, not_found(directory, wanted)))
}

/// The resource as it was asked for, and as Entra ID knows it.
fn resource(request: &Request, endpoint: Endpoint) -> Result<(&str, &str), Refused> {
    let Some(asked) = request.query("resource").filter(|resource| !resource.is_empty()) else {
        let error = ManagedIdentityError::missing_parameter(endpoint, "resource");
        return Err((error, "the request names no resource".to_owned()));
    };
    let resource = asked.strip_suffix("/.default").unwrap_or(asked);
    if !azure::is_known_resource(resource) {
        let shown = cut_long(resource, 128);
        let why = format!("no resource is called {shown}. For Redis ask for https://redis.azure.com");
        return Err((ManagedIdentityError::unknown_resource(endpoint, &shown), why));
    }
    Ok((asked, resource))
}

fn refusal(request: &Request, (error, why): Refused) -> Answer {
    let outcome = Outcome::Refused {
        flow: Some(Flow::ManagedIdentity),
        client_id: request.query("client_id").or(request.query("clientid")).map(|id| cut_long(id, 64)),
        error: cut_long(&error.message, 128),
        code: error.code(),
        why,
    };
    Answer::new(error.status, error.body(), outcome)
}

fn user_assigned(directory: &Directory) -> Vec<&Identity> {
    let is_user_assigned = |identity: &&Identity| matches!(identity.kind, IdentityKind::UserAssigned { .. });
    directory.identities.iter().filter(is_user_assigned).collect()
}

fn not_found(directory: &Directory, wanted: ManagedIdentityId) -> String {
    let (what, id) = match wanted {
        ManagedIdentityId::SystemAssigned => return "this application has no system-assigned identity".to_owned(),
        ManagedIdentityId::Client(id) => ("client id", id),
        ManagedIdentityId::Object(id) => ("object id", id),
        ManagedIdentityId::Resource(id) => ("resource id", id),
    };
    let known: Vec<String> = user_assigned(directory)
        .iter()
        .map(|identity| format!("{} (client id {})", identity.name, identity.client_id))
        .collect();
    format!(
        "no user-assigned identity of this application has the {what} {}. It has: {}",
        cut_long(&id, 128),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_given_out_again_until_half_of_its_life_is_over() {
        assert!(is_fresh(86_400, 86_400) && is_fresh(51, 100));
        assert!(!is_fresh(50, 100) && !is_fresh(1, 2));
    }
}
