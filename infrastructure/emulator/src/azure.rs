//! Azure's texts, numbers and shapes, each with its source. What no source settles is marked **Uncertain** and listed in
//! [`UNCERTAIN`], so that the book can repeat it. Nothing else in this crate states how Azure behaves.

pub mod client;

use std::time::Duration;

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::macros::format_description;
use uuid::Uuid;

use crate::cache::ClusteringPolicy;
use crate::directory::ClientId;
use crate::events::{Flow, Service};
use crate::http::{Answer, Outcome};

/// What is not known of Azure's behaviour, and what the emulator does instead.
pub const UNCERTAIN: &[(&str, &str)] = &[
    (
        "Whether tokens for Azure Managed Redis have version 1.0 or 2.0",
        "issues version 1.0 (issuer https://sts.windows.net/…), as first-party resources with an https identifier do, and accepts both",
    ),
    (
        "Which audiences the cache accepts",
        "accepts https://redis.azure.com with and without a closing slash, and acca5fbb-b7e4-4009-81f1-37e38fd66d78",
    ),
    ("The reply to a token that is expired, foreign or unassigned", "answers each with the same WRONGPASS"),
    ("Whether a connection lives on for a while after its token's expiry", "closes it at the second that `exp` names"),
    ("How long a client may take to sign in", "closes a connection that has not signed in after 30 seconds"),
    (
        "How `CLUSTER` is answered with the policy `NoCluster`",
        "answers `ERR command is not allowed`, as `EnterpriseCluster` does on Azure",
    ),
    (
        "What the answer to keys of several slots says behind `CROSSSLOT Keys in request don't hash to the same slot`",
        "adds what was seen on Azure inside a transaction, and nothing outside",
    ),
    ("The managed identity endpoint's answer to a missing or wrong X-IDENTITY-HEADER", "answers 401"),
    ("The managed identity endpoint's answer when `resource` is missing", "answers 400"),
    (
        "Whether the managed identity endpoint accepts `/.default` at the end of `resource`",
        "accepts it and cuts it off, because redis-entraid for Python sends it",
    ),
    (
        "Whether a default access policy assignment may use pub/sub channels",
        "allows all channels, although the documented access string has no `&*`",
    ),
];

/// The application id of the resource "Azure Managed Redis". Microsoft Learn, "Use Microsoft Entra for authentication".
pub const REDIS_APPLICATION_ID: &str = "acca5fbb-b7e4-4009-81f1-37e38fd66d78";

/// Audiences that the cache accepts. The scopes are documented; the closing slash appears in tokens that others have
/// published. **Uncertain.**
pub const REDIS_AUDIENCES: &[&str] = &["https://redis.azure.com", "https://redis.azure.com/", REDIS_APPLICATION_ID];

/// Other resources that a token can be asked for, so that a wrong scope fails where it fails in Azure: at the cache.
const OTHER_RESOURCES: &[&str] = &[
    "https://management.azure.com",
    "https://management.core.windows.net",
    "https://graph.microsoft.com",
    "https://storage.azure.com",
    "https://vault.azure.net",
];

/// Tells whether Entra ID knows this resource, given as a URI or an application id without `/.default`.
pub(crate) fn is_known_resource(resource: &str) -> bool {
    REDIS_AUDIENCES.contains(&resource) || OTHER_RESOURCES.contains(&resource.trim_end_matches('/'))
}

/// The audience of a token that is exchanged for one of Entra ID's. Microsoft Learn, "Workload identity federation".
pub(crate) const FEDERATED_AUDIENCE: &str = "api://AzureADTokenExchange";

/// The client id of the Azure CLI, in whose name a person signs in. Microsoft Learn, "Verify first-party Microsoft
/// applications in sign-in reports".
pub(crate) const AZURE_CLI: ClientId = ClientId::new(0x04b07795_8ddb_461a_bbee_02f9e1bf7b46);

/// The claim `appidacr`: how the client proved who it is. 0 for a public client, 1 for a secret, 2 for a certificate.
/// Microsoft Learn, "Access token claims reference".
pub(crate) fn appidacr(flow: Flow) -> &'static str {
    match flow {
        Flow::AzureCli => "0",
        Flow::ClientSecret => "1",
        Flow::ManagedIdentity | Flow::ClientCertificate | Flow::FederatedCredential => "2",
    }
}

