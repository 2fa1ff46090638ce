//! A future that is rarely woken beside one that is woken all the time.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

/// Looks at its future only when that was woken itself, and not whenever its task is. Clocks and notices cost a lock each time
/// that they are looked at.
pub(super) struct Seldom<F> {
    future: Pin<Box<F>>,
    flag: Arc<Flag>,
    /// Of the flag, for the future.
    waker: Waker,
    /// Of the task.
    known: Option<Waker>,
}

struct Flag {
    woken: AtomicBool,
    task: Mutex<Option<Waker>>,
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        let task = self.task.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
        if let Some(task) = task {
            task.wake();
        }
    }
}

impl<F> Seldom<F> {
    pub(super) fn new(future: F) -> Self {
        let flag = Arc::new(Flag { woken: AtomicBool::new(true), task: Mutex::new(None) });
        Seldom { future: Box::pin(future), waker: flag.clone().into(), flag, known: None }
    }
}

impl<F: Future> Future for Seldom<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        if !self.known.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            self.known = Some(cx.waker().clone());
            *self.flag.task.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(cx.waker().clone());
        }
        if !self.flag.woken.swap(false, Ordering::Acquire) {
            return Poll::Pending;
        }
        let Seldom { future, waker, .. } = &mut *self;
        future.as_mut().poll(&mut Context::from_waker(waker))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    #[tokio::test]
    async fn it_is_looked_at_when_it_is_woken_and_not_when_its_task_is() {
        let looks = AtomicUsize::new(0);
        let (sender, mut receiver) = tokio::sync::oneshot::channel::<()>();
        let counted = std::future::poll_fn(|cx| {
            looks.fetch_add(1, Ordering::Relaxed);
            Pin::new(&mut receiver).poll(cx)
        });
        let busy = async {
            for _ in 0..50 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            sender.send(()).unwrap();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = busy => unreachable!(),
            received = Seldom::new(counted) => received.unwrap(),
        }
        assert_eq!(looks.into_inner(), 2);
    }
}
