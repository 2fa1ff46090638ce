//! Azure's texts, numbers and shapes, each with its source. What no source settles is marked **Uncertain** and listed in
//! [`UNCERTAIN`]; where the emulator differs by intent is listed in [`DIFFERENCES`]. The book repeats both lists. Nothing else in this
//! crate states how Azure behaves.

pub mod client;

use std::time::Duration;

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use uuid::Uuid;

use crate::cache::ClusteringPolicy;
use crate::directory::ClientId;
use crate::events::Flow;
use crate::token::IssuedToken;

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
        "Which algorithms Entra ID takes for client assertions besides RS256 and PS256",
        "takes RS384 and RS512 too, which Entra ID listed in 2023",
    ),
    (
        "How far the clock of whoever signed an assertion or a federated token may be off",
        "allows five minutes, as Microsoft's own libraries do",
    ),
    (
        "Which audiences of a client assertion Entra ID takes besides its token endpoint",
        "takes the issuer too, as an example of Microsoft's does, under any host name of Entra ID",
    ),
    (
        "Entra ID's words when the signature of an assertion or of a federated token is wrong",
        "says AADSTS700027 and AADSTS7000274, in words put together from similar errors",
    ),
    ("Entra ID's words for a certificate that is not valid yet", "says AADSTS1000502, in words of its own"),
    ("Entra ID's words for an unknown `client_assertion_type`", "says AADSTS90011, as Entra ID did in 2016"),
    (
        "How long the tokens of a federated credential on an app registration live",
        "60 to 90 minutes, as with a client secret",
    ),
    (
        "How the managed identity endpoint of virtual machines (IMDS) answers without `api-version`, and to methods besides GET",
        "answers 400 and 405 in the shape of its other errors",
    ),
    (
        "When the managed identity endpoint of virtual machines replaces the token in its cache",
        "replaces it when half of its life is over",
    ),
    (
        "Whether a default access policy assignment may use pub/sub channels",
        "allows all channels, although the documented access string has no `&*`",
    ),
];

