//! The result of `muster ca register`, for people and as JSON. Its first line never contradicts its status.

use std::fmt;
use std::process::ExitCode;

use serde::Serialize;
use serde_json::{Value, json};

use super::order::CaOrder;
use super::plan::CaPlan;
use crate::cli::format::printable;
use crate::cli::talk::talk;
use crate::cli::{exit, stdout};
use crate::engine::worker::limit_advice;
use crate::ledger::authority::Authority;
use crate::operator::authorities::date;
use crate::operator::ca_registration::{Existing, Registration};
use muster_core::account::Account;
use muster_core::certificate::{Certificate, CertificateId};
use muster_core::job::{CertificateMode, CertificateStatus, Job, RegisterCaCertificate};
use muster_core::outcome::{Code, Status};
use muster_core::precheck::{Call, CheckedCertificate, Rejection, Warning};

/// The result for one CA.
#[derive(Debug, Serialize)]
pub(super) struct CaReport {
    dry_run: bool,
    /// What a dry run would do. Null: not a dry run, or rejected.
    plan: Option<CaPlan>,
    /// The outcome. Null: a dry run that found nothing wrong.
    status: Option<String>,
    code: Option<&'static str>,
    detail: Option<String>,
    hint: Option<String>,
    certificate_id: Option<CertificateId>,
    certificate_arn: Option<String>,
    subject: Option<String>,
    target: String,
    account: String,
    region: String,
    batch: String,
    /// Null: unknown.
    certificate_mode: Option<CertificateMode>,
    /// Its status at AWS. Null: not registered, or unknown.
    certificate_status: Option<CertificateStatus>,
    /// Why the status of a registered CA is unknown.
    status_unknown_because: Option<String>,
    /// AWS already had the CA, and this command activated it.
    activated: bool,
    valid_until: Option<String>,
    warnings: Vec<String>,
    /// The fields of the call, in a dry run.
    request: Option<RegisterCaCertificate>,
    #[serde(skip)]
    wanted: CertificateStatus,
    /// The command line that activates the CA.
    #[serde(skip)]
    activating_command: String,
}

impl CaReport {
    /// Returns the subject and the result for the audit.
    pub(super) fn audited(&self) -> (String, Value) {
        let what = self.subject.clone().unwrap_or_else(|| "a CA that cannot be read".to_owned());
        let detail = json!({
            "certificate_id": self.certificate_id,
            "target": self.target,
            "status": self.status,
            "code": self.code,
            "certificate_status": self.certificate_status,
            "activated": self.activated,
        });
        (what, detail)
    }

    /// Starts the report with what is known before any result.
    pub(super) fn of(order: &CaOrder, account: &Account, job: &Job, warnings: &[Warning]) -> Self {
        let ca = job.request.certificate();
        Self {
            dry_run: false,
            plan: None,
            status: None,
            code: None,
            detail: None,
            hint: None,
            certificate_id: ca.as_ref().map(Certificate::id),
            certificate_arn: ca.as_ref().map(|ca| arn(account, ca.id())),
            subject: ca.as_ref().map(Certificate::subject),
            target: order.target.to_string(),
            account: account.id.clone(),
            region: account.region.clone(),
            batch: order.batch.to_string(),
            certificate_mode: Some(order.mode),
            certificate_status: None,
            status_unknown_because: None,
            activated: false,
            valid_until: ca.as_ref().map(|ca| date(ca.not_after())),
            warnings: warnings.iter().map(ToString::to_string).collect(),
            request: None,
            wanted: job.request.wanted_status(),
            activating_command: order.activating_command(),
        }
    }

    /// Adds a rejection by the precheck.
    pub(super) fn with_rejection(self, rejection: &Rejection) -> Self {
        let code = rejection.code();
        Self {
            status: Some(code.status().to_string()),
            code: Some(code.as_str()),
            detail: Some(rejection.to_string()),
            hint: rejection.hint().map(str::to_owned),
            ..self
        }
    }

