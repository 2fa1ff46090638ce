//! The emulator's own certificate authority and the keys that sign tokens. Made once a process, or kept in a state folder
//! so that settings survive a restart.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, OnceLock, RwLock};
use std::time::Instant;

use aws_lc_rs::digest;
use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, ThumbprintHash};
use jsonwebtoken::{DecodingKey, EncodingKey};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_RSA_SHA256, RsaKeySize,
};
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs as provider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::{Duration, OffsetDateTime};

use crate::{Error, azure};

/// Which certificate a server presents. Anything but `Trusted` is a fault on purpose, to show that a client checks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Presented {
    /// One that the emulator's CA signed, for the right name.
    #[default]
    Trusted,
    /// One for the right name, signed by another CA.
    OtherAuthority,
    /// One that the emulator's CA signed, for another name.
    OtherName,
}

/// The long-lived keys of one emulator.
pub(crate) struct Keys {
    authority: Arc<CertificateAuthority>,
    signing: RwLock<SigningKeys>,
}

/// The key that signs now, the one that will, and those that signed before.
struct SigningKeys {
    current: Arc<SigningKey>,
    /// Made when it is first asked for: that takes longer than an emulator's start.
    next: Option<Arc<SigningKey>>,
    /// Tokens that they signed are good until the time beside them.
    earlier: Vec<(Arc<SigningKey>, Instant)>,
}

struct CertificateAuthority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
    key_pem: String,
}

/// An RSA key for JSON Web Tokens, and its public half as a key set shows it.
pub(crate) struct RsaKey {
    pub(crate) encoding: EncodingKey,
    pub(crate) decoding: DecodingKey,
    pub(crate) n: String,
    pub(crate) e: String,
    /// The SHA-256 thumbprint of RFC 7638.
    pub(crate) thumbprint: String,
    pub(crate) pem: String,
}

/// The RSA key that signs tokens, with the certificate that Entra ID publishes for it.
pub(crate) struct SigningKey {
    pub(crate) kid: String,
    pub(crate) rsa: RsaKey,
    /// The public half, ready for use: it is asked for at every sign-in.
    verifying: ParsedPublicKey,
    certificate_der: Vec<u8>,
    certificate_pem: String,
}

impl Keys {
    /// Keys that all emulators of this process start with: making an RSA key takes longer than starting an emulator.
    pub(crate) fn of_this_process() -> Result<Self, Error> {
        type Shared = (Arc<CertificateAuthority>, Arc<SigningKey>);
        static KEYS: OnceLock<Result<Shared, String>> = OnceLock::new();
        let shared = KEYS.get_or_init(|| make().map(|(ca, key)| (Arc::new(ca), Arc::new(key))));
        let (authority, signing) = shared.clone().map_err(Error::Keys)?;
        Ok(Keys::new(authority, signing))
    }

    fn new(authority: Arc<CertificateAuthority>, signing: Arc<SigningKey>) -> Self {
        Keys { authority, signing: RwLock::new(SigningKeys { current: signing, next: None, earlier: Vec::new() }) }
    }

    /// The key that signs tokens now.
    pub(crate) fn signing(&self) -> Arc<SigningKey> {
        self.read().current.clone()
    }

    /// All keys whose tokens are good, the newest first.
    pub(crate) fn published(&self) -> Vec<Arc<SigningKey>> {
        let keys = self.read();
        let now = Instant::now();
        let earlier = keys.earlier.iter().rev().filter(|(_, until)| *until > now).map(|(key, _)| key.clone());
        std::iter::once(keys.current.clone()).chain(earlier).collect()
    }

    /// What Entra ID publishes: those, and the key that will sign next. So a key is known to everybody before it is used.
    pub(crate) fn key_set(&self) -> Result<Vec<Arc<SigningKey>>, Error> {
        let next = self.next()?;
        Ok(self.published().into_iter().chain([next]).collect())
    }

    fn next(&self) -> Result<Arc<SigningKey>, Error> {
        if let Some(next) = &self.read().next {
            return Ok(next.clone());
        }
        // Nobody who has a token checked should have to wait for this.
        let made = Arc::new(SigningKey::generate().map_err(Error::Keys)?);
        let mut keys = self.signing.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        Ok(keys.next.get_or_insert(made).clone())
    }

    /// The published key of that name.
    pub(crate) fn published_as(&self, kid: &str) -> Option<Arc<SigningKey>> {
        self.published().into_iter().find(|key| key.kid == kid)
    }