/// Access string of an assignment that names none. Microsoft Learn, "Configure access permissions"; the channels are
/// **uncertain**.
pub(crate) const DEFAULT_ACCESS_STRING: &str = "+@all ~* &*";

/// Managed identity tokens live for 24 hours: published tokens have `exp` 86,700 seconds after `iat`, and `iat` lies
/// [`ISSUED_BEFORE`] in the past.
pub(crate) const MANAGED_IDENTITY_LIFETIME: Duration = Duration::from_secs(86_400);

/// A token of a service principal lives for 60 to 90 minutes, drawn at random. Microsoft Learn, "Configurable token
/// lifetimes".
pub(crate) const SERVICE_PRINCIPAL_LIFETIME: (Duration, Duration) =
    (Duration::from_secs(3_600), Duration::from_secs(5_400));

/// `iat` and `nbf` lie five minutes before the time of issue, in every published token.
pub(crate) const ISSUED_BEFORE: Duration = Duration::from_secs(300);

/// Who signs in with an access key. Microsoft Learn, "Configure access permissions"; it is Redis' own default.
pub(crate) const ACCESS_KEY_USER: &str = "default";

/// Why an access string is refused for one of its rules, as the engine says it of rules that it does not know.
pub(crate) fn refused_rule(rule: &str) -> String {
    format!("ERR Error in ACL SETUSER modifier '{rule}': Syntax error")
}

/// The reply to a sign-in that is refused, whatever the reason. Differs from open-source Redis, which adds "or user is
/// disabled.". That all reasons share it is **uncertain**.
pub(crate) const WRONGPASS: &str = "-WRONGPASS invalid username-password pair";

/// Time for the TLS handshake. **Uncertain.**
pub(crate) const HANDSHAKE_TIME: Duration = Duration::from_secs(10);

/// Time from the handshake to the first sign-in. **Uncertain.**
pub(crate) const SIGN_IN_TIME: Duration = Duration::from_secs(30);

/// An idle connection is closed after ten minutes. Microsoft Learn, "Azure Managed Redis connection best practices".
pub(crate) const IDLE_TIME: Duration = Duration::from_secs(600);

/// Commands that Redis puts into its category `@admin` but Azure leaves to users. Redis' own compatibility tables of Redis
/// Software, which Microsoft Learn refers to. Not all of them: those that would reach the emulator's own connections (MONITOR,
/// CLIENT KILL), and CONFIG GET, of which Azure answers a few settings, stay blocked here.
pub(crate) const ADMIN_LEFT_TO_USERS: &[&str] =
    &["client|list", "latency|histogram", "module|list", "slowlog|get", "slowlog|help", "slowlog|len", "slowlog|reset"];

/// Commands outside `@admin` that are blocked as well. Same source; READONLY was seen to be unknown on Azure Managed Redis in
/// redis-rs#2404.
pub(crate) const BLOCKED_BESIDES_ADMIN: &[&str] = &[
    "acl|genpass",
    "asking",
    "client|getredir",
    "client|no-evict",
    "client|pause",
    "client|unpause",
    "lastsave",
    "memory|doctor",
    "memory|malloc-stats",
    "memory|purge",
    "memory|stats",
    "migrate",
    "move",
    "readonly",
    "readwrite",
    "reset",
    "restore-asking",
    "role",
    "script|debug",
    "swapdb",
];

/// What an `OSSCluster` knows of CLUSTER; the other policies know nothing of it. Same source, "Cluster management commands
/// compatibility".
pub(crate) const CLUSTER_SUBCOMMANDS: &[&str] = &["help", "info", "keyslot", "nodes", "shards", "slots"];

/// Commands that may have keys of several slots with the policy `EnterpriseCluster`. Microsoft Learn, "Azure Managed Redis
/// architecture".
pub(crate) const ACROSS_SLOTS: &[&str] = &["del", "exists", "mget", "mset", "touch", "unlink"];

