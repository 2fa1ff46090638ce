//! The variables that a program finds around it: what the hosting sets in Azure for this identity, where the cache is, and
//! what makes every client stack trust the emulator's CA besides the machine's own roots.

use std::env;
use std::fmt::{self, Display};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::credentials::Credentials;
use crate::directory::{Credential, Directory, Identity, IdentityKind};
use crate::{Error, azure_cli, java_trust, managed_identity};

/// Names and values, in the order in which they are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    variables: Vec<(&'static str, String)>,
    identity: String,
    pfx: Option<PathBuf>,
    proxy: u16,
}

/// Which hosting an application runs in: how it gets a managed identity's tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Hosting {
    /// App Service, Functions and Container Apps: `IDENTITY_ENDPOINT` and `IDENTITY_HEADER`. All client libraries know it.
    #[default]
    AppService,
    /// A virtual machine: the instance metadata service (IMDS), whose address `AZURE_POD_IDENTITY_AUTHORITY_HOST` changes.
    ///
    /// **Not for programs in Rust or Go.** Their libraries (`azure_identity`, `azidentity`) ignore that variable and call the real
    /// address, 169.254.169.254, which is outside this emulator: on a virtual machine of Azure they get the machine's own token.
    /// Python, Node.js, Java and .NET honour it.
    Imds,
    /// An App Service of before 2019: `MSI_ENDPOINT` and `MSI_SECRET`. It tells a token's expiry as a date. For older libraries: the
    /// present ones take these two variables for those of Azure Machine Learning, whose answers have a number there.
    Msi2017,
}

impl Hosting {
    /// All of them, by the names that the command knows.
    pub const ALL: &[(&str, Hosting)] =
        &[("app-service", Hosting::AppService), ("imds", Hosting::Imds), ("msi-2017", Hosting::Msi2017)];

    /// What a person must know before a program runs in it.
    pub fn warning(self) -> Option<&'static str> {
        (self == Hosting::Imds).then_some(
            "programs in Rust and Go ignore AZURE_POD_IDENTITY_AUTHORITY_HOST and call the real address of the instance metadata \
             service, 169.254.169.254, which is not the emulator. Run them with --hosting app-service",
        )
    }
}

impl Display for Hosting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::ALL.iter().find(|(_, hosting)| hosting == self).map_or("", |(name, _)| name))
    }
}

impl FromStr for Hosting {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let found = Self::ALL.iter().find(|(name, _)| *name == text);
        found.map(|(_, hosting)| *hosting).ok_or_else(|| Error::Hosting { name: text.to_owned() })
    }
}

/// Where an emulator's parts are reached, and where it writes files for programs.
pub(crate) struct Addresses<'a> {
    pub(crate) entra: u16,
    pub(crate) managed_identity: u16,
    pub(crate) redis: u16,
    pub(crate) proxy: u16,
    pub(crate) identity_header: &'a str,
    pub(crate) trust_bundle: &'a Path,
    pub(crate) trust_store: &'a Path,
    pub(crate) credentials: &'a Credentials,
    pub(crate) run_folder: &'a Path,
}

/// Every variable that names a PEM file of what a client stack is to trust. Java has none: see `java_trust`.
const TRUST: &[&str] = &[
    "SSL_CERT_FILE",       // OpenSSL, and with it Python's ssl, Rust's native roots, Go, .NET
    "REQUESTS_CA_BUNDLE",  // Python's requests, and with it MSAL and the Azure CLI
    "CURL_CA_BUNDLE",      // curl, and Python's requests again
    "NODE_EXTRA_CA_CERTS", // Node.js
];

/// What no proxy is asked for: the emulator itself.
const THIS_MACHINE: &str = "localhost,127.0.0.1,::1";

impl Environment {
    /// What stands in place of an identity's name for a program that signs in with an access key: it finds the primary key in
    /// `REDIS_ACCESS_KEY`. Access keys must be on.
    ///
    /// ```
    /// use azure_managed_redis_emulator::{Emulator, Environment};
    ///
    /// let emulator = Emulator::builder().access_keys(true).start()?;
    /// let environment = emulator.environment(Environment::ACCESS_KEY)?;
    /// let keys = emulator.control().access_keys().expect("they are on");
    /// assert_eq!(environment.get("REDIS_ACCESS_KEY"), Some(keys.primary.as_str()));
    /// # Ok::<(), azure_managed_redis_emulator::Error>(())
    /// ```
    pub const ACCESS_KEY: &str = "access-key";

    /// The variable from which the `java` command reads options: here, which authority to trust. Others may have set it for
    /// reasons of their own; keep theirs, and put these behind them.
    pub const JAVA_OPTIONS: &str = java_trust::VARIABLE;

    /// For a program that signs in with that key, and as nobody.
    pub(crate) fn with_access_key(key: &str, hosting: Hosting, addresses: &Addresses<'_>) -> Result<Self, Error> {
        let mut environment = Self::of(Self::ACCESS_KEY, addresses);
        environment.add_hosting(Self::ACCESS_KEY, false, hosting, addresses)?;
        environment.add("REDIS_ACCESS_KEY", key.to_owned());
        environment.add_trust(addresses);
        Ok(environment)
    }

