//! AWS's clock, read from the `date` header of its answers.

use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_sts::config::interceptors::{
    BeforeDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextRef,
};
use aws_sdk_sts::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_sts::error::BoxError;
use time::format_description::well_known::Rfc2822;
use time::{Duration, OffsetDateTime};

/// The date of an answer is truncated to whole seconds, so on average it is half a second late.
const HALF_A_SECOND: Duration = Duration::milliseconds(500);

/// Records the time in an answer, whether it is an error or not.
#[derive(Clone, Debug, Default)]
pub(super) struct AwsClock(Arc<Mutex<Noted>>);

#[derive(Debug, Default)]
struct Noted {
    sent_at: Option<OffsetDateTime>,
    ahead: Option<Duration>,
}

impl AwsClock {
    /// Returns how far AWS's clock is ahead of ours, in seconds, accurate to half a second. `None`: no answer contained
    /// it.
    pub(super) fn ahead(&self) -> Option<f64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).ahead.map(Duration::as_seconds_f64)
    }

    fn note(&self, change: impl FnOnce(&mut Noted)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Intercept for AwsClock {
    fn name(&self) -> &'static str {
        "AwsClock"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.note(|noted| noted.sent_at = Some(OffsetDateTime::now_utc()));
        Ok(())
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let (date, now) = (context.response().headers().get("date"), OffsetDateTime::now_utc());
        self.note(|noted| noted.ahead = date.zip(noted.sent_at).and_then(|(date, sent_at)| ahead(date, sent_at, now)));
        Ok(())
    }
}

/// Returns how far a date is ahead of the midpoint between sending the request and receiving the answer.
fn ahead(date: &str, sent_at: OffsetDateTime, received_at: OffsetDateTime) -> Option<Duration> {
    let date = OffsetDateTime::parse(date, &Rfc2822).ok()?;
    Some(date + HALF_A_SECOND - (sent_at + (received_at - sent_at) / 2))
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_date_is_compared_with_the_middle_of_the_call() {
        let (sent_at, received_at) = (datetime!(2026-11-22 10:00:00 UTC), datetime!(2026-11-22 10:00:01 UTC));
        let ahead = |date| ahead(date, sent_at, received_at).map(Duration::whole_seconds);
        assert_eq!(ahead("Sun, 22 Nov 2026 10:00:00 GMT"), Some(0));
        assert_eq!(ahead("Sun, 22 Nov 2026 10:05:00 GMT"), Some(300));
        assert_eq!(ahead("Sun, 22 Nov 2026 09:59:00 GMT"), Some(-60));
        assert_eq!(ahead("soon"), None);
    }
}