    /// Adds what a dry run would do, given what AWS has now.
    pub(super) fn with_plan(self, certificate: &CheckedCertificate, existing: Option<&Existing>) -> Self {
        let request = match certificate.call() {
            Call::RegisterCaCertificate { request, .. } => Some((**request).clone()),
            Call::RegisterCertificate { .. } | Call::RegisterCertificateWithoutCa { .. } => None,
        };
        let plan = CaPlan::of(existing, self.wanted);
        let report = Self { dry_run: true, plan: Some(plan), request, ..self.with_existing(existing) };
        let hint = (plan == CaPlan::Nothing).then(|| report.hint_for_existing()).flatten();
        Self { hint, ..report }
    }

    /// Adds what AWS already has of the CA.
    fn with_existing(self, existing: Option<&Existing>) -> Self {
        let Some(existing) = existing else { return self };
        Self {
            certificate_status: existing.status,
            certificate_mode: existing.mode,
            status_unknown_because: existing.unknown_because.clone(),
            activated: existing.is_activated,
            ..self
        }
    }

    /// Adds the outcome; `namesakes` are the CAs of the same name in the ledger.
    pub(super) fn with_outcome(
        self,
        Registration { outcome, existing }: &Registration,
        namesakes: &[Authority],
    ) -> Self {
        let known = namesakes.iter().find(|ca| Some(ca.certificate_id) == outcome.certificate_id);
        let already_existed = existing.is_some();
        let report = Self {
            status: Some(outcome.status().to_string()),
            code: Some(outcome.code.as_str()),
            // For a CA that AWS already had, the status below replaces the ledger's detail.
            detail: outcome.detail.clone().filter(|_| !already_existed),
            certificate_status: outcome.known_status,
            ..self
        }
        .with_existing(existing.as_ref());
        let mode = report.certificate_mode.or_else(|| known.filter(|_| already_existed)?.mode);
        let hint = if already_existed { report.hint_for_existing() } else { report.hint_for(outcome.code, namesakes) };
        Self { certificate_mode: mode, hint, ..report }
    }

    /// Returns the hint for an outcome.
    fn hint_for(&self, code: Code, namesakes: &[Authority]) -> Option<String> {
        Some(match code {
            Code::LimitExceeded => limit_advice(namesakes),
            Code::RegistrationCode => "AWS has another registration code now; `muster ca code` prints it".to_owned(),
            Code::ResourceNotFound => "check that the account has the template and the role".to_owned(),
            // INACTIVE was not requested; it is AWS's default.
            Code::Ok | Code::AnswerLost if self.wanted != CertificateStatus::Active => format!(
                "the CA is INACTIVE, so certificates that it issued cannot be registered; `{}` activates it",
                self.activating_command
            ),
            _ if code.status() == Status::Exhausted => {
                "run the command again: a registered CA stays as it is".to_owned()
            }
            _ => return None,
        })
    }

    /// Returns the hint for a CA that AWS already had.
    fn hint_for_existing(&self) -> Option<String> {
        let command = &self.activating_command;
        match self.certificate_status {
            Some(CertificateStatus::Active) => None,
            Some(status) => Some(format!(
                "the CA is {status}, so certificates that it issued cannot be registered; `{command}` activates it"
            )),
            None => Some(format!(
                "`{command}` activates the CA if it is not active; to see its status, allow iot:DescribeCACertificate"
            )),
        }
    }

    /// Returns the exit code of the command.
    pub(super) fn exit_code(&self) -> ExitCode {
        let unreachable_codes = [Code::ServerError, Code::Timeout, Code::Transport].map(Code::as_str);
        if self.is_success() {
            ExitCode::SUCCESS
        } else if self.code.is_some_and(|code| unreachable_codes.contains(&code)) {
            exit::UNREACHABLE.into()
        } else {
            exit::SOME_FAILED.into()
        }
    }

    /// Returns whether AWS has the CA, or a dry run found nothing wrong.
    fn is_success(&self) -> bool {
        let status = self.status.as_deref().and_then(|status| status.parse::<Status>().ok());
        status.map_or(self.dry_run, Status::is_success)
    }

