//! The certificates that applications have registered: read from a PEM file of the configuration, or made here together with a
//! private key, as PEM and as PKCS#12, for programs that want one or the other.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use aws_lc_rs::digest;
use aws_lc_rs::signature::{KeyPair as _, RsaKeyPair};
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use jsonwebtoken::DecodingKey;
use p12_keystore::{EncryptionAlgorithm, KeyStore, KeyStoreEntry, MacAlgorithm, PrivateKey, PrivateKeyChain};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use time::OffsetDateTime;
use x509_parser::public_key::PublicKey;

use super::Folders;
use crate::Error;
use crate::directory::CertificateSource;
use crate::keys::{RsaKey, write_private};

/// A registered certificate.
pub(crate) struct Certificate {
    sha1: Vec<u8>,
    sha256: Vec<u8>,
    pub(crate) key: DecodingKey,
    pub(crate) not_before: OffsetDateTime,
    pub(crate) not_after: OffsetDateTime,
    /// The PEM file for a program that has the private key.
    pub(crate) pem: Option<PathBuf>,
    /// The same as PKCS#12, with an empty password.
    pub(crate) pfx: Option<PathBuf>,
}

/// How an assertion names the certificate of its key.
pub(crate) enum CertificateName {
    /// `x5t`: SHA-1 of the certificate.
    Sha1(Vec<u8>),
    /// `x5t#S256`: its SHA-256.
    Sha256(Vec<u8>),
    /// `kid`: any text that tells a certificate.
    KeyId(String),
}

/// The certificates of all applications.
pub(crate) struct Certificates {
    folder: PathBuf,
    /// Whether generated ones outlive this emulator.
    kept: bool,
    generated: Mutex<HashMap<String, Arc<Certificate>>>,
}

impl CertificateName {
    /// The name in an assertion's header, the strongest if there are several.
    pub(crate) fn in_header(header: &serde_json::Map<String, serde_json::Value>) -> Option<Self> {
        let text = |name: &str| header.get(name).and_then(serde_json::Value::as_str);
        if let Some(thumbprint) = text("x5t#S256") {
            return Some(CertificateName::Sha256(decode(thumbprint).unwrap_or_default()));
        }
        if let Some(thumbprint) = text("x5t") {
            return Some(CertificateName::Sha1(decode(thumbprint).unwrap_or_default()));
        }
        text("kid").map(|kid| CertificateName::KeyId(kid.to_owned()))
    }

    /// As an error text shows it: absent for a `kid`.
    pub(crate) fn thumbprint(&self) -> Option<String> {
        match self {
            CertificateName::Sha1(thumbprint) | CertificateName::Sha256(thumbprint) => Some(hex(thumbprint)),
            CertificateName::KeyId(_) => None,
        }
    }
}

impl Certificate {
    pub(crate) fn is_called(&self, name: &CertificateName) -> bool {
        match name {
            CertificateName::Sha1(thumbprint) => *thumbprint == self.sha1,
            CertificateName::Sha256(thumbprint) => *thumbprint == self.sha256,
            CertificateName::KeyId(kid) => {
                let is_hex = |thumbprint: &[u8]| kid.eq_ignore_ascii_case(&hex(thumbprint));
                let decoded = decode(kid);
                let is_base64 = |thumbprint: &Vec<u8>| decoded.as_ref() == Some(thumbprint);
                [&self.sha1, &self.sha256].into_iter().any(|it| is_hex(it) || is_base64(it))
            }
        }
    }

    /// For the log: a person compares it with what the portal shows.
    pub(crate) fn thumbprint(&self) -> String {
        hex(&self.sha1)
    }