    /// The beginning of each: where the cache is.
    fn of(name: &str, addresses: &Addresses<'_>) -> Self {
        let variables = vec![("REDIS_HOST", "localhost".to_owned()), ("REDIS_PORT", addresses.redis.to_string())];
        Environment { variables, identity: name.to_owned(), pfx: None, proxy: addresses.proxy }
    }

    pub(crate) fn new(
        directory: &Directory,
        name: &str,
        hosting: Hosting,
        addresses: &Addresses<'_>,
    ) -> Result<Self, Error> {
        let identity = directory
            .identity(name)
            .ok_or_else(|| Error::UnknownIdentity { name: name.to_owned(), known: directory.names() })?;
        let mut environment = Self::of(name, addresses);
        let is_managed = matches!(identity.kind, IdentityKind::SystemAssigned | IdentityKind::UserAssigned { .. });
        environment.add_hosting(name, is_managed, hosting, addresses)?;
        match &identity.kind {
            IdentityKind::SystemAssigned => {}
            IdentityKind::UserAssigned { .. } => environment.add("AZURE_CLIENT_ID", identity.client_id.to_string()),
            IdentityKind::User { .. } => {
                environment.add("AZURE_TENANT_ID", directory.tenant_id.to_string());
                // A managed identity endpoint is always set here, and comes before the CLI in the libraries' chain.
                environment.add("AZURE_TOKEN_CREDENTIALS", "AzureCliCredential".to_owned());
                let (port, key) = (addresses.managed_identity, addresses.identity_header);
                let folder = azure_cli::write(addresses.run_folder, name, port, key)?;
                environment.add("PATH", path_after(&folder)?);
            }
            IdentityKind::ServicePrincipal { credentials, .. } => {
                environment.add("AZURE_TENANT_ID", directory.tenant_id.to_string());
                environment.add("AZURE_CLIENT_ID", identity.client_id.to_string());
                environment.add_credentials(identity, credentials, addresses.credentials)?;
                environment.add("AZURE_AUTHORITY_HOST", format!("https://localhost:{}", addresses.entra));
            }
        }
        environment.add_trust(addresses);
        Ok(environment)
    }

    fn add_trust(&mut self, addresses: &Addresses<'_>) {
        for name in TRUST {
            self.add(name, addresses.trust_bundle.display().to_string());
        }
        self.add(java_trust::VARIABLE, java_trust::options(addresses.trust_store));
    }

    /// How the program gets a managed identity's tokens. Whoever has none finds an endpoint that says so: without one client
    /// libraries turn to the address of Azure's virtual machines, which is no address of ours.
    fn add_hosting(
        &mut self,
        name: &str,
        is_managed: bool,
        hosting: Hosting,
        addresses: &Addresses<'_>,
    ) -> Result<(), Error> {
        if !is_managed && hosting != Hosting::AppService {
            return Err(Error::NoManagedIdentity { name: name.to_owned(), hosting });
        }
        let host = format!("http://127.0.0.1:{}", addresses.managed_identity);
        let key = addresses.identity_header.to_owned();
        match hosting {
            Hosting::AppService => {
                let path = match is_managed {
                    true => managed_identity::APP_SERVICE,
                    false => managed_identity::WITHOUT_IDENTITY,
                };
                self.add("IDENTITY_ENDPOINT", format!("{host}{path}"));
                self.add("IDENTITY_HEADER", key);
            }
            Hosting::Imds => self.add("AZURE_POD_IDENTITY_AUTHORITY_HOST", host),
            Hosting::Msi2017 => {
                self.add("MSI_ENDPOINT", format!("{host}{}", managed_identity::APP_SERVICE));
                self.add("MSI_SECRET", key);
            }
        }
        Ok(())
    }

