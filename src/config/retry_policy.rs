//! How often and how slowly a failed call is retried.

use std::time::Duration;

/// How often and how slowly a failed call is retried.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// Number of counted attempts after which a job is `exhausted`.
    pub attempts: u32,
    /// Maximum first wait. The maximum doubles with each retry.
    pub first_wait: Duration,
    /// Maximum wait.
    pub max_wait: Duration,
    /// Number of `LimitExceededException` answers after which a job is `exhausted`.
    pub limited_attempts: u32,
    /// Maximum first wait after `LimitExceededException`. The maximum doubles with each retry.
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
