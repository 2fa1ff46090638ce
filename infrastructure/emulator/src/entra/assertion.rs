//! What an application sends in place of a secret: an assertion that it signed with the key of its certificate, or a token of
//! an issuer that it trusts (workload identity). Both come as `client_assertion`; the claim `iss` tells which it is.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::{Map, Value};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Hosts, NoToken};
use crate::azure::{self, EntraError, NamedCertificate};
use crate::credentials::{Certificate, CertificateName, Credentials, NoKey};
use crate::directory::{Credential, FederatedCredential, Identity};
use crate::events::Flow;
use crate::http::cut_long;

/// What an assertion is checked against.
pub(crate) struct Check<'a> {
    pub(crate) tenant_id: Uuid,
    pub(crate) hosts: &'a Hosts,
    pub(crate) credentials: &'a Credentials,
    /// The application that the request names.
    pub(crate) application: &'a Identity,
    /// What it has registered.
    pub(crate) registered: &'a [Credential],
    pub(crate) now: OffsetDateTime,
}

/// An assertion, taken apart and not believed yet.
struct Assertion<'a> {
    header: Map<String, Value>,
    claims: Map<String, Value>,
    signed: &'a str,
    signature: &'a str,
}

/// By which flow an assertion asks for a token, as far as can be told.
pub(crate) fn flow(assertion: &str) -> Option<Flow> {
    let assertion = Assertion::parse(assertion)?;
    Some(if is_federated(assertion.text("iss").unwrap_or_default()) {
        Flow::FederatedCredential
    } else {
        Flow::ClientCertificate
    })
}

/// An application names itself by its client id; any other issuer is named by its address.
fn is_federated(issuer: &str) -> bool {
    issuer.contains("://")
}

