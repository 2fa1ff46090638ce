//! The third step: the TLS handshake, the certificates, and what can be wrong with them. Nothing is sent over a connection
//! whose certificate is not accepted.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, StreamOwned,
};

use super::case::{Case, Target};
use super::cause::Cause;
use super::certificate::Described;
use super::network::explain;
use super::report::{Examined, Fact, StepName};
use super::stream::Timed;
use super::time::{day, now, roughly};
use super::trust::Trust;

const STEP: StepName = StepName::Tls;

/// A connection whose certificate was accepted.
pub(super) type Encrypted = StreamOwned<ClientConnection, Timed>;

/// What a handshake showed, whether it succeeded or not.
pub(super) struct Handshake {
    pub(super) result: Result<Encrypted, Failure>,
    chain: Vec<CertificateDer<'static>>,
    version: Option<String>,
    suite: Option<String>,
}

/// Why there is no encrypted connection.
#[derive(Debug)]
pub(super) enum Failure {
    /// No TCP connection.
    Network(io::Error),
    /// The answer is no TLS.
    NotTls,
    /// No answer, or the connection is closed instead.
    Silent(io::Error),
    /// The certificate is not accepted.
    Certificate(CertificateError),
    /// The other side, or this one, gives up.
    Refused(String),
}

impl Failure {
    /// To be read behind a colon.
    pub(super) fn explain(&self) -> String {
        match self {
            Failure::Network(e) => explain(e),
            Failure::NotTls => "the answer is no TLS".to_owned(),
            Failure::Silent(e) => explain(e),
            Failure::Certificate(error) => in_words(error),
            Failure::Refused(why) => why.clone(),
        }
    }
}

/// A handshake with `address`, as a client that knows the server by `name`.
pub(super) fn shake_hands(
    address: SocketAddr,
    name: &ServerName<'static>,
    trust: &Trust,
    patience: Duration,
) -> Handshake {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let mut handshake = Handshake { result: Err(Failure::NotTls), chain: Vec::new(), version: None, suite: None };
    let mut connection =
        match configuration(trust, seen.clone()).and_then(|config| ClientConnection::new(config, name.clone())) {
            Ok(connection) => connection,
            Err(e) => {
                handshake.result = Err(Failure::Refused(e.to_string()));
                return handshake;
            }
        };
    let mut tcp = match Timed::connect(address, patience) {
        Ok(tcp) => tcp,
        Err(e) => {
            handshake.result = Err(Failure::Network(e));
            return handshake;
        }
    };
    let completed = connection.complete_io(&mut tcp);
    handshake.version =
        connection.protocol_version().and_then(|version| Some(version.as_str()?.replace("TLSv1_", "TLS 1.")));
    handshake.suite =
        connection.negotiated_cipher_suite().and_then(|suite| Some(suite.suite().as_str()?.replace("TLS13_", "TLS_")));
    handshake.chain = std::mem::take(&mut *seen.lock().unwrap_or_else(|poisoned| poisoned.into_inner()));
    handshake.result = match completed {
        Ok(_) => Ok(StreamOwned::new(connection, tcp)),
        Err(e) => Err(classify(e)),
    };
    handshake
}

fn classify(error: io::Error) -> Failure {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::InvalidCertificate(error)) => Failure::Certificate(error.clone()),
        Some(Error::InvalidMessage(_)) => Failure::NotTls,
        Some(Error::AlertReceived(alert)) => Failure::Refused(format!("it sends the alert {alert:?}")),
        Some(other) => Failure::Refused(other.to_string()),
        None => Failure::Silent(error),
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn configuration(trust: &Trust, seen: Arc<Mutex<Vec<CertificateDer<'static>>>>) -> Result<Arc<ClientConfig>, Error> {
    let judge = WebPkiServerVerifier::builder_with_provider(trust.roots.clone(), provider())
        .build()
        .map_err(|e| Error::General(e.to_string()))?;
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        // Called dangerous because a verifier can accept anything; this one notes what it sees and leaves the judgement to
        // the ordinary one.
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Witness { judge, seen }))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Keeps the certificates that were shown, for those of a failed handshake are told nowhere else.
#[derive(Debug)]
struct Witness {
    judge: Arc<WebPkiServerVerifier>,
    seen: Arc<Mutex<Vec<CertificateDer<'static>>>>,
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain =
            std::iter::once(certificate).chain(intermediates).map(|certificate| certificate.clone().into_owned());
        *self.seen.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = chain.collect();
        self.judge.verify_server_cert(certificate, intermediates, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.judge.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.judge.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.judge.supported_verify_schemes()
    }
}

