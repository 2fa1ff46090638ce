//! How long a client of an HTTP service may take to say what it wants. Who opens a connection and then sends nothing, or a byte
//! now and then, is let go; who waits for an answer is not.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// From the start of a connection, or the end of an answer, to the end of the next request's headers.
const BETWEEN_REQUESTS: Duration = Duration::from_secs(60);

/// From the end of a request's headers to that of its body.
pub(super) const BODY_TIME: Duration = Duration::from_secs(10);

/// What happens on one connection.
pub(super) struct Pace(Mutex<State>);

struct State {
    /// HTTP/2 has several at once.
    running: usize,
    idle_since: Instant,
}

/// A request that is being answered, until it is dropped.
pub(super) struct Running(Arc<Pace>);

impl Pace {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Pace(Mutex::new(State { running: 0, idle_since: Instant::now() })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The headers of a request have come.
    pub(super) fn request(self: &Arc<Self>) -> Running {
        self.state().running += 1;
        Running(self.clone())
    }

    /// Waits until the client has taken too long.
    pub(super) async fn too_slow(&self) {
        loop {
            let end = {
                let state = self.state();
                let idle_since = if state.running > 0 { Instant::now() } else { state.idle_since };
                idle_since + BETWEEN_REQUESTS
            };
            if end <= Instant::now() {
                return;
            }
            sleep_until(end).await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.running -= 1;
        state.idle_since = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_who_is_not_being_answered_can_be_too_slow() {
        let started = Instant::now();
        let pace = Pace::new();
        let running = pace.request();
        let answer = async {
            tokio::time::sleep(4 * BETWEEN_REQUESTS).await;
            drop(running);
        };
        tokio::join!(pace.too_slow(), answer);
        let passed = started.elapsed();
        assert!(passed >= 5 * BETWEEN_REQUESTS && passed < 6 * BETWEEN_REQUESTS, "{passed:?}");
    }
}
