//! The flows of an application that proves itself to Entra ID: with a secret, with a certificate, or with a token that its
//! hosting projects into a file.

use std::path::Path;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use p12_keystore::{KeyStore, Pkcs12ImportPolicy};
use rcgen::KeyPair;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::json;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;

use super::super::cause::Cause;
use super::super::time::{day, now};
use super::super::token::Claims;
use super::entra::{Endpoint, Proof};
use super::{Attempt, Outcome, missing, path_in, variable};

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// How long the assertion is good for, in seconds; the request follows at once.
const ASSERTION_LIFETIME: i64 = 300;

/// Opens the endpoint of a flow whose own variable is there, or says what else it needs.
macro_rules! endpoint {
    ($flow:literal) => {{
        if let Some(missing) = missing(&["AZURE_TENANT_ID", "AZURE_CLIENT_ID"]) {
            return Outcome::failed(Cause::credential_incomplete($flow, &missing));
        }
        match Endpoint::from_environment() {
            Ok(endpoint) => endpoint,
            Err(cause) => return Outcome::Failed(cause),
        }
    }};
}

impl Attempt<'_> {
    pub(super) fn client_secret(&mut self) -> Outcome {
        let Some(secret) = variable("AZURE_CLIENT_SECRET") else {
            return Outcome::skipped("AZURE_CLIENT_SECRET is not set");
        };
        let endpoint = endpoint!("client-secret");
        self.ask_entra(&endpoint, &[("client_secret", &secret)], Proof::Secret)
    }

    pub(super) fn client_certificate(&mut self) -> Outcome {
        const VARIABLE: &str = "AZURE_CLIENT_CERTIFICATE_PATH";
        let Some(path) = path_in(VARIABLE) else {
            return Outcome::skipped(format!("{VARIABLE} is not set"));
        };
        let endpoint = endpoint!("client-certificate");
        let certificate = match ClientCertificate::read(&path) {
            Ok(certificate) => certificate,
            Err(why) => return Outcome::failed(Cause::credential_file(VARIABLE, &path.display().to_string(), &why)),
        };
        let assertion = match certificate.assertion(&endpoint.client, &endpoint.url.to_string()) {
            Ok(assertion) => assertion,
            Err(why) => return Outcome::failed(Cause::credential_file(VARIABLE, &path.display().to_string(), &why)),
        };
        self.secrets.hide(&assertion, "<assertion>");
        let with = [("client_assertion_type", ASSERTION_TYPE), ("client_assertion", assertion.as_str())];
        self.ask_entra(&endpoint, &with, Proof::Certificate { thumbprint: &certificate.thumbprint })
    }

    pub(super) fn workload_identity(&mut self) -> Outcome {
        const VARIABLE: &str = "AZURE_FEDERATED_TOKEN_FILE";
        let Some(path) = path_in(VARIABLE) else {
            return Outcome::skipped(format!("{VARIABLE} is not set"));
        };
        let endpoint = endpoint!("workload-identity");
        let unusable = |why: &str| Outcome::failed(Cause::credential_file(VARIABLE, &path.display().to_string(), why));
        let token = match std::fs::read_to_string(&path) {
            Ok(token) => token.trim().to_owned(),
            Err(e) => return unusable(&e.to_string()),
        };
        self.secrets.hide(&token, "<projected token>");
        let claims = match Claims::read(&token) {
            Ok(claims) => claims,
            Err(why) => return unusable(&why),
        };
        let claim = |name: &str| claims.text(name).unwrap_or_else(|| "none".to_owned());
        let presented = format!("issuer {}, subject {}, audience {}", claim("iss"), claim("sub"), claim("aud"));
        let with = [("client_assertion_type", ASSERTION_TYPE), ("client_assertion", token.as_str())];
        self.ask_entra(&endpoint, &with, Proof::Federated { presented: &presented })
    }
}

/// A certificate with its key, as Azure's libraries read it from a file, PEM or PKCS#12.
struct ClientCertificate {
    /// SHA-1, as the portal shows it.
    thumbprint: String,
    thumbprint_sha256: String,
    key: EncodingKey,
}

