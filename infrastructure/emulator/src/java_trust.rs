//! What makes a Java virtual machine trust the emulator and, where that is asked for, find its proxy. Java takes neither from
//! PEM files and the variables of other languages: it wants a key store, named by a system property.

use std::path::Path;
use std::sync::Mutex;

use p12_keystore::{Certificate, EncryptionAlgorithm, KeyStore, KeyStoreEntry, MacAlgorithm};

/// What the `java` command reads its options from. `JAVA_TOOL_OPTIONS` would reach programs too that start a virtual machine
/// by themselves, and every tool of the JDK.
pub(crate) const VARIABLE: &str = "JDK_JAVA_OPTIONS";

/// Java's own for its trust store. It protects nothing: what is in there is public.
const PASSWORD: &str = "changeit";

/// The options by which Java trusts the store at this place.
pub(crate) fn options(store: &Path) -> String {
    let trust = [
        format!("-Djavax.net.ssl.trustStore={}", store.display()),
        "-Djavax.net.ssl.trustStoreType=PKCS12".to_owned(),
        format!("-Djavax.net.ssl.trustStorePassword={PASSWORD}"),
    ];
    trust.map(|option| quoted(&option)).join(" ")
}

/// The options by which Java's own HTTPS, and what goes by its settings, takes the proxy at this port. Java's list of exceptions has
/// bars where others have commas.
pub(crate) fn proxy_options(port: u16) -> String {
    format!("-Dhttps.proxyHost=127.0.0.1 -Dhttps.proxyPort={port} -Dhttp.nonProxyHosts=localhost|127.0.0.1|[::1]")
}

/// The launcher divides the variable at blanks, except between quotation marks.
fn quoted(option: &str) -> String {
    match option.contains(char::is_whitespace) {
        true => format!("\"{option}\""),
        false => option.to_owned(),
    }
}

/// A store, and the certificates that it holds.
struct Made {
    of: Vec<Vec<u8>>,
    store: Vec<u8>,
}

/// A PKCS#12 store of certificates to trust. Making one takes longer than the rest of an emulator's start, so emulators of one
/// process that have the same share it.
pub(crate) fn store(certificates: &[Vec<u8>]) -> Result<Vec<u8>, String> {
    static MADE: Mutex<Option<Made>> = Mutex::new(None);
    let mut made = MADE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Some(made) = made.as_ref()
        && made.of == certificates
    {
        return Ok(made.store.clone());
    }
    let store = pkcs12(certificates).map_err(|e| e.to_string())?;
    *made = Some(Made { of: certificates.to_vec(), store: store.clone() });
    Ok(store)
}

/// Encrypted, because Java ignores certificates that are not when it has a password; with few rounds, because there is no secret.
fn pkcs12(certificates: &[Vec<u8>]) -> p12_keystore::Result<Vec<u8>> {
    const ROUNDS: u32 = 1;
    let mut store = KeyStore::new();
    for (number, der) in certificates.iter().enumerate() {
        // A root that this crate cannot read stays out: Java would have no use for it either.
        if let Ok(certificate) = Certificate::from_der(der) {
            store.add_entry(&format!("root-{number}"), KeyStoreEntry::Certificate(certificate));
        }
    }
    store
        .writer(PASSWORD)
        .encryption_algorithm(EncryptionAlgorithm::PbeWithHmacSha256AndAes256)
        .encryption_iterations(ROUNDS)
        .mac_algorithm(MacAlgorithm::HmacSha256)
        .mac_iterations(ROUNDS)
        .write()
}

#[cfg(test)]
mod tests {
    use p12_keystore::Pkcs12ImportPolicy;

    use super::*;
    use crate::keys::RsaKey;

    fn certificate(name: &str) -> Vec<u8> {
        use rustls::pki_types::CertificateDer;
        use rustls::pki_types::pem::PemObject;
        let pem = RsaKey::generate().unwrap().self_signed(name).unwrap();
        CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec()
    }

    #[test]
    fn a_store_has_what_was_put_in_and_what_is_no_certificate_is_left_out() {
        let (one, other) = (certificate("one"), certificate("other"));
        let made = store(&[one.clone(), b"nonsense".to_vec(), other.clone()]).unwrap();
        let read = KeyStore::from_pkcs12(&made, PASSWORD, Pkcs12ImportPolicy::Strict).unwrap();
        let mut found: Vec<_> = read
            .entries()
            .map(|(_, entry)| match entry {
                KeyStoreEntry::Certificate(certificate) => certificate.as_der().to_vec(),
                _ => panic!("only certificates: {entry:?}"),
            })
            .collect();
        found.sort();
        let mut wanted = vec![one.clone(), other];
        wanted.sort();
        assert_eq!(found, wanted);
        assert_ne!(store(&[one]).unwrap(), made, "another list is another store");
    }

    #[test]
    fn a_place_with_a_blank_stays_one_option() {
        let options = options(Path::new("/home/Ada Lovelace/trust.p12"));
        assert!(options.starts_with("\"-Djavax.net.ssl.trustStore=/home/Ada Lovelace/trust.p12\" "), "{options}");
    }
}