/// Where the emulator differs from Azure by intent, and stays less than it: what it is about, what Azure does, and what the emulator
/// does instead. The book repeats the list. What is not known of Azure is in [`UNCERTAIN`].
pub const DIFFERENCES: &[(&str, &str, &str)] = &[
    (
        "the cache",
        "has the host name `NAME.REGION.redis.azure.net` behind a network that can be closed",
        "listens on loopback only, and its certificate is for `localhost`",
    ),
    ("the cache", "can be without TLS (not for Entra ID)", "has TLS 1.2 and 1.3 only"),
    (
        "the cache",
        "is an `OSSCluster` unless another policy is chosen",
        "is a `NoCluster` unless another policy is chosen",
    ),
    (
        "the cache",
        "has as many shards as its size asks for, each with a replica, on ports 85XX",
        "has three shards in an `OSSCluster`, without replicas, on any free ports",
    ),
    ("the cache", "fails over to a replica", "puts another engine with the same data in the place of one"),
    (
        "the cache",
        "has the memory, the eviction policy and the number of connections of its size",
        "has what the machine has, evicts nothing, and takes 20,000 connections a shard",
    ),
    (
        "the cache",
        "can persist, import and export, replicate to another region, scale, and keep data on flash",
        "does none of that: data ends with the engine",
    ),
    (
        "the cache",
        "can have RedisJSON, RediSearch, RedisBloom and RedisTimeSeries",
        "has the modules that its engine is given, see `--module`",
    ),
    (
        "the cache",
        "has the version that Microsoft runs",
        "has that of the engine, which `INFO` and `CLIENT LIST` show as it is, on a socket file",
    ),
    ("commands", "leaves `MONITOR`, `CLIENT KILL`, `ACL` and `CONFIG GET` to users in part", "blocks them"),
    (
        "commands",
        "blocks administrative commands",
        "blocks those that the tables of Redis Enterprise block, which Microsoft refers to",
    ),
    ("access", "can have its access keys made anew, one after the other", "keeps them as they are"),
    ("access", "makes and removes an access policy assignment in a deployment that takes its time", "does it at once"),
    (
        "Entra ID",
        "signs with keys of Microsoft, and changes them on its own",
        "signs with its own, and changes them when it is told to",
    ),
    (
        "Entra ID",
        "signs people in with a browser, a device code and more",
        "knows people through the stand-in for `az` only",
    ),
    (
        "Entra ID",
        "fetches the keys of an issuer that a federated credential trusts",
        "reads them from a file: it fetches nothing",
    ),
    (
        "Entra ID",
        "takes the token of a managed identity as a federated credential",
        "refuses its own tokens there, with AADSTS700222",
    ),
    ("Entra ID", "has conditional access, and tokens that can be revoked", "has neither"),
    (
        "Entra ID",
        "has a cloud for some countries, with issuers of their own",
        "answers for their host names with the issuer of the public cloud",
    ),
    ("Entra ID", "slows down or refuses who asks too often", "does that only when it is told to"),
    ("Entra ID", "may change the words of its errors at any time", "has the words of public reports of the last years"),
    (
        "managed identity",
        "has endpoints for Azure Arc, Service Fabric, Machine Learning and Cloud Shell too",
        "has those of App Service and of virtual machines",
    ),
    ("managed identity", "gives out a token of App Service again for hours", "makes another for each request there"),
    ("around it", "has metrics, diagnostic logs and alerts", "has its events"),
    ("around it", "has the resource manager, roles and policies", "has the control API and a file in TOML"),
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

/// The host names of Entra ID that client libraries have built in. The names of the instance discovery below, and those of
/// MSAL's own list that lead to the same service.
pub(crate) const ENTRA_HOSTS: &[&str] = &[
    "login.microsoftonline.com",
    "login.microsoft.com",
    "login.windows.net",
    "sts.windows.net",
    "login.microsoftonline.us",
    "login.partner.microsoftonline.cn",
    "login.chinacloudapi.cn",
];

/// The header in which every answer of Entra ID has an id of its own; in errors it is their `trace_id`. Source: HTTP recordings of
/// the Azure SDKs.
pub(crate) const REQUEST_ID: &str = "x-ms-request-id";

/// Whether Entra ID itself is the issuer of tokens with that `iss`. Same source as [`EntraError::federated_token_of_entra`].
pub(crate) fn is_entra_issuer(issuer: &str) -> bool {
    let host = issuer.strip_prefix("https://").and_then(|rest| rest.split('/').next()).unwrap_or_default();
    ["login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net"]
        .iter()
        .any(|name| host == *name || host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.')))
}

/// Scopes that belong to OpenID Connect and to no resource: MSAL for Go sends three of them even for an application.
pub(crate) const OPENID_SCOPES: &[&str] = &["openid", "offline_access", "profile", "email"];

/// The only `client_assertion_type`. RFC 7523.
pub(crate) const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The algorithms of client assertions. PS256 is what Microsoft Learn recommends ("Certificate credentials"), RS256 what older
/// libraries send, and the others are in Entra ID's own list of 2023, in [`EntraError::unsupported_algorithm`]. **Uncertain.**
pub(crate) const ASSERTION_ALGORITHMS: &[&str] = &["RS256", "RS384", "RS512", "PS256"];

/// The algorithm of federated tokens. Microsoft Learn, "Important considerations and restrictions for federated identity
/// credentials": only RS256 is supported.
pub(crate) const FEDERATED_ALGORITHMS: &[&str] = &["RS256"];

/// What the header `typ` of an assertion may be, if it has one. [`EntraError::wrong_header_type`].
pub(crate) const ASSERTION_TYPES: &[&str] = &["JWT", "http://openid.net/specs/jwt/1.0"];

/// How far the clocks may be apart by which an assertion is dated and checked: the default of Microsoft.IdentityModel.
/// **Uncertain.**
pub(crate) const ASSERTION_SKEW: Duration = Duration::from_secs(300);

/// The audiences of a client assertion, on one of Entra ID's hosts: the token endpoints (Microsoft Learn, "Certificate
/// credentials") and the issuer (Microsoft Learn, "Client assertions", an example for MSAL.NET; AADSTS700023 speaks of the
/// "Realm issuer"). **Uncertain.**
pub(crate) fn assertion_audiences(tenant: Uuid) -> [String; 4] {
    ["oauth2/v2.0/token", "oauth2/token", "v2.0", ""].map(|path| format!("/{tenant}/{path}"))
}

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

/// How long a projected token of Kubernetes lives; it is replaced long before. Azure Workload Identity's default.
pub(crate) const PROJECTED_TOKEN_LIFETIME: Duration = Duration::from_secs(3_600);

/// A token of a service principal or a person lives for 60 to 90 minutes, drawn at random. Microsoft Learn, "Configurable token
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
    /// A few errors come without `error_uri`.
    has_uri: bool,
}

/// A certificate, as the error 700027 speaks of it.
pub(crate) struct NamedCertificate<'a> {
    /// The thumbprint in the assertion's header, in upper-case hexadecimal; absent if only a `kid` was sent.
    pub(crate) thumbprint: Option<String>,
    /// From when until when the certificate is valid, if it was found.
    pub(crate) found: Option<(OffsetDateTime, OffsetDateTime)>,
    pub(crate) client_id: &'a str,
}

