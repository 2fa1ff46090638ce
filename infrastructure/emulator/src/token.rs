//! Tokens: made as Entra ID makes them, checked as the cache checks them. A token that was checked is another type
//! ([`CheckedToken`]) than one that was not (`&str`).

use std::borrow::Cow;
use std::fmt::{self, Display};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::{digest, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, Header, encode};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::map::Map;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::azure;
use crate::directory::{Identity, IdentityKind, ObjectId, SUBSCRIPTION};
use crate::events::Flow;
use crate::http::cut_long;
use crate::keys::SigningKey;
use crate::tenant::Tenant;

/// A token that Entra ID has made.
#[derive(Clone)]
pub(crate) struct IssuedToken {
    pub(crate) jwt: String,
    pub(crate) uti: String,
    /// Seconds since 1970.
    pub(crate) issued: u64,
    /// Seconds since 1970.
    pub(crate) expires: u64,
    /// Seconds until then.
    pub(crate) lifetime: u64,
}

impl IssuedToken {
    /// The claim `nbf`, seconds since 1970.
    pub(crate) fn not_before(&self) -> u64 {
        self.issued.saturating_sub(azure::ISSUED_BEFORE.as_secs())
    }
}

/// A token that is good, of the principal whose object id was sent as the user name. Whether that one may use the cache is
/// another question.
#[derive(Clone, Debug)]
pub(crate) struct CheckedToken {
    pub(crate) object_id: ObjectId,
    pub(crate) identity: String,
    pub(crate) uti: String,
    /// Seconds since 1970.
    pub(crate) expires: u64,
}

/// Why the cache refused a sign-in. The client is told `WRONGPASS` whatever the reason is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Refusal {
    /// The password has not the form of a JSON Web Token.
    NotAToken,
    /// The token is signed with something else than RS256, or not at all.
    UnknownAlgorithm,
    /// The token names a key that Entra ID does not publish.
    UnknownKey,
    /// The signature does not belong to this header and payload.
    BadSignature,
    /// A claim that the check needs is missing or of the wrong type.
    MissingClaim,
    /// The token is from another issuer, which includes Entra ID of another tenant.
    WrongIssuer,
    /// The token is for another resource than Redis.
    WrongAudience,
    /// The token is not valid yet.
    NotYetValid,
    /// The token has run out.
    Expired,
    /// The user name is not the token's `oid`.
    UsernameNotObjectId,
    /// The principal has no access policy assignment on the cache.
    NoAssignment,
    /// No user name was sent, or `default`: that is how access keys sign in. They are off, or it is none of them.
    AccessKey,
    /// A RESP2 connection that has subscribed cannot sign in again.
    Resp2Subscriber,
    /// `HELLO` held more than one `AUTH`.
    RepeatedAuth,
    /// The server refused the command for a reason of its own, for example `HELLO` with an unknown protocol version.
    CommandRefused,
}

impl Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::NotAToken => "not-a-token",
            Refusal::UnknownAlgorithm => "unknown-algorithm",
            Refusal::UnknownKey => "unknown-key",
            Refusal::BadSignature => "bad-signature",
            Refusal::MissingClaim => "missing-claim",
            Refusal::WrongIssuer => "wrong-issuer",
            Refusal::WrongAudience => "wrong-audience",
            Refusal::NotYetValid => "not-yet-valid",
            Refusal::Expired => "expired",
            Refusal::UsernameNotObjectId => "username-not-object-id",
            Refusal::NoAssignment => "no-assignment",
            Refusal::AccessKey => "access-key",
            Refusal::Resp2Subscriber => "resp2-subscriber",
            Refusal::RepeatedAuth => "repeated-auth",
            Refusal::CommandRefused => "command-refused",
        })
    }
}

/// A refusal with its sentence for the log.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) reason: Refusal,
    pub(crate) why: String,
}

fn refuse<T>(reason: Refusal, why: impl Into<String>) -> Result<T, Refused> {
    Err(Refused { reason, why: why.into() })
}

