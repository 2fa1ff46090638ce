//! Faults on purpose: Entra ID or the managed identity endpoint gives out no token for a while, or takes its time.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::events::Service;

/// What goes wrong with requests for tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Fault {
    /// Each is answered with this HTTP status and an error body.
    Fail {
        /// 400 to 599; Entra ID in trouble gives 503, and 429 to who asks too often.
        status: u16,
    },
    /// Each is answered, but only after this time.
    Slow {
        /// In milliseconds.
        #[serde(rename = "delay-ms", with = "milliseconds")]
        delay: Duration,
    },
    /// None is answered while this lasts.
    Hang,
}

/// The faults that last at the moment.
#[derive(Default)]
pub(crate) struct Faults {
    entra: Mutex<Option<Active>>,
    managed_identity: Mutex<Option<Active>>,
}

struct Active {
    fault: Fault,
    /// `None` for as long as nobody clears it.
    until: Option<Instant>,
}

impl Faults {
    fn of(&self, service: Service) -> Option<&Mutex<Option<Active>>> {
        match service {
            Service::Entra => Some(&self.entra),
            Service::ManagedIdentity => Some(&self.managed_identity),
            Service::Redis => None,
        }
    }

    /// Begins a fault, in place of the one that there is.
    pub(crate) fn set(&self, service: Service, fault: Fault, lasts: Option<Duration>) {
        // A time beyond the clock's end has none.
        let until = lasts.and_then(|lasts| Instant::now().checked_add(lasts));
        self.replace(service, Some(Active { fault, until }));
    }

    /// Ends it.
    pub(crate) fn clear(&self, service: Service) {
        self.replace(service, None);
    }

    fn replace(&self, service: Service, active: Option<Active>) {
        if let Some(slot) = self.of(service) {
            *slot.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = active;
        }
    }

    /// The fault at this moment.
    pub(crate) fn now(&self, service: Service) -> Option<Fault> {
        self.active(service).map(|(fault, _)| fault)
    }

    /// The fault at this moment, and how much longer it lasts if it ends by itself.
    pub(crate) fn active(&self, service: Service) -> Option<(Fault, Option<Duration>)> {
        let active = self.of(service)?.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let active = active.as_ref()?;
        let left = active.until.map(|until| until.saturating_duration_since(Instant::now()));
        left.is_none_or(|left| !left.is_zero()).then_some((active.fault, left))
    }
}

mod milliseconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_lasts_as_long_as_it_was_told_to() {
        let faults = Faults::default();
        faults.set(Service::Entra, Fault::Hang, Some(Duration::ZERO));
        assert_eq!(faults.now(Service::Entra), None);
        for endless in [None, Some(Duration::MAX)] {
            faults.set(Service::Entra, Fault::Hang, endless);
            assert_eq!(faults.active(Service::Entra), Some((Fault::Hang, None)));
        }
        assert_eq!(faults.now(Service::ManagedIdentity), None);
        faults.clear(Service::Entra);
        assert_eq!(faults.now(Service::Entra), None);
    }
}