impl ClientCertificate {
    fn read(path: &Path) -> Result<Self, String> {
        let bytes = std::fs::read(path).map_err(|e| e.to_string())?;
        let (certificate, key) = match bytes.windows(11).any(|window| window == b"-----BEGIN ") {
            true => in_pem(&bytes)?,
            false => in_pkcs12(&bytes, &variable("AZURE_CLIENT_CERTIFICATE_PASSWORD").unwrap_or_default())?,
        };
        let key = EncodingKey::from_rsa_pem(&key)
            .map_err(|_| "its key is no RSA key, and Entra ID takes no other".to_owned())?;
        check(&certificate, &key)?;
        let sha1 = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &certificate);
        let sha256 = digest::digest(&digest::SHA256, &certificate);
        Ok(ClientCertificate {
            thumbprint: sha1.as_ref().iter().map(|byte| format!("{byte:02X}")).collect(),
            thumbprint_sha256: URL_SAFE_NO_PAD.encode(sha256),
            key,
        })
    }

    /// The signed statement that this is the application. Microsoft Learn, "Certificate credentials".
    fn assertion(&self, client: &str, audience: &str) -> Result<String, String> {
        let mut header = Header::new(Algorithm::PS256);
        header.x5t_s256 = Some(self.thumbprint_sha256.clone());
        let now = now();
        let claims = json!({
            "aud": audience,
            "iss": client,
            "sub": client,
            "jti": uuid::Uuid::new_v4().to_string(),
            "nbf": now,
            "iat": now,
            "exp": now + ASSERTION_LIFETIME,
        });
        encode(&header, &claims, &self.key).map_err(|e| format!("its key cannot sign: {e}"))
    }
}

/// Certificate and private key of a PEM file, the key as PEM.
fn in_pem(bytes: &[u8]) -> Result<(CertificateDer<'static>, Vec<u8>), String> {
    let certificate = CertificateDer::from_pem_slice(bytes).map_err(|_| "it holds no certificate".to_owned())?;
    if bytes.windows(21).any(|window| window == b"ENCRYPTED PRIVATE KEY") {
        return Err("its key is encrypted; this command reads plain keys only".to_owned());
    }
    let begins = |marker: &[u8]| bytes.windows(marker.len()).position(|window| window == marker);
    let key = [
        b"-----BEGIN PRIVATE KEY-----".as_slice(),
        b"-----BEGIN RSA PRIVATE KEY-----",
        b"-----BEGIN EC PRIVATE KEY-----",
    ]
    .into_iter()
    .find_map(begins)
    .ok_or_else(|| "it holds a certificate and no private key".to_owned())?;
    Ok((certificate, bytes[key..].to_vec()))
}

/// The same of a PKCS#12 file (.pfx, .p12).
fn in_pkcs12(bytes: &[u8], password: &str) -> Result<(CertificateDer<'static>, Vec<u8>), String> {
    use p12_keystore::error::Error;
    let store = KeyStore::from_pkcs12(bytes, password, Pkcs12ImportPolicy::Relaxed).map_err(|error| match error {
        Error::MacError(_) => "it is PKCS#12, and AZURE_CLIENT_CERTIFICATE_PASSWORD is not its password".to_owned(),
        Error::DerError(_) | Error::InvalidVersion => "it is neither PEM nor PKCS#12".to_owned(),
        other => format!("it is PKCS#12 of a kind that this command does not read: {other}"),
    })?;
    let (_, chain) = store.private_key_chain().ok_or("it holds no private key with a certificate")?;
    let certificate = chain.certs().first().ok_or("it holds a private key and no certificate")?;
    let key = KeyPair::try_from(chain.key().as_der()).map_err(|e| format!("its key is of an unknown kind: {e}"))?;
    Ok((certificate.as_der().to_vec().into(), key.serialize_pem().into_bytes()))
}

/// That the key is the certificate's own, and the certificate in its time: Entra ID's error would not say which.
fn check(certificate: &CertificateDer<'_>, key: &EncodingKey) -> Result<(), String> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| "its certificate is damaged".to_owned())?;
    let ends = parsed.validity().not_after.timestamp();
    if ends < now() {
        return Err(format!("its certificate ran out on {}", day(ends)));
    }
    let begins = parsed.validity().not_before.timestamp();
    if begins > now() {
        return Err(format!("its certificate is valid from {} on only", day(begins)));
    }
    let jwk = Jwk::from_encoding_key(key, Algorithm::PS256)
        .map_err(|_| "its key is no RSA key, and Entra ID takes no other")?;
    let AlgorithmParameters::RSA(rsa) = &jwk.algorithm else {
        return Err("its key is no RSA key, and Entra ID takes no other".to_owned());
    };
    let of_key = URL_SAFE_NO_PAD.decode(&rsa.n).unwrap_or_default();
    let of_certificate = match parsed.public_key().parsed() {
        Ok(PublicKey::RSA(key)) => key.modulus.to_vec(),
        _ => return Err("its certificate has no RSA key, and Entra ID takes no other".to_owned()),
    };
    let significant = |bytes: &[u8]| bytes.iter().skip_while(|byte| **byte == 0).copied().collect::<Vec<u8>>();
    if significant(&of_key) != significant(&of_certificate) {
        return Err("its private key does not belong to its first certificate".to_owned());
    }
    Ok(())
}