/// The claims of a token for `identity`, version 1.0. Which claims, and how their values look: published tokens of
/// service principals and managed identities, and of a person those that an activity log of Azure tells, see [`azure`].
fn claims(
    tenant_id: Uuid,
    identity: &Identity,
    flow: Flow,
    audience: &str,
    uti: &str,
    lifetime: Duration,
    now: u64,
) -> Map<String, Value> {
    let issuer = azure::issuer_v1(tenant_id);
    let issued = now.saturating_sub(azure::ISSUED_BEFORE.as_secs());
    let mut claims = Map::new();
    let mut claim = |name: &str, value: Value| claims.insert(name.to_owned(), value);
    claim("aud", json!(audience));
    claim("iss", json!(issuer));
    claim("iat", json!(issued));
    claim("nbf", json!(issued));
    claim("exp", json!(now + lifetime.as_secs()));
    claim("aio", json!(random_text(32)));
    claim("appid", json!(identity.client_id.to_string()));
    claim("appidacr", json!(azure::appidacr(flow)));
    let object_id = identity.object_id.to_string();
    let is_person = matches!(identity.kind, IdentityKind::User { .. });
    if !is_person {
        claim("idp", json!(issuer));
    }
    claim("idtyp", json!(if is_person { "user" } else { "app" }));
    claim("oid", json!(object_id));
    claim("rh", json!(format!("1.{}", random_text(36))));
    claim("sub", json!(if is_person { pairwise(&object_id, audience) } else { object_id }));
    claim("tid", json!(tenant_id.to_string()));
    claim("uti", json!(uti));
    claim("ver", json!("1.0"));
    match &identity.kind {
        IdentityKind::User { user_principal_name } => {
            claim("acr", json!("1"));
            claim("amr", json!(["pwd", "mfa"]));
            claim("ipaddr", json!("127.0.0.1"));
            claim("name", json!(identity.name));
            claim("scp", json!("user_impersonation"));
            claim("unique_name", json!(user_principal_name));
            claim("upn", json!(user_principal_name));
        }
        IdentityKind::SystemAssigned => {
            claim("xms_mirid", json!(site()));
        }
        IdentityKind::UserAssigned { resource_id } => {
            claim("xms_az_rid", json!(site()));
            claim("xms_mirid", json!(resource_id));
        }
        IdentityKind::ServicePrincipal { .. } => {}
    }
    claims
}

/// A person's `sub`: another for each resource, and never the object id.
fn pairwise(object_id: &str, audience: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, format!("{object_id} {audience}").as_bytes()))
}

/// Resource id of the web app that the managed identities belong to.
fn site() -> String {
    format!("/subscriptions/{SUBSCRIPTION}/resourcegroups/emulator/providers/Microsoft.Web/sites/app")
}

/// Makes a token for `identity` at the time `now`, seconds since 1970.
pub(crate) fn issue(
    tenant_id: Uuid,
    key: &SigningKey,
    identity: &Identity,
    flow: Flow,
    audience: &str,
    now: u64,
) -> IssuedToken {
    let lifetime = identity.next_lifetime();
    let uti = random_text(16);
    let claims = claims(tenant_id, identity, flow, audience, &uti, lifetime, now);
    let expires = claims["exp"].as_u64().unwrap_or_default();
    IssuedToken { jwt: sign(key, &claims), uti, issued: now, expires, lifetime: lifetime.as_secs() }
}

fn sign(key: &SigningKey, claims: &Map<String, Value>) -> String {
    let mut header = Header::new(Algorithm::RS256);
    header.kid = Some(key.kid.clone());
    header.x5t = Some(key.kid.clone());
    encode(&header, claims, &key.rsa.encoding).expect("an RSA key made by this crate can sign")
}

/// The end of the year 9999, beyond which no date can be written in the usual way. Seconds since 1970.
const END_OF_TIME: f64 = 253_402_300_799.0;