/// Hands the address on: whoever goes on connects anew, because a server waits only so long for a sign-in, and finding a
/// token may take longer.
pub(super) fn examine(case: &Case, address: SocketAddr) -> Examined<SocketAddr> {
    let (target, trust) = (&case.target, &case.trust);
    if trust.is_empty() {
        let why = trust.problem.as_deref().unwrap_or("it is empty");
        let cause = Cause::trust_store_unreadable(&trust.source, why);
        return Examined::failed(STEP, "there is nothing to check a certificate with", vec![], cause);
    }
    let handshake = shake_hands(address, &target.server_name, trust, case.patience);
    let (facts, judged) = describe(&handshake, target, trust);
    match handshake.result {
        Ok(stream) => {
            drop(stream);
            Examined::ok(STEP, "the certificate is accepted", facts, address)
        }
        Err(Failure::Certificate(error)) => {
            let cause = of_certificate(&judged.unwrap_or(error), &handshake.chain, target, trust);
            Examined::failed(STEP, "the certificate is not accepted", facts, cause)
        }
        Err(Failure::Network(e)) => {
            Examined::failed(STEP, "no second connection", facts, Cause::no_answer(target, &explain(&e)))
        }
        Err(Failure::Refused(why)) => {
            Examined::failed(STEP, "the handshake fails", facts, Cause::tls_refused(target, &why))
        }
        Err(Failure::NotTls) => {
            let answered = plain_text(address, case.patience).unwrap_or_else(|| "sends something else".to_owned());
            Examined::failed(STEP, "the server speaks no TLS", facts, Cause::no_tls(target, &answered))
        }
        // A server that speaks plain text may wait for the end of a line that never comes.
        Err(Failure::Silent(e)) => match plain_text(address, case.patience) {
            Some(answered) => {
                Examined::failed(STEP, "the server speaks no TLS", facts, Cause::no_tls(target, &answered))
            }
            None => {
                let how = match e.kind() {
                    io::ErrorKind::TimedOut => format!("says nothing for {}", roughly(case.patience)),
                    _ => "closes it without a word".to_owned(),
                };
                Examined::failed(STEP, "no answer to the handshake", facts, Cause::tls_silent(target, &how))
            }
        },
    }
}

/// Asks in plain text, with nothing secret in it, and tells what came back, if it looks like words.
fn plain_text(address: SocketAddr, patience: Duration) -> Option<String> {
    let mut tcp = Timed::connect(address, patience).ok()?;
    tcp.write_all(b"PING\r\n").ok()?;
    let mut answer = [0; 256];
    let count = tcp.read(&mut answer).ok()?;
    let line = std::str::from_utf8(&answer[..count]).ok()?.lines().next()?.trim_end();
    if line.is_empty() || line.contains(|c: char| c.is_control()) {
        return None;
    }
    let who = if line.starts_with(['+', '-']) {
        "answers PING in plain text, as Redis does"
    } else {
        "answers in plain text"
    };
    Some(format!("{who} ({line})"))
}

