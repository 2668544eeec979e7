//! Limits failed logins: after a few, a client must wait, twice as long each time.
//!
//! The limit is per client address, so that nobody can lock others out. Tokens have 256 random bits, so the limit is
//! not what keeps them secret; it keeps the audit log and the process quiet.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Failures without a wait.
const FREE: u32 = 5;

/// The first wait, and the longest one.
const WAIT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(5));

/// For how long a client is remembered after its last failure.
const REMEMBERED: Duration = Duration::from_mins(15);

/// Maximum number of clients that are remembered.
const CLIENTS_MAX: usize = 10_000;

/// Shortest time between two audit entries on failures of one client.
const AUDIT_EVERY: Duration = Duration::from_mins(1);

/// The failed logins of each client.
#[derive(Debug, Default)]
pub(super) struct Attempts(Mutex<HashMap<IpAddr, Failures>>);

#[derive(Clone, Copy, Debug)]
struct Failures {
    n: u32,
    last: Instant,
    audited: Option<Instant>,
}

impl Attempts {
    /// Returns how long a client must wait before its next attempt; `None`: it may try now.
    pub(super) fn wait(&self, client: IpAddr) -> Option<Duration> {
        let failures = *self.lock().get(&network(client))?;
        let n_waits = failures.n.checked_sub(FREE)?;
        let wait = WAIT.0.saturating_mul(1 << n_waits.min(16)).min(WAIT.1);
        wait.checked_sub(failures.last.elapsed()).filter(|wait| !wait.is_zero())
    }

    /// Notes a failure. Returns whether it should be audited: at most one per client and minute is.
    pub(super) fn failed(&self, client: IpAddr) -> bool {
        let now = Instant::now();
        let mut clients = self.lock();
        if clients.len() >= CLIENTS_MAX {
            make_room(&mut clients);
        }
        let failures = clients.entry(network(client)).or_insert(Failures { n: 0, last: now, audited: None });
        let is_old = failures.last.elapsed() > REMEMBERED;
        *failures = Failures { n: if is_old { 1 } else { failures.n + 1 }, last: now, ..*failures };
        let is_due = failures.audited.is_none_or(|at| at.elapsed() >= AUDIT_EVERY);
        if is_due {
            failures.audited = Some(now);
        }
        is_due
    }

    /// Forgets the failures of a client that logged in.
    pub(super) fn succeeded(&self, client: IpAddr) {
        self.lock().remove(&network(client));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<IpAddr, Failures>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes the clients that need no memory; if all do, the one that failed longest ago.
fn make_room(clients: &mut HashMap<IpAddr, Failures>) {
    clients.retain(|_, failures| failures.last.elapsed() <= REMEMBERED);
    if clients.len() >= CLIENTS_MAX {
        let oldest = clients.iter().min_by_key(|(_, failures)| failures.last).map(|(client, _)| *client);
        oldest.and_then(|client| clients.remove(&client));
    }
}

/// Returns the network that stands for a client: one host has a whole /64 of IPv6 addresses.
fn network(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V4(_) => client,
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & !u128::from(u64::MAX)).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn waits_double_and_end_with_a_success() {
        let (attempts, eva) = (Attempts::default(), client("192.0.2.1"));
        for _ in 0..FREE - 1 {
            attempts.failed(eva);
            assert_eq!(attempts.wait(eva), None);
        }
        attempts.failed(eva);
        assert_eq!(attempts.wait(eva), Some(Duration::from_secs(1)));
        attempts.failed(eva);
        assert_eq!(attempts.wait(eva), Some(Duration::from_secs(2)));
        assert_eq!(attempts.wait(client("192.0.2.2")), None, "others are not locked out");
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(attempts.wait(eva), None);
        attempts.succeeded(eva);
        assert!(attempts.failed(eva) && attempts.wait(eva).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn failures_are_audited_once_a_minute() {
        let (attempts, eva) = (Attempts::default(), client("2001:db8::1"));
        assert!(attempts.failed(eva) && !attempts.failed(client("2001:db8::2")), "one network");
        tokio::time::advance(AUDIT_EVERY).await;
        assert!(attempts.failed(eva));
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded() {
        let attempts = Attempts::default();
        for i in 0..u32::try_from(CLIENTS_MAX).unwrap() + 50 {
            attempts.failed(IpAddr::V4(i.into()));
        }
        assert_eq!(attempts.lock().len(), CLIENTS_MAX);
    }
}