impl NamedCertificate<'_> {
    /// The bracket of error 700027.
    fn bracket(&self, reason: &str) -> String {
        const DATE: &[BorrowedFormatItem<'_>] = format_description!("[month]/[day]/[year] [hour]:[minute]:[second]");
        let thumbprint = self.thumbprint.as_ref().map(|it| format!(" Thumbprint of key used by client: '{it}',"));
        let date = |time: OffsetDateTime| time.format(DATE).unwrap_or_default();
        let found = self.found.map(|(start, end)| format!(" Found key 'Start={}, End={}',", date(start), date(end)));
        format!(
            "[Reason - {reason},{}{} Please visit the Azure Portal, Graph Explorer or directly use MS Graph to see configured keys for app Id '{client}'. Review the documentation at https://docs.microsoft.com/en-us/graph/deployments to determine the corresponding service endpoint and https://docs.microsoft.com/en-us/graph/api/application-get?view=graph-rest-1.0&tabs=http to build a query request URL, such as 'https://graph.microsoft.com/beta/applications/{client}'].",
            thumbprint.unwrap_or_default(),
            found.unwrap_or_default(),
            client = self.client_id
        )
    }
}

impl EntraError {
    fn new(status: u16, error: &'static str, code: u32, text: String) -> Self {
        EntraError { status, error, code, text, has_uri: true }
    }

    fn invalid_client(code: u32, text: impl Into<String>) -> Self {
        Self::new(401, "invalid_client", code, text.into())
    }

