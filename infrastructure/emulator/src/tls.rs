//! TLS towards clients: which certificate a server presents, which can change while it runs, and what a failed handshake usually
//! means, in words for the log.

use std::io;
use std::sync::{Arc, RwLock};

use rustls::ServerConnection;
use tokio_rustls::TlsAcceptor;

use crate::Error;
use crate::keys::{Keys, Presented};

/// The handshake took too long.
pub(crate) const TIMED_OUT: &str = "the client did not finish the handshake in time";

/// The TLS side of one server.
pub(crate) struct Tls {
    names: Vec<&'static str>,
    /// For ALPN.
    protocols: &'static [&'static [u8]],
    now: RwLock<(Presented, TlsAcceptor)>,
}

impl Tls {
    pub(crate) fn new(
        keys: &Keys,
        names: Vec<&'static str>,
        protocols: &'static [&'static [u8]],
        presented: Presented,
    ) -> Result<Self, Error> {
        let acceptor = acceptor(keys, &names, protocols, presented)?;
        Ok(Tls { names, protocols, now: RwLock::new((presented, acceptor)) })
    }

    /// For the next connection.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        self.now.read().unwrap_or_else(|poisoned| poisoned.into_inner()).1.clone()
    }

    /// What the next connection will see.
    pub(crate) fn presented(&self) -> Presented {
        self.now.read().unwrap_or_else(|poisoned| poisoned.into_inner()).0
    }

    /// From now on new connections see another certificate.
    pub(crate) fn present(&self, keys: &Keys, presented: Presented) -> Result<(), Error> {
        let acceptor = acceptor(keys, &self.names, self.protocols, presented)?;
        *self.now.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = (presented, acceptor);
        Ok(())
    }
}

fn acceptor(keys: &Keys, names: &[&str], protocols: &[&[u8]], presented: Presented) -> Result<TlsAcceptor, Error> {
    let mut config = keys.server_config(names, presented)?;
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// The protocol version of a connection, as people write it: `TLSv1.3`.
pub(crate) fn version(connection: &ServerConnection) -> String {
    let version = connection.protocol_version().and_then(|version| version.as_str().map(|name| name.replace('_', ".")));
    version.unwrap_or_default()
}

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
