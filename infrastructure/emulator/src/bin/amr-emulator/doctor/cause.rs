//! The causes that can be named, each with its sentence and its fix. Every text that tells somebody what to do is here.

use std::time::Duration;

use azure_managed_redis_emulator::azure::{REDIS_APPLICATION_ID, client as azure};
use clap::ValueEnum;
use serde::{Serialize, Serializer};

use super::case::Target;
use super::secret::Secrets;
use super::time::roughly;

/// What can be wrong. The name of each, in kebab case, is its `id` in JSON; the comment is what `--help` says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// the host name has no address
    NameUnknown,
    /// nobody listens on the port
    PortClosed,
    /// no answer from the address, or no way there
    NoAnswer,
    /// a private endpoint, which cannot be reached from here
    PrivateEndpoint,
    /// an Azure Cache for Redis, whose port is another
    ClassicPort,
    /// the trusted certificates cannot be read
    TrustStoreUnreadable,
    /// the server speaks plain text on this port
    NoTls,
    /// the server takes the connection and says nothing
    TlsSilent,
    /// the server ends the TLS handshake
    TlsRefused,
    /// the authority of the certificate is not trusted here
    UnknownAuthority,
    /// the certificate is for other names
    OtherName,
    /// the certificate has run out
    CertificateExpired,
    /// the certificate is not valid yet
    CertificateNotYetValid,
    /// the certificate is not one for a server, or is damaged
    CertificateUnusable,
    /// nothing here says who the program is
    NoCredential,
    /// a way to get a token is set up in part only
    CredentialIncomplete,
    /// a variable has a value that cannot be one
    BadSetting,
    /// a certificate or token file cannot be used
    CredentialFile,
    /// the proxy does not let the request through
    Proxy,
    /// Entra ID cannot be reached
    EntraUnreachable,
    /// the certificate of Entra ID is not accepted
    EntraNotTrusted,
    /// the client secret is wrong
    WrongSecret,
    /// the client secret has run out
    SecretExpired,
    /// there is no such tenant
    UnknownTenant,
    /// there is no such application in the tenant
    UnknownClient,
    /// the client certificate is not registered on the application
    CertificateNotRegistered,
    /// the assertion is used outside its time
    AssertionTime,
    /// no federated credential fits the projected token
    FederationMismatch,
    /// Azure Managed Redis is not known in the tenant
    RedisNotInTenant,
    /// Entra ID refuses for another reason
    EntraRefused,
    /// the managed identity endpoint cannot be reached
    ManagedIdentityUnreachable,
    /// the hosting has no such managed identity
    NoSuchIdentity,
    /// the managed identity endpoint refuses for another reason
    ManagedIdentityRefused,
    /// nobody is signed in to the Azure CLI
    NotLoggedIn,
    /// the Azure CLI fails for another reason
    AzureCliFailed,
    /// whoever answers the token request is no token endpoint
    BadTokenAnswer,
    /// what came as a token is none that can be read
    TokenUnreadable,
    /// the token is for another resource
    WrongAudience,
    /// the token names no principal
    NoObjectId,
    /// the token has run out
    TokenExpired,
    /// the token is not valid yet
    TokenNotYetValid,
    /// this machine's clock is wrong
    ClockSkew,
    /// the principal has no access policy assignment
    NotAssigned,
    /// Redis refuses the sign-in for another reason
    SignInRefused,
    /// no answer to the sign-in
    SignInNoAnswer,
    /// the server is no Redis
    NotRedis,
    /// signed in, but commands fail
    CommandFailed,
    /// a shard's own address cannot be reached
    NodeUnreachable,
    /// a shard's certificate is not accepted under the host name either
    NodeCertificate,
}

/// Where a connection ends; each has an exit code of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Stage {
    Name,
    Network,
    Tls,
    Credential,
    Token,
    SignIn,
    After,
}

impl Stage {
    pub(super) const ALL: &[(Stage, &str)] = &[
        (Stage::Name, "the host name"),
        (Stage::Network, "the network"),
        (Stage::Tls, "TLS"),
        (Stage::Credential, "getting a token"),
        (Stage::Token, "the token itself, or the clock"),
        (Stage::SignIn, "signing in"),
        (Stage::After, "what comes after: commands, cluster nodes"),
    ];

