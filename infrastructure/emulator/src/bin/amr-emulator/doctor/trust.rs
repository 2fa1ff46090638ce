//! Which authorities are trusted: those of the machine, or those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name, as OpenSSL,
//! Go, .NET and rustls do it.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls_native_certs::load_native_certs;

/// The trusted authorities and where they are from.
pub(super) struct Trust {
    pub(super) certificates: Vec<CertificateDer<'static>>,
    pub(super) roots: Arc<RootCertStore>,
    /// Where they are from, to be read in a sentence.
    pub(super) source: String,
    /// Why some, or all, could not be read.
    pub(super) problem: Option<String>,
}

impl Trust {
    pub(super) fn load() -> Self {
        let named: Vec<String> = ["SSL_CERT_FILE", "SSL_CERT_DIR"]
            .iter()
            .filter_map(|name| std::env::var(name).ok().map(|value| format!("{name} ({value})")))
            .collect();
        let source = if named.is_empty() { "this machine's store".to_owned() } else { named.join(" and ") };
        let loaded = load_native_certs();
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(loaded.certs.iter().cloned());
        let problem = match loaded.errors.first() {
            Some(error) => Some(error.to_string()),
            None if roots.is_empty() => Some("it is empty".to_owned()),
            None => None,
        };
        Trust { certificates: loaded.certs, roots: Arc::new(roots), source, problem }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.roots.is_empty()
    }
}
