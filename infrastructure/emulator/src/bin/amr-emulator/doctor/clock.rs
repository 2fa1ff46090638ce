//! The sixth step: this machine's clock, held against the `Date` of the server that gave the token and against the token's
//! own times.

use std::time::Duration;

use azure_managed_redis_emulator::azure::client::SIGN_IN_AGAIN_BEFORE_EXPIRY;

use super::cause::Cause;
use super::credential::ClockSeen;
use super::report::{Examined, Fact, StepName};
use super::time::{now, roughly, seconds};
use super::token::Claims;

const STEP: StepName = StepName::Clock;

/// From here on it is worth a remark; `Date` itself is exact to one second only.
const REMARKABLE: f64 = 30.0;

pub(super) fn examine(seen: Option<&ClockSeen>, claims: Option<&Claims>) -> Examined<()> {
    let mut facts = Vec::new();
    let mut worst: Option<(f64, String)> = None;
    if let Some(seen) = seen {
        let ahead = ahead_of(seen);
        let fact = Fact::new("Date", format!("of {}", seen.server));
        facts.push(judged(fact, ahead, in_words(ahead)));
        worst = Some((ahead, seen.server.clone()));
    }
    // Entra ID dates a token five minutes back, and a cached one is older: only a date in the future says something.
    let moment = |name| claims.and_then(|claims| claims.moment(name));
    let issued = match (moment("iat"), moment("nbf")) {
        (Some(iat), Some(nbf)) if iat == nbf => vec![("iat, nbf", iat)],
        (iat, nbf) => [("iat", iat), ("nbf", nbf)].into_iter().filter_map(|(name, time)| Some((name, time?))).collect(),
    };
    for (name, moment) in issued {
        let ahead = (now() - moment) as f64;
        let fact = Fact::new(name, super::time::moment(moment));
        if ahead >= -1.0 {
            facts.push(fact.good("in the past, as it should be"));
            continue;
        }
        facts.push(judged(
            fact,
            ahead,
            format!("{} in the future: this clock is behind by at least that", length(ahead)),
        ));
        if worst.as_ref().is_none_or(|(other, _)| ahead < *other) {
            worst = Some((ahead, "whoever issued the token".to_owned()));
        }
    }
    match worst {
        Some((ahead, whose)) if ahead.abs() >= SIGN_IN_AGAIN_BEFORE_EXPIRY.as_secs_f64() => {
            let off = format!("it is {} of {whose}", in_words(ahead).replace("this clock is ", ""));
            Examined::failed(STEP, "this machine's clock is wrong", facts, Cause::clock_skew(&off))
        }
        Some((ahead, whose)) if ahead.abs() >= REMARKABLE => {
            Examined::ok(STEP, format!("{} of {whose}", in_words(ahead)), facts, ())
        }
        Some(_) => Examined::ok(STEP, "this machine's clock is right", facts, ()),
        None if facts.is_empty() => Examined::skipped(STEP, "there is no other clock to compare with"),
        None => Examined::ok(STEP, "nothing speaks against this machine's clock", facts, ()),
    }
}

/// By how many seconds this machine's clock is ahead; negative if behind. Zero within what the measurement allows: the answer
/// was dated some time between sending and receiving, and cut to the second.
fn ahead_of(seen: &ClockSeen) -> f64 {
    let theirs = seen.date.unix_timestamp() as f64;
    let (sent, received) = (seconds(seen.sent), seconds(seen.received));
    if sent > theirs + 1.0 {
        sent - (theirs + 1.0)
    } else if received < theirs {
        received - theirs
    } else {
        0.0
    }
}

fn judged(fact: Fact, ahead: f64, note: String) -> Fact {
    match ahead.abs() {
        off if off >= SIGN_IN_AGAIN_BEFORE_EXPIRY.as_secs_f64() => fact.bad(note),
        off if off >= REMARKABLE => fact.remark(note),
        _ => fact.good(note),
    }
}

fn in_words(ahead: f64) -> String {
    match ahead {
        ahead if ahead >= 1.0 => format!("this clock is {} ahead", length(ahead)),
        ahead if ahead <= -1.0 => format!("this clock is {} behind that", length(ahead)),
        _ => "this clock agrees".to_owned(),
    }
}

fn length(ahead: f64) -> String {
    roughly(Duration::from_secs_f64(ahead.abs()))
}