    /// Reads PEM text: the certificate, and the private key if it is there.
    fn from_pem(text: &str) -> Result<(Self, Option<PrivateKeyDer<'static>>), String> {
        let der = CertificateDer::from_pem_slice(text.as_bytes())
            .map_err(|_| "it holds no certificate in PEM. `openssl pkcs12 -nodes` makes PEM of PKCS#12, `openssl x509 -inform der` of DER".to_owned())?;
        let (_, certificate) =
            x509_parser::parse_x509_certificate(&der).map_err(|e| format!("its certificate can't be read: {e}"))?;
        let key = match certificate.public_key().parsed() {
            Ok(PublicKey::RSA(rsa)) if rsa.key_size() >= 2048 => {
                let start = rsa.modulus.iter().take_while(|byte| **byte == 0).count();
                DecodingKey::from_rsa_raw_components(&rsa.modulus[start..], rsa.exponent)
            }
            Ok(PublicKey::RSA(_)) => return Err("its RSA key is shorter than 2048 bits".to_owned()),
            _ => return Err("its key is no RSA key: client assertions are signed with RS256 or PS256".to_owned()),
        };
        let private_key = PrivateKeyDer::from_pem_slice(text.as_bytes()).ok();
        if let Some(private_key) = &private_key {
            let pair = match private_key {
                PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
                other => RsaKeyPair::from_der(other.secret_der()),
            };
            let belongs = pair.is_ok_and(|pair| {
                pair.public_key().as_ref() == certificate.public_key().subject_public_key.data.as_ref()
            });
            if !belongs {
                return Err("its private key is not the one of its certificate".to_owned());
            }
        }
        let certificate = Certificate {
            sha1: digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &der).as_ref().to_vec(),
            sha256: digest::digest(&digest::SHA256, &der).as_ref().to_vec(),
            key,
            not_before: certificate.validity().not_before.to_datetime(),
            not_after: certificate.validity().not_after.to_datetime(),
            pem: None,
            pfx: None,
        };
        Ok((certificate, private_key))
    }

    fn from_file(path: &Path) -> Result<Self, Error> {
        let error = |why| Error::Certificate { path: path.to_owned(), why };
        let text = fs::read_to_string(path).map_err(|e| error(format!("it can't be read: {e}")))?;
        let (certificate, key) = Self::from_pem(&text).map_err(error)?;
        Ok(Certificate { pem: key.map(|_| path.to_owned()), ..certificate })
    }
}

impl Certificates {
    pub(crate) fn new(folders: &Folders) -> Self {
        Certificates {
            folder: folders.state.as_ref().unwrap_or(&folders.run).join("certificates"),
            kept: folders.state.is_some(),
            generated: Mutex::default(),
        }
    }

    /// A registered certificate of the application `identity`. A generated one is made when it is first asked for.
    pub(crate) fn get(&self, identity: &str, source: &CertificateSource) -> Result<Arc<Certificate>, Error> {
        match source {
            CertificateSource::File(path) => Certificate::from_file(path).map(Arc::new),
            CertificateSource::Generated => self.generated(identity),
        }
    }

    /// Whether a certificate can be read.
    pub(crate) fn check(&self, source: &CertificateSource) -> Result<(), Error> {
        match source {
            CertificateSource::File(path) => Certificate::from_file(path).map(drop),
            CertificateSource::Generated => Ok(()),
        }
    }

    fn generated(&self, identity: &str) -> Result<Arc<Certificate>, Error> {
        let mut generated = lock(&self.generated);
        if let Some(certificate) = generated.get(identity) {
            return Ok(certificate.clone());
        }
        let state = |path: &Path| {
            let path = path.to_owned();
            move |e: io::Error| Error::State { path, why: e.to_string() }
        };
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder).map_err(state(&self.folder))?;
        let pem = self.folder.join(format!("{identity}.pem"));
        let pfx = self.folder.join(format!("{identity}.pfx"));
        let made = if self.kept {
            // Two emulators that start at the same time must not each make one.
            let held = self.folder.join("lock");
            let _held_until_return =
                fs::File::create(&held).and_then(|file| file.lock().map(|()| file)).map_err(state(&held))?;
            match fs::read_to_string(&pem) {
                Ok(text) => text,
                Err(e) if e.kind() == io::ErrorKind::NotFound => {
                    let made = Made::new(identity).map_err(Error::Keys)?;
                    made.write(&pem, &pfx)?;
                    made.pem
                }
                Err(e) => return Err(state(&pem)(e)),
            }
        } else {
            let made = Made::of_this_process(identity)?;
            made.write(&pem, &pfx)?;
            made.pem.clone()
        };
        let (certificate, _) = Certificate::from_pem(&made).map_err(|why| Error::Certificate {
            path: pem.clone(),
            why: format!("{why}; delete it to have a new one made"),
        })?;
        let certificate = Arc::new(Certificate { pem: Some(pem), pfx: Some(pfx), ..certificate });
        generated.insert(identity.to_owned(), certificate.clone());
        Ok(certificate)
    }
}

/// A certificate that was made here, with its key.
struct Made {
    pem: String,
    pfx: Vec<u8>,
}

impl Made {
    fn new(name: &str) -> Result<Self, String> {
        let key = RsaKey::generate()?;
        let certificate = key.self_signed(name)?;
        let pem = format!("{}{certificate}", key.pem);
        let (_, key) = Certificate::from_pem(&pem)?;
        let pfx = pkcs12(name, &certificate, &key.ok_or("the key is missing")?)?;
        Ok(Made { pem, pfx })
    }

