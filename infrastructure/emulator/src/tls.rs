//! What a failed TLS handshake usually means, in words for the log.

use std::io;

/// The handshake took too long.
pub(crate) const TIMED_OUT: &str = "the client did not finish the handshake in time";

/// The TLS library's error, with the usual cause where there is one.
pub(crate) fn explain(error: &io::Error) -> String {
    use rustls::AlertDescription as Alert;
    let cause = match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::AlertReceived(Alert::UnknownCA)) => {
            "the client does not trust the CA that signed the certificate. It sent nothing more"
        }
        Some(rustls::Error::AlertReceived(Alert::BadCertificate | Alert::CertificateUnknown)) => {
            "the client does not accept the certificate: another name, or a CA that it does not trust. It sent nothing more"
        }
        Some(rustls::Error::InvalidMessage(_)) => {
            "the client does not speak TLS. Azure Managed Redis takes TLS only: use rediss:// or the client's TLS option"
        }
        Some(rustls::Error::PeerIncompatible(_)) => {
            "the client offers no TLS version or cipher suite that Azure supports"
        }
        _ if error.kind() == io::ErrorKind::UnexpectedEof => {
            "the client hung up during the handshake: often because it does not accept the certificate"
        }
        _ => return error.to_string(),
    };
    format!("{cause} ({error})")
}
