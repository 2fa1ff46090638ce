//! Workload identity: the issuers whose tokens applications trust. One of them is the emulator itself, in the place of a
//! Kubernetes cluster: it has a key, publishes it, and keeps a token file fresh for each application that trusts it.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::{AlgorithmParameters, Jwk};
use jsonwebtoken::{Algorithm, DecodingKey, Header, encode};
use serde_json::{Value, json};
use uuid::Uuid;

use super::Folders;
use crate::directory::FederatedCredential;
use crate::keys::{RsaKey, write_private};
use crate::{Error, azure, token};

/// The path of the emulator's own issuer at Entra ID's address.
pub(crate) const PATH: &str = "oidc";

/// After this time a token file is written anew. A kubelet waits for four fifths of the token's life; a shorter wait does no harm.
const RENEWED_AFTER: Duration = Duration::from_secs(azure::PROJECTED_TOKEN_LIFETIME.as_secs() / 2);

/// How often the files are looked at.
pub(crate) const LOOKED_AT_EVERY: Duration = Duration::from_secs(60);

/// The emulator as an issuer of tokens for workloads.
pub(crate) struct TokenIssuer {
    /// The claim `iss`.
    pub(crate) url: String,
    /// Where the key is kept between starts.
    key_file: Option<PathBuf>,
    key: OnceLock<Result<Arc<RsaKey>, String>>,
    folder: PathBuf,
    files: Mutex<BTreeMap<PathBuf, TokenFile>>,
}

struct TokenFile {
    subject: String,
    audience: String,
    written: Instant,
}

/// Why a key of an issuer can't be had.
pub(crate) enum NoKey {
    /// The issuer shows no key of that name.
    Unknown,
    /// The issuer's key set can't be read.
    Unreadable(String),
}

impl TokenIssuer {
    pub(crate) fn new(folders: &Folders, entra_port: u16) -> Self {
        TokenIssuer {
            // With a slash at the end, as the issuers of Azure Kubernetes Service have one.
            url: format!("https://localhost:{entra_port}/{PATH}/"),
            key_file: folders.state.as_ref().map(|state| state.join("token-issuer-key.pem")),
            key: OnceLock::new(),
            folder: folders.run.join("tokens"),
            files: Mutex::default(),
        }
    }

    /// The issuer that `credential` trusts.
    pub(crate) fn trusted_by<'a>(&'a self, credential: &'a FederatedCredential) -> &'a str {
        credential.issuer.as_deref().unwrap_or(&self.url)
    }

    /// Whether the keys of the trusted issuer can be had.
    pub(crate) fn check(&self, credential: &FederatedCredential) -> Result<(), String> {
        match (&credential.issuer, &credential.keys) {
            (None, None) => Ok(()),
            (Some(_), Some(path)) => read_keys(path).map(drop),
            (Some(issuer), None) => Err(format!(
                "its federated credential trusts {issuer}, so it needs that issuer's keys, a JWKS file: the emulator fetches nothing"
            )),
            (None, Some(_)) => {
                Err("its federated credential has keys but no issuer; without either it trusts the emulator's own"
                    .to_owned())
            }
        }
    }

    /// The key of that name of the issuer that `credential` trusts. Another issuer's keys are read each time, as Entra ID fetches
    /// them.
    pub(crate) fn key(&self, credential: &FederatedCredential, kid: &str) -> Result<DecodingKey, NoKey> {
        match &credential.keys {
            None => {
                let key = self.own_key().map_err(|error| NoKey::Unreadable(error.to_string()))?;
                if key.thumbprint == kid { Ok(key.decoding.clone()) } else { Err(NoKey::Unknown) }
            }
            Some(path) => {
                let keys = read_keys(path).map_err(NoKey::Unreadable)?;
                let key = keys.iter().find(|key| key.common.key_id.as_deref() == Some(kid)).ok_or(NoKey::Unknown)?;
                DecodingKey::from_jwk(key).map_err(|e| NoKey::Unreadable(e.to_string()))
            }
        }
    }

    /// The OpenID configuration of the emulator's own issuer. Its members are those of a Kubernetes API server.
    pub(crate) fn openid_configuration(&self) -> Value {
        json!({
            "issuer": self.url,
            "jwks_uri": format!("{}openid/v1/jwks", self.url),
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        })
    }

    /// The key set of the emulator's own issuer.
    pub(crate) fn published_keys(&self) -> Result<Value, Error> {
        let key = self.own_key()?;
        Ok(json!({
            "keys": [{ "use": "sig", "kty": "RSA", "kid": key.thumbprint, "alg": "RS256", "n": key.n, "e": key.e }],
        }))
    }

