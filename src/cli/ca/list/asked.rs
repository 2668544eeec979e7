//! Asks AWS for the real status of the CAs that the ledger knows, and writes it into the ledger.
//!
//! At most five calls a second and a hundred in all, as the quota of `DescribeCACertificate` is shared with others. Where
//! AWS does not answer for an account, the cause stands for all its CAs: nothing makes the listing fail.

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

/// Most CAs that AWS is asked about.
const ASKED_MAX: usize = 100;

/// The pause between two calls: half of the default quota of an account.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// Longest that AWS may take for one CA, retries and all: whoever lists CAs waits for it.
const PATIENCE: Duration = Duration::from_secs(15);

/// What AWS says of a CA now.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum AwsView {
    /// It has the CA.
    Has { status: CertificateStatus, mode: Option<CertificateMode> },
    /// It does not have the CA any more.
    Gone,
    /// It was not asked, or did not say.
    Unknown(String),
}

/// The connection for each account and region, or why there is none, and the pace of the calls.
struct CaClients<'a> {
    config: &'a Config,
    open: HashMap<Account, Result<CaRegistration, String>>,
    pace: Interval,
}

/// Asks about each of these CAs, in their order.
pub(super) async fn ask(config: &Config, ledger: &Ledger, reports: &[AuthorityReport]) -> Vec<AwsView> {
    let mut pace = tokio::time::interval(ASK_EVERY);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut connections = CaClients { config, open: HashMap::new(), pace };
    let mut answers = Vec::with_capacity(reports.len());
    for (n, report) in reports.iter().enumerate() {
        let answer = if n < ASKED_MAX {
            connections.ask(report).await
        } else {
            AwsView::Unknown(format!("AWS is asked about the first {ASKED_MAX} CAs only"))
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
                // What one question met, the next would meet too.
                self.open.insert(account.clone(), Err(error.to_string()));
                AwsView::Unknown(error.to_string())
            }
        }
    }
}

fn account_of(report: &AuthorityReport) -> Account {
    Account { id: report.authority.account.clone(), region: report.authority.region.clone() }
}

/// Connects as the first target of the settings that belongs to an account and region.
async fn connect(config: &Config, report: &AuthorityReport, account: &Account) -> Result<CaRegistration, String> {
    let mut targets = report.targets.iter().filter(|target| config.targets.contains_key(target.as_str()));
    let target = targets.next().ok_or_else(|| format!("no target of the settings is account {account}"))?;
    let single = CaRegistration::connect(config, target).await.map_err(|error| error.to_string())?;
    if single.account() == account {
        Ok(single)
    } else {
        Err(format!("the credentials of target {target} are for account {}, not {account}", single.account()))
    }
}

/// Writes what AWS says into the ledger. A CA that became active elsewhere releases its devices, as one that is registered
/// as active does.
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
        warn!(%error, ca = report.authority.subject, "cannot write the status of a CA into the ledger");
    }
}
