//! Who may keep the processors busy. Programs that start do, and too many at once would make each other late; those that wait,
//! for a token to be due or before they try again, do not, and many can do so side by side.

use std::sync::{Condvar, Mutex, MutexGuard};

/// So many turns at a time.
pub(crate) struct Turns {
    free: Mutex<usize>,
    freed: Condvar,
}

/// Held by a program that is busy.
pub(crate) struct Turn<'a>(&'a Turns);

impl Turns {
    pub(crate) fn new(count: usize) -> Turns {
        Turns { free: Mutex::new(count), freed: Condvar::new() }
    }

    /// Waits until there is one.
    pub(crate) fn take(&self) -> Turn<'_> {
        let mut free = self.lock();
        while *free == 0 {
            free = self.freed.wait(free).unwrap_or_else(|poisoned| poisoned.into_inner());
        }
        *free -= 1;
        Turn(self)
    }

    /// Nobody panics while the number is half changed.
    fn lock(&self) -> MutexGuard<'_, usize> {
        self.free.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.lock() += 1;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn no_more_are_busy_than_there_are_turns() {
        let (turns, busy, most) = (Turns::new(3), AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..12 {
                scope.spawn(|| {
                    let turn = turns.take();
                    most.fetch_max(busy.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    std::thread::sleep(std::time::Duration::from_millis(10));
                    busy.fetch_sub(1, Ordering::SeqCst);
                    drop(turn);
                });
            }
        });
        assert_eq!((most.into_inner(), *turns.lock()), (3, 3));
    }
}