    fn invalid_request(code: u32, text: impl Into<String>) -> Self {
        Self::new(400, "invalid_request", code, text.into())
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

    /// Source: Microsoft Learn, "AADSTS error codes"; the text in Blazor samples of Microsoft's.
    pub(crate) fn several_resources(scope: &str) -> Self {
        Self::new(
            400,
            "invalid_scope",
            28_000,
            format!(
                "Provided value for the input parameter scope is not valid because it contains more than one resource. Scope {scope} is not valid."
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

    /// Source: AzureAD/azure-activedirectory-library-for-ruby#53 (2016). Whether it is still so is **uncertain**.
    pub(crate) fn unknown_assertion_type() -> Self {
        Self::invalid_request(90_011, "Unexpected client assertion type.")
    }

    // The errors of client assertions, where no other source is named: MSAL.NET, MockHelpers.cs, copies of real answers of
    // 2023-12. That `invalid_client` comes with 401 is in the HTTP recordings of the Azure SDK for Go and for .NET (2022).

    /// Also for an audience that is a list: panva/openid-client#348.
    pub(crate) fn malformed_assertion() -> Self {
        Self::invalid_request(50_027, "JWT token is invalid or malformed.")
    }

    pub(crate) fn assertion_without(claim: &str) -> Self {
        Self::invalid_request(
            90_014,
            format!(
                "The required field '{claim}' is missing from the credential. Ensure that you have all the necessary parameters for the login request."
            ),
        )
    }

    /// Entra ID's list had no PS256 then.
    pub(crate) fn unsupported_algorithm(algorithm: &str, supported: &[&str]) -> Self {
        let supported = supported.join(",");
        Self::invalid_client(
            5_002_738,
            format!(
                "Invalid JWT token. '{algorithm}' is not a supported signature algorithm. Supported signing algorithms are: '{supported}'"
            ),
        )
    }

    /// Source: a guide that quotes it (2025), and provider code with the body of 2021, which had `invalid_request`.
    pub(crate) fn wrong_header_type() -> Self {
        let allowed = ASSERTION_TYPES.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(",");
        Self::invalid_client(5_002_727, format!("Invalid JWT header type specified. Allowed types: {allowed}."))
    }

    pub(crate) fn assertion_names_no_key() -> Self {
        Self::invalid_client(
            5_002_723,
            "Invalid JWT token. No certificate SHA-1 thumbprint, certificate SHA-256 thumbprint, nor keyId specified in token header.",
        )
    }

    /// The link is that of answers since 2024-10: AzureAD/microsoft-authentication-library-for-java#984. A time that the
    /// assertion does not name is printed as the first second of 1970.
    pub(crate) fn assertion_out_of_time(now: OffsetDateTime, from: OffsetDateTime, until: OffsetDateTime) -> Self {
        const CLOCK: &[BorrowedFormatItem<'_>] =
            format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:7]Z");
        let [now, from, until] = [now, from, until].map(|time| time.format(CLOCK).unwrap_or_default());
        Self::invalid_client(
            700_024,
            format!(
                "Client assertion is not within its valid time range. Current time: {now}, assertion valid from {from}, expiry time of assertion {until}. Review the documentation at https://learn.microsoft.com/entra/identity-platform/certificate-credentials ."
            ),
        )
    }

    pub(crate) fn assertion_of_another_client() -> Self {
        Self::invalid_client(
            700_021,
            "Client assertion application identifier doesn't match 'client_id' parameter. Review the documentation at https://learn.microsoft.com/entra/identity-platform/certificate-credentials .",
        )
    }

    /// Source: AzureAD/microsoft-authentication-library-for-java#430.
    pub(crate) fn assertion_subject_is_not_issuer() -> Self {
        Self::invalid_client(50_048, "Subject must match the issuer claim in the client assertion.")
    }

    /// Source: AzureAD/microsoft-authentication-library-for-dotnet#2746.
    pub(crate) fn assertion_for_another_audience() -> Self {
        Self::invalid_client(
            700_023,
            "Client assertion audience claim does not match Realm issuer. Review the documentation at https://learn.microsoft.com/entra/identity-platform/certificate-credentials .",
        )
    }

    /// Source: keycloak/keycloak#19425 (2023), recordings of the Azure SDKs for the thumbprint.
    pub(crate) fn unregistered_certificate(certificate: &NamedCertificate<'_>) -> Self {
        let bracket = certificate.bracket("The key was not found.");
        Self::invalid_client(
            700_027,
            format!(
                "The certificate with identifier used to sign the client assertion is not registered on application. {bracket}"
            ),
        )
    }

    /// Source: a report of 2024-01.
    pub(crate) fn expired_certificate(certificate: &NamedCertificate<'_>) -> Self {
        let bracket = certificate.bracket("The key used is expired.");
        Self::invalid_client(
            700_027,
            format!(
                "The certificate with identifier used to sign the client assertion is expired on application. {bracket}"
            ),
        )
    }

    /// The number is in microsoft-identity-web, Constants.cs ("certificate is outside validity window"); the words are
    /// **uncertain**.
    pub(crate) fn certificate_not_yet_valid() -> Self {
        Self::invalid_client(1_000_502, "The provided certificate is not within its specified validity window.")
    }

    /// The first sentence is Microsoft Learn's ("Troubleshoot Azure Stack HCI registration"), the bracket that of the same check
    /// on user assertions (microsoftgraph/msgraph-sdk-php#1585, 2024). That they belong together is **uncertain**.
    pub(crate) fn wrong_assertion_signature(certificate: &NamedCertificate<'_>) -> Self {
        let bracket = certificate.bracket("Key was found, but use of the key to verify the signature failed.");
        Self::invalid_client(700_027, format!("Client assertion failed signature validation. {bracket}"))
    }

    // Federated credentials. Their errors have been 401 since 2023; before, 400.

    /// Source: reports of many; the text alone.
    pub(crate) fn no_federated_credential(client_id: &str) -> Self {
        Self::invalid_client(
            70_025,
            format!("The client '{client_id}' has no configured federated identity credentials."),
        )
    }

    /// Source: an answer of 2025-07.
    pub(crate) fn unknown_federated_issuer(issuer: &str) -> Self {
        Self::invalid_client(
            700_211,
            format!(
                "No matching federated identity record found for presented assertion issuer '{issuer}'. Please check your federated identity credential Subject, Audience and Issuer against the presented assertion. https://learn.microsoft.com/entra/workload-id/workload-identity-federation"
            ),
        )
    }

    /// Source: Microsoft Learn, "Important considerations and restrictions for federated identity credentials": a credential that
    /// trusts Entra ID itself can be registered, and its tokens are refused. Today Entra ID lets managed identities of the same
    /// tenant do it; the emulator does not.
    pub(crate) fn federated_token_of_entra() -> Self {
        Self::invalid_client(700_222, "AAD-issued tokens may not be used for federated identity flows.")
    }

    /// Source: AthenZ/athenz, AzureAccessTokenProviderTest.java (2024-04).
    pub(crate) fn unknown_federated_audience(audience: &str) -> Self {
        let error = Self::invalid_client(
            700_212,
            format!(
                "No matching federated identity record found for presented assertion audience '{audience}'. Please check your federated identity credential Subject, Audience and Issuer against the presented assertion. https://docs.microsoft.com/en-us/azure/active-directory/develop/workload-identity-federation"
            ),
        );
        EntraError { has_uri: false, ..error }
    }

    /// Source: Azure/azure-workload-identity#1200 (2025-04).
    pub(crate) fn unknown_federated_subject(subject: &str) -> Self {
        Self::invalid_client(
            700_213,
            format!(
                "No matching federated identity record found for presented assertion subject '{subject}'. Check your federated identity credential Subject, Audience and Issuer against the presented assertion. https://learn.microsoft.com/entra/workload-id/workload-identity-federation"
            ),
        )
    }

    /// Source: Azure/login#515 (2025-02).
    pub(crate) fn federated_subject_differs_in_case(subject: &str) -> Self {
        Self::invalid_client(
            7_002_138,
            format!(
                "No matching federated identity record found for presented assertion subject '{subject}'. The subject matches with case-insensitive comparison, but not with case-sensitive comparison. Check your federated identity credential Subject, Audience and Issuer against the presented assertion. See documentation at: https://learn.microsoft.com/entra/workload-id/workload-identity-federation. See breaking change notification and remediation at: https://learn.microsoft.com/en-us/entra/identity-platform/reference-breaking-changes#august-2024."
            ),
        )
    }

    /// Source: Azure/azure-workload-identity#1232 (2024-01). Nothing stands for a token that names no key.
    pub(crate) fn unknown_federated_key(kid: &str, issuer: &str) -> Self {
        Self::invalid_client(
            7_000_272,
            format!(
                "The certificate with identifier {kid} used to sign the federated credential could not be found in the metadata of identity provider {issuer}. Please validate that your Identity Provider's metadata exposes the key used to sign the incoming token."
            ),
        )
    }

    /// The number is microsoft-identity-web's, "client assertion contains invalid signature"; the words are **uncertain**.
    pub(crate) fn wrong_federated_signature() -> Self {
        Self::invalid_client(7_000_274, "The signature of the federated credential could not be verified.")
    }

    /// Source: Azure/AKS#4029 (2023-12).
    pub(crate) fn federated_keys_unreachable() -> Self {
        Self::invalid_request(501_661, "Request to External OIDC endpoint failed.")
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
        const CLOCK: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]Z");
        let timestamp = OffsetDateTime::now_utc().format(CLOCK).unwrap_or_default();
        let trace_id = Uuid::new_v4().to_string();
        let correlation_id =
            correlation_id.and_then(|id| Uuid::try_parse(id).ok()).unwrap_or_else(Uuid::new_v4).to_string();
        let mut body = json!({
            "error": self.error,
            "error_description": format!(
                "AADSTS{}: {} Trace ID: {trace_id} Correlation ID: {correlation_id} Timestamp: {timestamp}",
                self.code, self.text
            ),
            "error_codes": [self.code],
            "timestamp": timestamp,
            "trace_id": trace_id,
            "correlation_id": correlation_id,
        });
        if self.has_uri {
            body["error_uri"] = json!(format!("https://login.microsoftonline.com/error?code={}", self.code));
        }
        body
    }

    /// What Entra ID says when it gives out no token on purpose. Microsoft Learn, "AADSTS error codes": 90033, "A transient
    /// error has occurred", and 50196 for status 429.
    pub(crate) fn failing(status: u16) -> Self {
        match status {
            429 => Self::new(
                status,
                "invalid_grant",
                50_196,
                "The server terminated an operation because it encountered a client request loop. Please contact your app vendor.".to_owned(),
            ),
            _ => Self::new(
                status,
                "temporarily_unavailable",
                90_033,
                "A transient error has occurred. Please try again.".to_owned(),
            ),
        }
    }
}

/// What the log says of a token that was not given out because of a fault.
pub(crate) const ON_PURPOSE: &str = "a fault was set here on purpose";

/// Display name of the tenant in Entra ID's error texts.
pub(crate) const TENANT_NAME: &str = "Emulator";

/// Which of the managed identity endpoints answers: each has its own shape of errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// App Service, Functions and Container Apps, on Linux.
    AppService,
    /// Virtual machines: the instance metadata service.
    Imds,
}

/// Why a managed identity endpoint gives out no token.
pub(crate) struct ManagedIdentityError {
    pub(crate) status: u16,
    pub(crate) message: String,
    shape: Shape,
}

enum Shape {
    /// Source: Azure/azure-sdk-for-net#43691 (2024-04), with headers, and raw answers of 2026-01.
    AppService,
    /// Source: MicrosoftDocs/azure-docs#53726.
    AppServiceVersion,
    /// Two fields and no more: HTTP recordings of the Azure SDKs for Go and for Python.
    Imds(&'static str),
    /// Entra ID's own error, passed through.
    Entra(Box<EntraError>),
}

impl ManagedIdentityError {
    fn app_service(status: u16, message: &str) -> Self {
        ManagedIdentityError { status, message: message.to_owned(), shape: Shape::AppService }
    }

    fn imds(status: u16, error: &'static str, message: &str) -> Self {
        ManagedIdentityError { status, message: message.to_owned(), shape: Shape::Imds(error) }
    }

    /// No such identity, or none at all. Source for App Service: Azure/azure-sdk-for-net#43691; the same words on Container
    /// Apps; Windows has others. For IMDS: Azure/AgentBaker and many reports.
    pub(crate) fn unknown_identity(of: Endpoint) -> Self {
        match of {
            Endpoint::AppService => Self::app_service(400, "Unable to load the proper Managed Identity."),
            Endpoint::Imds => Self::imds(400, "invalid_request", "Identity not found"),
        }
    }

    /// Source: Hexadite/acs-keyvault-agent#43, a full HTTP answer.
    pub(crate) fn several_identities() -> Self {
        Self::imds(
            400,
            "invalid_request",
            "Multiple user assigned identities exist, please specify the clientId / resourceId of the identity in the token request",
        )
    }

    /// App Service: a real answer, the spelling is Azure's. IMDS passes Entra ID's error on: MSAL.NET, MockHelpers.cs.
    pub(crate) fn unknown_resource(of: Endpoint, resource: &str) -> Self {
        match of {
            Endpoint::AppService => Self::failing(of, 500),
            Endpoint::Imds => {
                let error = EntraError::unknown_resource(resource);
                ManagedIdentityError {
                    status: error.status,
                    message: error.text.clone(),
                    shape: Shape::Entra(Box::new(error)),
                }
            }
        }
    }

    /// App Service: the status was seen (Azure/azure-sdk-for-js#11595), the words are **uncertain**.
    pub(crate) fn wrong_header(name: &str) -> Self {
        Self::app_service(401, &format!("The header {name} is missing or does not have the right value."))
    }

    /// Source: HTTP recordings of the Azure SDKs for Go and for Python.
    pub(crate) fn no_metadata_header() -> Self {
        Self::imds(400, "invalid_request", "Required metadata header not specified")
    }

    /// IMDS: Azure/aad-pod-identity#450 for `resource`, **uncertain** for `api-version`. App Service: **uncertain**.
    pub(crate) fn missing_parameter(of: Endpoint, name: &str) -> Self {
        match of {
            Endpoint::AppService => Self::app_service(400, &format!("The query parameter '{name}' is missing.")),
            Endpoint::Imds => {
                Self::imds(400, "invalid_request", &format!("Required query variable '{name}' is missing"))
            }
        }
    }

    /// The status is Microsoft Learn's ("How to use managed identities … to acquire an access token"); the words are
    /// **uncertain**.
    pub(crate) fn only_get(method: &str) -> Self {
        Self::imds(405, "invalid_request", &format!("The method {method} is not allowed"))
    }

    /// Source: MicrosoftDocs/azure-docs#53726.
    pub(crate) fn unsupported_version(uri: &str, version: &str) -> Self {
        ManagedIdentityError {
            status: 400,
            message: format!(
                "The HTTP resource that matches the request URI '{uri}' does not support the API version '{version}'."
            ),
            shape: Shape::AppServiceVersion,
        }
    }

    /// An endpoint in trouble. App Service: the words of a real answer with status 500. IMDS: dotnet/SqlClient#2344 for 429,
    /// Microsoft Learn for 500. The same words with other statuses are **uncertain**.
    pub(crate) fn failing(of: Endpoint, status: u16) -> Self {
        match (of, status) {
            (Endpoint::AppService, _) => {
                Self::app_service(status, "An unexpected error occured while fetching the AAD Token.")
            }
            (Endpoint::Imds, 429) => Self::imds(429, "invalid_request", "Temporarily throttled, too many requests"),
            (Endpoint::Imds, _) => Self::imds(
                status,
                "unknown",
                "Failed to retrieve token from the Active directory. For details see logs in C:\\Packages\\Plugins\\Microsoft.Windows.Azure.Extensions.ManagedIdentity\\Service\\Logs",
            ),
        }
    }

    /// The JSON body.
    pub(crate) fn body(&self) -> Value {
        match &self.shape {
            Shape::AppService => json!({
                "statusCode": self.status,
                "message": self.message,
                "correlationId": Uuid::new_v4().to_string(),
            }),
            Shape::AppServiceVersion => json!({
                "error": { "code": "UnsupportedApiVersion", "message": self.message, "innerError": null },
            }),
            Shape::Imds(error) => json!({ "error": error, "error_description": self.message }),
            Shape::Entra(error) => {
                let mut body = error.body(None);
                // Where IMDS asks is a region's own address.
                body["error_uri"] = json!(format!("https://westus2.login.microsoft.com/error?code={}", error.code));
                body
            }
        }
    }

    /// The AADSTS code, if the error is Entra ID's.
    pub(crate) fn code(&self) -> Option<String> {
        match &self.shape {
            Shape::Entra(error) => Some(format!("AADSTS{}", error.code)),
            _ => None,
        }
    }
}

/// A token as App Service gives it, for both of its API versions. Source: Azure/azure-sdk-for-python#11346 and its recording of
/// version 2017-09-01.
pub(crate) fn app_service_token(token: &str, expires_on: &str, resource: &str, client_id: ClientId) -> Value {
    json!({
        "access_token": token,
        "expires_on": expires_on,
        "resource": resource,
        "token_type": "Bearer",
        "client_id": client_id.to_string(),
    })
}

/// When a token expires, as version 2017-09-01 of App Service on Linux says it. Source: recording of the Azure SDK for Python.
pub(crate) fn date_text(seconds_since_1970: u64) -> String {
    const DATE: &[BorrowedFormatItem<'_>] = format_description!("[month]/[day]/[year] [hour]:[minute]:[second] +00:00");
    let time = i64::try_from(seconds_since_1970).ok().and_then(|it| OffsetDateTime::from_unix_timestamp(it).ok());
    time.and_then(|time| time.format(DATE).ok()).unwrap_or_default()
}

/// A token as IMDS gives it: all values are text, `expires_in` counts down, `ext_expires_in` does not. Source: HTTP recordings
/// of the Azure SDK for Go.
pub(crate) fn imds_token(token: &IssuedToken, resource: &str, client_id: ClientId) -> Value {
    json!({
        "access_token": token.jwt,
        "client_id": client_id.to_string(),
        "expires_in": token.lifetime.to_string(),
        "expires_on": token.expires.to_string(),
        "ext_expires_in": (token.expires - token.issued).saturating_sub(1).to_string(),
        "not_before": token.not_before().to_string(),
        "resource": resource,
        "token_type": "Bearer",
    })
}

/// A token as version 2.0 of Entra ID's token endpoint gives it. Source: HTTP recordings of the Azure SDK for Go.
pub(crate) fn entra_token_v2(token: &IssuedToken) -> Value {
    json!({
        "token_type": "Bearer",
        "expires_in": token.lifetime,
        "ext_expires_in": token.lifetime,
        "access_token": token.jwt,
    })
}

/// The same from version 1.0: all values are text. Source: answers for other resources, of 2020 and 2021.
pub(crate) fn entra_token_v1(token: &IssuedToken, resource: &str) -> Value {
    json!({
        "token_type": "Bearer",
        "expires_in": token.lifetime.to_string(),
        "ext_expires_in": token.lifetime.to_string(),
        "expires_on": token.expires.to_string(),
        "not_before": token.not_before().to_string(),
        "resource": resource,
        "access_token": token.jwt,
    })
}

/// A key of Entra ID as its key sets show it. Source: `common/discovery/v2.0/keys` of 2025; that version 1.0 leaves out the last
/// two members is inferred.
pub(crate) fn published_key(kid: &str, n: &str, e: &str, certificate: &str, issuer: Option<&str>) -> Value {
    let mut key = json!({
        "kty": "RSA",
        "use": "sig",
        "kid": kid,
        "x5t": kid,
        "n": n,
        "e": e,
        "x5c": [certificate],
    });
    if let Some(issuer) = issuer {
        key["cloud_instance_name"] = json!("microsoftonline.com");
        key["issuer"] = json!(issuer);
    }
    key
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
/// JavaScript; `authority` takes the place of `https://login.microsoftonline.com`. The tenant belongs to the public cloud,
/// whichever cloud's host was asked.
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