    /// Prints the report, and its warnings and hint on standard error.
    pub(super) fn print(&self, is_json: bool) -> anyhow::Result<()> {
        if is_json {
            stdout::print_json(self)?;
            return Ok(());
        }
        stdout::print(self)?;
        for warning in &self.warnings {
            talk(&format!("warning: {}", printable(warning)));
        }
        if let Some(hint) = &self.hint {
            talk(&format!("hint: {}", printable(hint)));
        }
        Ok(())
    }
}

impl fmt::Display for CaReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.result(), printable(self.subject.as_deref().unwrap_or("no certificate")))?;
        let texts = [
            ("code", self.code.map(str::to_owned)),
            ("detail", self.detail.clone()),
            ("id", self.certificate_id.map(|id| id.to_string())),
            ("arn", self.certificate_arn.clone()),
            ("account", Some(format!("{} in {}, target {}", self.account, self.region, self.target))),
            ("batch", Some(self.batch.clone())),
            ("mode", Some(or_unknown(self.certificate_mode))),
            ("status", self.shown_status()),
            ("valid until", self.valid_until.clone()),
        ];
        for (key, text) in texts {
            if let Some(text) = text {
                writeln!(f, "    {key:<13}{}", printable(&text))?;
            }
        }
        self.request.as_ref().map_or(Ok(()), |request| write_request(f, request))
    }
}

impl CaReport {
    /// Returns the result in a few words.
    fn result(&self) -> String {
        let outcome = self.status.as_deref().unwrap_or_default().replace('_', " ");
        match self.plan {
            Some(plan) => plan.in_words(self.wanted).to_owned(),
            None if self.activated => format!("{outcome}, activated"),
            None => outcome,
        }
    }

    /// Returns its status at AWS, or the one it would get.
    fn shown_status(&self) -> Option<String> {
        if !self.is_success() {
            return None;
        }
        let unknown = || match &self.status_unknown_because {
            Some(cause) => format!("unknown: {cause}"),
            None => "unknown".to_owned(),
        };
        Some(match self.plan {
            Some(CaPlan::Register) => self.wanted.to_string(),
            _ => self.certificate_status.map_or_else(unknown, |status| status.to_string()),
        })
    }
}

/// Writes the fields of a request that the rest of the report does not show.
fn write_request(f: &mut fmt::Formatter<'_>, request: &RegisterCaCertificate) -> fmt::Result {
    let proof = if request.verification_certificate.is_some() { "a verification certificate" } else { "none" };
    writeln!(f, "    {:<13}{proof}", "proof")?;
    if request.allow_auto_registration {
        writeln!(f, "    {:<13}devices may register themselves", "auto")?;
    }
    if let Some(config) = &request.registration_config {
        let template = config.template_name.as_deref().unwrap_or("inline");
        let role = config.role_arn.as_deref().unwrap_or("none");
        writeln!(f, "    {:<13}{}, role {}", "template", printable(template), printable(role))?;
    }
    for tag in &request.tags {
        let value = tag.value.as_deref().unwrap_or_default();
        writeln!(f, "    {:<13}{}={}", "tag", printable(&tag.key), printable(value))?;
    }
    Ok(())
}

fn or_unknown(word: Option<impl fmt::Display>) -> String {
    word.map_or_else(|| "unknown".to_owned(), |word| word.to_string())
}

/// Returns the CA's ARN. China and the US government regions are separate partitions.
fn arn(account: &Account, id: CertificateId) -> String {
    let partition = match account.region.split('-').next() {
        Some("cn") => "aws-cn",
        _ if account.region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    };
    format!("arn:{partition}:iot:{}:{}:cacert/{id}", account.region, account.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arn_names_the_partition_of_the_region() {
        for (region, start) in [
            ("eu-central-1", "arn:aws:iot:eu-central-1:123456789012:cacert/0000"),
            ("cn-north-1", "arn:aws-cn:iot:cn-north-1:123456789012:cacert/0000"),
            ("us-gov-west-1", "arn:aws-us-gov:iot:us-gov-west-1:123456789012:cacert/0000"),
        ] {
            let account = Account { id: "123456789012".into(), region: region.into() };
            assert!(arn(&account, CertificateId([0; 32])).starts_with(start), "{region}");
        }
    }
}