    /// Making an RSA key takes longer than starting an emulator: those of one process share it.
    fn of_this_process(name: &str) -> Result<Arc<Self>, Error> {
        static MADE: Mutex<BTreeMap<String, Arc<Made>>> = Mutex::new(BTreeMap::new());
        let mut all = lock(&MADE);
        if let Some(made) = all.get(name) {
            return Ok(made.clone());
        }
        let made = Arc::new(Made::new(name).map_err(Error::Keys)?);
        all.insert(name.to_owned(), made.clone());
        Ok(made)
    }

    fn write(&self, pem: &Path, pfx: &Path) -> Result<(), Error> {
        let write = |path: &Path, content: &[u8]| {
            write_private(path, content).map_err(|e| Error::State { path: path.to_owned(), why: e.to_string() })
        };
        write(pfx, &self.pfx)?;
        write(pem, self.pem.as_bytes())
    }
}

/// Triple DES and SHA-1, because every reader knows them, OpenSSL 3 without its legacy provider included; AES would keep out Go's.
/// They protect nothing here, nor would others: the password is empty, as in Azure's own downloads. So there are few rounds too.
fn pkcs12(name: &str, certificate: &str, key: &PrivateKeyDer<'_>) -> Result<Vec<u8>, String> {
    const ROUNDS: u32 = 1000;
    let why = |e: p12_keystore::error::Error| e.to_string();
    let der = CertificateDer::from_pem_slice(certificate.as_bytes()).map_err(|e| e.to_string())?;
    let certificate = p12_keystore::Certificate::from_der(&der).map_err(why)?;
    let key = PrivateKey::from_der(key.secret_der()).map_err(why)?;
    let chain = PrivateKeyChain::new(vec![1], key, [certificate]);
    let mut store = KeyStore::new();
    store.add_entry(name, KeyStoreEntry::PrivateKeyChain(chain));
    let writer = store.writer("").encryption_algorithm(EncryptionAlgorithm::PbeWithShaAnd3KeyTripleDesCbc);
    writer
        .encryption_iterations(ROUNDS)
        .mac_algorithm(MacAlgorithm::HmacSha1)
        .mac_iterations(ROUNDS)
        .write()
        .map_err(why)
}

/// Base64 in either alphabet, padded or not: client libraries send every mixture.
fn decode(text: &str) -> Option<Vec<u8>> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &alphabet::URL_SAFE,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    LENIENT.decode(text.replace('+', "-").replace('/', "_")).ok()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn folders(state: &Path) -> Folders {
        Folders { state: Some(state.to_owned()), run: state.to_owned() }
    }

    #[test]
    fn a_generated_certificate_survives_a_restart_and_nobody_else_can_read_it() {
        let state = tempfile::tempdir().unwrap();
        let get = || Certificates::new(&folders(state.path())).get("app", &CertificateSource::Generated).unwrap();
        let (first, second) = (get(), get());
        assert_eq!(first.thumbprint(), second.thumbprint());
        for path in [first.pem.as_ref().unwrap(), first.pfx.as_ref().unwrap()] {
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
        }
        fs::write(first.pem.as_ref().unwrap(), "nonsense").unwrap();
        let error = Certificates::new(&folders(state.path())).get("app", &CertificateSource::Generated).err().unwrap();
        assert!(error.to_string().contains("delete it to have a new one made"), "{error}");
    }

    #[test]
    fn each_application_has_its_own() {
        let state = tempfile::tempdir().unwrap();
        let certificates = Certificates::new(&Folders { state: None, run: state.path().to_owned() });
        let get = |name| certificates.get(name, &CertificateSource::Generated).unwrap().thumbprint();
        assert_ne!(get("one"), get("other"));
    }

    #[test]
    fn each_mistake_in_a_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.pem");
        let (one, other) = (RsaKey::generate().unwrap(), RsaKey::generate().unwrap());
        let of_one = one.self_signed("one").unwrap();
        let elliptic = rcgen::KeyPair::generate().unwrap();
        let elliptic = rcgen::CertificateParams::default().self_signed(&elliptic).unwrap().pem();
        let cases = [
            ("nonsense".to_owned(), "holds no certificate in PEM"),
            (one.pem.clone(), "holds no certificate in PEM"),
            (elliptic, "no RSA key"),
            (format!("{of_one}{}", other.pem), "not the one of its certificate"),
        ];
        for (text, says) in cases {
            fs::write(&path, text).unwrap();
            let error = Certificate::from_file(&path).err().expect(says).to_string();
            assert!(error.contains(says) && error.contains("app.pem"), "{error}");
        }
        fs::write(&path, format!("{of_one}{}", one.pem)).unwrap();
        assert_eq!(Certificate::from_file(&path).unwrap().pem, Some(path.clone()));
        fs::write(&path, of_one).unwrap();
        assert_eq!(Certificate::from_file(&path).unwrap().pem, None, "without the key a program has no use for it");
    }
}