/// The answer to a command that is blocked. `sent` is the command, or of a container the subcommand, as the client wrote it.
/// Seen on Azure Managed Redis: redis-rs#2404 (`ERR unknown command 'READONLY'`), lettuce#3495 (`ERR unknown subcommand 'MYID'`),
/// and `ERR command is not allowed` for CLUSTER with the policy `EnterpriseCluster`; that `NoCluster` says the same is
/// **uncertain**.
pub(crate) fn blocked(policy: ClusteringPolicy, name: &str, sent: &[u8]) -> String {
    let sent = quotable(sent);
    match name.split_once('|') {
        Some(("cluster", _)) if policy != ClusteringPolicy::OssCluster => "-ERR command is not allowed".to_owned(),
        Some(_) => format!("-ERR unknown subcommand '{sent}'"),
        None => format!("-ERR unknown command '{sent}'"),
    }
}

/// The answer to SELECT of another database than 0, whatever the policy. Seen in onyx-dot-app/onyx#14200.
pub(crate) const ONLY_DATABASE_0: &str = "-ERR DB index is out of range";

/// The answer to keys of several slots. In a transaction as captured from Azure Managed Redis; outside, what follows the first
/// sentence is **uncertain** and left away.
pub(crate) fn cross_slot(in_transaction: bool, command: &[u8], first_key: &[u8], key: &[u8]) -> String {
    let start = "-CROSSSLOT Keys in request don't hash to the same slot";
    if !in_transaction {
        return start.to_owned();
    }
    format!(
        "{start} (context='within MULTI', command='{}', first-key='{}', violating-key='{}')",
        quotable(command),
        quotable(first_key),
        quotable(key)
    )
}

/// Text of a client for an error line: short, and without anything that could end the line.
fn quotable(text: &[u8]) -> String {
    text.iter().take(128).flat_map(|byte| std::ascii::escape_default(*byte)).map(char::from).collect()
}

/// How an error of Entra ID looks: its HTTP status, OAuth error, AADSTS number and text.
#[derive(Debug)]
pub(crate) struct EntraError {
    pub(crate) status: u16,
    pub(crate) error: &'static str,
    pub(crate) code: u32,
    pub(crate) text: String,
}

impl EntraError {
    fn new(status: u16, error: &'static str, code: u32, text: String) -> Self {
        EntraError { status, error, code, text }
    }

    /// Source: error text with HTTP 401 in Azure/sap-automation#418.
    pub(crate) fn wrong_secret(client_id: &str) -> Self {
        Self::new(
            401,
            "invalid_client",
            7_000_215,
            format!(
                "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '{client_id}'."
            ),
        )
    }

    /// Source: Microsoft Learn, "AADSTS error codes"; texts in public issue reports.
    pub(crate) fn unknown_client(client_id: &str) -> Self {
        Self::new(
            400,
            "unauthorized_client",
            700_016,
            format!(
                "Application with identifier '{client_id}' was not found in the directory '{TENANT_NAME}'. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant. You may have sent your authentication request to the wrong tenant."
            ),
        )
    }

    /// Source: Azure/azure-cli#22145 (discovery) and #24376.
    pub(crate) fn unknown_tenant(tenant: &str) -> Self {
        Self::new(
            400,
            "invalid_tenant",
            90_002,
            format!(
                "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud. Check with your subscription administrator, this may happen if there are no active subscriptions for the tenant."
            ),
        )
    }

    /// Source: MicrosoftDocs/azure-docs#43780.
    pub(crate) fn missing_parameter(name: &str) -> Self {
        Self::new(
            400,
            "invalid_request",
            900_144,
            format!("The request body must contain the following parameter: '{name}'."),
        )
    }

    /// Source: AzureAD/microsoft-authentication-library-for-dotnet#3023.
    pub(crate) fn unsupported_grant(grant: &str) -> Self {
        Self::new(
            400,
            "unsupported_grant_type",
            70_003,
            format!("The app requested an unsupported grant type '{grant}'."),
        )
    }

    /// Source: HTTP recordings of the Azure SDK for JavaScript (2021).
    pub(crate) fn no_client_credential() -> Self {
        Self::new(
            401,
            "invalid_client",
            7_000_216,
            "'client_assertion', 'client_secret' or 'request' is required for the 'client_credentials' grant type."
                .to_owned(),
        )
    }

    /// Source: test data of MSAL.NET (2023-12).
    pub(crate) fn scope_without_default(scope: &str) -> Self {
        Self::new(
            400,
            "invalid_scope",
            1_002_012,
            format!(
                "The provided value for scope {scope} is not valid. Client credential flows must have a scope value with /.default suffixed to the resource identifier (application ID URI)."
            ),
        )
    }

