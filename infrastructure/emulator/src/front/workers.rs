//! The threads that serve connections. Each has a runtime of its own and keeps the connections that it was given: the two
//! directions of a connection wake each other all the time, and a runtime that shares tasks among threads would carry them to
//! and fro.

use std::future::Future;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use crate::Error;

/// More threads than this serve nobody: the engine behind them has one.
const MOST: usize = 4;

/// Threads that run until they are stopped.
pub(super) struct Workers {
    threads: Vec<Worker>,
    next: AtomicUsize,
}

struct Worker {
    runtime: Handle,
    /// Dropped, it ends the thread.
    stop: Mutex<Option<oneshot::Sender<()>>>,
}

impl Workers {
    pub(super) fn start() -> Result<Self, Error> {
        let count = thread::available_parallelism().map_or(1, usize::from).min(MOST);
        let threads = (0..count).map(|_| Worker::start()).collect::<Result<_, _>>()?;
        Ok(Workers { threads, next: AtomicUsize::new(0) })
    }

    /// Runs `task` on one of them, by turns.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        self.threads[next % self.threads.len()].runtime.spawn(task);
    }

    /// Ends them, with all that still runs there.
    pub(super) fn stop(&self) {
        for worker in &self.threads {
            drop(worker.stop.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take());
        }
    }
}

impl Worker {
    fn start() -> Result<Self, Error> {
        let error = |e: std::io::Error| Error::Runtime(e.to_string());
        let runtime = Builder::new_current_thread().enable_all().build().map_err(error)?;
        let (stop, stopped) = oneshot::channel::<()>();
        let handle = runtime.handle().clone();
        thread::Builder::new()
            .name("amr-front".to_owned())
            .spawn(move || {
                let _ = runtime.block_on(stopped);
            })
            .map_err(error)?;
        Ok(Worker { runtime: handle, stop: Mutex::new(Some(stop)) })
    }
}
