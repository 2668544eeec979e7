//! Tests permissions without side effects: SQS with a made-up receipt handle, AWS IoT with text that is not a
//! certificate.
//!
//! Only a denial shows that a call is not allowed. An error about the made-up input shows that it is.

use std::time::Duration;

use strum::VariantArray;

use super::queues::{ExaminedQueue, ExaminedQueues, ReachedQueue};
use super::targets::{ExaminedTarget, ExaminedTargets};
use super::{Check, Finding, PATIENCE, all};
use crate::aws::queue::{EntryResult, KMS_HINT, QueueAttributes, QueueError, QueueErrorKind, ReceivedMessage, UNKNOWN};
use crate::aws::registrar::{CallError, ErrorKind, Registrar};
use crate::aws::sdk_error::NETWORK_HINT;
use muster_core::format::span;
use muster_core::job::Operation;
use muster_core::outcome::Code;

/// A receipt handle that SQS never issued.
const MADE_UP: &str = "muster-doctor";

const RECEIVE: &str = "sqs:ReceiveMessage";
const SEND: &str = "sqs:SendMessage";

/// The error codes with which SQS rejects a whole call because of a made-up receipt handle. They prove that it is
/// allowed.
const RECEIPT_REFUSED: [&str; 3] =
    ["ReceiptHandleIsInvalid", "InvalidParameterValueException", "InvalidParameterValue"];

/// What an answer shows about a permission.
enum Permission {
    Allowed,
    Denied(String),
    /// The KMS key of the queue may not be used.
    DeniedByKms(String),
    Unreachable(String),
    Unknown(String),
}

impl Permission {
    fn finding(self, permission: &str, on: &str, is_needed: bool) -> Finding {
        let (check, subject) = (Check::Permission, format!("{permission} on {on}"));
        match self {
            Self::Allowed => Finding::ok(check, &subject, "allowed"),
            Self::Denied(error) if is_needed => Finding::problem(
                check,
                &subject,
                format!("denied: {error}"),
                format!("allow {permission} in the IAM policy"),
            ),
            Self::DeniedByKms(error) => Finding::problem(check, &subject, format!("denied: {error}"), KMS_HINT),
            Self::Denied(error) => Finding::warning(
                check,
                &subject,
                format!("denied: {error}"),
                format!("allow {permission} in the IAM policy if CAs are registered with this target"),
            ),
            Self::Unreachable(error) => {
                let fix = NETWORK_HINT;
                Finding::problem(check, &subject, format!("cannot be reached: {error}"), fix)
            }
            Self::Unknown(error) => {
                let found = format!("unknown: {error}");
                Finding::warning(
                    check,
                    &subject,
                    found,
                    "run this again: the answer does not show whether the call is allowed",
                )
            }
        }
    }

    fn of_entries(answer: Result<Vec<EntryResult>, QueueError>) -> Self {
        match answer {
            Ok(results) => match results.into_iter().find_map(Result::err) {
                Some(error) if error.code.starts_with("AccessDenied") => Self::Denied(error.to_string()),
                Some(error) if error.code == UNKNOWN => Self::Unknown(error.to_string()),
                _ => Self::Allowed,
            },
            Err(error) if error.kind == QueueErrorKind::Denied => Self::Denied(error.to_string()),
            Err(error) if RECEIPT_REFUSED.contains(&error.code.as_str()) => Self::Allowed,
            Err(error) => Self::Unknown(error.to_string()),
        }
    }

    fn of_receive(answer: Result<Vec<ReceivedMessage>, QueueError>) -> Self {
        match answer {
            Ok(_) => Self::Allowed,
            Err(error) if error.is_about_kms() && error.kind == QueueErrorKind::Denied => {
                Self::DeniedByKms(error.to_string())
            }
            Err(error) if error.kind == QueueErrorKind::Denied => Self::Denied(error.to_string()),
            Err(error) => Self::Unknown(error.to_string()),
        }
    }

    fn of_call<T>(answer: Result<T, CallError>) -> Self {
        match answer {
            Ok(_) => Self::Allowed,
            Err(error) if error.kind == ErrorKind::Denied => Self::Denied(error.to_string()),
            Err(error)
                if matches!(
                    error.kind,
                    ErrorKind::Unreached | ErrorKind::Transient(Code::Timeout | Code::Transport)
                ) =>
            {
                Self::Unreachable(error.to_string())
            }
            Err(error) => Self::Unknown(error.to_string()),
        }
    }
}

/// Tests the permissions on the queues.
pub(super) async fn of_queues(queues: &ExaminedQueues) -> Vec<Finding> {
    let each = queues.0.iter().map(|ExaminedQueue { name, reached }| {
        let (name, reached) = (name.clone(), reached.as_ref().ok().cloned());
        async move { of_queue(&name, reached).await }
    });
    all(each).await.concat()
}

