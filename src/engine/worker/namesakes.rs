//! Issuers whose name several registered CAs share: a call must state which of them signed the certificate.
//!
//! AWS reports this with a conflict. From then on every call for such an issuer's certificates includes the CA, if it
//! is known: one call is lost per issuer, not one per certificate.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use super::{Admitted, Worker};
use crate::ledger::LedgerError;
use crate::ledger::authority::{Authority, list_ids};
use muster_core::certificate::{Certificate, Issuer};
use muster_core::hold::HoldKey;
use muster_core::outcome::{Code, Outcome};

/// Maximum number of issuers remembered; beyond it all are forgotten, and one more call is lost for each.
const ISSUERS_MAX: usize = 64;

/// How long the CAs of an issuer's name are not read again: many jobs may hit a conflict at once.
const FRESH: Duration = Duration::from_secs(10);

/// The shared names seen so far.
#[derive(Debug, Default)]
pub(super) struct Namesakes(Mutex<HashMap<HoldKey, KnownNamesakes>>);

/// The CAs of one name.
#[derive(Clone, Debug)]
struct KnownNamesakes {
    cas: Arc<[Issuer]>,
    at: Instant,
}

impl Namesakes {
    fn of(&self, issuer: &HoldKey) -> Option<KnownNamesakes> {
        self.lock().get(issuer).cloned()
    }

    fn put(&self, issuer: HoldKey, cas: Arc<[Issuer]>) {
        let mut all = self.lock();
        if all.len() >= ISSUERS_MAX {
            all.clear();
        }
        all.insert(issuer, KnownNamesakes { cas, at: Instant::now() });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<HoldKey, KnownNamesakes>> {
        self.0.lock().expect("nothing panics while it holds this lock")
    }
}

impl Worker {
    /// Adds the CA to a certificate whose issuer's name is known to be shared.
    pub(super) fn name_ca_if_shared(&self, admitted: &mut Admitted) {
        let known = admitted.issuer_hold().and_then(|issuer| self.namesakes.of(&issuer));
        if let Some(known) = known {
            self.parts.precheck.name_ca(&mut admitted.certificate, &known.cas);
        }
    }

    /// Adds the CA to a certificate after a conflict; returns false if it has one already or its CA is not known, and
    /// `None` if the process stops before the ledger answers.
    pub(super) async fn name_ca(&self, admitted: &mut Admitted) -> Option<bool> {
        let Some(issuer) = admitted.issuer_hold().filter(|_| admitted.certificate.ca_pem().is_none()) else {
            return Some(false);
        };
        let cas = match self.namesakes.of(&issuer).filter(|known| known.at.elapsed() < FRESH) {
            Some(known) => known.cas,
            None => self.read_namesakes(admitted, issuer).await?,
        };
        Some(self.parts.precheck.name_ca(&mut admitted.certificate, &cas))
    }

    /// Reads the CAs of the issuer's name from the ledger, and remembers them.
    async fn read_namesakes(&self, admitted: &Admitted, issuer: HoldKey) -> Option<Arc<[Issuer]>> {
        let name = admitted.certificate.issuer_key().expect("a certificate with an issuer hold has an issuer");
        let cas = self.ask_ledger(|| self.authorities_of(admitted, name)).await?;
        let cas: Arc<[Issuer]> = cas.iter().filter_map(issuer_of).collect();
        info!(%issuer, known = cas.len(), "several registered CAs share the name: calls now include the signing CA");
        self.namesakes.put(issuer, Arc::clone(&cas));
        Some(cas)
    }

    /// Adds advice for the operator to an outcome caused by the names of CAs.
    pub(super) async fn advised(&self, mut outcome: Outcome, admitted: &Admitted) -> Outcome {
        let advice = match (outcome.code, admitted.certificate.subject_key()) {
            (Code::CertificateConflict, _) => {
                "resend it with caCertificatePem: the ledger does not know which CA of its issuer's name signed it"
                    .to_owned()
            }
            (Code::LimitExceeded, Some(name)) => {
                let known = self.authorities_of(admitted, name).await;
                let known = known.inspect_err(|error| warn!(%error, "cannot look up the CAs of a name"));
                limit_advice(&known.unwrap_or_default())
            }
            _ => return outcome,
        };
        let detail = outcome.detail.unwrap_or_default();
        outcome.detail = Some(format!("{detail}; {advice}"));
        outcome
    }

    /// Returns the CAs with a name that the ledger knows in a job's account and region.
    async fn authorities_of(&self, admitted: &Admitted, name: [u8; 32]) -> Result<Vec<Authority>, LedgerError> {
        let account = &self.parts.targets[admitted.job.target.as_str()].account;
        self.parts.ledger.authorities_named(&account.id, &account.region, name).await
    }
}

/// Returns what an operator can do when AWS accepts no more CAs with one name.
pub fn limit_advice(namesakes: &[Authority]) -> String {
    match list_ids(namesakes) {
        ids if ids.is_empty() => {
            "AWS allows ten CAs with one name; the ledger knows none of them, `aws iot list-ca-certificates` lists all"
                .to_owned()
        }
        ids => format!("AWS allows ten CAs with one name; delete one of them and resend it; the ledger knows {ids}"),
    }
}

fn issuer_of(authority: &Authority) -> Option<Issuer> {
    Issuer::new(Certificate::from_pem(&authority.pem).ok()?).ok()
}
