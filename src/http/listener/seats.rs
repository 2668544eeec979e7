//! The connections that a listener has room for.
//!
//! A connection that no request occupies (it is idle, shakes hands or sends its headers) makes room for a new one when
//! there is none: the one that has waited longest is closed. So clients that open connections and send nothing, or a
//! byte now and then (slowloris), cannot keep others out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// How long to wait for room before another connection must make it.
const PATIENCE: Duration = Duration::from_millis(100);

/// Room for a number of connections.
#[derive(Clone, Debug)]
pub(super) struct Seats {
    room: Arc<Semaphore>,
    waiting: Arc<Mutex<Waiting>>,
}

/// The connections that no request occupies, in the order in which they began to wait.
#[derive(Debug, Default)]
struct Waiting {
    last: u64,
    leave: BTreeMap<u64, CancellationToken>,
}

/// Room for one connection.
#[derive(Debug)]
pub(super) struct Seat {
    waiting: Arc<Mutex<Waiting>>,
    /// Its number while it waits for a request.
    number: Mutex<Option<u64>>,
    leave: CancellationToken,
    _permit: OwnedSemaphorePermit,
}

impl Seats {
    pub(super) fn new(n: usize) -> Self {
        Self { room: Arc::new(Semaphore::new(n)), waiting: Arc::default() }
    }

    /// Takes a seat; if there is none, another connection must leave.
    pub(super) async fn take(&self) -> Seat {
        let permit = loop {
            let room = Arc::clone(&self.room);
            if let Ok(permit) = tokio::time::timeout(PATIENCE, room.acquire_owned()).await {
                break permit.expect("the semaphore is never closed");
            }
            if let Some((_, longest)) = lock(&self.waiting).leave.pop_first() {
                longest.cancel();
            }
        };
        let leave = CancellationToken::new();
        let seat = Seat { waiting: Arc::clone(&self.waiting), number: Mutex::default(), leave, _permit: permit };
        seat.waits();
        seat
    }
}

impl Waiting {
    fn add(&mut self, leave: CancellationToken) -> u64 {
        self.last += 1;
        self.leave.insert(self.last, leave);
        self.last
    }
}

impl Seat {
    /// Notes that a request occupies the connection.
    pub(super) fn works(&self) {
        let number = lock(&self.number).take();
        if let Some(number) = number {
            lock(&self.waiting).leave.remove(&number);
        }
    }

    /// Notes that the connection waits for a request.
    pub(super) fn waits(&self) {
        let number = lock(&self.waiting).add(self.leave.clone());
        *lock(&self.number) = Some(number);
    }

    /// Waits until the connection must be closed.
    pub(super) async fn must_leave(&self) {
        self.leave.cancelled().await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.works();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_connection_that_waited_longest_makes_room() {
        let seats = Seats::new(3);
        let (first, second, third) = (seats.take().await, seats.take().await, seats.take().await);
        first.works();
        second.works();
        second.waits();
        let another = tokio::spawn({
            let seats = seats.clone();
            async move { seats.take().await }
        });
        third.must_leave().await;
        assert!(!first.leave.is_cancelled() && !second.leave.is_cancelled());
        drop(third);
        let another = another.await.unwrap();
        drop((first, second, another));
        assert!(lock(&seats.waiting).leave.is_empty());
        assert_eq!(seats.room.available_permits(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_with_a_request_is_not_closed() {
        let seats = Seats::new(1);
        let only = seats.take().await;
        only.works();
        assert!(tokio::time::timeout(Duration::from_mins(1), seats.take()).await.is_err());
        only.waits();
        let next = tokio::join!(seats.take(), async move {
            only.must_leave().await;
            drop(only);
        });
        drop(next);
    }
}