    /// The first credential of each kind.
    fn add_credentials(
        &mut self,
        identity: &Identity,
        registered: &[Credential],
        credentials: &Credentials,
    ) -> Result<(), Error> {
        for credential in registered {
            match credential {
                Credential::Secret(secret) => self.add_first("AZURE_CLIENT_SECRET", secret.clone()),
                Credential::Certificate(source) => {
                    let certificate = credentials.certificates.get(&identity.name, source)?;
                    if let (Some(pem), None) = (&certificate.pem, self.get("AZURE_CLIENT_CERTIFICATE_PATH")) {
                        self.add("AZURE_CLIENT_CERTIFICATE_PATH", pem.display().to_string());
                        self.pfx = certificate.pfx.clone();
                    }
                }
                Credential::Federated(federated) => {
                    if let Some(file) = credentials.issuer.token_file(&identity.name, federated)? {
                        self.add_first("AZURE_FEDERATED_TOKEN_FILE", file.display().to_string());
                    }
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, name: &'static str, value: String) {
        self.variables.push((name, value));
    }

    fn add_first(&mut self, name: &'static str, value: String) {
        if self.get(name).is_none() {
            self.add(name, value);
        }
    }

    /// The same, and whoever has an address of Microsoft Entra ID built in reaches the emulator's: `HTTPS_PROXY` names the
    /// emulator's proxy, which answers for `login.microsoftonline.com` and the like and refuses every other host. For programs
    /// that ignore `AZURE_AUTHORITY_HOST`. Node.js sends what its own `fetch`, `http` and `https` ask for to a proxy only if
    /// `NODE_USE_ENV_PROXY` is set, [since 22.21 and 24.5](https://nodejs.org/api/cli.html#node_use_env_proxy1); older ones
    /// and what msal-node asks for in them go past every proxy.
    ///
    /// ```
    /// use azure_managed_redis_emulator::Emulator;
    ///
    /// let emulator = Emulator::start()?;
    /// let environment = emulator.environment("service-principal")?.through_proxy();
    /// assert_eq!(environment.get("HTTPS_PROXY"), Some(format!("http://127.0.0.1:{}", emulator.proxy_port()).as_str()));
    /// # Ok::<(), azure_managed_redis_emulator::Error>(())
    /// ```
    pub fn through_proxy(mut self) -> Self {
        // Some programs read the one spelling, some the other.
        for name in ["HTTPS_PROXY", "https_proxy"] {
            self.add(name, format!("http://127.0.0.1:{}", self.proxy));
        }
        for name in ["NO_PROXY", "no_proxy"] {
            self.add(name, THIS_MACHINE.to_owned());
        }
        self.add("NODE_USE_ENV_PROXY", "1".to_owned());
        if let Some((_, options)) = self.variables.iter_mut().find(|(name, _)| *name == java_trust::VARIABLE) {
            *options = format!("{options} {}", java_trust::proxy_options(self.proxy));
        }
        self
    }

    /// The same, with the certificate as PKCS#12 (a `.pfx` with an empty password) in `AZURE_CLIENT_CERTIFICATE_PATH`, in place
    /// of PEM. Only certificates that the emulator made come in both.
    pub fn with_pfx(mut self) -> Result<Self, Error> {
        let pfx = self.pfx.as_ref().ok_or_else(|| Error::NoPfx { name: self.identity.clone() })?.display().to_string();
        for (name, value) in &mut self.variables {
            if *name == "AZURE_CLIENT_CERTIFICATE_PATH" {
                value.clone_from(&pfx);
            }
        }
        Ok(self)
    }

    /// The variables, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.variables.iter().map(|(name, value)| (*name, value.as_str()))
    }

    /// The value of one.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// Variables that say who a program is in some hosting. A program that is started as one identity must not find what was
    /// set around us for another: take these away before setting an environment.
    pub fn of_other_identities() -> impl Iterator<Item = &'static str> {
        const HOSTING: &[&str] = &[
            // Where a managed identity's tokens come from.
            "IDENTITY_ENDPOINT",
            "IDENTITY_HEADER",
            "IDENTITY_SERVER_THUMBPRINT",
            "IMDS_ENDPOINT",
            "MSI_ENDPOINT",
            "MSI_SECRET",
            "DEFAULT_IDENTITY_CLIENT_ID",
            "AZURE_POD_IDENTITY_AUTHORITY_HOST",
            // Who an application is, and how it proves it.
            "AZURE_TENANT_ID",
            "AZURE_CLIENT_ID",
            "AZURE_CLIENT_SECRET",
            "AZURE_CLIENT_CERTIFICATE_PATH",
            "AZURE_CLIENT_CERTIFICATE_PASSWORD",
            "AZURE_CLIENT_SEND_CERTIFICATE_CHAIN",
            "AZURE_FEDERATED_TOKEN_FILE",
            "AZURE_USERNAME",
            "AZURE_PASSWORD",
            "SYSTEM_OIDCREQUESTURI",
            // Where Entra ID is, and which of all this is tried.
            "AZURE_AUTHORITY_HOST",
            "AZURE_REGIONAL_AUTHORITY_NAME",
            "AZURE_ADDITIONALLY_ALLOWED_TENANTS",
            "AZURE_TOKEN_CREDENTIALS",
            // What stands in place of all this.
            "REDIS_ACCESS_KEY",
        ];
        HOSTING.iter().copied()
    }
}

/// The PATH around us with `folder` in front. Entries that are no text are left out: an environment holds text.
fn path_after(folder: &Path) -> Result<String, Error> {
    let around = env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    let entries = env::split_paths(&around).filter(|entry| entry.to_str().is_some());
    let all = env::join_paths(std::iter::once(folder.to_owned()).chain(entries));
    let all = all.map_err(|e| Error::State { path: folder.to_owned(), why: format!("it can't be on PATH: {e}") })?;
    Ok(all.to_string_lossy().into_owned())
}

/// So that it can be handed to [`std::process::Command::envs`].
impl<'a> IntoIterator for &'a Environment {
    type Item = (&'a str, &'a str);
    type IntoIter = std::vec::IntoIter<(&'a str, &'a str)>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter().collect::<Vec<_>>().into_iter()
    }
}
