//! What the faults do to one call.

use std::borrow::Cow;
use std::time::Duration;

use super::Effect;
use crate::answer::{AwsError, Reply};
use crate::calls;
use crate::operation::{ApiOperation, AwsService};

/// All that strikes one call.
#[derive(Default)]
pub(crate) struct Strike {
    /// How much later the answer comes.
    pub(crate) latency: Duration,
    /// What comes in place of the answer.
    pub(crate) ending: Option<Ending>,
    /// Whether the operation is kept from running.
    pub(crate) prevents: bool,
    /// The entries of a batch that fail.
    failing: Option<FailingEntries>,
    /// The entries of a batch that the answer leaves out.
    omitted: Option<OmittedEntries>,
    /// Whether the bodies of messages change on their way.
    pub(crate) corrupts_bodies: bool,
    /// What the operation does otherwise than it should.
    pub(crate) twist: Option<Twist>,
}

/// What an operation can do otherwise than it should; each belongs to operations of its own, so one is enough.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Twist {
    /// It answers with the id of no certificate.
    WrongId,
    /// It lets the next receive deliver its messages again.
    DeliverTwice,
    /// It says that it deleted and does not.
    StaleHandles,
}

/// How a call ends.
pub(crate) enum Ending {
    /// With an answer.
    Answer(Reply),
    /// With an answer that is not the service's.
    Other(OtherAnswer),
    /// With a reset of the connection.
    Reset,
    /// Not at all, as long as the caller waits.
    Hang,
}

/// An answer that is not the service's.
pub(crate) struct OtherAnswer {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) body: String,
}

/// The first entries of a batch, which the answer leaves out.
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
    /// The ending's name in the ledger.
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
    /// Refuses a call that does not get as far as the faults.
    pub(crate) fn refusal(error: AwsError) -> Self {
        Self { ending: Some(Ending::Answer(Err(error))), prevents: true, ..Self::default() }
    }

    /// The error of the entry at this place of a batch, if it shall fail.
    pub(crate) fn failure_of_entry(&self, place: usize) -> Option<AwsError> {
        self.failing.as_ref().filter(|failing| place < failing.n).map(|failing| failing.error.clone())
    }

    /// Says whether the entry at this place of a batch is not mentioned, and then whether it is executed.
    pub(crate) fn omits_entry(&self, place: usize) -> Option<bool> {
        self.omitted.filter(|omitted| place < omitted.n).map(|omitted| omitted.executed)
    }

    /// Changes the text of a message, where it shall change on its way.
    pub(crate) fn on_its_way<'a>(&self, body: Cow<'a, str>) -> Cow<'a, str> {
        if self.corrupts_bodies { format!("{body}~").into() } else { body }
    }

    /// Adds what one more fault does.
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
                let error = AwsError::new(status, code.clone(), "The entry fails as ordered.");
                self.failing = Some(FailingEntries { n: *entries, error });
            }
        }
    }

    fn end(&mut self, ending: Ending, executed: bool) {
        if self.ending.is_none() {
            self.ending = Some(ending);
            self.prevents = !executed;
        }
    }
}

/// The throttle of each service: SQS has a code of its own.
fn throttle(operation: ApiOperation) -> AwsError {
    match operation.service() {
        AwsService::Sqs => AwsError::new(403, "RequestThrottled", "The request was denied due to request throttling."),
        AwsService::Sts => AwsError::new(400, "Throttling", "Rate exceeded"),
        AwsService::Iot => AwsError::throttled(),
    }
}