/// Checks a sign-in: the token, then whether the user name is its principal.
pub(crate) fn check(tenant: &Tenant, username: &str, token: &str) -> Result<CheckedToken, Refused> {
    let payload = verify_signature(tenant, token)?;
    let claims = Object::read(&payload, "its payload", "claim").or_else(not_a_token)?;
    let directory = tenant.directory();
    let text = |name: &str| match claims.get(name) {
        Some(Member::Text(value)) => Ok(value.as_ref()),
        Some(_) => refuse(Refusal::MissingClaim, format!("the claim '{name}' is not text")),
        None => refuse(Refusal::MissingClaim, format!("the claim '{name}' is missing")),
    };
    let seconds = |name: &str| match claims.get(name) {
        Some(Member::Number(seconds)) if (0.0..=END_OF_TIME).contains(seconds) => Ok(*seconds as u64),
        Some(Member::Number(seconds)) if *seconds > END_OF_TIME => refuse(
            Refusal::MissingClaim,
            format!("the claim '{name}' is beyond the year 9999. It counts seconds, not milliseconds"),
        ),
        Some(_) => refuse(Refusal::MissingClaim, format!("the claim '{name}' is not a number of seconds")),
        None => refuse(Refusal::MissingClaim, format!("the claim '{name}' is missing")),
    };

    let shown = |claim: &str| cut_long(claim, 128);

    let issuer = text("iss")?;
    let v1 = azure::issuer_v1(directory.tenant_id);
    if issuer != v1 && issuer != azure::issuer_v2(directory.tenant_id) {
        return refuse(
            Refusal::WrongIssuer,
            format!(
                "the token is from {}; the cache belongs to {v1}. Ask for the token in the cache's tenant",
                shown(issuer)
            ),
        );
    }
    let audience = text("aud")?;
    if !azure::REDIS_AUDIENCES.contains(&audience) {
        return refuse(
            Refusal::WrongAudience,
            format!(
                "the token is for {}, not for Redis. Ask for the scope https://redis.azure.com/.default",
                shown(audience)
            ),
        );
    }
    let tenant = text("tid")?;
    if tenant != directory.tenant_id.to_string() {
        return refuse(
            Refusal::WrongIssuer,
            format!("the token is of tenant {}, the cache of {}", shown(tenant), directory.tenant_id),
        );
    }
    let now = seconds_since_1970();
    let not_before = seconds("nbf")?;
    if not_before > now {
        return refuse(
            Refusal::NotYetValid,
            format!("the token is valid only in {} s. Check the clocks", not_before - now),
        );
    }
    let expires = seconds("exp")?;
    if expires <= now {
        return refuse(
            Refusal::Expired,
            format!(
                "the token ran out {} s ago. Ask for a new one each time, through a credential provider",
                now - expires
            ),
        );
    }
    let oid = text("oid")?;
    if username != oid {
        let known = if claims.text("appid").or(claims.text("azp")) == Some(username) {
            " The user name that was sent is the client id"
        } else if Uuid::try_parse(username).is_ok_and(|sent| Uuid::try_parse(oid) == Ok(sent)) {
            " The user name that was sent means the same, but is not written like that"
        } else {
            ""
        };
        return refuse(
            Refusal::UsernameNotObjectId,
            format!("the user name must be the object id of the principal, {}.{known}", shown(oid)),
        );
    }
    let object_id = match oid.parse::<ObjectId>() {
        Ok(object_id) if object_id.to_string() == oid => object_id,
        _ => {
            return refuse(Refusal::MissingClaim, "the claim 'oid' is no object id as Azure writes it, in lower case");
        }
    };
    let identity = directory.by_object_id(object_id).map_or("a principal that is gone", |identity| &identity.name);
    Ok(CheckedToken {
        object_id,
        identity: identity.to_owned(),
        uti: claims.text("uti").unwrap_or("none").to_owned(),
        expires,
    })
}

fn not_a_token<T>(what: impl Display) -> Result<T, Refused> {
    let why = format!("the password is not a token: {what}. Send the access token itself as the password");
    Err(Refused { reason: Refusal::NotAToken, why })
}

/// The payload, if the signature is right. Nothing in a token is believed before that.
fn verify_signature(tenant: &Tenant, token: &str) -> Result<Vec<u8>, Refused> {
    let [header, payload, signature] = parts(token).or_else(not_a_token)?;
    let header = decode(header, "its header").or_else(not_a_token)?;
    let header = Object::read(&header, "its header", "field").or_else(not_a_token)?;
    match header.get("alg") {
        Some(Member::Text(algorithm)) if algorithm == "RS256" => {}
        Some(Member::Text(other)) => {
            let other: String = other.chars().take(16).collect();
            return refuse(
                Refusal::UnknownAlgorithm,
                format!("the token is signed with '{other}', Entra ID signs with RS256"),
            );
        }
        Some(_) => return not_a_token("its header names the algorithm in something else than text"),
        None => return not_a_token("its header names no algorithm"),
    }
    if header.get("crit").is_some() {
        return not_a_token("its header asks for an extension (crit), of which the cache knows none");
    }
    let key = match header.get("kid") {
        Some(Member::Text(kid)) => tenant.keys.published_as(kid),
        Some(_) => return not_a_token("its header names the key in something else than text"),
        None => None,
    };
    let Some(key) = key else {
        return refuse(
            Refusal::UnknownKey,
            "the token names a key that this Entra ID does not publish: it is from somewhere else, from an earlier emulator, or signed with a key that was rotated away",
        );
    };
    let signed = &token[..token.len() - signature.len() - 1];
    if !URL_SAFE_NO_PAD.decode(signature).is_ok_and(|signature| key.verifies(signed.as_bytes(), &signature)) {
        return refuse(
            Refusal::BadSignature,
            "header or payload are not what was signed, or the signature was changed",
        );
    }
    decode(payload, "its payload").or_else(not_a_token)
}

