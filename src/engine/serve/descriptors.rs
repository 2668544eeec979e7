//! File descriptors: one for each call in progress, plus some for the rest. If the system allows too few, fewer jobs
//! are in flight.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{info, warn};

/// Descriptors besides those for calls and Postgres: queues, files, listeners, idle connections.
const OTHERS: u64 = 128;

/// Returns how many jobs may be in flight, at most `wanted`, after raising the soft limit of descriptors as far as
/// needed.
pub(super) fn slots(wanted: usize, database_connections: u32) -> usize {
    let others = OTHERS + u64::from(database_connections);
    let needed = wanted as u64 + others;
    let limit = raise(needed);
    let slots = fitting(wanted, others, limit);
    if slots < wanted {
        warn!(
            limit,
            needed,
            slots,
            "too few file descriptors for `worker.slots`: fewer jobs are in flight; raise the limit (ulimit -n)"
        );
    }
    slots
}

/// Raises the soft limit to `needed`, as far as the hard limit allows; returns the resulting soft limit.
fn raise(needed: u64) -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let Some(soft) = current.filter(|&soft| soft < needed) else { return current.unwrap_or(u64::MAX) };
    let wanted = maximum.map_or(needed, |hard| hard.min(needed));
    match setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }) {
        Ok(()) => {
            info!(from = soft, to = wanted, "raised the limit of file descriptors");
            wanted
        }
        Err(error) => {
            warn!(%error, "cannot raise the limit of file descriptors");
            soft
        }
    }
}

fn fitting(wanted: usize, others: u64, limit: u64) -> usize {
    // The others are rarely all in use at once; even if the limit does not cover them, calls get a quarter of it.
    let free = limit.saturating_sub(others).max(limit / 4).max(1);
    usize::try_from(free).unwrap_or(usize::MAX).min(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_use_what_the_descriptor_limit_leaves() {
        assert_eq!(fitting(1024, 138, 1024), 886);
        assert_eq!(fitting(1024, 138, 1162), 1024);
        assert_eq!(fitting(1024, 138, u64::MAX), 1024);
        assert_eq!(fitting(1024, 138, 64), 16, "a few jobs at a time still run");
    }
}
