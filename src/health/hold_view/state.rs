//! What a worker remembers about the holds, and what that means for one job.

use std::collections::{HashMap, HashSet};

use tokio::time::Instant;
use tracing::info;

use super::Gate;
use super::batches::Batches;
use crate::ledger::hold::OpenHold;
use muster_core::certificate::CertificateId;
use muster_core::hold::{HoldKey, Opening, Parking};

/// The state of the view, behind one lock.
#[derive(Debug, Default)]
pub(super) struct HoldState {
    /// The open holds of the ledger, as of the last read, about a second ago.
    pub(super) ledger: HashMap<HoldKey, OpenHold>,
    /// The findings of this worker that the ledger may not have yet.
    pub(super) found: HashMap<HoldKey, LocalFinding>,
    /// The first certificate of each issuer whose call found that the CA is not active, and when.
    pub(super) witnesses: HashMap<HoldKey, (CertificateId, Instant)>,
    pub(super) batches: Batches,
    /// The holds under which a call has succeeded.
    pub(super) releasable: HashSet<HoldKey>,
}

/// A hold that this worker found itself.
#[derive(Debug)]
pub(super) struct LocalFinding {
    pub(super) opening: Opening,
    pub(super) at: Instant,
}

impl HoldState {
    /// Returns the answer of one hold for a job that it could hold.
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

    /// Logs what was closed or released since the ledger was last read.
    pub(super) fn log_changes(&self, ledger: &HashMap<HoldKey, OpenHold>) {
        let is_closed_in =
            |ledger: &HashMap<HoldKey, OpenHold>, hold| ledger.get(hold).is_some_and(|open: &OpenHold| open.is_closed);
        for open in ledger.values().filter(|open| open.is_closed && !is_closed_in(&self.ledger, &open.hold)) {
            info!(
                hold = %open.hold,
                ca = open.subject,
                reason = open.reason,
                "hold read from the ledger: its jobs are parked"
            );
        }
        for open in self.ledger.values().filter(|open| open.is_closed && !is_closed_in(ledger, &open.hold)) {
            info!(hold = %open.hold, ca = open.subject, "hold released: its jobs are resent");
        }
    }
}

/// Returns a finding as the ledger will return it, before a probe is due.
pub(super) fn open_hold(hold: &HoldKey, opening: &Opening) -> OpenHold {
    OpenHold {
        hold: hold.clone(),
        subject: opening.subject.clone(),
        reason: opening.reason.clone(),
        is_closed: true,
        is_probe_due: false,
    }
}