    pub(super) fn exit_code(self) -> u8 {
        match self {
            Stage::Name => 3,
            Stage::Network => 4,
            Stage::Tls => 5,
            Stage::Credential => 6,
            Stage::Token => 7,
            Stage::SignIn => 8,
            Stage::After => 9,
        }
    }
}

impl Kind {
    pub(super) fn stage(self) -> Stage {
        use Kind as K;
        match self {
            K::NameUnknown => Stage::Name,
            K::PortClosed | K::NoAnswer | K::PrivateEndpoint | K::ClassicPort => Stage::Network,
            K::TrustStoreUnreadable
            | K::NoTls
            | K::TlsSilent
            | K::TlsRefused
            | K::UnknownAuthority
            | K::OtherName
            | K::CertificateExpired
            | K::CertificateNotYetValid
            | K::CertificateUnusable => Stage::Tls,
            K::NoCredential
            | K::CredentialIncomplete
            | K::BadSetting
            | K::CredentialFile
            | K::Proxy
            | K::EntraUnreachable
            | K::EntraNotTrusted
            | K::WrongSecret
            | K::SecretExpired
            | K::UnknownTenant
            | K::UnknownClient
            | K::CertificateNotRegistered
            | K::AssertionTime
            | K::FederationMismatch
            | K::RedisNotInTenant
            | K::EntraRefused
            | K::ManagedIdentityUnreachable
            | K::NoSuchIdentity
            | K::ManagedIdentityRefused
            | K::NotLoggedIn
            | K::AzureCliFailed
            | K::BadTokenAnswer => Stage::Credential,
            K::TokenUnreadable
            | K::WrongAudience
            | K::NoObjectId
            | K::TokenExpired
            | K::TokenNotYetValid
            | K::ClockSkew => Stage::Token,
            K::NotAssigned | K::SignInRefused | K::SignInNoAnswer | K::NotRedis => Stage::SignIn,
            K::CommandFailed | K::NodeUnreachable | K::NodeCertificate => Stage::After,
        }
    }

    /// Whether a wrong clock on this machine would look like this.
    pub(super) fn may_be_the_clock(self) -> bool {
        matches!(
            self,
            Kind::CertificateExpired
                | Kind::CertificateNotYetValid
                | Kind::AssertionTime
                | Kind::TokenExpired
                | Kind::TokenNotYetValid
        )
    }

    fn id(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.id())
    }
}

/// What is wrong, and what to do.
#[derive(Debug, Serialize)]
pub(super) struct Cause {
    #[serde(rename = "id")]
    pub(super) kind: Kind,
    stage: Stage,
    /// What is wrong, with the names and values of this case.
    pub(super) what: String,
    pub(super) fix: String,
    /// Lines for a shell.
    pub(super) commands: Vec<String>,
}

impl Cause {
    fn new(kind: Kind, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Cause { kind, stage: kind.stage(), what: what.into(), fix: fix.into() + ".", commands: Vec::new() }
    }

    fn command(mut self, command: impl Into<String>) -> Self {
        self.commands.push(command.into());
        self
    }

    pub(super) fn cleaned(self, secrets: &Secrets) -> Self {
        Cause {
            what: secrets.clean(&self.what),
            fix: secrets.clean(&self.fix),
            commands: self.commands.iter().map(|command| secrets.clean(command)).collect(),
            ..self
        }
    }
}

/// The name and the network.
impl Cause {
    pub(super) fn name_unknown(target: &Target, why: &str) -> Self {
        let (suffix, port, zone) = (azure::HOST_SUFFIX, azure::PORT, azure::PRIVATE_ZONE);
        let fix = if target.is_azure() {
            format!(
                "Compare the name with the endpoint on the cache's overview page; it is <name>.<region>{suffix}. If the cache has \
                 a private endpoint only, this machine must ask a DNS server that knows the zone {zone}"
            )
        } else if target.is_classic() {
            format!(
                "Compare the name with the one on the cache's overview page. Azure Cache for Redis is being retired: if this \
                 cache was moved to Azure Managed Redis, its name is <name>.<region>{suffix} now, and its port {port}"
            )
        } else {
            format!(
                "Check the spelling. A cache of Azure Managed Redis is called <name>.<region>{suffix}; the emulator is localhost"
            )
        };
        Cause::new(Kind::NameUnknown, format!("{} has no address: {why}.", target.host), fix)
    }

