//! How often and how slowly a failed call is retried.

use std::time::Duration;

/// How often and how slowly a call is tried again.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// How many counted attempts a job has.
    pub attempts: u32,
    /// Longest first wait; it doubles.
    pub first_wait: Duration,
    /// Longest wait.
    pub max_wait: Duration,
    /// How many attempts a job has that AWS answers with `LimitExceededException`.
    pub limited_attempts: u32,
    /// Longest first wait after `LimitExceededException`; it doubles.
    pub limited_first_wait: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 8,
            first_wait: Duration::from_millis(200),
            max_wait: Duration::from_secs(30),
            limited_attempts: 5,
            limited_first_wait: Duration::from_secs(5),
        }
    }
}