/// The three parts of a token, or what is wrong with its form.
fn parts(token: &str) -> Result<[&str; 3], &'static str> {
    if !token.bytes().all(is_of_a_token) {
        return Err(if token.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("bearer ")) {
            "it begins with the word Bearer, which belongs to HTTP"
        } else if token.contains(char::is_whitespace) {
            "it holds a space or a line end"
        } else if token.contains(['=', '+', '/']) {
            "it is in base64 with '=', '+' or '/', a token is in base64url without"
        } else {
            "it holds a character that no token has"
        });
    }
    let mut parts = token.split('.');
    let first = [parts.next(), parts.next(), parts.next()];
    match (first, parts.count()) {
        ([Some(""), None, None], _) => Err("it is empty"),
        ([Some(""), ..], _) => Err("it has no header"),
        ([Some(header), Some(payload), Some(signature)], 0) => Ok([header, payload, signature]),
        (_, 2) => Err("it has five parts, so it is encrypted"),
        _ => Err("it has not three parts with dots between"),
    }
}

/// Whether it is of the alphabet of base64url, or the dot between the parts.
fn is_of_a_token(byte: u8) -> bool {
    const TABLE: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0;
        while byte < 256 {
            table[byte] = (byte as u8).is_ascii_alphanumeric() || matches!(byte as u8, b'-' | b'_' | b'.');
            byte += 1;
        }
        table
    };
    TABLE[usize::from(byte)]
}

/// What a part of a token holds.
fn decode(part: &str, what: &str) -> Result<Vec<u8>, String> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| format!("{what} is not base64url"))
}

/// A JSON object as it was written. A check needs few of its members, so nothing is copied that need not be; all of it is read,
/// for what is not JSON throughout is no token.
struct Object<'t>(Vec<(Cow<'t, str>, Member<'t>)>);

/// What a check can be about.
enum Member<'t> {
    Text(Cow<'t, str>),
    Number(f64),
    Other,
}

impl<'t> Object<'t> {
    /// The object in a part of a token, or what is wrong with it. A name that is there twice would mean one thing to one reader
    /// and another to the next.
    fn read(part: &'t [u8], what: &str, member: &str) -> Result<Self, String> {
        let object: Self = serde_json::from_slice(part).map_err(|_| format!("{what} is not a JSON object"))?;
        // Nothing is signed yet, and a stranger may send thousands: sorted, they are compared in no time.
        let mut names: Vec<&str> = object.0.iter().map(|(name, _)| name.as_ref()).collect();
        names.sort_unstable();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(format!("{what} has the {member} '{}' twice", cut_long(pair[0], 32))),
            None => Ok(object),
        }
    }

    fn get(&self, name: &str) -> Option<&Member<'t>> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, member)| member)
    }

    fn text(&self, name: &str) -> Option<&str> {
        match self.get(name) {
            Some(Member::Text(text)) => Some(text),
            _ => None,
        }
    }
}

impl<'de: 't, 't> Deserialize<'de> for Object<'t> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                // Entra ID's tokens have some twenty claims.
                let mut members = Vec::with_capacity(32);
                while let Some((Name(name), member)) = map.next_entry()? {
                    members.push((name, member));
                }
                Ok(Object(members))
            }
        }
        from.deserialize_map(Reader)
    }
}

/// The name of a member, copied only if it was written with escapes.
#[derive(Deserialize)]
struct Name<'t>(#[serde(borrow)] Cow<'t, str>);

impl<'de: 't, 't> Deserialize<'de> for Member<'t> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Member<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Member<'de>, E> {
                Ok(Member::Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Member<'de>, E> {
                Ok(Member::Text(Cow::Owned(text.to_owned())))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Member<'de>, E> {
                Ok(Member::Number(number as f64))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Member<'de>, E> {
                Ok(Member::Number(number as f64))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Member<'de>, E> {
                Ok(Member::Number(number))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Member<'de>, E> {
                Ok(Member::Other)
            }

            fn visit_unit<E>(self) -> Result<Member<'de>, E> {
                Ok(Member::Other)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Member<'de>, A::Error> {
                while items.next_element::<Member>()?.is_some() {}
                Ok(Member::Other)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Member<'de>, A::Error> {
                while members.next_entry::<Name, Member>()?.is_some() {}
                Ok(Member::Other)
            }
        }
        from.deserialize_any(Reader)
    }
}