    pub(super) fn port_closed(target: &Target, why: &str) -> Self {
        let port = azure::PORT;
        let fix = if target.is_azure() && target.port != port {
            format!("The port of Azure Managed Redis is {port}: call `doctor {}` without another", target.host)
        } else if target.is_azure() || target.is_classic() {
            "Look at the state of the cache in the portal, and whether the name leads to it".to_owned()
        } else {
            format!(
                "Start the server, or give its port as HOST:PORT. `amr-emulator` by itself takes {port}; the one of \
                 `amr-emulator exec` is in REDIS_PORT"
            )
        };
        Cause::new(Kind::PortClosed, format!("Nobody listens on port {} of {}: {why}.", target.port, target.host), fix)
    }

    pub(super) fn no_answer(target: &Target, why: &str) -> Self {
        let fix = if target.is_azure() {
            let (first, last) = azure::SHARD_PORTS;
            format!(
                "Let this machine out to port {} (and {first} to {last} for the cluster policy OSSCluster). If the cache's public \
                 network access is disabled, connect from its virtual network, through the private endpoint",
                azure::PORT
            )
        } else {
            "Look for a firewall between this machine and the server, or a host that is off".to_owned()
        };
        Cause::new(Kind::NoAnswer, format!("{} port {} cannot be reached: {why}.", target.host, target.port), fix)
    }

    pub(super) fn private_endpoint(target: &Target, address: &str) -> Self {
        Cause::new(
            Kind::PrivateEndpoint,
            format!(
                "{} leads to {address}, the cache's private endpoint, and this machine has no way there.",
                target.host
            ),
            format!(
                "Run from the virtual network of the endpoint, one that is peered with it, or a VPN into it. From elsewhere a cache \
                 with public network access is needed, and a DNS server without the zone {}",
                azure::PRIVATE_ZONE
            ),
        )
    }

    pub(super) fn classic_port(target: &Target) -> Self {
        Cause::new(
            Kind::ClassicPort,
            format!(
                "{} is an Azure Cache for Redis, the older service: it does not listen on port {}.",
                target.host, target.port
            ),
            format!("Its TLS port is {}", azure::CLASSIC_PORT),
        )
        .command(format!("amr-emulator doctor {}:{}", target.host, azure::CLASSIC_PORT))
    }
}

/// TLS.
impl Cause {
    pub(super) fn trust_store_unreadable(source: &str, why: &str) -> Self {
        Cause::new(
            Kind::TrustStoreUnreadable,
            format!("There is not one certificate to trust in {source}: {why}."),
            "Point SSL_CERT_FILE at a PEM file that exists and holds certificates, or unset it for the machine's own. In a small \
             container image, install the package ca-certificates",
        )
    }

    pub(super) fn no_tls(target: &Target, answered: &str) -> Self {
        let fix = if target.is_azure() {
            "Switch the database to TLS (client protocol Encrypted): signing in with Microsoft Entra ID needs it"
        } else {
            "Give the port that speaks TLS. A token must not cross a network in plain text, so none was sent"
        };
        Cause::new(
            Kind::NoTls,
            format!("Port {} of {} does not speak TLS: it {answered}.", target.port, target.host),
            fix,
        )
    }

    pub(super) fn tls_silent(target: &Target, how: &str) -> Self {
        Cause::new(
            Kind::TlsSilent,
            format!("Port {} of {} takes the connection, then {how}.", target.port, target.host),
            "Something between here and the cache answers in its place: a port forward whose far end is down, a load balancer \
             without a server behind it, or a firewall that lets only the first packets through. Look at what is on the way",
        )
    }

    pub(super) fn tls_refused(target: &Target, why: &str) -> Self {
        Cause::new(
            Kind::TlsRefused,
            format!("{} ends the TLS handshake: {why}.", target.host),
            "Azure Managed Redis takes TLS 1.2 and 1.3. A device on the way that opens TLS may demand something else: connect past it",
        )
    }

