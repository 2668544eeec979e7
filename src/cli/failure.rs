//! Reports a failed command: its error, a hint and an exit code. Each error type supplies its own hint and exit code.

use std::error::Error;
use std::process::ExitCode;

use super::ca::order::OrderError;
use super::exit::PROBLEMS;
use super::prune::RecentBatches;
use super::replay::SelectionError;
use super::user::NoTerminal;
use crate::aws::identity::IdentityError;
use crate::aws::queue::QueueError;
use crate::config::{ConfigError, UnknownTarget};
use crate::health::fit::Misfit;
use crate::http::guard::AccessError;
use crate::http::listener::TlsError;
use crate::ledger::LedgerError;
use crate::operator::ca_registration::CaRegistrationError;
use crate::operator::certificates::{CertificateQueryError, NothingKnown};
use crate::operator::holds::NotHeld;
use crate::operator::pausing::NotPaused;
use crate::operator::reconcile::{InventoryError, ReconcileError};
use crate::operator::replays::{NoReplay, PlanError};
use crate::operator::status::UnknownBatch;
use crate::runtime::output_file::OutputFileError;
use crate::telemetry;
use muster_core::advice::{Advice, Exit};
use muster_core::proof::ProofError;

/// Finds an error of one type.
type Adviser = fn(&anyhow::Error) -> Option<&dyn Advice>;

/// Every error type that gives advice: `anyhow` finds an error only by its type.
const ADVISERS: [Adviser; 23] = [
    adviser::<AccessError>,
    adviser::<CaRegistrationError>,
    adviser::<CertificateQueryError>,
    adviser::<ConfigError>,
    adviser::<IdentityError>,
    adviser::<InventoryError>,
    adviser::<LedgerError>,
    adviser::<NoReplay>,
    adviser::<NoTerminal>,
    adviser::<NotHeld>,
    adviser::<NotPaused>,
    adviser::<NothingKnown>,
    adviser::<OrderError>,
    adviser::<OutputFileError>,
    adviser::<PlanError>,
    adviser::<ProofError>,
    adviser::<QueueError>,
    adviser::<RecentBatches>,
    adviser::<ReconcileError>,
    adviser::<SelectionError>,
    adviser::<TlsError>,
    adviser::<UnknownBatch>,
    adviser::<UnknownTarget>,
];

fn adviser<E: Advice + Error + Send + Sync + 'static>(error: &anyhow::Error) -> Option<&dyn Advice> {
    error.downcast_ref::<E>().map(|error| error as &dyn Advice)
}

/// Prints an error with its causes and a hint, and returns its exit code.
pub(super) fn report(error: &anyhow::Error) -> ExitCode {
    if let Some(Misfit(findings)) = error.downcast_ref() {
        for finding in findings {
            telemetry::say(&format!("error: {finding}\nhint: {}", finding.hint()));
        }
        return ExitCode::from(PROBLEMS);
    }
    telemetry::say(&format!("error: {error:#}"));
    let advice = ADVISERS.iter().find_map(|adviser| adviser(error));
    if let Some(hint) = advice.and_then(Advice::hint) {
        telemetry::say(&format!("hint: {hint}"));
    }
    ExitCode::from(advice.map_or(Exit::Error, Advice::exit) as u8)
}
