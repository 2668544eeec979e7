//! Maps an error to its exit code and to the hint that helps to fix it.

use std::process::ExitCode;

use super::ca::order::OrderError;
use super::exit::{DENIED, ERROR, PROBLEMS, SOME_FAILED, UNREACHABLE, USAGE};
use super::holds::NotHeld;
use super::operator::NobodyToAsk;
use super::pause::{NotPaused, UnknownTarget};
use super::prune::RecentBatches;
use super::replay::{NoReplay, SelectionError};
use super::show::{GivenError, NothingKnown};
use super::status::UnknownBatch;
use crate::aws::identity::IdentityError;
use crate::aws::queue::{QueueError, QueueErrorKind};
use crate::aws::registrar::{CallError, ErrorKind};
use crate::config::ConfigError;
use crate::health::fit::Misfit;
use crate::ledger::LedgerError;
use crate::operator::ca_registration::CaRegistrationError;
use crate::operator::reconcile::{InventoryError, ReconcileError};
use crate::runtime::output_file::OutputFileError;
use crate::telemetry;
use muster_core::proof::ProofError;

/// Prints an error with its causes and a hint, and returns its exit code.
pub(super) fn report(error: &anyhow::Error) -> ExitCode {
    if let Some(Misfit(findings)) = error.downcast_ref() {
        for finding in findings {
            telemetry::say(&format!("error: {finding}\nhint: {}", finding.hint()));
        }
        return ExitCode::from(PROBLEMS);
    }
    telemetry::say(&format!("error: {error:#}"));
    if let Some(hint) = own_hint(error).or_else(|| hint(error).map(str::to_owned)) {
        telemetry::say(&format!("hint: {hint}"));
    }
    ExitCode::from(code(error))
}

fn code(error: &anyhow::Error) -> u8 {
    if is_usage(error) {
        return USAGE;
    }
    if let Some(CaRegistrationError::Call { error: CallError { kind, .. }, .. }) = single_error(error) {
        return of_call(*kind);
    }
    if let Some(CaRegistrationError::NotActivated { error: CallError { kind, .. }, .. }) = single_error(error) {
        // A refusal is about the CA, not about the call.
        return if matches!(kind, ErrorKind::Refused(_)) { SOME_FAILED } else { of_call(*kind) };
    }
    if let Some(InventoryError { error: CallError { kind, .. }, .. }) = inventory_error(error) {
        return of_call(*kind);
    }
    match identity_error(error) {
        Some(IdentityError::NoRegion) | None => {}
        Some(error) if error.is_denial() => return DENIED,
        Some(_) => return UNREACHABLE,
    }
    match error.downcast_ref().map(|error: &QueueError| error.kind) {
        Some(QueueErrorKind::Denied) => return DENIED,
        Some(QueueErrorKind::Transient) => return UNREACHABLE,
        Some(QueueErrorKind::Fifo) => return PROBLEMS,
        Some(QueueErrorKind::Missing) | None => {}
    }
    // Includes a server that is starting, stopping (57) or out of connections (53).
    let is_away = |error: &LedgerError| matches!(error.class(), "timeout" | "connection" | "08" | "53" | "57");
    match store_error(error) {
        Some(error) if error.is_login_refused() => DENIED,
        Some(error) if is_away(error) => UNREACHABLE,
        _ => ERROR,
    }
}

/// Returns whether running the same command again is pointless without a change.
fn is_usage(error: &anyhow::Error) -> bool {
    error.is::<ConfigError>()
        || error.is::<OrderError>()
        || error.is::<ProofError>()
        || error.is::<NobodyToAsk>()
        || error.is::<UnknownTarget>()
        || error.is::<SelectionError>()
        || error.is::<GivenError>()
        || matches!(single_error(error), Some(CaRegistrationError::UnknownTarget { .. }))
}

/// Returns the exit code for a failed call that is not about one certificate.
fn of_call(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Denied => DENIED,
        ErrorKind::Throttled | ErrorKind::Transient(_) | ErrorKind::Unreached => UNREACHABLE,
        ErrorKind::Exists
        | ErrorKind::Limited
        | ErrorKind::IssuerInactive
        | ErrorKind::Conflict
        | ErrorKind::Refused(_) => ERROR,
    }
}

