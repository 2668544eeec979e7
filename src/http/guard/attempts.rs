//! Limits failed logins: after a few, a client must wait, twice as long each time.
//!
//! Failures count per client address, so nobody can lock others out. Clients can share an address: that of this machine,
//! of a proxy, of a NAT. So a token that failed there before has a count of its own, and only a different one counts
//! against the address: a script with an outdated token makes only itself wait. While many fail in the whole process,
//! a client has one failure free instead of five.
//!
//! Tokens have 256 random bits, so the limit is not what keeps them secret; it keeps the audit log and the process quiet.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::tokens::sha256;

/// Failures without a wait: normally, and while many fail.
const FREE: (u32, u32) = (5, 1);

/// Failures of the whole process in a minute from which on many fail.
const MANY: u32 = 300;

/// The first wait, and the longest one.
const WAIT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(5));

/// For how long a client is remembered after its last failure. A success does not end that: otherwise whoever has a
/// viewer's token could guess an operator's without a limit.
const REMEMBERED: Duration = Duration::from_mins(15);

/// Maximum number of clients, and of tokens, that are remembered.
const REMEMBERED_MAX: usize = 10_000;

/// Shortest time between two audit entries on failures of one client.
const AUDIT_EVERY: Duration = Duration::from_mins(1);

/// Maximum number of audit entries on failures in a minute, of all clients.
const AUDITED_MAX: u32 = 30;

/// The failed logins.
#[derive(Debug, Default)]
pub(super) struct Attempts(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    clients: Failures<IpAddr>,
    tokens: Failures<(IpAddr, Guess)>,
    audited: Failures<IpAddr>,
    minute: Option<Minute>,
    /// Failures since the last audit entry that have none of their own.
    n_unaudited: u64,
}

/// Beginning of the SHA-256 of a token that failed.
type Guess = [u8; 8];

/// What happened in the whole process in one minute.
#[derive(Clone, Copy, Debug)]
struct Minute {
    since: Instant,
    n_failed: u32,
    n_audited: u32,
}

/// A failure to write into the audit log.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Audited {
    /// Failures since the last entry that have none of their own.
    pub(super) n_unaudited: u64,
}

impl Attempts {
    /// Returns how long a client must wait before it may try this token; `None`: it may try now.
    pub(super) fn wait(&self, client: IpAddr, token: &str) -> Option<Duration> {
        let (network, state) = (network(client), self.lock());
        let free = if state.minute.is_some_and(|minute| minute.is_busy()) { FREE.1 } else { FREE.0 };
        state.tokens.wait((network, guess(token)), free).max(state.clients.wait(network, free))
    }