    pub(super) fn unknown_authority(target: &Target, issuer: &str, roots: &str) -> Self {
        let fix = if target.is_local() {
            "If this is the emulator, let SSL_CERT_FILE name the file that it prints at its start, or run below `amr-emulator exec`, \
             which sets it"
        } else {
            "If that issuer is your organisation, a proxy opens TLS on the way: connect past it, or add its CA to the file in \
             SSL_CERT_FILE. If it is a public one, the certificates on this machine are too old: update the package ca-certificates"
        };
        Cause::new(
            Kind::UnknownAuthority,
            format!("The certificate was issued by {issuer}, which {roots} does not hold."),
            fix,
        )
    }

    pub(super) fn authority_with_another_key(target: &Target, issuer: &str, roots: &str) -> Self {
        let mut cause = Cause::unknown_authority(target, issuer, roots);
        cause.what = format!(
            "The certificate was issued by {issuer}. {roots} holds an authority of that name, but with another key."
        );
        if target.is_local() {
            cause.fix = "That authority is of another emulator: each state folder has its own, and `amr-emulator exec` and tests \
                         may use another folder. Let SSL_CERT_FILE name the file that this one prints at its start."
                .to_owned();
        }
        cause
    }

    pub(super) fn other_name(target: &Target, names: &str) -> Self {
        let what = format!("The certificate is for {names}, not for {}.", target.host);
        let fix = if target.host.parse::<std::net::IpAddr>().is_ok() {
            "Connect to the host name, not to an address. If the name does not lead there (a tunnel), keep the name and give the \
             address with --address"
        } else {
            "Connect under a name of that list. If the name leads to the wrong server, mend the DNS or the hosts file"
        };
        Cause::new(Kind::OtherName, what, fix)
    }

    pub(super) fn certificate_expired(target: &Target, ended: &str) -> Self {
        Cause::new(
            Kind::CertificateExpired,
            format!("The certificate of {} ran out on {ended}.", target.host),
            "Renew it on the server. Azure renews its own: if this is a cache in Azure, check this machine's date, and whether a \
             proxy on the way shows a certificate of its own",
        )
    }

    pub(super) fn certificate_not_yet_valid(target: &Target, begins: &str) -> Self {
        Cause::new(
            Kind::CertificateNotYetValid,
            format!("The certificate of {} is valid from {begins} on, which lies in the future.", target.host),
            "Check this machine's date first: it is most likely behind",
        )
    }

    pub(super) fn certificate_unusable(target: &Target, why: &str) -> Self {
        Cause::new(
            Kind::CertificateUnusable,
            format!("The certificate of {} cannot be one of a server: {why}.", target.host),
            "Give the server a certificate for server authentication, signed by an authority, with the host name among its names",
        )
    }
}

/// Getting a token.
impl Cause {
    pub(super) fn no_credential() -> Self {
        Cause::new(
            Kind::NoCredential,
            "Nothing on this machine says who the program is: no way to a token is set up.",
            "In Azure, turn on a managed identity for the application. On a developer's machine, sign in with the Azure CLI, set \
             AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET, or run below `amr-emulator exec`. On a virtual machine in \
             Azure, add --imds",
        )
        .command("az login")
    }

    pub(super) fn credential_incomplete(flow: &str, missing: &str) -> Self {
        Cause::new(
            Kind::CredentialIncomplete,
            format!("The flow {flow} is not set up: {missing}."),
            "Set what is missing, for this process too: variables of another shell or container do not count",
        )
    }

    pub(super) fn bad_setting(variable: &str, why: &str) -> Self {
        Cause::new(
            Kind::BadSetting,
            format!("The value of {variable} cannot be right: {why}."),
            format!("Correct {variable}, or unset it where Azure sets none"),
        )
    }

    pub(super) fn credential_file(variable: &str, path: &str, why: &str) -> Self {
        Cause::new(
            Kind::CredentialFile,
            format!("The file {path} that {variable} names cannot be used: {why}."),
            "Give this process a file that it can read, whole and of the right form",
        )
    }

    pub(super) fn proxy(proxy: &str, host: &str, why: &str) -> Self {
        Cause::new(
            Kind::Proxy,
            format!("The proxy {proxy} does not connect to {host}: {why}."),
            format!(
                "Correct HTTPS_PROXY, let the proxy's owner permit {host}, or add the host to NO_PROXY if it can be reached directly"
            ),
        )
    }

