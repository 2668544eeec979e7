//! The effect of all active faults on one call.

use std::borrow::Cow;
use std::time::Duration;

use super::Effect;
use crate::answer::{AwsError, Reply};
use crate::calls;
use crate::operation::{ApiOperation, AwsService};

/// Everything that strikes one call.
#[derive(Default)]
pub(crate) struct Strike {
    /// How much the answer is delayed.
    pub(crate) latency: Duration,
    /// What replaces the answer.
    pub(crate) ending: Option<Ending>,
    /// Whether the operation is prevented from running.
    pub(crate) prevents_execution: bool,
    /// The entries of a batch that fail.
    failing: Option<FailingEntries>,
    /// The entries of a batch that the answer omits.
    omitted: Option<OmittedEntries>,
    /// Whether message bodies change in transit.
    pub(crate) corrupts_bodies: bool,
    /// How the operation misbehaves.
    pub(crate) twist: Option<Twist>,
}

/// A way for an operation to misbehave. Each applies to its own operations, so a call has at most one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Twist {
    /// It answers with an id that belongs to no certificate.
    WrongId,
    /// It lets the next receive deliver its messages again.
    DeliverTwice,
    /// It reports a delete that it does not perform.
    StaleHandles,
}

/// How a call ends.
pub(crate) enum Ending {
    /// With the service's answer.
    Answer(Reply),
    /// With an answer that does not come from the service.
    Other(OtherAnswer),
    /// With a reset of the connection.
    Reset,
    /// Never: the caller gets no answer.
    Hang,
}

/// An answer that does not come from the service.
pub(crate) struct OtherAnswer {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) body: String,
}

/// The first entries of a batch, which the answer omits.
#[derive(Clone, Copy)]
struct OmittedEntries {
    n: usize,
    executed: bool,
}

/// The first entries of a batch, which fail.
struct FailingEntries {
    n: usize,
    error: AwsError,
}

impl Ending {
    /// Returns the name under which the call log records this ending.
    pub(crate) fn name(&self) -> Cow<'static, str> {
        match self {
            Self::Answer(Ok(_)) => Cow::Borrowed(calls::OK),
            Self::Answer(Err(error)) => error.code.clone(),
            Self::Other(_) => Cow::Borrowed("replaced"),
            Self::Reset => Cow::Borrowed("reset"),
            Self::Hang => Cow::Borrowed("hung"),
        }
    }
}

impl Strike {
    /// Refuses a call before any fault applies.
    pub(crate) fn refusal(error: AwsError) -> Self {
        Self { ending: Some(Ending::Answer(Err(error))), prevents_execution: true, ..Self::default() }
    }

    /// Returns the error of the batch entry at `index`, if a fault makes it fail.
    pub(crate) fn failure_of_entry(&self, index: usize) -> Option<AwsError> {
        self.failing.as_ref().filter(|failing| index < failing.n).map(|failing| failing.error.clone())
    }

    /// Returns whether the omitted batch entry at `index` is executed; `None` if it is not omitted.
    pub(crate) fn omits_entry(&self, index: usize) -> Option<bool> {
        self.omitted.filter(|omitted| index < omitted.n).map(|omitted| omitted.executed)
    }

    /// Returns the body of a message after its transit: corrupted if a fault says so.
    pub(crate) fn body_in_transit<'a>(&self, body: Cow<'a, str>) -> Cow<'a, str> {
        if self.corrupts_bodies { format!("{body}~").into() } else { body }
    }

    /// Adds the effect of another fault.
    pub(super) fn add(&mut self, effect: &Effect, operation: ApiOperation, random: &mut fastrand::Rng) {
        match effect {
            Effect::Throttle => self.end(Ending::Answer(Err(throttle(operation))), false),
            Effect::Error { status, code, message, executed } => {
                let error = AwsError::new(*status, code.clone(), message.clone());
                self.end(Ending::Answer(Err(error)), *executed);
            }
            Effect::Answer { status, content_type, body, executed } => {
                let (content_type, body) = (content_type.clone(), body.clone());
                self.end(Ending::Other(OtherAnswer { status: *status, content_type, body }), *executed);
            }
            Effect::Reset { executed } => self.end(Ending::Reset, *executed),
            Effect::Hang { executed } => self.end(Ending::Hang, *executed),
            &Effect::Latency { milliseconds, up_to } => {
                self.latency += Duration::from_millis(random.u64(milliseconds..=up_to.unwrap_or(milliseconds)));
            }
            Effect::WrongId => self.twist = Some(Twist::WrongId),
            Effect::DeliverTwice => self.twist = Some(Twist::DeliverTwice),
            Effect::StaleHandles => self.twist = Some(Twist::StaleHandles),
            &Effect::OmitEntries { entries, executed } => {
                self.omitted = Some(OmittedEntries { n: entries, executed });
            }
            Effect::CorruptBodies => self.corrupts_bodies = true,
            Effect::FailEntries { entries, code, sender_fault } => {
                let status = if *sender_fault { 400 } else { 500 };
                let error = AwsError::new(status, code.clone(), "The entry fails because of an injected fault.");
                self.failing = Some(FailingEntries { n: *entries, error });
            }
        }
    }

    fn end(&mut self, ending: Ending, executed: bool) {
        if self.ending.is_none() {
            self.ending = Some(ending);
            self.prevents_execution = !executed;
        }
    }
}

/// Returns the throttling error of a service: each has its own code.
fn throttle(operation: ApiOperation) -> AwsError {
    match operation.service() {
        AwsService::Sqs => AwsError::new(403, "RequestThrottled", "The request was denied due to request throttling."),
        AwsService::Sts => AwsError::new(400, "Throttling", "Rate exceeded"),
        AwsService::Iot => AwsError::throttled(),
    }
}
