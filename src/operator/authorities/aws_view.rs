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
const LOOKUPS_MAX: usize = 100;

/// Interval between two calls: half of an account's default quota.
const CALL_INTERVAL: Duration = Duration::from_millis(200);

/// Longest time for one CA, including retries: an operator is waiting.
const CA_TIMEOUT: Duration = Duration::from_secs(15);

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
    let mut pace = tokio::time::interval(CALL_INTERVAL);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut clients = CaClients { config, open: HashMap::new(), pace };
    let mut answers = Vec::with_capacity(reports.len());
    for (n, report) in reports.iter().enumerate() {
        let answer = if n < LOOKUPS_MAX {
            clients.ask(report).await
        } else {
            AwsView::Unknown(format!("only the first {LOOKUPS_MAX} CAs are looked up at AWS"))
        };
        record(ledger, report, &answer).await;
        answers.push(answer);
    }
    answers
}

impl CaClients<'_> {
    async fn ask(&mut self, report: &AuthorityReport) -> AwsView {
        let account = account_of(report);
        let Ok(view) = tokio::time::timeout(CA_TIMEOUT, self.describe(report, &account)).await else {
            let cause = format!("no answer from AWS within {}", span(CA_TIMEOUT));
            self.open.insert(account, Err(cause.clone()));
            return AwsView::Unknown(cause);
        };
        view
    }

    async fn describe(&mut self, report: &AuthorityReport, account: &Account) -> AwsView {
        if !self.open.contains_key(account) {
            let connected = connect(self.config, report, account).await;
            self.open.insert(account.clone(), connected);
        }
        let client = match &self.open[account] {
            Ok(client) => client,
            Err(cause) => return AwsView::Unknown(cause.clone()),
        };
        self.pace.tick().await;
        match client.describe_ca(report.authority.certificate_id).await {
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

/// Connects through the first configured target of an account and region.
async fn connect(config: &Config, report: &AuthorityReport, account: &Account) -> Result<CaRegistration, String> {
    let mut targets = report.targets.iter().filter(|target| config.targets.contains_key(target.as_str()));
    let target = targets.next().ok_or_else(|| format!("no target in the settings belongs to account {account}"))?;
    let client = CaRegistration::connect(config, target).await.map_err(|error| error.to_string())?;
    if client.account() == account {
        Ok(client)
    } else {
        Err(format!("the credentials of target {target} are for account {}, not {account}", client.account()))
    }
}

/// Records AWS's answer in the ledger. A CA that was activated elsewhere releases the jobs that wait for it, like one
/// that Muster registers as active.
async fn record(ledger: &Ledger, report: &AuthorityReport, view: &AwsView) {
    let (status, mode) = match view {
        AwsView::Has { status, mode } => (Some(*status), *mode),
        AwsView::Gone => (None, None),
        AwsView::Unknown(_) => return,
    };
    let (account, id) = (account_of(report), report.authority.certificate_id);
    let recorded = async {
        let is_changed = ledger.note_ca_status(&LearntStatus { account: &account, id, status, mode }).await?;
        if is_changed && status == Some(CertificateStatus::Active) {
            ledger.release_ca(&account, id).await
        } else {
            Ok(())
        }
    };
    if let Err(error) = recorded.await {
        warn!(%error, ca = report.authority.subject, "cannot record the status of a CA in the ledger");
    }
}