fn identity_error(error: &anyhow::Error) -> Option<&IdentityError> {
    match single_error(error) {
        Some(CaRegistrationError::Identity(error)) => Some(error),
        _ => error.downcast_ref(),
    }
}

fn store_error(error: &anyhow::Error) -> Option<&LedgerError> {
    if let Some(ReconcileError::Store(error)) = error.downcast_ref() {
        return Some(error);
    }
    match single_error(error) {
        Some(CaRegistrationError::Store(error) | CaRegistrationError::Unrecorded { error, .. }) => Some(error),
        _ => error.downcast_ref(),
    }
}

/// Returns the hint of an error that belongs to the command line.
fn own_hint(error: &anyhow::Error) -> Option<String> {
    let fixed = [
        (error.is::<NotHeld>(), NotHeld::HINT),
        (error.is::<RecentBatches>(), RecentBatches::HINT),
        (error.is::<NobodyToAsk>(), NobodyToAsk::HINT),
        (error.is::<NoReplay>(), NoReplay::HINT),
    ];
    let unknown = || Some(error.downcast_ref::<UnknownBatch>()?.hint());
    let not_paused = || Some(error.downcast_ref::<NotPaused>()?.hint());
    let no_target = || error.downcast_ref::<UnknownTarget>()?.hint();
    let nothing = || Some(error.downcast_ref::<NothingKnown>()?.hint().to_owned());
    let unfit = || Some(error.downcast_ref::<OrderError>()?.hint());
    let unwritable = || Some(error.downcast_ref::<OutputFileError>()?.hint());
    let fixed = fixed.iter().find(|(applies, _)| *applies).map(|(_, hint)| (*hint).to_owned());
    let hints = fixed.or_else(unknown).or_else(nothing).or_else(unfit).or_else(unwritable);
    hints.or_else(not_paused).or_else(no_target)
}

fn single_error(error: &anyhow::Error) -> Option<&CaRegistrationError> {
    match error.downcast_ref() {
        Some(ReconcileError::Target(error)) => Some(error),
        _ => error.downcast_ref(),
    }
}

fn inventory_error(error: &anyhow::Error) -> Option<&InventoryError> {
    match error.downcast_ref() {
        Some(ReconcileError::Inventory(error)) => Some(error),
        _ => error.downcast_ref(),
    }
}

fn hint(error: &anyhow::Error) -> Option<&'static str> {
    if let Some(ConfigError::UnknownKey { nearest: None, .. }) = error.downcast_ref() {
        return Some("`muster config template` prints every key");
    }
    if let Some(error) = error.downcast_ref::<ProofError>() {
        return error.hint();
    }
    if let Some(hint) = error.downcast_ref().and_then(ReconcileError::hint) {
        return Some(hint);
    }
    if let Some(InventoryError { error: CallError { kind: ErrorKind::Denied, .. }, .. }) = inventory_error(error) {
        return Some("the credentials need iot:ListCertificates, iot:ListCertificatesByCA and iot:DescribeCertificate");
    }
    match single_error(error) {
        Some(CaRegistrationError::Call { error: CallError { kind: ErrorKind::Denied, .. }, .. }) => {
            return Some(
                "the credentials need iot:RegisterCACertificate and iot:GetRegistrationCode, with --tag iot:TagResource, \
                 with --role iam:PassRole",
            );
        }
        Some(CaRegistrationError::NotActivated { error: CallError { kind: ErrorKind::Denied, .. }, .. }) => {
            return Some("allow iot:UpdateCACertificate in the credentials' IAM policy, then run the command again");
        }
        Some(CaRegistrationError::NotActivated { error: CallError { kind: ErrorKind::Refused(_), .. }, .. }) => {
            return Some("check the CA in the AWS IoT console, then run the command again");
        }
        Some(CaRegistrationError::NotActivated { .. }) => {
            return Some("run the command again: the CA is registered, only its activation failed");
        }
        Some(CaRegistrationError::Unrecorded { .. }) => {
            return Some("run the command again: it records the CA as already registered");
        }
        _ => {}
    }
    if let Some(error) = identity_error(error) {
        return Some(error.hint());
    }
    if let Some(error) = error.downcast_ref::<QueueError>() {
        return Some(error.hint());
    }
    store_error(error)?.hint()
}