/// The certificates as facts; and of several things that are wrong with them, the one to mend first.
fn describe(handshake: &Handshake, target: &Target, trust: &Trust) -> (Vec<Fact>, Option<CertificateError>) {
    let mut facts = Vec::new();
    if let Some(version) = &handshake.version {
        facts.push(Fact::new("protocol", version).note(handshake.suite.clone().unwrap_or_default()));
    }
    for (number, certificate) in handshake.chain.iter().enumerate() {
        let Some(described) = Described::read(certificate) else {
            facts.push(Fact::new("certificate", "unreadable"));
            continue;
        };
        let subject = if described.subject.is_empty() { "(no subject)" } else { &described.subject };
        facts.push(
            Fact::new(if number == 0 { "certificate" } else { "then" }, subject)
                .note(format!("by {}", described.issuer)),
        );
        facts.push(validity(&described));
    }
    let Some((first, intermediates)) = handshake.chain.split_first() else { return (facts, None) };
    let Ok(parsed) = ParsedCertificate::try_from(first) else { return (facts, None) };

    let algorithms = provider().signature_verification_algorithms.all;
    let chain =
        verify_server_cert_signed_by_trust_anchor(&parsed, &trust.roots, intermediates, UnixTime::now(), algorithms);
    let chain = chain.err().map(certificate_error);
    let name = verify_server_name(&parsed, &target.server_name).err().map(certificate_error);
    let names = Described::read(first).map(|described| described.names.join(", ")).unwrap_or_default();
    let names = Fact::new("names", if names.is_empty() { "none".to_owned() } else { names });
    facts.push(match &name {
        None => names.good(format!("{} is among them", target.host)),
        Some(_) => names.bad(format!("{} is not among them", target.host)),
    });
    let store = match trust.roots.len() {
        1 => format!("{}, one certificate", trust.source),
        count => format!("{}, {count} certificates", trust.source),
    };
    facts.push(match &chain {
        None => Fact::new("trusted", "yes").good(format!("by {store}")),
        Some(error) => Fact::new("trusted", "no").bad(format!("{}; asked: {store}", in_words(error))),
    });
    if let Some(problem) = &trust.problem {
        facts.push(Fact::new("not read", problem.clone()).remark(""));
    }
    (facts, chain.or(name))
}

fn validity(described: &Described) -> Fact {
    let (begins, ends) = (described.begins, described.ends);
    let fact = Fact::new("valid", format!("{} to {}", day(begins), day(ends)));
    let away = |moment: i64| roughly(Duration::from_secs((moment - now()).unsigned_abs()));
    if ends < now() {
        fact.bad(format!("ended {} ago", away(ends)))
    } else if begins > now() {
        fact.bad(format!("begins in {}", away(begins)))
    } else {
        fact.good(format!("{} left", away(ends)))
    }
}

fn certificate_error(error: Error) -> CertificateError {
    match error {
        Error::InvalidCertificate(error) => error,
        _ => CertificateError::BadEncoding,
    }
}

fn of_certificate(
    error: &CertificateError,
    chain: &[CertificateDer<'static>],
    target: &Target,
    trust: &Trust,
) -> Cause {
    use CertificateError as E;
    let described: Vec<Described> = chain.iter().filter_map(Described::read).collect();
    // Those that sign may be the ones out of their time.
    let ends = described.iter().map(|one| one.ends).min().unwrap_or_default();
    let begins = described.iter().map(|one| one.begins).max().unwrap_or_default();
    let issuer = described.last().map_or("nobody that can be read", |last| last.issuer.as_str());
    let names = described.first().map(|first| first.names.join(", ")).filter(|names| !names.is_empty());
    let names = names.as_deref().unwrap_or("no name at all");
    match error {
        E::UnknownIssuer => Cause::unknown_authority(target, issuer, &trust.source),
        // The authority is found by its name: then it is another of the same name.
        E::BadSignature => Cause::authority_with_another_key(target, issuer, &trust.source),
        E::NotValidForName | E::NotValidForNameContext { .. } => Cause::other_name(target, names),
        E::Expired | E::ExpiredContext { .. } => Cause::certificate_expired(target, &day(ends)),
        E::NotValidYet | E::NotValidYetContext { .. } => Cause::certificate_not_yet_valid(target, &day(begins)),
        other => Cause::certificate_unusable(target, &in_words(other)),
    }
}

/// To be read in a sentence.
pub(super) fn in_words(error: &CertificateError) -> String {
    use CertificateError as E;
    match error {
        E::UnknownIssuer => "its authority is not trusted".to_owned(),
        E::NotValidForName | E::NotValidForNameContext { .. } => "it is for another name".to_owned(),
        E::Expired | E::ExpiredContext { .. } => "it has run out".to_owned(),
        E::NotValidYet | E::NotValidYetContext { .. } => "it is not valid yet".to_owned(),
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => "it is not for servers".to_owned(),
        E::BadEncoding => "it is damaged".to_owned(),
        E::BadSignature => "the authority of that name did not sign it".to_owned(),
        other => other.to_string(),
    }
}
