//! What applications prove themselves with besides secrets: certificates, and tokens of issuers that they trust. Looked at when
//! an identity comes into the directory, so that a mistake is told at once, and again whenever a token is asked for.

mod certificates;
mod federation;

use std::path::PathBuf;

pub(crate) use certificates::{Certificate, CertificateName, Certificates};
pub(crate) use federation::{LOOKED_AT_EVERY, NoKey, PATH as ISSUER_PATH, TokenIssuer};

use crate::Error;
use crate::directory::{Credential, Identity, IdentityKind};

/// The certificates and trusted issuers of all applications of one emulator.
pub(crate) struct Credentials {
    pub(crate) certificates: Certificates,
    pub(crate) issuer: TokenIssuer,
}

/// Where files for programs are written.
pub(crate) struct Folders {
    /// What outlives this emulator; `None` if nothing does.
    pub(crate) state: Option<PathBuf>,
    /// What is this emulator's own: it names its ports.
    pub(crate) run: PathBuf,
}

impl Credentials {
    /// Nothing is made or read before it is needed. `entra_port` is where the issuer of federated tokens is reached.
    pub(crate) fn new(folders: &Folders, entra_port: u16) -> Self {
        Credentials { certificates: Certificates::new(folders), issuer: TokenIssuer::new(folders, entra_port) }
    }

    /// Reads every file that `identity` names. Certificates that are to be generated are so when somebody asks for them.
    pub(crate) fn check(&self, identity: &Identity) -> Result<(), Error> {
        let IdentityKind::ServicePrincipal { credentials, .. } = &identity.kind else { return Ok(()) };
        for credential in credentials {
            match credential {
                Credential::Secret(_) => {}
                Credential::Certificate(source) => self.certificates.check(source)?,
                Credential::Federated(federated) => {
                    let checked = self.issuer.check(federated);
                    checked.map_err(|why| Error::Identity { name: identity.name.clone(), why })?;
                }
            }
        }
        Ok(())
    }
}