impl Check<'_> {
    /// Tells by which flow the application has proved who it is. The order of the checks is that of Entra ID's errors, as far as
    /// reports of people who met one after the other tell it.
    pub(crate) fn check(&self, assertion: &str) -> Result<Flow, NoToken> {
        // A token is mostly sent just as it was read from a file, with the end of its line.
        let assertion = Assertion::parse(assertion.trim_ascii()).ok_or_else(|| NoToken {
            error: EntraError::malformed_assertion(),
            why: "the client assertion is no JSON Web Token".to_owned(),
        })?;
        for claim in ["iss", "aud"] {
            if !assertion.claims.contains_key(claim) {
                return Err(EntraError::assertion_without(claim).into());
            }
        }
        if is_federated(assertion.required_text("iss")?) {
            self.federated_token(&assertion)?;
            Ok(Flow::FederatedCredential)
        } else {
            self.certificate_assertion(&assertion)?;
            Ok(Flow::ClientCertificate)
        }
    }

    fn certificate_assertion(&self, assertion: &Assertion<'_>) -> Result<(), NoToken> {
        let algorithm = assertion.algorithm(azure::ASSERTION_ALGORITHMS)?;
        let name = CertificateName::in_header(&assertion.header).ok_or_else(EntraError::assertion_names_no_key)?;
        self.is_in_time(assertion)?;
        self.is_of_this_application(assertion)?;
        self.is_for_entra(assertion)?;
        let certificate = self.registered_certificate(&name)?;
        let client_id = self.application.client_id.to_string();
        let named = NamedCertificate {
            thumbprint: name.thumbprint(),
            found: Some((certificate.not_before, certificate.not_after)),
            client_id: &client_id,
        };
        let which = format!("the certificate {} of {}", certificate.thumbprint(), self.application.name);
        if certificate.not_after <= self.now {
            let why = format!("{which} has expired at {}", certificate.not_after);
            return Err(NoToken { error: EntraError::expired_certificate(&named), why });
        }
        if certificate.not_before > self.now {
            let why = format!("{which} is valid only from {} on", certificate.not_before);
            return Err(NoToken { error: EntraError::certificate_not_yet_valid(), why });
        }
        if !assertion.is_signed_by(&certificate.key, algorithm) {
            let why = format!(
                "the assertion names {which}, but was not signed with its key, or was changed after it was signed"
            );
            return Err(NoToken { error: EntraError::wrong_assertion_signature(&named), why });
        }
        Ok(())
    }

    fn is_in_time(&self, assertion: &Assertion<'_>) -> Result<(), NoToken> {
        let (from, until) = (assertion.time("nbf")?, assertion.time("exp")?);
        if from > self.now + azure::ASSERTION_SKEW || until <= self.now - azure::ASSERTION_SKEW {
            let why = format!("the assertion is valid from {from} until {until}. Check the clocks, and make a new one");
            return Err(NoToken { error: EntraError::assertion_out_of_time(self.now, from, until), why });
        }
        Ok(())
    }

    fn is_of_this_application(&self, assertion: &Assertion<'_>) -> Result<(), NoToken> {
        let issuer = assertion.required_text("iss")?;
        let subject = assertion.text("sub").unwrap_or_default();
        let client_id = self.application.client_id.to_string();
        if !issuer.eq_ignore_ascii_case(&client_id) {
            let why = format!("the assertion's iss is {}, the client_id is {client_id}", cut_long(issuer, 64));
            return Err(NoToken { error: EntraError::assertion_of_another_client(), why });
        }
        if subject != issuer {
            let why = format!("the assertion's sub is '{}', not its iss", cut_long(subject, 64));
            return Err(NoToken { error: EntraError::assertion_subject_is_not_issuer(), why });
        }
        Ok(())
    }

    fn is_for_entra(&self, assertion: &Assertion<'_>) -> Result<(), NoToken> {
        let audience = assertion.required_text("aud")?;
        let rest = audience.strip_prefix("https://").unwrap_or_default();
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if !self.hosts.are_ours(host) || !azure::assertion_audiences(self.tenant_id).iter().any(|it| it == path) {
            let why = format!(
                "the assertion's aud is {}, not the token endpoint {}/{}/oauth2/v2.0/token",
                cut_long(audience, 256),
                self.hosts.authority(""),
                self.tenant_id
            );
            return Err(NoToken { error: EntraError::assertion_for_another_audience(), why });
        }
        Ok(())
    }

    fn registered_certificate(&self, name: &CertificateName) -> Result<std::sync::Arc<Certificate>, NoToken> {
        let mut known = Vec::new();
        for credential in self.registered {
            let Credential::Certificate(source) = credential else { continue };
            match self.credentials.certificates.get(&self.application.name, source) {
                Ok(certificate) if certificate.is_called(name) => return Ok(certificate),
                Ok(certificate) => known.push(certificate.thumbprint()),
                // It could be read when it came into the directory.
                Err(error) => known.push(format!("one that can't be read any more: {error}")),
            }
        }
        let client_id = self.application.client_id.to_string();
        let thumbprint = name.thumbprint();
        let named = NamedCertificate { thumbprint: thumbprint.clone(), found: None, client_id: &client_id };
        let sent = match (thumbprint, name) {
            (Some(thumbprint), _) => format!("the thumbprint {}", cut_long(&thumbprint, 64)),
            (None, CertificateName::KeyId(kid)) => format!("the kid '{}'", cut_long(kid, 64)),
            (None, _) => "no thumbprint".to_owned(),
        };
        let registered = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let why = format!(
            "the assertion names {sent}; {} has registered these certificates: {registered}",
            self.application.name
        );
        Err(NoToken { error: EntraError::unregistered_certificate(&named), why })
    }

    fn federated_token(&self, token: &Assertion<'_>) -> Result<(), NoToken> {
        let issuer = token.required_text("iss")?;
        let subject = token.text("sub").unwrap_or_default();
        let audiences = token.audiences()?;
        let credential = self.trusting_credential(issuer, subject, &audiences)?;
        if azure::is_entra_issuer(issuer) {
            let why =
                format!("{} is Entra ID itself, whose tokens no application may show here", cut_long(issuer, 256));
            return Err(NoToken { error: EntraError::federated_token_of_entra(), why });
        }
        let algorithm = token.algorithm(azure::FEDERATED_ALGORITHMS)?;
        let kid = token.header.get("kid").and_then(Value::as_str).unwrap_or_default();
        let key = self.credentials.issuer.key(credential, kid).map_err(|missing| match missing {
            NoKey::Unknown => NoToken {
                error: EntraError::unknown_federated_key(&cut_long(kid, 128), &cut_long(issuer, 256)),
                why: format!("{} shows no key '{}'", cut_long(issuer, 256), cut_long(kid, 128)),
            },
            NoKey::Unreadable(why) => NoToken { error: EntraError::federated_keys_unreachable(), why },
        })?;
        if !token.is_signed_by(&key, algorithm) {
            let why =
                format!("the token was not signed with the key '{kid}' of {issuer}, or changed after it was signed");
            return Err(NoToken { error: EntraError::wrong_federated_signature(), why });
        }
        self.is_in_time(token)
    }

    /// The federated credential that the token fits: one that trusts its issuer, of those one for its audience, of those one for
    /// its subject. Letters and slashes count.
    fn trusting_credential(
        &self,
        issuer: &str,
        subject: &str,
        audiences: &[&str],
    ) -> Result<&FederatedCredential, NoToken> {
        let name = &self.application.name;
        let mut left: Vec<&FederatedCredential> = self
            .registered
            .iter()
            .filter_map(|credential| match credential {
                Credential::Federated(federated) => Some(federated),
                _ => None,
            })
            .collect();
        if left.is_empty() {
            let error = EntraError::no_federated_credential(&self.application.client_id.to_string());
            return Err(NoToken { error, why: format!("{name} trusts no issuer: it has no federated credential") });
        }
        let trusted = |it: &FederatedCredential| self.credentials.issuer.trusted_by(it).to_owned();
        let expected = |of: &dyn Fn(&FederatedCredential) -> String, left: &[&FederatedCredential]| {
            left.iter().map(|it| of(it)).collect::<Vec<_>>().join(", ")
        };
        let registered = expected(&trusted, &left);
        left.retain(|it| self.credentials.issuer.trusted_by(it) == issuer);
        if left.is_empty() {
            let why = format!("the token is from {}; {name} trusts {registered}", cut_long(issuer, 256));
            return Err(NoToken { error: EntraError::unknown_federated_issuer(&cut_long(issuer, 256)), why });
        }
        let registered = expected(&|it| it.audience.clone(), &left);
        left.retain(|it| audiences.contains(&it.audience.as_str()));
        if left.is_empty() {
            let sent = cut_long(&audiences.join(", "), 256);
            let why = format!("the token is for {sent}; the federated credential of {name} wants {registered}");
            return Err(NoToken { error: EntraError::unknown_federated_audience(&sent), why });
        }
        let registered = expected(&|it| it.subject.clone(), &left);
        let in_any_case = left.iter().any(|it| it.subject.to_lowercase() == subject.to_lowercase());
        left.into_iter().find(|it| it.subject == subject).ok_or_else(|| {
            let sent = cut_long(subject, 256);
            let why = format!("the token is of {sent}; the federated credential of {name} is for {registered}");
            let error = match in_any_case {
                true => EntraError::federated_subject_differs_in_case(&sent),
                false => EntraError::unknown_federated_subject(&sent),
            };
            NoToken { error, why }
        })
    }
}