    pub(super) fn entra_unreachable(authority: &str, why: &str) -> Self {
        let fix = if authority == azure::AUTHORITY {
            "Let this machine out to login.microsoftonline.com, port 443, or set HTTPS_PROXY to the proxy that may"
        } else {
            "Check AZURE_AUTHORITY_HOST. Unset, it is https://login.microsoftonline.com; with the emulator, it must be running"
        };
        Cause::new(Kind::EntraUnreachable, format!("Entra ID at {authority} cannot be reached: {why}."), fix)
    }

    pub(super) fn entra_not_trusted(authority: &str, why: &str, roots: &str) -> Self {
        Cause::new(
            Kind::EntraNotTrusted,
            format!("The certificate of Entra ID at {authority} is not accepted: {why}. Trusted was {roots}."),
            "With the emulator, let SSL_CERT_FILE name the file that it prints. Elsewhere a proxy opens TLS on the way: add its CA \
             to that file",
        )
    }

    pub(super) fn wrong_secret(client: &str, said: &str) -> Self {
        Cause::new(
            Kind::WrongSecret,
            format!("Entra ID does not accept the client secret of {client}: {said}"),
            "Set AZURE_CLIENT_SECRET to the secret's value, which the portal shows once, when it is made; not to the secret's id. \
             Look for a space or a line end behind it",
        )
        .command(format!("az ad app credential reset --id {client} --append"))
    }

    pub(super) fn secret_expired(client: &str, said: &str) -> Self {
        Cause::new(
            Kind::SecretExpired,
            format!("The client secret of {client} has run out: {said}"),
            "Make a new one and set AZURE_CLIENT_SECRET to it",
        )
        .command(format!("az ad app credential reset --id {client} --append"))
    }

    pub(super) fn unknown_tenant(tenant: &str, said: &str) -> Self {
        Cause::new(
            Kind::UnknownTenant,
            format!("Entra ID knows no tenant {tenant}: {said}"),
            "Set AZURE_TENANT_ID to the id of the tenant (directory) that the cache's subscription belongs to",
        )
        .command("az account show --query tenantId --output tsv")
    }

    pub(super) fn unknown_client(client: &str, tenant: &str, said: &str) -> Self {
        Cause::new(
            Kind::UnknownClient,
            format!("The tenant {tenant} has no application {client}: {said}"),
            "Set AZURE_CLIENT_ID to the application (client) id, not to an object id; and check that AZURE_TENANT_ID is the tenant \
             in which the application is registered",
        )
    }

    pub(super) fn certificate_not_registered(client: &str, thumbprint: &str, said: &str) -> Self {
        Cause::new(
            Kind::CertificateNotRegistered,
            format!("The application {client} does not accept the certificate with the SHA-1 thumbprint {thumbprint}: {said}"),
            "Upload that certificate (its public part) to the app registration, or use the one that is registered",
        )
        .command(format!("az ad app credential reset --id {client} --append --cert @certificate.pem"))
    }

    pub(super) fn assertion_time(said: &str) -> Self {
        Cause::new(
            Kind::AssertionTime,
            format!("The signed assertion is not within its time: {said}"),
            "Check this machine's clock. If the flow is workload-identity, the file in AZURE_FEDERATED_TOKEN_FILE has run out: the \
             hosting must renew it, and the program must read it anew each time",
        )
    }

    pub(super) fn federation_mismatch(client: &str, presented: &str, said: &str) -> Self {
        Cause::new(
            Kind::FederationMismatch,
            format!("No federated identity credential of {client} fits the projected token ({presented}): {said}"),
            "Create a federated identity credential with exactly that issuer, subject and audience, each to the letter: a closing \
             slash counts",
        )
    }

    pub(super) fn redis_not_in_tenant(tenant: &str, said: &str) -> Self {
        Cause::new(
            Kind::RedisNotInTenant,
            format!(
                "The tenant {tenant} does not know Azure Managed Redis, or the application may not ask for it: {said}"
            ),
            "Add the service's own application to the tenant once",
        )
        .command(format!("az ad sp create --id {REDIS_APPLICATION_ID}"))
    }

    pub(super) fn entra_refused(said: &str) -> Self {
        Cause::new(
            Kind::EntraRefused,
            format!("Entra ID gives no token: {said}"),
            "Look the number up on https://login.microsoftonline.com/error, where Microsoft explains each",
        )
    }

