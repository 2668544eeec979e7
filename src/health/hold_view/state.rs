//! What a worker remembers of the holds, and what that says about one job.

use std::collections::{HashMap, HashSet};

use tokio::time::Instant;
use tracing::info;

use super::Gate;
use super::batches::Batches;
use crate::ledger::hold::OpenHold;
use muster_core::certificate::CertificateId;
use muster_core::hold::{HoldKey, Opening, Parking};

/// The holds, behind one lock.
#[derive(Debug, Default)]
pub(super) struct HoldState {
    /// What the ledger holds, as it was a second ago.
    pub(super) ledger: HashMap<HoldKey, OpenHold>,
    /// What this worker found and the ledger may not have yet.
    pub(super) found: HashMap<HoldKey, LocalFinding>,
    /// The first certificate of an issuer whose call found that the CA is not active.
    pub(super) witnesses: HashMap<HoldKey, (CertificateId, Instant)>,
    pub(super) batches: Batches,
    /// What a call went through under.
    pub(super) over: HashSet<HoldKey>,
}

/// A finding of this worker.
#[derive(Debug)]
pub(super) struct LocalFinding {
    pub(super) opening: Opening,
    pub(super) at: Instant,
}

impl HoldState {
    /// What a hold says about a job that it would hold.
    pub(super) fn gate(&self, hold: &HoldKey) -> Gate {
        let parking = |opening| Parking { hold: hold.clone(), opening };
        match (self.ledger.get(hold), self.found.get(hold)) {
            (Some(open), _) if open.is_closed && open.is_probe_due => {
                Gate::ProbeDue(parking(None), open.reason.clone())
            }
            (Some(open), _) if open.is_closed => Gate::Closed(parking(None), open.reason.clone()),
            (_, Some(found)) => Gate::Closed(parking(Some(found.opening.clone())), found.opening.reason.clone()),
            _ => Gate::Open,
        }
    }

    /// Logs what was closed or released since the last look at the ledger.
    pub(super) fn log_changes(&self, ledger: &HashMap<HoldKey, OpenHold>) {
        let is_closed_in =
            |ledger: &HashMap<HoldKey, OpenHold>, hold| ledger.get(hold).is_some_and(|open: &OpenHold| open.is_closed);
        for open in ledger.values().filter(|open| open.is_closed && !is_closed_in(&self.ledger, &open.hold)) {
            info!(hold = %open.hold, ca = open.subject, reason = open.reason, "hold read from the ledger: its jobs are parked");
        }
        for open in self.ledger.values().filter(|open| open.is_closed && !is_closed_in(ledger, &open.hold)) {
            info!(hold = %open.hold, ca = open.subject, "hold released: its jobs are resent");
        }
    }
}

/// A finding as the ledger will show it, while nothing probes it yet.
pub(super) fn open_hold(hold: &HoldKey, opening: &Opening) -> OpenHold {
    OpenHold {
        hold: hold.clone(),
        subject: opening.subject.clone(),
        reason: opening.reason.clone(),
        is_closed: true,
        is_probe_due: false,
    }
}