    /// From now on another key signs. Tokens of the one before are good for as long as `honoured`. The kept keys of a state
    /// folder stay as they are: after a restart the emulator signs with them again.
    pub(crate) fn rotate(&self, honoured: std::time::Duration) -> Result<(), Error> {
        let key = self.next()?;
        let now = Instant::now();
        let mut keys = self.signing.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        keys.next = None;
        let before = std::mem::replace(&mut keys.current, key);
        keys.earlier.retain(|(_, until)| *until > now);
        keys.earlier.push((before, now + honoured));
        Ok(())
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, SigningKeys> {
        self.signing.read().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The keys kept in `folder`; made and written there, readable by this user only, if there are none yet.
    pub(crate) fn kept_in(folder: &Path) -> Result<Self, Error> {
        // Two emulators that start at the same time must not each write half of the keys.
        let lock = folder.join("lock");
        let _held_until_return = fs::File::create(&lock)
            .and_then(|file| file.lock().map(|()| file))
            .map_err(|e| Error::State { path: lock, why: e.to_string() })?;
        let read = |name: &str| match fs::read_to_string(folder.join(name)) {
            Ok(text) => Ok(Some(text)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::State { path: folder.join(name), why: e.to_string() }),
        };
        let files = [read(CA)?, read(CA_KEY)?, read(SIGNING)?, read(SIGNING_KEY)?];
        if let [Some(ca), Some(ca_key), Some(signing), Some(signing_key)] = files {
            let authority = CertificateAuthority::from_pem(CA_NAME, ca, ca_key);
            let signing = SigningKey::from_pem(signing, signing_key);
            return match (authority, signing) {
                (Ok(authority), Ok(signing)) => Ok(Keys::new(Arc::new(authority), Arc::new(signing))),
                (Err(why), _) | (_, Err(why)) => Err(Error::State {
                    path: folder.to_owned(),
                    why: format!(
                        "a key or certificate in it can't be read ({why}); delete the folder to make new ones"
                    ),
                }),
            };
        }
        let (authority, signing) = make().map_err(Error::Keys)?;
        for (name, text) in [
            (CA_KEY, &authority.key_pem),
            (SIGNING_KEY, &signing.rsa.pem),
            (SIGNING, &signing.certificate_pem),
            (CA, &authority.pem),
        ] {
            write_private(&folder.join(name), text)
                .map_err(|e| Error::State { path: folder.join(name), why: e.to_string() })?;
        }
        Ok(Keys::new(Arc::new(authority), Arc::new(signing)))
    }

    /// The CA certificate, PEM.
    pub(crate) fn ca_pem(&self) -> &str {
        &self.authority.pem
    }

    /// TLS settings for a server that presents a certificate for `names`.
    pub(crate) fn server_config(&self, names: &[&str], presented: Presented) -> Result<ServerConfig, Error> {
        let why = |e: rcgen::Error| Error::Keys(e.to_string());
        let other;
        let (authority, names): (&CertificateAuthority, &[&str]) = match presented {
            Presented::Trusted => (&self.authority, names),
            Presented::OtherName => (&self.authority, &["another-name.example"]),
            Presented::OtherAuthority => {
                other = CertificateAuthority::generate("Another CA").map_err(why)?;
                (&other, names)
            }
        };
        let key = KeyPair::generate().map_err(why)?;
        let mut params =
            CertificateParams::new(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>()).map_err(why)?;
        params.distinguished_name = common_name(names[0]);
        valid_for(&mut params, Duration::days(90));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &authority.issuer).map_err(why)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));

        let tls = |e: rustls::Error| Error::Keys(e.to_string());
        let config = ServerConfig::builder_with_provider(Arc::new(azure_cipher_suites()))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(tls)?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .map_err(tls)?;
        Ok(config)
    }
}

fn make() -> Result<(CertificateAuthority, SigningKey), String> {
    Ok((CertificateAuthority::generate(CA_NAME).map_err(|e| e.to_string())?, SigningKey::generate()?))
}

const CA_NAME: &str = "Azure Managed Redis Emulator CA";
const CA: &str = "ca.pem";
const CA_KEY: &str = "ca-key.pem";
const SIGNING: &str = "token-signing.pem";
const SIGNING_KEY: &str = "token-signing-key.pem";

impl CertificateAuthority {
    fn generate(name: &str) -> Result<Self, rcgen::Error> {
        let key = KeyPair::generate()?;
        let key_pem = key.serialize_pem();
        let params = Self::params(name);
        let pem = params.self_signed(&key)?.pem();
        Ok(CertificateAuthority { pem, issuer: Issuer::new(params, key), key_pem })
    }

    /// The certificate itself is not read: what signing needs of it is the same each time.
    fn from_pem(name: &str, pem: String, key_pem: String) -> Result<Self, String> {
        let key = KeyPair::from_pem(&key_pem).map_err(|e| e.to_string())?;
        Ok(CertificateAuthority { pem, issuer: Issuer::new(Self::params(name), key), key_pem })
    }

    fn params(name: &str) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        valid_for(&mut params, Duration::days(3650));
        params
    }
}

