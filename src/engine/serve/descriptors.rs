//! File descriptors: one for each call under way, and some more. Where the system gives too few, less is done at a time.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{info, warn};

/// Descriptors beside those of calls and of Postgres: queues, files, listeners, connections that are kept for later.
const OTHERS: u64 = 128;

/// How many jobs may be in flight with the descriptors that the system gives: its soft limit is raised as far as needed.
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

/// Raises the soft limit where it is lower, as far as the hard one allows, and returns the limit that holds then.
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
    // Few are idle at once; where there are less than that, calls get a part of them all the same.
    let free = limit.saturating_sub(others).max(limit / 4).max(1);
    usize::try_from(free).unwrap_or(usize::MAX).min(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_limit_leaves_is_used() {
        assert_eq!(fitting(1024, 138, 1024), 886);
        assert_eq!(fitting(1024, 138, 1162), 1024);
        assert_eq!(fitting(1024, 138, u64::MAX), 1024);
        assert_eq!(fitting(1024, 138, 64), 16, "a few jobs at a time go on");
    }
}