async fn of_queue(name: &str, reached: Option<ReachedQueue>) -> Vec<Finding> {
    let Some(ReachedQueue { queue, attributes, .. }) = reached else {
        let all = ["sqs:DeleteMessage", "sqs:ChangeMessageVisibility", RECEIVE, SEND];
        return all.map(|permission| skipped(permission, name, "the queue cannot be read")).into();
    };
    let made_up = [MADE_UP.to_owned()];
    let receive = async {
        let answer = in_time(queue.receive_hidden(1, Duration::ZERO, Duration::ZERO));
        if may_receive(&attributes) { Some(answer.await) } else { None }
    };
    let (deleted, hidden, received) =
        tokio::join!(in_time(queue.delete(&made_up)), in_time(queue.hide(&made_up, Duration::ZERO)), receive);
    let answer = |answered: Option<_>| answered.map_or_else(timed_out, Permission::of_entries);
    vec![
        answer(deleted).finding("sqs:DeleteMessage", name, true),
        answer(hidden).finding("sqs:ChangeMessageVisibility", name, true),
        match received {
            Some(received) => received.map_or_else(timed_out, Permission::of_receive).finding(RECEIVE, name, true),
            None => skipped(RECEIVE, name, "not tested: it would use up one delivery of a waiting message"),
        },
        skipped(SEND, name, "not tested: sending always has an effect"),
    ]
}

/// Returns whether the doctor may receive a message and release it at once. If the queue looks empty, that has no
/// effect. For an encrypted queue it is the only way to test access to the KMS key, so it is worth one delivery if no
/// message is in flight.
fn may_receive(attributes: &QueueAttributes) -> bool {
    attributes.visible == 0 || (attributes.kms_key.is_some() && attributes.in_flight == 0)
}

fn skipped(permission: &str, on: &str, why: &str) -> Finding {
    Finding::skipped(Check::Permission, &format!("{permission} on {on}"), why)
}

/// Tests the permissions in the targets' accounts.
pub(super) async fn of_targets(targets: &ExaminedTargets, all_operations: bool) -> Vec<Finding> {
    let operations = if all_operations { Operation::VARIANTS } else { &[Operation::RegisterCertificate] };
    let each = targets.0.iter().map(|ExaminedTarget { name, asked, .. }| {
        let config = asked.answer.as_ref().ok().map(|(config, _)| config);
        let (name, registrar) = (name.clone(), config.map(|config| Registrar::new(config, PATIENCE)));
        async move { of_target(&name, registrar, operations, all_operations).await }
    });
    all(each).await.concat()
}

/// The permissions that `muster ca register --activate` and `muster ca list` need in addition to registering.
const OF_CAS: [&str; 2] = ["iot:UpdateCACertificate", "iot:DescribeCACertificate"];

async fn of_target(name: &str, registrar: Option<Registrar>, operations: &[Operation], with_cas: bool) -> Vec<Finding> {
    let (permission, code) = (|operation| format!("iot:{operation}"), "iot:GetRegistrationCode");
    let Some(registrar) = registrar else {
        let of_cas = OF_CAS.iter().filter(|_| with_cas).map(ToString::to_string);
        let all = operations.iter().map(permission).chain([code.to_owned()]).chain(of_cas);
        let subjects = all.map(|permission| format!("{permission} on {name}"));
        return subjects
            .map(|its| Finding::skipped(Check::Permission, &its, "AWS did not confirm the identity"))
            .collect();
    };
    let mut findings = Vec::with_capacity(operations.len() + 1);
    for operation in operations {
        let answer = in_time(registrar.probe(*operation)).await;
        findings.push(answer.map_or_else(timed_out, Permission::of_call).finding(&permission(operation), name, true));
    }
    let answer = in_time(registrar.registration_code()).await;
    findings.push(answer.map_or_else(timed_out, Permission::of_call).finding(code, name, false));
    if with_cas {
        let answers = [in_time(registrar.probe_activation()).await, in_time(registrar.probe_description()).await];
        let answers = answers.into_iter().map(|answer| answer.map_or_else(timed_out, Permission::of_call));
        findings.extend(OF_CAS.iter().zip(answers).map(|(permission, answer)| answer.finding(permission, name, false)));
    }
    findings
}

async fn in_time<T>(call: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(PATIENCE, call).await.ok()
}

fn timed_out() -> Permission {
    Permission::Unreachable(format!("no answer within {}", span(PATIENCE)))
}

#[cfg(test)]
mod tests {
    use super::super::CheckResult;
    use super::*;
    use crate::aws::queue::EntryError;

    fn verdict(answer: Result<Vec<EntryResult>, QueueError>) -> CheckResult {
        Permission::of_entries(answer).finding("sqs:DeleteMessage", "jobs", true).verdict
    }

    #[test]
    fn only_a_denial_shows_that_a_call_is_not_allowed() {
        let entry = |code: &str| {
            Ok(vec![Err(EntryError { code: code.into(), message: String::new(), is_senders_fault: true })])
        };
        let call = |kind, code: &str| {
            Err(QueueError { operation: "DeleteMessageBatch", kind, code: code.into(), message: String::new() })
        };
        assert_eq!(verdict(Ok(vec![Ok(())])), CheckResult::Ok);
        assert_eq!(verdict(entry("ReceiptHandleIsInvalid")), CheckResult::Ok);
        assert_eq!(verdict(entry("AccessDeniedException")), CheckResult::Problem);
        assert_eq!(verdict(call(QueueErrorKind::Denied, "AccessDenied")), CheckResult::Problem);
        assert_eq!(verdict(call(QueueErrorKind::Transient, "ReceiptHandleIsInvalid")), CheckResult::Ok);
        assert_eq!(verdict(call(QueueErrorKind::Transient, "unreachable")), CheckResult::Warning);
    }
}
