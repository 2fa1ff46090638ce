//! The last step: when a client has to sign in again on this connection, and when the known clients do.

use std::time::Duration;

use azure_managed_redis_emulator::azure::client::SIGN_IN_AGAIN_BEFORE_EXPIRY;

use super::clients::RENEWALS;
use super::report::{Examined, Fact, StepName};
use super::time::{from_now, moment, now, roughly};
use super::token::Principal;

const STEP: StepName = StepName::Renewal;

pub(super) fn examine(principal: &Principal) -> Examined<()> {
    let Some(expires) = principal.expires else {
        return Examined::skipped(STEP, "the token does not say when it runs out");
    };
    let now = now();
    let left = Duration::from_secs(u64::try_from(expires - now).unwrap_or_default());
    let latest = expires - i64::try_from(SIGN_IN_AGAIN_BEFORE_EXPIRY.as_secs()).unwrap_or_default();
    let lead = roughly(SIGN_IN_AGAIN_BEFORE_EXPIRY);
    let advised = Fact::new("latest", moment(latest));
    let mut facts = vec![if latest > now {
        advised.good(format!("{lead} before the end: Microsoft's advice"))
    } else {
        advised.remark(format!("already past: Microsoft advises {lead} before the end"))
    }];
    facts.push(Fact::new("closed", moment(expires)).note("by the cache, unless signed in again"));
    for (client, renewal) in RENEWALS {
        facts.push(match renewal.due(left) {
            Some(due) => {
                let due = i64::try_from(due.as_secs()).unwrap_or_default();
                let lead = u64::try_from(expires - now - due).unwrap_or_default();
                Fact::new(*client, moment(now + due))
                    .note(format!("{} before the end", roughly(Duration::from_secs(lead))))
            }
            None => Fact::new(*client, "without pause").remark("this token lives too short for it"),
        });
    }
    let summary = if latest > now {
        format!("sign in again {}", from_now(latest))
    } else {
        format!("sign in again at once: the token runs out {}", from_now(expires))
    };
    Examined::ok(STEP, summary, facts, ())
}