    /// Source: demisto/content, test data of its Microsoft API module (2025).
    pub(crate) fn unknown_resource(resource: &str) -> Self {
        Self::new(
            400,
            "invalid_resource",
            500_011,
            format!(
                "The resource principal named {resource} was not found in the tenant named {TENANT_NAME}. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant. You might have sent your authentication request to the wrong tenant."
            ),
        )
    }

    /// When exactly Entra ID uses it is **uncertain**.
    pub(crate) fn malformed_request() -> Self {
        Self::new(400, "invalid_request", 9_002_313, "Invalid request. Request is malformed or invalid.".to_owned())
    }

    /// No application of the emulator has a certificate. Source: Microsoft Learn, "AADSTS error codes".
    pub(crate) fn unregistered_certificate() -> Self {
        Self::new(
            401,
            "invalid_client",
            700_027,
            "The certificate with identifier used to sign the client assertion is not registered on application."
                .to_owned(),
        )
    }

    /// Source: Microsoft Learn, "AADSTS error codes". The status is **uncertain**.
    pub(crate) fn only_post(method: &str) -> Self {
        Self::new(
            405,
            "invalid_request",
            900_561,
            format!("The endpoint only accepts POST requests. Received a {method} request."),
        )
    }

    /// Source: MSAL.NET's documentation of instance discovery.
    pub(crate) fn unknown_instance() -> Self {
        Self::new(400, "invalid_instance", 50_049, "Unknown or invalid instance.".to_owned())
    }

    /// The JSON body. Fields and their order as captured; the single spaces before "Trace ID" and what follows are in
    /// every capture since the end of 2023, older ones have line ends there.
    pub(crate) fn body(&self, correlation_id: Option<&str>) -> Value {
        const CLOCK: &[time::format_description::BorrowedFormatItem<'_>] =
            format_description!("[year]-[month]-[day] [hour]:[minute]:[second]Z");
        let timestamp = OffsetDateTime::now_utc().format(CLOCK).unwrap_or_default();
        let trace_id = Uuid::new_v4().to_string();
        let correlation_id =
            correlation_id.and_then(|id| Uuid::try_parse(id).ok()).unwrap_or_else(Uuid::new_v4).to_string();
        json!({
            "error": self.error,
            "error_description": format!(
                "AADSTS{}: {} Trace ID: {trace_id} Correlation ID: {correlation_id} Timestamp: {timestamp}",
                self.code, self.text
            ),
            "error_codes": [self.code],
            "timestamp": timestamp,
            "trace_id": trace_id,
            "correlation_id": correlation_id,
            "error_uri": format!("https://login.microsoftonline.com/error?code={}", self.code),
        })
    }
}

/// The answer of a service that gives out no token on purpose. The bodies are those of trouble at Entra ID (Microsoft Learn,
/// "AADSTS error codes": 90033, "A transient error has occurred"; 50196 for 429) and of App Service; that a managed identity
/// endpoint in trouble answers so is **uncertain**.
pub(crate) fn failing(service: Service, status: u16) -> Answer {
    let (body, error, code) = match service {
        Service::Entra => {
            let (error, code, text) = match status {
                429 => (
                    "invalid_grant",
                    50_196,
                    "The server terminated an operation because it encountered a client request loop. Please contact your app vendor.",
                ),
                _ => ("temporarily_unavailable", 90_033, "A transient error has occurred. Please try again."),
            };
            let error = EntraError::new(status, error, code, text.to_owned());
            (error.body(None), error.error.to_owned(), Some(format!("AADSTS{code}")))
        }
        _ => {
            let message = "An unexpected error occured while fetching the AAD Token.".to_owned();
            (json!({ "statusCode": status, "message": message }), message, None)
        }
    };
    let why = "a fault was set here on purpose".to_owned();
    Answer { status, body, outcome: Outcome::Refused { flow: None, client_id: None, error, code, why } }
}

/// Display name of the tenant in Entra ID's error texts.
const TENANT_NAME: &str = "Emulator";

/// How the managed identity endpoint of App Service reports an error. Source: integration tests of MSAL.NET against a
/// real web app.
pub(crate) struct ManagedIdentityError {
    pub(crate) status: u16,
    pub(crate) message: String,
    /// Some errors have another shape.
    code: Option<&'static str>,
}

impl ManagedIdentityError {
    fn new(status: u16, message: &str) -> Self {
        ManagedIdentityError { status, message: message.to_owned(), code: None }
    }

