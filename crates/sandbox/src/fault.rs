//! Injected faults: what goes wrong, in which operation, and how often.
//!
//! Faults strike only calls that the quota admitted. The same type serves the control API (as JSON) and in-process
//! tests. Randomness is seeded, so a run can be repeated.

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
    /// The operation it strikes.
    pub operation: ApiOperation,
    /// What goes wrong.
    pub effect: Effect,
    /// The maximum number of calls it strikes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub calls: Option<u64>,
    /// How long it lasts, in seconds from now.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub seconds: Option<f64>,
    /// The share of calls it strikes, 0 to 1; every call if not set.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub probability: Option<f64>,
    /// The seed of its random choices.
    #[serde(default)]
    pub seed: u64,
}

/// What goes wrong. `executed` is whether the operation runs before its answer is lost or replaced.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Effect {
    /// The service's own throttling error is returned; nothing runs.
    Throttle,
    /// The given error is returned.
    Error {
        /// The HTTP status, 400 to 599.
        status: u16,
        /// The code: letters, digits, `.`, `_`, `-`.
        code: String,
        /// The human-readable message.
        #[serde(default)]
        message: String,
        /// Whether the operation still runs.
        #[serde(default)]
        executed: bool,
    },
    /// The given response is returned, even if it violates the service's protocol: a proxy's page, an empty body.
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
        /// Whether the operation still runs.
        #[serde(default)]
        executed: bool,
    },
    /// The answer is delayed by `milliseconds` or, if `up_to` is set, by a random time between the two.
    Latency {
        /// The delay, or its lower end.
        milliseconds: u64,
        /// The upper end of a random delay, in milliseconds.
        #[serde(default)]
        up_to: Option<u64>,
    },
    /// The connection is reset instead of answered.
    Reset {
        /// Whether the operation ran.
        executed: bool,
    },
    /// The call is never answered, no matter how long the caller waits.
    Hang {
        /// Whether the operation ran.
        executed: bool,
    },
    /// The certificate is registered, but the id and ARN in the answer belong to no certificate.
    WrongId,
    /// The first entries of a batch call are reported as failed, and nothing is done for them.
    FailEntries {
        /// How many entries.
        entries: usize,
        /// The error code of the entries.
        code: String,
        /// Whether the entries report a sender fault.
        #[serde(default)]
        sender_fault: bool,
    },
    /// The answer to a batch call does not mention the first entries.
    OmitEntries {
        /// How many entries.
        entries: usize,
        /// Whether the omitted entries are executed.
        #[serde(default)]
        executed: bool,
    },
    /// The body of every message changes between its sender and SQS, or between SQS and its receiver.
    CorruptBodies,
    /// Messages delivered by one receive are delivered again by the next one, while they are in flight.
    DeliverTwice,
    /// Receipt handles count as stale: deletes report success, but nothing is deleted.
    StaleHandles,
}

/// Why a fault cannot be set.
#[derive(Debug, thiserror::Error)]
pub enum FaultError {
    /// The effect has no meaning for the operation.
    #[error("the effect does not fit {operation}")]
    DoesNotFit {
        /// The operation.
        operation: ApiOperation,
    },
    /// A code that cannot be sent as a header.
    #[error("the code {found:?} must consist of letters, digits, '.', '_' and '-', and must not be empty")]
    Code {
        /// The code.
        found: String,
    },
    /// A status outside the allowed range.
    #[error("the status is {found}, but must be 400 to 599 for an error or 200 to 599 for an answer")]
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
    #[error("the probability is {found}, but must be from 0 to 1")]
    Probability {
        /// The share.
        found: f64,
    },
    /// A duration that is not a number from 0 to 10^9 seconds.
    #[error("the duration is {found} seconds, but must be from 0 to 10^9")]
    Seconds {
        /// The duration in seconds.
        found: f64,
    },
    /// A random latency whose upper end is below its lower end.
    #[error("the latency is {from} ms up to {up_to} ms, but the upper end must not be below the lower end")]
    Latency {
        /// The lower end.
        from: u64,
        /// The upper end.
        up_to: u64,
    },
}

impl Fault {
    /// Creates a fault that strikes every call of `operation` until it is cleared.
    pub fn new(operation: ApiOperation, effect: Effect) -> Self {
        Self { operation, effect, calls: None, seconds: None, probability: None, seed: 0 }
    }

    /// Limits the fault to `n` calls.
    #[must_use]
    pub fn calls(self, n: u64) -> Self {
        Self { calls: Some(n), ..self }
    }

    /// Limits the fault to the given duration from now.
    #[must_use]
    pub fn during(self, time: Duration) -> Self {
        Self { seconds: Some(time.as_secs_f64()), ..self }
    }

    /// Limits the fault to a share of the calls, 0 to 1, chosen at random with the seed.
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
    fn a_fault_is_parsed_from_json() {
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