    pub(super) fn managed_identity_unreachable(variable: &str, endpoint: &str, why: &str) -> Self {
        Cause::new(
            Kind::ManagedIdentityUnreachable,
            format!("The managed identity endpoint {endpoint} (from {variable}) cannot be reached: {why}."),
            "The hosting sets that variable, and the endpoint lives inside it: do not copy the value to another machine. With the \
             emulator, it must be running",
        )
    }

    pub(super) fn no_such_identity(client: Option<&str>, said: &str) -> Self {
        let (what, fix) = match client {
            Some(client) => (
                format!("The hosting has no managed identity with the client id {client}: {said}"),
                "Assign that user-assigned identity to the application, or set AZURE_CLIENT_ID to the client id (not the object id) \
                 of one that is; unset it for the system-assigned identity",
            ),
            None => (
                format!("The hosting cannot tell which managed identity is meant, or has none: {said}"),
                "Turn the system-assigned identity on, or set AZURE_CLIENT_ID to the client id of a user-assigned identity of this \
                 application",
            ),
        };
        Cause::new(Kind::NoSuchIdentity, what, fix)
    }

    pub(super) fn managed_identity_refused(endpoint: &str, said: &str) -> Self {
        Cause::new(
            Kind::ManagedIdentityRefused,
            format!("The managed identity endpoint {endpoint} gives no token: {said}"),
            "If it answers 401, IDENTITY_HEADER (or MSI_SECRET) is not the one of this process: restart the application, and do not \
             copy the value. If it answers 5xx, try again in a minute",
        )
    }

    pub(super) fn not_logged_in(said: &str) -> Self {
        Cause::new(
            Kind::NotLoggedIn,
            format!("Nobody is signed in to the Azure CLI: {said}"),
            "Sign in, in the tenant of the cache; or set up another way to a token",
        )
        .command("az login")
    }

    pub(super) fn azure_cli_failed(said: &str) -> Self {
        Cause::new(
            Kind::AzureCliFailed,
            format!("The Azure CLI gives no token: {said}"),
            "Run the command by itself and mend what it says",
        )
        .command(format!("az account get-access-token --resource {} --query expiresOn", azure::REDIS_RESOURCE))
    }

    pub(super) fn bad_token_answer(endpoint: &str, answer: &str) -> Self {
        Cause::new(
            Kind::BadTokenAnswer,
            format!("{endpoint} answers, but not as a token endpoint does: {answer}."),
            "Something else answers there: a proxy's own page, or a wrong address. Check the address, and HTTPS_PROXY",
        )
    }
}

/// The token and the clock.
impl Cause {
    pub(super) fn token_unreadable(why: &str) -> Self {
        Cause::new(
            Kind::TokenUnreadable,
            format!("What came as a token is none that Redis could check: {why}."),
            "Ask Entra ID or a managed identity endpoint for an access token for https://redis.azure.com: it is a signed JSON Web \
             Token. An id token, a refresh token or a reference token will not do",
        )
    }

    pub(super) fn wrong_audience(audience: &str) -> Self {
        Cause::new(
            Kind::WrongAudience,
            format!("The token is for {audience}, not for Redis, though it was asked for Redis."),
            format!(
                "Ask for the scope {}. If whatever stands between here and Entra ID changes it, go past it: Redis answers WRONGPASS \
                 to tokens for anything else, so this one was not sent",
                azure::REDIS_SCOPE
            ),
        )
    }

    pub(super) fn no_object_id() -> Self {
        Cause::new(
            Kind::NoObjectId,
            "The token has no claim oid, so there is no user name to sign in with.",
            "Use the token of a principal of the cache's tenant: a managed identity, a service principal, or a person",
        )
    }

    pub(super) fn token_expired(ago: Duration) -> Self {
        Cause::new(
            Kind::TokenExpired,
            format!("The token ran out {} ago, though it was handed out just now.", roughly(ago)),
            "Whoever handed it out keeps old tokens. Sign in to it again (`az login`), or restart it; and check this machine's clock",
        )
    }

    pub(super) fn token_not_yet_valid(ahead: Duration) -> Self {
        Cause::new(
            Kind::TokenNotYetValid,
            format!("The token is valid only in {}.", roughly(ahead)),
            "This machine's clock is most likely behind: set it by a time server",
        )
    }

