//! The variables that a program finds around it: what the hosting sets in Azure for this identity, where the cache is, and
//! what makes every client stack trust the emulator's CA besides the machine's own roots.

use std::path::Path;

use crate::Error;
use crate::directory::{Credential, Directory, IdentityKind};
use crate::managed_identity;

/// Names and values, in the order in which they are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment(Vec<(&'static str, String)>);

/// Where an emulator's parts are reached.
pub(crate) struct Addresses<'a> {
    pub(crate) entra: u16,
    pub(crate) managed_identity: u16,
    pub(crate) redis: u16,
    pub(crate) identity_header: &'a str,
    pub(crate) trust_bundle: &'a Path,
}

/// Every variable by which a client stack is told what to trust.
const TRUST: &[&str] = &[
    "SSL_CERT_FILE",       // OpenSSL, and with it Python's ssl, Rust's native roots, Go, .NET
    "REQUESTS_CA_BUNDLE",  // Python's requests, and with it MSAL and the Azure CLI
    "CURL_CA_BUNDLE",      // curl, and Python's requests again
    "NODE_EXTRA_CA_CERTS", // Node.js
];

impl Environment {
    pub(crate) fn new(directory: &Directory, name: &str, addresses: &Addresses<'_>) -> Result<Self, Error> {
        let identity = directory
            .identity(name)
            .ok_or_else(|| Error::UnknownIdentity { name: name.to_owned(), known: directory.names() })?;
        let mut variables = vec![("REDIS_HOST", "localhost".to_owned()), ("REDIS_PORT", addresses.redis.to_string())];
        // Always set: without them client libraries turn to the address of Azure's virtual machines, which is no address of ours.
        let path = match identity.kind {
            IdentityKind::ServicePrincipal { .. } | IdentityKind::User { .. } => {
                managed_identity::PATH_WITHOUT_IDENTITY
            }
            _ => managed_identity::PATH,
        };
        variables.push(("IDENTITY_ENDPOINT", format!("http://127.0.0.1:{}{path}", addresses.managed_identity)));
        variables.push(("IDENTITY_HEADER", addresses.identity_header.to_owned()));
        match &identity.kind {
            IdentityKind::SystemAssigned => {}
            IdentityKind::UserAssigned { .. } => {
                variables.push(("AZURE_CLIENT_ID", identity.client_id.to_string()));
            }
            IdentityKind::User { .. } => {
                variables.push(("AZURE_TENANT_ID", directory.tenant_id.to_string()));
            }
            IdentityKind::ServicePrincipal { credentials, .. } => {
                variables.push(("AZURE_TENANT_ID", directory.tenant_id.to_string()));
                variables.push(("AZURE_CLIENT_ID", identity.client_id.to_string()));
                for credential in credentials {
                    if let Credential::Secret(secret) = credential {
                        variables.push(("AZURE_CLIENT_SECRET", secret.clone()));
                    }
                }
                variables.push(("AZURE_AUTHORITY_HOST", format!("https://localhost:{}", addresses.entra)));
            }
        }
        for name in TRUST {
            variables.push((name, addresses.trust_bundle.display().to_string()));
        }
        Ok(Environment(variables))
    }

    /// The variables, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (*name, value.as_str()))
    }

    /// The value of one.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// Variables that say who a program is in some hosting. A program that is started as one identity must not find what was
    /// set around us for another: take these away before setting an environment.
    pub fn of_other_identities() -> impl Iterator<Item = &'static str> {
        const HOSTING: &[&str] = &[
            "IDENTITY_ENDPOINT",
            "IDENTITY_HEADER",
            "MSI_ENDPOINT",
            "MSI_SECRET",
            "AZURE_TENANT_ID",
            "AZURE_CLIENT_ID",
            "AZURE_CLIENT_SECRET",
            "AZURE_AUTHORITY_HOST",
            "AZURE_FEDERATED_TOKEN_FILE",
            "AZURE_CLIENT_CERTIFICATE_PATH",
            "AZURE_POD_IDENTITY_AUTHORITY_HOST",
        ];
        HOSTING.iter().copied()
    }
}

/// So that it can be handed to [`std::process::Command::envs`].
impl<'a> IntoIterator for &'a Environment {
    type Item = (&'a str, &'a str);
    type IntoIter = std::vec::IntoIter<(&'a str, &'a str)>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter().collect::<Vec<_>>().into_iter()
    }
}
