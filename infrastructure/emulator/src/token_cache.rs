//! Tokens that were given out before and are given out again: the Azure CLI and the managed identity endpoint of virtual machines
//! answer from a cache.

use std::sync::{Mutex, MutexGuard};

use crate::directory::Identity;
use crate::events::Flow;
use crate::tenant::Tenant;
use crate::token::{self, IssuedToken};

/// The tokens that one service has given out.
#[derive(Default)]
pub(crate) struct TokenCache(Mutex<Vec<Given>>);

/// A token, with everything that it depends on: if that has changed, nobody would be given this one again.
struct Given {
    identity: Identity,
    audience: String,
    key: String,
    clock_shift: i64,
    token: IssuedToken,
}

impl TokenCache {
    /// The token that `identity` was given before, with the life that it has left, if that is still enough; otherwise a new one.
    /// `is_enough` is told how many seconds are left, and of how many.
    pub(crate) fn token(
        &self,
        tenant: &Tenant,
        identity: &Identity,
        flow: Flow,
        audience: &str,
        is_enough: impl Fn(u64, u64) -> bool,
    ) -> IssuedToken {
        let (key, clock_shift) = (tenant.keys.signing().kid.clone(), tenant.clock_shift());
        let now = token::seconds_since_1970().saturating_add_signed(clock_shift);
        let mut given = self.lock();
        given.retain(|it| it.token.expires > now);
        let known = given.iter().position(|it| {
            it.identity == *identity && it.audience == audience && it.key == key && it.clock_shift == clock_shift
        });
        if let Some(known) = known {
            let token = &given[known].token;
            let left = token.expires - now;
            if is_enough(left, token.lifetime) {
                return IssuedToken { lifetime: left, ..token.clone() };
            }
            given.swap_remove(known);
        }
        let token = tenant.issue(identity, flow, audience);
        let (identity, audience) = (identity.clone(), audience.to_owned());
        given.push(Given { identity, audience, key, clock_shift, token: token.clone() });
        token
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Given>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
