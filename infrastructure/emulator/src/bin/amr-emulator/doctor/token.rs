//! The fifth step: the token's claims, one by one, and what each means for Redis. The signature is not checked: Redis does
//! that, with keys that only it has to trust.

use std::time::Duration;

use azure_managed_redis_emulator::azure::{REDIS_AUDIENCES, issuer_v1, issuer_v2};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::cause::Cause;
use super::credential::Token;
use super::report::{Examined, Fact, StepName};
use super::time::{from_now, moment, now, roughly};

const STEP: StepName = StepName::Token;

/// The claims of a token, unchecked.
pub(super) struct Claims(Map<String, Value>);

/// Later than this is no moment.
const END_OF_9999: i64 = 253_402_300_799;

impl Claims {
    pub(super) fn read(token: &str) -> Result<Self, String> {
        let parts: Vec<&str> = token.split('.').collect();
        let [_, payload, _] = parts.as_slice() else {
            return Err("it has not the three parts of a signed token".to_owned());
        };
        let bytes =
            URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).map_err(|_| "its claims are not base64url")?;
        match serde_json::from_slice(&bytes) {
            Ok(Value::Object(claims)) => Ok(Claims(claims)),
            _ => Err("its claims are not JSON".to_owned()),
        }
    }

    /// A claim as text: several values of one are shown together.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        match self.0.get(name)? {
            Value::String(text) => Some(text.clone()),
            Value::Array(values) => {
                Some(values.iter().map(|value| value.as_str().unwrap_or("?")).collect::<Vec<_>>().join(", "))
            }
            other => Some(other.to_string()),
        }
    }

    /// A claim that is a moment, in seconds since 1970.
    pub(super) fn moment(&self, name: &str) -> Option<i64> {
        let seconds = match self.0.get(name)? {
            Value::String(text) => text.parse().ok()?,
            number => number.as_f64()? as i64,
        };
        Some(seconds).filter(|seconds| (0..=END_OF_9999).contains(seconds))
    }
}

/// What the next steps need of a token.
pub(super) struct Principal {
    pub(super) object_id: String,
    pub(super) tenant: String,
    /// Seconds since 1970.
    pub(super) expires: Option<i64>,
    pub(super) claims: Claims,
}

pub(super) fn examine(token: &Token) -> Examined<Principal> {
    let claims = match Claims::read(token.text.expose()) {
        Ok(claims) => claims,
        Err(why) => return Examined::failed(STEP, "it cannot be read", vec![], Cause::token_unreadable(&why)),
    };
    let facts = explained(&claims);
    let audience = claims.text("aud").unwrap_or_else(|| "nothing at all".to_owned());
    if !REDIS_AUDIENCES.contains(&audience.as_str()) {
        return Examined::failed(STEP, format!("it is for {audience}"), facts, Cause::wrong_audience(&audience));
    }
    let Some(object_id) = claims.text("oid") else {
        return Examined::failed(STEP, "it names no principal", facts, Cause::no_object_id());
    };
    let (begins, expires) = (claims.moment("nbf"), claims.moment("exp"));
    let principal =
        Principal { tenant: claims.text("tid").unwrap_or_else(|| "unknown".to_owned()), object_id, expires, claims };
    let distance = |moment: i64| Duration::from_secs((moment - now()).unsigned_abs());
    // Redis judges by its own clock, so it is asked all the same.
    match (begins, expires) {
        (_, Some(expires)) if expires <= now() => {
            let cause = Cause::token_expired(distance(expires));
            Examined::failed(STEP, "it has run out", facts, cause).leaving(principal)
        }
        (Some(begins), _) if begins > now() => {
            let cause = Cause::token_not_yet_valid(distance(begins));
            Examined::failed(STEP, "it is not valid yet", facts, cause).leaving(principal)
        }
        (_, Some(expires)) => {
            let summary = format!("for Redis, valid for another {}", roughly(distance(expires)));
            Examined::ok(STEP, summary, facts, principal)
        }
        (_, None) => Examined::ok(STEP, "for Redis", facts, principal),
    }
}

/// Each claim that matters for Redis, whether it is there or not.
fn explained(claims: &Claims) -> Vec<Fact> {
    let mut facts = Vec::new();
    for name in ["aud", "iss", "tid", "oid", "appid", "azp", "idtyp"] {
        match claims.text(name) {
            Some(value) => facts.push(judged(name, &value, claims)),
            // Each version of tokens has one of the two ids; idtyp is optional.
            None if matches!(name, "appid" | "azp" | "idtyp") => {}
            None => facts.push(Fact::new(name, MISSING).bad("Redis needs it")),
        }
    }
    facts.push(match claims.moment("nbf") {
        Some(begins) if begins > now() => Fact::new("nbf", moment(begins)).bad(format!("begins {}", from_now(begins))),
        Some(begins) => Fact::new("nbf", moment(begins)).good(format!("began {}", from_now(begins))),
        None => Fact::new("nbf", MISSING).remark("no start of its time"),
    });
    facts.push(match claims.moment("exp") {
        Some(ends) if ends <= now() => Fact::new("exp", moment(ends)).bad(format!("ended {}", from_now(ends))),
        Some(ends) => Fact::new("exp", moment(ends)).good(format!("ends {}", from_now(ends))),
        None => Fact::new("exp", MISSING).bad("Redis needs it"),
    });
    if let Some(version) = claims.text("ver") {
        facts.push(Fact::new("ver", version).note("version of the token"));
    }
    facts.push(match claims.text("xms_mirid") {
        Some(resource) => Fact::new("xms_mirid", resource).note("the managed identity"),
        None => Fact::new("xms_mirid", MISSING).note("not a managed identity"),
    });
    facts
}

const MISSING: &str = "missing";

fn judged(name: &str, value: &str, claims: &Claims) -> Fact {
    let fact = Fact::new(name, value);
    match name {
        "aud" if REDIS_AUDIENCES.contains(&value) => fact.good("the resource: Redis"),
        "aud" => fact.bad("the resource: not Redis"),
        "iss" => {
            let tenant = claims.text("tid").and_then(|tenant| Uuid::try_parse(&tenant).ok());
            if tenant.is_some_and(|tenant| value == issuer_v1(tenant) || value == issuer_v2(tenant)) {
                fact.good("the issuer: Entra ID, for that tenant")
            } else {
                fact.remark("the issuer: not Entra ID's name for that tenant")
            }
        }
        "tid" => fact.note("the tenant: must be the cache's"),
        "oid" => fact.good("the principal: its user name"),
        "appid" | "azp" => fact.note("the client id: not the user name"),
        "idtyp" if value == "app" => fact.good("an application or a managed identity"),
        "idtyp" if value == "user" => fact.remark("a person: no group's assignment counts"),
        _ => fact,
    }
}
