//! Faults on order: what shall go wrong, in which operation, and how often.
//!
//! Faults strike only calls that the quota let through. One type serves the control interface (as JSON) and tests in
//! process. What chance decides is seeded, so that a run can be repeated.

mod set;
mod strike;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::set::{ActiveFault, FaultId, Faults};
pub(super) use self::strike::{Ending, OtherAnswer, Strike, Twist};
use super::operation::ApiOperation;

/// A fault of one operation. Without `calls` and `seconds` it lasts until it is cleared.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fault {
    /// The operation that it strikes.
    pub operation: ApiOperation,
    /// What goes wrong.
    pub effect: Effect,
    /// How many calls it strikes at most.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub calls: Option<u64>,
    /// How long it lasts, in seconds from now.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub seconds: Option<f64>,
    /// The share of calls that it strikes, 0 to 1; every call where it is not set.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub probability: Option<f64>,
    /// The seed of its chance.
    #[serde(default)]
    pub seed: u64,
}

/// What goes wrong. `executed` says whether the operation runs before its answer is lost or replaced.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Effect {
    /// The answer is the service's own throttle; nothing runs.
    Throttle,
    /// The answer is an error of one's choice.
    Error {
        /// The HTTP status, 400 to 599.
        status: u16,
        /// The code: letters, digits, `.`, `_`, `-`.
        code: String,
        /// The text for people.
        #[serde(default)]
        message: String,
        /// Whether the operation runs all the same.
        #[serde(default)]
        executed: bool,
    },
    /// The answer is one of one's choice, whatever the protocol of the service says: a proxy's page, an empty body.
    Answer {
        /// The HTTP status, 200 to 599.
        #[serde(default = "ok")]
        status: u16,
        /// The header `content-type`.
        #[serde(default = "json")]
        content_type: String,
        /// The body.
        #[serde(default)]
        body: String,
        /// Whether the operation runs all the same.
        #[serde(default)]
        executed: bool,
    },
    /// The answer comes later, by `milliseconds` or, if `up_to` is set, by a random time between the two.
    Latency {
        /// The delay, or its lower end.
        milliseconds: u64,
        /// The upper end of a random delay, in milliseconds.
        #[serde(default)]
        up_to: Option<u64>,
    },
    /// The connection is reset in place of the answer.
    Reset {
        /// Whether the operation ran.
        executed: bool,
    },
    /// There is no answer for as long as the caller waits.
    Hang {
        /// Whether the operation ran.
        executed: bool,
    },
    /// The certificate is registered, but the id and ARN in the answer are those of no certificate.
    WrongId,
    /// The first entries of a batch call are answered as failed, and nothing is done for them.
    FailEntries {
        /// How many entries.
        entries: usize,
        /// The code in the entries.
        code: String,
        /// Whether the entries blame the caller.
        #[serde(default)]
        sender_fault: bool,
    },
    /// The answer to a batch call does not mention the first entries.
    OmitEntries {
        /// How many entries.
        entries: usize,
        /// Whether what they ask for is done.
        #[serde(default)]
        executed: bool,
    },
    /// The body of every message changes between its sender and SQS, or between SQS and its receiver.
    CorruptBodies,
    /// What a receive delivers is delivered by the next receive once more, while it is in flight.
    DeliverTwice,
    /// Receipts count as stale: deletes are answered as done, and nothing is deleted.
    StaleHandles,
}

/// Why a fault cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum FaultError {
    /// The effect has no meaning for the operation.
    #[error("the effect does not fit {operation}")]
    DoesNotFit {
        /// The operation.
        operation: ApiOperation,
    },
    /// A code that cannot be sent as a header.
    #[error("the code {found:?} has other characters than letters, digits, '.', '_' and '-', or none")]
    Code {
        /// The code.
        found: String,
    },
    /// A status that is no error's, or no answer's.
    #[error("the status is {found}, an error has 400 to 599, an answer 200 to 599")]
    Status {
        /// The status.
        found: u16,
    },
    /// A content type that cannot be sent as a header.
    #[error("the content type {found:?} is not one line of ASCII text")]
    ContentType {
        /// The content type.
        found: String,
    },
    /// A share outside 0 to 1.
    #[error("the probability is {found}, wanted is 0 to 1")]
    Probability {
        /// The share.
        found: f64,
    },
    /// A time that is no time.
    #[error("the fault shall last {found} seconds, wanted is a number from 0 to 10^9")]
    Seconds {
        /// The time.
        found: f64,
    },
    /// A random latency whose upper end is below its lower end.
    #[error("the latency is {from} up to {up_to} ms")]
    Latency {
        /// The lower end.
        from: u64,
        /// The upper end.
        up_to: u64,
    },
}

impl Fault {
    /// A fault that strikes every call of `operation` until it is cleared.
    pub fn new(operation: ApiOperation, effect: Effect) -> Self {
        Self { operation, effect, calls: None, seconds: None, probability: None, seed: 0 }
    }

    /// The fault for at most `n` calls.
    #[must_use]
    pub fn calls(self, n: u64) -> Self {
        Self { calls: Some(n), ..self }
    }

    /// The fault for a time from now.
    #[must_use]
    pub fn during(self, time: Duration) -> Self {
        Self { seconds: Some(time.as_secs_f64()), ..self }
    }