/// The seconds since 1970, as `exp` counts them.
pub(crate) fn seconds_since_1970() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Random bytes as base64url text.
pub(crate) fn random_text(bytes: usize) -> String {
    URL_SAFE_NO_PAD.encode(random_bytes(bytes))
}

/// Random bytes that nobody can guess.
pub(crate) fn random_bytes(count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    rand::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

/// A random GUID.
pub(crate) fn random_guid() -> Uuid {
    Uuid::new_v4()
}

#[cfg(test)]
mod bad_tokens;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::Directory;
    use crate::keys::Keys;

    const FLOW: Flow = Flow::ManagedIdentity;

    struct Fixture {
        directory: Directory,
        tenant: Tenant,
    }

    impl Fixture {
        fn new() -> Self {
            Fixture { tenant: Tenant::fixed(Keys::of_this_process().unwrap()), directory: Directory::fixed() }
        }

        fn object_id(&self) -> String {
            self.directory.identity("user").unwrap().object_id.to_string()
        }

        /// A good token of `user`, its claims changed.
        fn token(&self, change: impl FnOnce(&mut Map<String, Value>)) -> String {
            let identity = self.directory.identity("user").unwrap();
            let (audience, minute) = ("https://redis.azure.com", Duration::from_secs(60));
            let mut claims =
                claims(self.directory.tenant_id, identity, FLOW, audience, "uti", minute, seconds_since_1970());
            change(&mut claims);
            sign(&self.tenant.keys.signing(), &claims)
        }

        fn check(&self, username: &str, token: &str) -> Result<CheckedToken, Refusal> {
            check(&self.tenant, username, token).map_err(|refused| refused.reason)
        }
    }

    #[test]
    fn a_good_token_is_accepted_for_its_object_id() {
        let f = Fixture::new();
        let checked = f.check(&f.object_id(), &f.token(|_| ())).unwrap();
        assert_eq!(checked.identity, "user");
        assert!(checked.expires > seconds_since_1970());
    }

    #[test]
    fn every_audience_and_issuer_that_azure_uses_is_accepted() {
        let f = Fixture::new();
        for audience in azure::REDIS_AUDIENCES {
            assert!(f.check(&f.object_id(), &f.token(|c| drop(c.insert("aud".into(), json!(audience))))).is_ok());
        }
        let v2 = azure::issuer_v2(f.directory.tenant_id);
        assert!(f.check(&f.object_id(), &f.token(|c| drop(c.insert("iss".into(), json!(v2))))).is_ok());
    }

    #[test]
    fn no_single_changed_byte_survives() {
        let f = Fixture::new();
        let token = f.token(|_| ());
        let ends: Vec<usize> = token.match_indices('.').map(|(at, _)| at).collect();
        for at in 0..token.len() {
            for replacement in [b'A', b'B', b'_', b'.', b'='] {
                let mut bytes = token.clone().into_bytes();
                if bytes[at] == replacement {
                    continue;
                }
                bytes[at] = replacement;
                let changed = String::from_utf8(bytes).unwrap();
                let reason =
                    f.check(&f.object_id(), &changed).expect_err(&format!("byte {at} changed to {replacement}"));
                if at > ends[0] && !b".=".contains(&replacement) && !ends.contains(&at) {
                    assert_eq!(reason, Refusal::BadSignature, "byte {at} changed to {}", replacement as char);
                }
            }
        }
    }

    #[test]
    fn a_token_is_good_while_its_key_is_published() {
        let f = Fixture::new();
        let token = f.token(|_| ());
        f.tenant.keys.rotate(Duration::from_secs(60)).unwrap();
        assert!(f.check(&f.object_id(), &token).is_ok());
        assert!(f.check(&f.object_id(), &f.token(|_| ())).is_ok());
        let token = f.token(|_| ());
        f.tenant.keys.rotate(Duration::ZERO).unwrap();
        assert_eq!(f.check(&f.object_id(), &token).err(), Some(Refusal::UnknownKey));
    }

    #[test]
    fn a_token_of_another_emulator_is_refused() {
        let f = Fixture::new();
        let folder = tempfile::tempdir().unwrap();
        let other = Keys::kept_in(folder.path()).unwrap();
        let identity = f.directory.identity("user").unwrap();
        let (audience, now) = ("https://redis.azure.com", seconds_since_1970());
        let foreign = issue(f.directory.tenant_id, &other.signing(), identity, FLOW, audience, now);
        assert_eq!(f.check(&f.object_id(), &foreign.jwt).err(), Some(Refusal::UnknownKey));
    }
}