    /// Notes a failure. Returns whether it should be audited: at most one per client and minute is.
    pub(super) fn failed(&self, client: IpAddr, token: &str) -> Option<Audited> {
        let (network, mut state) = (network(client), self.lock());
        let minute = state.minute.filter(|minute| minute.since.elapsed() < AUDIT_EVERY);
        let mut minute = minute.unwrap_or(Minute { since: Instant::now(), n_failed: 0, n_audited: 0 });
        minute.n_failed += 1;
        if state.tokens.add((network, guess(token))) == 1 {
            state.clients.add(network);
        }
        let is_due = minute.n_audited < AUDITED_MAX && state.audited.age(network).is_none_or(|age| age >= AUDIT_EVERY);
        let audited = if is_due {
            minute.n_audited += 1;
            state.audited.add(network);
            Some(Audited { n_unaudited: std::mem::take(&mut state.n_unaudited) })
        } else {
            state.n_unaudited += 1;
            None
        };
        state.minute = Some(minute);
        audited
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Minute {
    fn is_busy(&self) -> bool {
        self.n_failed > MANY && self.since.elapsed() < AUDIT_EVERY
    }
}

/// The number of failures of each key, and the time of the last one.
#[derive(Debug)]
struct Failures<K>(HashMap<K, (u32, Instant)>);

impl<K> Default for Failures<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Copy + Eq + Hash> Failures<K> {
    fn wait(&self, key: K, free: u32) -> Option<Duration> {
        let (n, last) = *self.0.get(&key)?;
        let n_waits = n.checked_sub(free)?;
        let wait = WAIT.0.saturating_mul(1 << n_waits.min(16)).min(WAIT.1);
        wait.checked_sub(last.elapsed()).filter(|wait| !wait.is_zero())
    }

    fn age(&self, key: K) -> Option<Duration> {
        self.0.get(&key).map(|(_, last)| last.elapsed())
    }

    /// Adds a failure and returns their number.
    fn add(&mut self, key: K) -> u32 {
        if self.0.len() >= REMEMBERED_MAX && !self.0.contains_key(&key) {
            self.make_room();
        }
        let (n, last) = self.0.entry(key).or_insert((0, Instant::now()));
        *n = if last.elapsed() > REMEMBERED { 1 } else { n.saturating_add(1) };
        *last = Instant::now();
        *n
    }

    /// Removes what need not be remembered; if that is nothing, the key that failed longest ago.
    fn make_room(&mut self) {
        self.0.retain(|_, (_, last)| last.elapsed() <= REMEMBERED);
        if self.0.len() >= REMEMBERED_MAX {
            let oldest = self.0.iter().min_by_key(|(_, (_, last))| *last).map(|(key, _)| *key);
            oldest.and_then(|key| self.0.remove(&key));
        }
    }
}

fn guess(token: &str) -> Guess {
    *sha256(token.as_bytes()).first_chunk().expect("SHA-256 has 32 bytes")
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

    /// Fails with a different token each time.
    fn fail(attempts: &Attempts, client: IpAddr, n: u32) {
        for i in 0..n {
            attempts.failed(client, &format!("{:?} {i}", Instant::now()));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn waits_double_for_whoever_guesses_and_for_nobody_else() {
        let (attempts, eva) = (Attempts::default(), client("192.0.2.1"));
        fail(&attempts, eva, FREE.0 - 1);
        assert_eq!(attempts.wait(eva, "next"), None);
        for seconds in [1, 2, 4, 8] {
            attempts.failed(eva, &format!("guess {seconds}"));
            assert_eq!(attempts.wait(eva, "next"), Some(Duration::from_secs(seconds)));
        }
        assert_eq!(attempts.wait(client("192.0.2.2"), "next"), None, "others are not locked out");
        tokio::time::advance(Duration::from_secs(8)).await;
        assert_eq!(attempts.wait(eva, "next"), None);
        fail(&attempts, eva, 100);
        assert_eq!(attempts.wait(eva, "next"), Some(WAIT.1));
        tokio::time::advance(REMEMBERED + Duration::from_secs(1)).await;
        attempts.failed(eva, "again");
        assert_eq!(attempts.wait(eva, "next"), None, "old failures are forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn a_script_with_an_outdated_token_makes_only_itself_wait() {
        let (attempts, shared) = (Attempts::default(), client("127.0.0.1"));
        for _ in 0..50 {
            attempts.failed(shared, "outdated");
        }
        assert_eq!(attempts.wait(shared, "outdated"), Some(WAIT.1));
        assert_eq!(attempts.wait(shared, "another"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn while_many_fail_everybody_has_one_failure_free() {
        let (attempts, eva) = (Attempts::default(), client("192.0.2.1"));
        attempts.failed(eva, "typo");
        for i in 0..MANY {
            attempts.failed(IpAddr::V4((0x0a00_0000 + i).into()), "guess");
        }
        assert_eq!(attempts.wait(eva, "next"), Some(Duration::from_secs(1)));
        assert_eq!(attempts.wait(client("192.0.2.2"), "first"), None, "whoever did not fail is not affected");
        tokio::time::advance(AUDIT_EVERY).await;
        assert_eq!(attempts.wait(eva, "next"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn failures_are_audited_once_a_minute_for_each_client_and_seldom_altogether() {
        let (attempts, eva) = (Attempts::default(), client("2001:db8::1"));
        assert_eq!(attempts.failed(eva, "a"), Some(Audited { n_unaudited: 0 }));
        assert_eq!(attempts.failed(client("2001:db8::2"), "b"), None, "one network");
        tokio::time::advance(AUDIT_EVERY).await;
        assert_eq!(attempts.failed(eva, "c"), Some(Audited { n_unaudited: 1 }));
        let audited = (0..500).filter(|i| attempts.failed(IpAddr::V4((*i).into()), "d").is_some()).count();
        assert_eq!(audited, AUDITED_MAX as usize - 1);
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded() {
        let attempts = Attempts::default();
        for i in 0..u32::try_from(REMEMBERED_MAX).unwrap() + 50 {
            attempts.failed(IpAddr::V4(i.into()), "guess");
        }
        let state = attempts.lock();
        assert_eq!((state.clients.0.len(), state.tokens.0.len()), (REMEMBERED_MAX, REMEMBERED_MAX));
        assert!(state.audited.0.len() <= REMEMBERED_MAX);
    }
}