    /// The file with a fresh token for the application `identity`; it is kept fresh from now on. `None` if the application trusts
    /// somebody else.
    pub(crate) fn token_file(
        &self,
        identity: &str,
        credential: &FederatedCredential,
    ) -> Result<Option<PathBuf>, Error> {
        if credential.issuer.is_some() {
            return Ok(None);
        }
        let folder = self.folder.join(identity);
        let state = |e: io::Error| Error::State { path: folder.clone(), why: e.to_string() };
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(state)?;
        let path = folder.join("azure-identity-token");
        let file = TokenFile {
            subject: credential.subject.clone(),
            audience: credential.audience.clone(),
            written: Instant::now(),
        };
        self.write(&path, &file)?;
        self.files.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).insert(path.clone(), file);
        Ok(Some(path))
    }

    /// Writes token files anew whose token has lived for a good while.
    pub(crate) fn renew_token_files(&self) {
        self.renew_written_before(RENEWED_AFTER);
    }

    fn renew_written_before(&self, age: Duration) {
        let mut files = self.files.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        for (path, file) in files.iter_mut().filter(|(_, file)| file.written.elapsed() >= age) {
            // A full disk: the token is good for a while still, and the next look may find room.
            if self.write(path, file).is_ok() {
                file.written = Instant::now();
            }
        }
    }

    fn write(&self, path: &Path, file: &TokenFile) -> Result<(), Error> {
        let key = self.own_key()?;
        let now = token::seconds_since_1970();
        let (namespace, account) = match file.subject.split(':').collect::<Vec<_>>().as_slice() {
            ["system", "serviceaccount", namespace, account] => (*namespace, *account),
            _ => ("default", "default"),
        };
        // As Kubernetes makes it: the audience is a list, and there is no `typ` in the header.
        let claims = json!({
            "aud": [file.audience],
            "exp": now + azure::PROJECTED_TOKEN_LIFETIME.as_secs(),
            "iat": now,
            "iss": self.url,
            "jti": Uuid::new_v4().to_string(),
            "kubernetes.io": { "namespace": namespace, "serviceaccount": { "name": account } },
            "nbf": now,
            "sub": file.subject,
        });
        let mut header = Header::new(Algorithm::RS256);
        header.typ = None;
        header.kid = Some(key.thumbprint.clone());
        let token = encode(&header, &claims, &key.encoding).map_err(|e| Error::Keys(e.to_string()))?;
        write_private(path, token).map_err(|e| Error::State { path: path.to_owned(), why: e.to_string() })
    }

    /// Made when it is first needed.
    fn own_key(&self) -> Result<Arc<RsaKey>, Error> {
        static OF_THIS_PROCESS: OnceLock<Result<Arc<RsaKey>, String>> = OnceLock::new();
        let key = self.key.get_or_init(|| match &self.key_file {
            None => OF_THIS_PROCESS.get_or_init(|| RsaKey::generate().map(Arc::new)).clone(),
            Some(path) => kept_key(path).map(Arc::new),
        });
        key.clone().map_err(Error::Keys)
    }
}

fn kept_key(path: &Path) -> Result<RsaKey, String> {
    let named = |why: String| format!("{}: {why}", path.display());
    let held = path.with_extension("lock");
    let _held_until_return = fs::File::create(&held)
        .and_then(|file| file.lock().map(|()| file))
        .map_err(|e| format!("{}: {e}", held.display()))?;
    match fs::read_to_string(path) {
        Ok(pem) => RsaKey::from_pem(pem).map_err(|why| named(format!("{why}; delete it to have a new one made"))),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let key = RsaKey::generate()?;
            write_private(path, &key.pem).map_err(|e| named(e.to_string()))?;
            Ok(key)
        }
        Err(e) => Err(named(e.to_string())),
    }
}

/// The RSA keys of a JWKS file. Keys of other kinds, which an issuer may have besides, are passed over.
fn read_keys(path: &Path) -> Result<Vec<Jwk>, String> {
    let error = |why: String| format!("the key set {} can't be used: {why}", path.display());
    let text = fs::read_to_string(path).map_err(|e| error(e.to_string()))?;
    let json: Value = serde_json::from_str(&text).map_err(|e| error(format!("it is no JSON: {e}")))?;
    let keys: Vec<Jwk> = json["keys"]
        .as_array()
        .ok_or_else(|| error("it has no list 'keys'".to_owned()))?
        .iter()
        .filter_map(|key| serde_json::from_value::<Jwk>(key.clone()).ok())
        .filter(|key| matches!(key.algorithm, AlgorithmParameters::RSA(_)))
        .collect();
    if keys.is_empty() {
        return Err(error("it holds no RSA key, and federated tokens are signed with RS256".to_owned()));
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::{Credential, Directory, IdentityKind};

    fn workload() -> FederatedCredential {
        let directory = Directory::fixed();
        let IdentityKind::ServicePrincipal { credentials, .. } = &directory.identity("workload").unwrap().kind else {
            panic!("an application");
        };
        let Credential::Federated(credential) = &credentials[0] else { panic!("a federated credential") };
        credential.clone()
    }

    #[test]
    fn a_token_file_is_written_anew_when_its_time_has_come_and_not_before() {
        let folder = tempfile::tempdir().unwrap();
        let issuer = TokenIssuer::new(&Folders { state: None, run: folder.path().to_owned() }, 1);
        let path = issuer.token_file("workload", &workload()).unwrap().unwrap();
        let read = || fs::read_to_string(&path).unwrap();
        let first = read();
        issuer.renew_token_files();
        assert_eq!(read(), first);
        issuer.renew_written_before(Duration::ZERO);
        assert_ne!(read(), first);
    }

    #[test]
    fn the_key_survives_a_restart() {
        let state = tempfile::tempdir().unwrap();
        let folders = Folders { state: Some(state.path().to_owned()), run: state.path().to_owned() };
        let kid = || TokenIssuer::new(&folders, 1).own_key().unwrap().thumbprint.clone();
        assert_eq!(kid(), kid());
        fs::write(state.path().join("token-issuer-key.pem"), "nonsense").unwrap();
        let error = TokenIssuer::new(&folders, 1).own_key().err().unwrap().to_string();
        assert!(error.contains("token-issuer-key.pem") && error.contains("delete it"), "{error}");
    }
}
