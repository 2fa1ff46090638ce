//! What a client has to know of Azure: where things are, what to ask for, and what the answers mean. `amr-emulator doctor` is
//! such a client.

use std::time::Duration;

/// The resource that a managed identity endpoint is asked for. Microsoft Learn, "Use Microsoft Entra for authentication".
pub const REDIS_RESOURCE: &str = "https://redis.azure.com";

/// The scope that Entra ID is asked for. Same source.
pub const REDIS_SCOPE: &str = "https://redis.azure.com/.default";

/// The TLS port of Azure Managed Redis. Microsoft Learn, "Azure Managed Redis architecture".
pub const PORT: u16 = 10_000;

/// The ports of the shards under the policy OSSCluster, first and last. Same source.
pub const SHARD_PORTS: (u16, u16) = (8_500, 8_599);

/// How host names of Azure Managed Redis end. Same source.
pub const HOST_SUFFIX: &str = ".redis.azure.net";

/// How host names of the older Azure Cache for Redis end. Microsoft Learn, "Azure Cache for Redis".
pub const CLASSIC_HOST_SUFFIX: &str = ".redis.cache.windows.net";

/// The TLS port of Azure Cache for Redis. Same source.
pub const CLASSIC_PORT: u16 = 6_380;

/// The zone that private endpoints of Azure Managed Redis have their addresses in. Microsoft Learn, "Azure Private Endpoint
/// private DNS zone values".
pub const PRIVATE_ZONE: &str = "privatelink.redis.azure.net";

/// Entra ID of the public cloud: what clients use when `AZURE_AUTHORITY_HOST` is not set.
pub const AUTHORITY: &str = "https://login.microsoftonline.com";

/// `api-version` of App Service's endpoint behind `IDENTITY_ENDPOINT`. Microsoft Learn, "Use managed identities for App
/// Service".
pub const APP_SERVICE_VERSION: &str = "2019-08-01";

/// `api-version` of the endpoint behind `MSI_ENDPOINT`. Same source, older editions.
pub const APP_SERVICE_2017_VERSION: &str = "2017-09-01";

/// `api-version` of the instance metadata service of virtual machines. Microsoft Learn, "How to use managed identities on a
/// VM to acquire an access token".
pub const IMDS_VERSION: &str = "2018-02-01";

/// Path of its token endpoint. Same source.
pub const IMDS_PATH: &str = "/metadata/identity/oauth2/token";

/// The address of the instance metadata service. It exists inside Azure only: **nothing may call it unless its user asked for
/// that**.
pub const IMDS_HOST: &str = "169.254.169.254";

/// How long before its token's expiry a client is advised to sign in again, at the latest. Microsoft Learn, "Use Microsoft
/// Entra for authentication".
pub const SIGN_IN_AGAIN_BEFORE_EXPIRY: Duration = Duration::from_secs(180);

/// What a cache with a policy other than OSSCluster answers to every `CLUSTER` command. Seen at Azure Managed Redis in public
/// reports of 2025 and 2026.
pub const CLUSTER_REFUSED: &str = "command is not allowed";

/// A command that reads two keys, and that a cache with slots refuses if they have different ones. Redis Enterprise,
/// "Multi-key operations". That a cache with the policy NoCluster serves it, and so can be told from EnterpriseCluster, is
/// **uncertain**.
pub const ONE_SLOT_COMMAND: &str = "SUNION";

/// What an open-source server without cluster mode answers to every `CLUSTER` command. Redis, `src/cluster.c`.
pub const CLUSTER_DISABLED: &str = "cluster support disabled";

/// Numbers of Entra ID's errors. Microsoft Learn, "Microsoft Entra authentication and authorization error codes", and public
/// reports that quote them.
pub mod aadsts {
    /// The client secret is wrong.
    pub const WRONG_SECRET: u32 = 7_000_215;
    /// The client secret has run out.
    pub const EXPIRED_SECRET: u32 = 7_000_222;
    /// There is no such tenant, or what was sent is not the name of one.
    pub const UNKNOWN_TENANT: &[u32] = &[90_002, 900_023];
    /// There is no such application in the tenant.
    pub const UNKNOWN_CLIENT: u32 = 700_016;
    /// The certificate is not registered on the application, has run out, or did not sign the assertion.
    pub const CERTIFICATE: u32 = 700_027;
    /// An assertion is used before or after its time.
    pub const ASSERTION_TIME: u32 = 700_024;
    /// No federated identity credential fits the token's issuer, audience or subject, or the application has none.
    pub const FEDERATION: &[u32] = &[70_021, 700_211, 700_212, 700_213, 7_002_138, 70_025];
    /// Azure Managed Redis is not known in the tenant, or the application may not ask for it.
    pub const REDIS_NOT_IN_TENANT: &[u32] = &[500_011, 650_052, 650_057, 65_006];
}
