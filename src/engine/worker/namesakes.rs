//! Issuers whose name several registered CAs share: a call must say which of them signed.
//!
//! AWS says so with a conflict. From then on every certificate of such an issuer carries its CA at once, where it is known:
//! one call is lost for an issuer, not one for each certificate.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use super::{Admitted, Worker};
use crate::ledger::LedgerError;
use crate::ledger::authority::{Authority, name_them};
use muster_core::certificate::{Certificate, Issuer};
use muster_core::hold::HoldKey;
use muster_core::outcome::{Code, Outcome};

/// Most issuers that are remembered; beyond that a call more is lost for each.
const ISSUERS_MAX: usize = 64;

/// How long the CAs of an issuer's name are not read again: a conflict may meet many jobs at once.
const FRESH: Duration = Duration::from_secs(10);

/// The shared names that were met.
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
    /// Adds its CA to a certificate whose issuer's name is known to be shared.
    pub(super) fn name_ca_where_shared(&self, admitted: &mut Admitted) {
        let known = admitted.issuer_hold().and_then(|issuer| self.namesakes.of(&issuer));
        if let Some(known) = known {
            self.parts.precheck.name_ca(&mut admitted.certificate, &known.cas);
        }
    }

    /// Adds its CA to a certificate after a conflict; false where it has one, or where its CA is not known. Nothing: we
    /// stop, and nobody could tell.
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
        let name = admitted.certificate.issuer_key().expect("whoever has an issuer's hold has an issuer");
        let cas = self.ask_ledger(|| self.authorities_of(admitted, name)).await?;
        let cas: Arc<[Issuer]> = cas.iter().filter_map(issuer_of).collect();
        info!(%issuer, known = cas.len(), "several registered CAs share the name: calls say which one signed");
        self.namesakes.put(issuer, Arc::clone(&cas));
        Some(cas)
    }

    /// Adds to an end what an operator can do about it, where the names of CAs are what it is about.
    pub(super) async fn advised(&self, mut outcome: Outcome, admitted: &Admitted) -> Outcome {
        let advice = match (outcome.code, admitted.certificate.subject_key()) {
            (Code::CertificateConflict, _) => {
                "send it again with caCertificatePem: which of the CAs of its issuer's name signed it is not known here"
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

    /// The CAs of a name that the ledger knows for a job's account.
    async fn authorities_of(&self, admitted: &Admitted, name: [u8; 32]) -> Result<Vec<Authority>, LedgerError> {
        let account = &self.parts.targets[admitted.job.target.as_str()].account;
        self.parts.ledger.authorities_named(&account.id, &account.region, name).await
    }
}

/// What an operator can do where AWS takes no more CAs of one name.
pub fn limit_advice(namesakes: &[Authority]) -> String {
    match name_them(namesakes) {
        ids if ids.is_empty() => {
            "AWS takes ten CAs of one name; the ledger knows none of them, `aws iot list-ca-certificates` names all"
                .to_owned()
        }
        ids => format!("AWS takes ten CAs of one name; delete one of them and send it again; the ledger knows {ids}"),
    }
}

fn issuer_of(authority: &Authority) -> Option<Issuer> {
    Issuer::new(Certificate::from_pem(&authority.pem).ok()?).ok()
}