    /// The fault for a share of the calls, 0 to 1, chosen by the seed.
    #[must_use]
    pub fn for_share(self, probability: f64, seed: u64) -> Self {
        Self { probability: Some(probability), seed, ..self }
    }

    fn check(&self) -> Result<(), FaultError> {
        if !self.effect.fits(self.operation) {
            return Err(FaultError::DoesNotFit { operation: self.operation });
        }
        if let Some(found) = self.probability.filter(|share| !(0.0..=1.0).contains(share)) {
            return Err(FaultError::Probability { found });
        }
        if let Some(found) = self.seconds.filter(|seconds| !(0.0..=1e9).contains(seconds)) {
            return Err(FaultError::Seconds { found });
        }
        self.effect.check()
    }
}

impl Effect {
    fn fits(&self, operation: ApiOperation) -> bool {
        use ApiOperation as O;
        match self {
            Self::WrongId => {
                matches!(operation, O::RegisterCertificate | O::RegisterCertificateWithoutCA | O::RegisterCACertificate)
            }
            Self::DeliverTwice => operation == O::ReceiveMessage,
            Self::StaleHandles => matches!(operation, O::DeleteMessage | O::DeleteMessageBatch),
            Self::CorruptBodies => matches!(operation, O::SendMessage | O::SendMessageBatch | O::ReceiveMessage),
            Self::FailEntries { .. } | Self::OmitEntries { .. } => {
                matches!(operation, O::SendMessageBatch | O::DeleteMessageBatch | O::ChangeMessageVisibilityBatch)
            }
            _ => true,
        }
    }

    fn check(&self) -> Result<(), FaultError> {
        match self {
            Self::Error { status, .. } if !(400..=599).contains(status) => Err(FaultError::Status { found: *status }),
            Self::Answer { status, .. } if !(200..=599).contains(status) => Err(FaultError::Status { found: *status }),
            Self::Answer { content_type, .. } if !content_type.bytes().all(|byte| (b' '..=b'~').contains(&byte)) => {
                Err(FaultError::ContentType { found: content_type.clone() })
            }
            Self::Error { code, .. } | Self::FailEntries { code, .. } if !is_code(code) => {
                Err(FaultError::Code { found: code.clone() })
            }
            &Self::Latency { milliseconds: from, up_to: Some(up_to) } if up_to < from => {
                Err(FaultError::Latency { from, up_to })
            }
            _ => Ok(()),
        }
    }
}

fn ok() -> u16 {
    200
}

fn json() -> String {
    "application/json".to_owned()
}

fn is_code(code: &str) -> bool {
    !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPERATION: ApiOperation = ApiOperation::RegisterCertificate;

    #[test]
    fn a_fault_that_makes_no_sense_is_refused() {
        let error = |status, code: &str| Effect::Error {
            status,
            code: code.to_owned(),
            message: String::new(),
            executed: false,
        };
        let answer =
            |status, of: &str| Effect::Answer { status, content_type: of.into(), body: String::new(), executed: false };
        for fault in [
            Fault::new(OPERATION, Effect::DeliverTwice),
            Fault::new(OPERATION, Effect::CorruptBodies),
            Fault::new(OPERATION, Effect::OmitEntries { entries: 1, executed: true }),
            Fault::new(ApiOperation::SendMessage, Effect::WrongId),
            Fault::new(OPERATION, error(200, "Fine")),
            Fault::new(OPERATION, error(500, "two\r\nlines")),
            Fault::new(OPERATION, error(500, "")),
            Fault::new(OPERATION, answer(100, "text/html")),
            Fault::new(OPERATION, answer(200, "two\r\nlines")),
            Fault::new(OPERATION, Effect::Throttle).for_share(1.5, 0),
            Fault::new(OPERATION, Effect::Throttle).for_share(f64::NAN, 0),
            Fault { seconds: Some(f64::INFINITY), ..Fault::new(OPERATION, Effect::Throttle) },
            Fault::new(OPERATION, Effect::Latency { milliseconds: 20, up_to: Some(10) }),
        ] {
            assert!(fault.check().is_err(), "{fault:?}");
        }
    }

    #[test]
    fn a_fault_reads_from_json() {
        let json = r#"{"operation":"RegisterCertificate","effect":{"reset":{"executed":true}},"calls":2}"#;
        let fault: Fault = serde_json::from_str(json).unwrap();
        assert_eq!(fault, Fault::new(OPERATION, Effect::Reset { executed: true }).calls(2));
        let json = r#"{"operation":"RegisterCertificate","effect":{"answer":{}}}"#;
        let answer = Effect::Answer { status: 200, content_type: super::json(), body: String::new(), executed: false };
        assert_eq!(serde_json::from_str::<Fault>(json).unwrap(), Fault::new(OPERATION, answer));
        let json = r#"{"operation":"RegisterCertificate","effect":"throttle"}"#;
        assert_eq!(serde_json::from_str::<Fault>(json).unwrap(), Fault::new(OPERATION, Effect::Throttle));
        assert!(serde_json::from_str::<Fault>(r#"{"operation":"RegisterCertificate","effect":"throtle"}"#).is_err());
    }
}