impl RsaKey {
    pub(crate) fn generate() -> Result<Self, String> {
        let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).map_err(|e| e.to_string())?;
        Self::from_pem(key.serialize_pem())
    }

    pub(crate) fn from_pem(pem: String) -> Result<Self, String> {
        let encoding = EncodingKey::from_rsa_pem(pem.as_bytes()).map_err(|e| e.to_string())?;
        let jwk = Jwk::from_encoding_key(&encoding, jsonwebtoken::Algorithm::RS256).map_err(|e| e.to_string())?;
        let thumbprint = jwk.thumbprint(ThumbprintHash::SHA256).map_err(|e| e.to_string())?;
        let AlgorithmParameters::RSA(rsa) = jwk.algorithm else {
            return Err("it is not an RSA key".to_owned());
        };
        let decoding = DecodingKey::from_rsa_components(&rsa.n, &rsa.e).map_err(|e| e.to_string())?;
        Ok(RsaKey { encoding, decoding, n: rsa.n, e: rsa.e, thumbprint, pem })
    }

    /// A certificate of its own, PEM: for whoever has to show the key in one.
    pub(crate) fn self_signed(&self, name: &str) -> Result<String, String> {
        let key = KeyPair::from_pem(&self.pem).map_err(|e| e.to_string())?;
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name(name);
        valid_for(&mut params, Duration::days(3650));
        Ok(params.self_signed(&key).map_err(|e| e.to_string())?.pem())
    }
}

impl SigningKey {
    fn generate() -> Result<Self, String> {
        let rsa = RsaKey::generate()?;
        let certificate_pem = rsa.self_signed("accounts.accesscontrol.windows.net (emulator)")?;
        Self::from_pem(certificate_pem, rsa.pem)
    }

    fn from_pem(certificate_pem: String, key_pem: String) -> Result<Self, String> {
        use rustls::pki_types::CertificateDer;
        use rustls::pki_types::pem::PemObject;
        let certificate_der =
            CertificateDer::from_pem_slice(certificate_pem.as_bytes()).map_err(|e| e.to_string())?.to_vec();
        // As in Entra ID: the key's name is the SHA-1 thumbprint of its certificate.
        let thumbprint = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &certificate_der);
        let kid = URL_SAFE_NO_PAD.encode(thumbprint);
        let rsa = RsaKey::from_pem(key_pem)?;
        let number = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|e| e.to_string());
        let public = PublicKeyComponents { n: number(&rsa.n)?, e: number(&rsa.e)? };
        let verifying = public.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256).map_err(|e| e.to_string())?;
        Ok(SigningKey { kid, rsa, verifying, certificate_der, certificate_pem })
    }

    /// Whether it is a signature of `message` with RS256 and this key.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.verifying.verify_sig(message, signature).is_ok()
    }

    /// Its entry in the key set, as Entra ID writes it; `issuer` only in the key sets of version 2.0.
    pub(crate) fn jwk(&self, issuer: Option<&str>) -> Value {
        let certificate = STANDARD.encode(&self.certificate_der);
        azure::published_key(&self.kid, &self.rsa.n, &self.rsa.e, &certificate, issuer)
    }
}

/// AES-GCM only: Azure dropped CHACHA20 (Microsoft Learn, "TLS configuration").
fn azure_cipher_suites() -> CryptoProvider {
    use provider::cipher_suite as suite;
    CryptoProvider {
        cipher_suites: vec![
            suite::TLS13_AES_256_GCM_SHA384,
            suite::TLS13_AES_128_GCM_SHA256,
            suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
            suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        ],
        ..provider::default_provider()
    }
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// From yesterday on, so that a clock that is a little behind does no harm.
fn valid_for(params: &mut CertificateParams, time: Duration) {
    let now = OffsetDateTime::now_utc();
    params.not_before = now - Duration::days(1);
    params.not_after = now + time;
}

/// Writes a file that only this user can read, whole or not at all.
pub(crate) fn write_private(path: &Path, content: impl AsRef<[u8]>) -> io::Result<()> {
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(content.as_ref())?;
    drop(file);
    fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_keys_come_back_the_same_and_nobody_else_can_read_them() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let made = Keys::kept_in(folder.path()).unwrap();
        let read = Keys::kept_in(folder.path()).unwrap();
        assert_eq!(made.ca_pem(), read.ca_pem());
        assert_eq!(made.signing().kid, read.signing().kid);
        for name in [CA, CA_KEY, SIGNING, SIGNING_KEY] {
            let mode = fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }

    #[test]
    fn a_rotated_key_is_honoured_for_a_while_and_then_not() {
        let keys = Keys::of_this_process().unwrap();
        let first = keys.signing().kid.clone();
        keys.rotate(std::time::Duration::from_secs(60)).unwrap();
        let second = keys.signing().kid.clone();
        assert_ne!(first, second);
        assert_eq!(keys.published().len(), 2);
        assert!(keys.published_as(&first).is_some());
        keys.rotate(std::time::Duration::ZERO).unwrap();
        assert!(keys.published_as(&first).is_some(), "the first is honoured for longer than the second");
        assert!(keys.published_as(&second).is_none());
        assert_eq!(Keys::of_this_process().unwrap().signing().kid, first, "other emulators keep their key");
    }

    #[test]
    fn a_damaged_state_folder_is_named_with_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        Keys::kept_in(folder.path()).unwrap();
        fs::write(folder.path().join(CA_KEY), "not a key").unwrap();
        let error = Keys::kept_in(folder.path()).err().expect("a broken key must be noticed").to_string();
        assert!(error.contains("delete the folder"), "{error}");
    }
}