impl<'a> Assertion<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let object = |part: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok();
        Some(Assertion { header: object(header)?, claims: object(claims)?, signed, signature })
    }

    fn text(&self, claim: &str) -> Option<&str> {
        self.claims.get(claim)?.as_str()
    }

    /// A claim that must be one text. An audience that is a list is refused by Entra ID here.
    fn required_text(&self, claim: &str) -> Result<&str, NoToken> {
        self.text(claim).ok_or_else(|| NoToken {
            error: EntraError::malformed_assertion(),
            why: format!("the assertion's {claim} is not one text"),
        })
    }

    /// The audience of a federated token: one text, or a list as Kubernetes makes it.
    fn audiences(&self) -> Result<Vec<&str>, NoToken> {
        let all = match self.claims.get("aud") {
            Some(Value::Array(all)) => all.iter().map(Value::as_str).collect(),
            _ => self.text("aud").map(|one| vec![one]),
        };
        all.ok_or_else(|| NoToken {
            error: EntraError::malformed_assertion(),
            why: "the token's aud is neither text nor a list of texts".to_owned(),
        })
    }

    /// A time in a claim, which some write as a whole number, some with a fraction, some as text; the first second of 1970 if there
    /// is none.
    fn time(&self, claim: &str) -> Result<OffsetDateTime, NoToken> {
        let seconds = match self.claims.get(claim) {
            None => Some(0.0),
            Some(Value::Number(number)) => number.as_f64(),
            Some(Value::String(text)) => text.parse().ok(),
            Some(_) => None,
        };
        let time = seconds.filter(|it| it.is_finite()).and_then(|it| {
            // Rust keeps this within what an i64 can hold, and the calendar within the year 9999.
            OffsetDateTime::from_unix_timestamp(it as i64).ok()
        });
        time.ok_or_else(|| NoToken {
            error: EntraError::malformed_assertion(),
            why: format!("the assertion's {claim} is no number of seconds since 1970"),
        })
    }

    fn algorithm(&self, supported: &[&str]) -> Result<Algorithm, NoToken> {
        let kind = self.header.get("typ").map(|kind| kind.as_str().unwrap_or_default());
        if let Some(kind) = kind
            && !azure::ASSERTION_TYPES.iter().any(|known| known.eq_ignore_ascii_case(kind))
        {
            let why = format!("the header's typ is '{}'", cut_long(kind, 32));
            return Err(NoToken { error: EntraError::wrong_header_type(), why });
        }
        let name = self.header.get("alg").and_then(Value::as_str).unwrap_or_default();
        let known = supported.contains(&name).then(|| name.parse().ok()).flatten();
        known.ok_or_else(|| EntraError::unsupported_algorithm(&cut_long(name, 16), supported).into())
    }

    fn is_signed_by(&self, key: &DecodingKey, algorithm: Algorithm) -> bool {
        jsonwebtoken::crypto::verify(self.signature, self.signed.as_bytes(), key, algorithm).unwrap_or(false)
    }
}
