//! Asks AWS for the current status of the CAs in the ledger and records it there.
//!
//! Makes at most five calls per second and 100 in all, because other tools share the quota of `DescribeCACertificate`.
//! If AWS does not answer for an account, the reason applies to all its CAs. Nothing here makes the list fail.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior};
use tracing::warn;

use crate::config::Config;
use crate::ledger::Ledger;
use crate::ledger::authority::{AuthorityReport, LearntStatus};
use crate::operator::ca_registration::CaRegistration;
use muster_core::account::Account;
use muster_core::format::span;
use muster_core::job::{CertificateMode, CertificateStatus};

/// Maximum number of CAs to ask AWS about.
const ASKED_MAX: usize = 100;

/// Interval between two calls: half of an account's default quota.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// Longest time for one CA, including retries. The operator waits for it.
const PATIENCE: Duration = Duration::from_secs(15);

/// What AWS reports about a CA.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum AwsView {
    /// AWS has the CA.
    Has { status: CertificateStatus, mode: Option<CertificateMode> },
    /// AWS no longer has the CA.
    Gone,
    /// AWS was not asked or did not answer, with the reason.
    Unknown(String),
}

/// One client per account and region, or why there is none, and the pace of the calls.
struct CaClients<'a> {
    config: &'a Config,
    open: HashMap<Account, Result<CaRegistration, String>>,
    pace: Interval,
}

/// Asks about each CA, in order.
pub(super) async fn ask(config: &Config, ledger: &Ledger, reports: &[AuthorityReport]) -> Vec<AwsView> {
    let mut pace = tokio::time::interval(ASK_EVERY);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut connections = CaClients { config, open: HashMap::new(), pace };
    let mut answers = Vec::with_capacity(reports.len());
    for (n, report) in reports.iter().enumerate() {
        let answer = if n < ASKED_MAX {
            connections.ask(report).await
        } else {
            AwsView::Unknown(format!("only the first {ASKED_MAX} CAs are looked up at AWS"))
        };
        note(ledger, report, &answer).await;
        answers.push(answer);
    }
    answers
}

impl CaClients<'_> {
    async fn ask(&mut self, report: &AuthorityReport) -> AwsView {
        let account = account_of(report);
        let Ok(asked) = tokio::time::timeout(PATIENCE, self.ask_patiently(report, &account)).await else {
            let cause = format!("no answer from AWS within {}", span(PATIENCE));
            self.open.insert(account, Err(cause.clone()));
            return AwsView::Unknown(cause);
        };
        asked
    }

    async fn ask_patiently(&mut self, report: &AuthorityReport, account: &Account) -> AwsView {
        if !self.open.contains_key(account) {
            let connected = connect(self.config, report, account).await;
            self.open.insert(account.clone(), connected);
        }
        let single = match &self.open[account] {
            Ok(single) => single,
            Err(cause) => return AwsView::Unknown(cause.clone()),
        };
        self.pace.tick().await;
        match single.describe_ca(report.authority.certificate_id).await {
            Ok(None) => AwsView::Gone,
            Ok(Some(described)) => match described.status.parse() {
                Ok(status) => AwsView::Has { status, mode: described.mode.and_then(|mode| mode.parse().ok()) },
                Err(_) => AwsView::Unknown(format!("AWS answered with the unknown status `{}`", described.status)),
            },
            Err(error) => {
                // The next call would fail the same way.
                self.open.insert(account.clone(), Err(error.to_string()));
                AwsView::Unknown(error.to_string())
            }
        }
    }
}

fn account_of(report: &AuthorityReport) -> Account {
    Account { id: report.authority.account.clone(), region: report.authority.region.clone() }
}

/// Connects as the first configured target that belongs to an account and region.
async fn connect(config: &Config, report: &AuthorityReport, account: &Account) -> Result<CaRegistration, String> {
    let mut targets = report.targets.iter().filter(|target| config.targets.contains_key(target.as_str()));
    let target = targets.next().ok_or_else(|| format!("no target in the settings belongs to account {account}"))?;
    let single = CaRegistration::connect(config, target).await.map_err(|error| error.to_string())?;
    if single.account() == account {
        Ok(single)
    } else {
        Err(format!("the credentials of target {target} are for account {}, not {account}", single.account()))
    }
}

/// Records AWS's answer in the ledger. A CA that was activated elsewhere releases the jobs that wait for it, like one
/// that Muster registers as active.
async fn note(ledger: &Ledger, report: &AuthorityReport, asked: &AwsView) {
    let (status, mode) = match asked {
        AwsView::Has { status, mode } => (Some(*status), *mode),
        AwsView::Gone => (None, None),
        AwsView::Unknown(_) => return,
    };
    let (account, id) = (account_of(report), report.authority.certificate_id);
    let noted = async {
        let is_changed = ledger.note_ca_status(&LearntStatus { account: &account, id, status, mode }).await?;
        if is_changed && status == Some(CertificateStatus::Active) {
            ledger.release_ca(&account, id).await
        } else {
            Ok(())
        }
    };
    if let Err(error) = noted.await {
        warn!(%error, ca = report.authority.subject, "cannot record the status of a CA in the ledger");
    }
}