    pub(super) fn clock_skew(off: &str) -> Self {
        Cause::new(
            Kind::ClockSkew,
            format!("This machine's clock is wrong: {off}."),
            "Set it by a time server (on Linux, `timedatectl set-ntp true`). A client decides by it when to sign in again: with a \
             wrong clock it comes too late, or asks without end",
        )
    }
}

/// Signing in and after.
impl Cause {
    pub(super) fn not_assigned(target: &Target, object_id: &str, tenant: &str, said: &str) -> Self {
        let mut fix = format!(
            "Give that object id an access policy assignment on this cache. It must be the principal's own: an assignment of a group \
             does not count. If it has one, check that the cache belongs to the tenant {tenant}"
        );
        if target.is_local() {
            fix.push_str(". If this is the emulator, its log says the very reason");
        }
        Cause::new(
            Kind::NotAssigned,
            format!(
                "Redis refuses the principal {object_id} ({said}). The token is for Redis, in its time, and its oid was the user name: \
                 most likely the principal has no access policy assignment on this cache."
            ),
            fix,
        )
        .command(format!(
            "az redisenterprise database access-policy-assignment create --resource-group <group> --cluster-name {} \\",
            if target.is_azure() { target.host.split('.').next().unwrap_or("<name>") } else { "<name>" }
        ))
        .command("  --database-name default --access-policy-assignment-name <alphanumeric> --access-policy-name default \\")
        .command(format!("  --object-id {object_id}"))
    }

    pub(super) fn sign_in_refused(said: &str) -> Self {
        Cause::new(
            Kind::SignInRefused,
            format!("Redis refuses the sign-in: {said}."),
            "Check that Microsoft Entra authentication is turned on for the cache, and that this is the cache you mean",
        )
    }

    pub(super) fn sign_in_no_answer(how: &str) -> Self {
        Cause::new(
            Kind::SignInNoAnswer,
            format!("The server does not answer the sign-in: {how}."),
            "Try again in a minute: a cache that is being patched or scaled drops connections. If it stays, look at what stands \
             between here and the cache",
        )
    }

    pub(super) fn not_redis(target: &Target, said: &str) -> Self {
        Cause::new(
            Kind::NotRedis,
            format!("Port {} of {} speaks TLS, but not Redis: it answers {said}.", target.port, target.host),
            "Give the port of Redis: 10000 for Azure Managed Redis and for the emulator",
        )
    }

    pub(super) fn command_failed(command: &str, said: &str) -> Self {
        Cause::new(
            Kind::CommandFailed,
            format!("Signed in, but {command} fails: {said}."),
            "The cache takes sign-ins and does no work: look at its state in the portal, and try again in a minute",
        )
    }

    pub(super) fn node_unreachable(node: &str, why: &str) -> Self {
        let (first, last) = azure::SHARD_PORTS;
        Cause::new(
            Kind::NodeUnreachable,
            format!("The cluster announces the node {node}, which cannot be reached from here: {why}."),
            format!(
                "A client under OSSCluster connects to every node. Let this machine out to ports {first} to {last} of the cache, or \
                 use a cache with the policy EnterpriseCluster, which has one address only (the policy of this one cannot be \
                 changed)"
            ),
        )
    }

    pub(super) fn node_certificate(node: &str, host: &str, why: &str) -> Self {
        Cause::new(
            Kind::NodeCertificate,
            format!("The cluster's node {node} shows no certificate for {host}: {why}."),
            "Then no mapping of addresses helps a client. Check that the address leads to the cache and not to another server",
        )
    }
}

/// The text for `--help`: exit codes, and the causes of each.
pub(super) fn help() -> String {
    let mut text =
        String::from("Exit codes, and the causes (`cause.id` in JSON) behind each:\n  0  all well\n  2  usage\n");
    for (stage, what) in Stage::ALL {
        text.push_str(&format!("  {}  {what}\n", stage.exit_code()));
        for kind in Kind::value_variants().iter().filter(|kind| kind.stage() == *stage) {
            let help = kind.to_possible_value().and_then(|value| value.get_help().map(ToString::to_string));
            text.push_str(&format!("       {:<28} {}\n", kind.id(), help.unwrap_or_default()));
        }
    }
    text
}