    /// Source: a real web app's answer, in MSAL.NET's integration tests.
    pub(crate) fn unknown_identity() -> Self {
        Self::new(
            400,
            "No User Assigned or Delegated Managed Identity found for specified ClientId/ResourceId/PrincipalId.",
        )
    }

    /// Source: a real function's answer to the resource `1`. The spelling is Azure's.
    pub(crate) fn unknown_resource() -> Self {
        Self::new(500, "An unexpected error occured while fetching the AAD Token.")
    }

    /// **Uncertain:** no capture of a real answer was found.
    pub(crate) fn wrong_header() -> Self {
        Self::new(401, "The X-IDENTITY-HEADER header is missing or does not have the value of IDENTITY_HEADER.")
    }

    /// **Uncertain:** no capture of a real answer was found.
    pub(crate) fn missing_resource() -> Self {
        Self::new(400, "The query parameter 'resource' is missing.")
    }

    /// Source: MicrosoftDocs/azure-docs#53726.
    pub(crate) fn unsupported_version(uri: &str, version: &str) -> Self {
        ManagedIdentityError {
            status: 400,
            message: format!(
                "The HTTP resource that matches the request URI '{uri}' does not support the API version '{version}'."
            ),
            code: Some("UnsupportedApiVersion"),
        }
    }

    /// The JSON body.
    pub(crate) fn body(&self) -> Value {
        match self.code {
            Some(code) => json!({ "error": { "code": code, "message": self.message, "innerError": null } }),
            None => json!({ "statusCode": self.status, "message": self.message }),
        }
    }
}

/// The reply of `/common/discovery/instance`. Source: HTTP recordings of the Azure SDK for JavaScript.
pub(crate) fn instance_discovery(authority: &str, tenant: &str) -> Value {
    let cloud = |preferred: &str, cache: &str, aliases: &[&str]| json!({ "preferred_network": preferred, "preferred_cache": cache, "aliases": aliases });
    json!({
        "tenant_discovery_endpoint": format!("{authority}/{tenant}/v2.0/.well-known/openid-configuration"),
        "api-version": "1.1",
        "metadata": [
            cloud(
                "login.microsoftonline.com",
                "login.windows.net",
                &["login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net"],
            ),
            cloud(
                "login.partner.microsoftonline.cn",
                "login.partner.microsoftonline.cn",
                &["login.partner.microsoftonline.cn", "login.chinacloudapi.cn"],
            ),
            cloud(
                "login.microsoftonline.us",
                "login.microsoftonline.us",
                &["login.microsoftonline.us", "login.usgovcloudapi.net"],
            ),
        ],
    })
}

/// The reply of `/{tenant}/v2.0/.well-known/openid-configuration`. Source: HTTP recordings of the Azure SDK for
/// JavaScript; `authority` takes the place of `https://login.microsoftonline.com`.
pub(crate) fn openid_configuration(authority: &str, tenant: Uuid) -> Value {
    let base = format!("{authority}/{tenant}");
    json!({
        "token_endpoint": format!("{base}/oauth2/v2.0/token"),
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
        "jwks_uri": format!("{base}/discovery/v2.0/keys"),
        "response_modes_supported": ["query", "fragment", "form_post"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "issuer": issuer_v2(tenant),
        "request_uri_parameter_supported": false,
        "authorization_endpoint": format!("{base}/oauth2/v2.0/authorize"),
        "http_logout_supported": true,
        "claims_supported": ["sub", "iss", "aud", "exp", "iat", "tid", "ver"],
        "tenant_region_scope": "WW",
        "cloud_instance_name": "microsoftonline.com",
    })
}

/// Issuer of version 1.0 tokens. Microsoft Learn, "Access token claims reference".
pub fn issuer_v1(tenant: Uuid) -> String {
    format!("https://sts.windows.net/{tenant}/")
}

/// Issuer of version 2.0 tokens. Same source.
pub fn issuer_v2(tenant: Uuid) -> String {
    format!("https://login.microsoftonline.com/{tenant}/v2.0")
}
