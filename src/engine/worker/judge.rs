//! The precheck of a job, with the account's registration code if it needs one.

use tokio::time::Instant;
use tracing::{debug, warn};

use super::{Admitted, Worker};
use crate::engine::slots::Delivery;
use crate::telemetry::metrics::Stage;
use muster_core::job::{Job, Name};
use muster_core::outcome::{Code, Outcome};
use muster_core::precheck::Verdict;

impl Worker {
    /// Finishes a job that AWS would reject; returns any other one as admitted.
    pub(super) async fn precheck(&self, delivery: Delivery, job: Job) -> Option<Admitted> {
        let began = Instant::now();
        let verdict = self.judge(&job).await;
        self.parts.metrics.stage(Stage::Checking, began.elapsed());
        for warning in &verdict.warnings {
            self.parts.metrics.precheck_warnings.inc();
            debug!(message_id = delivery.message_id, %warning, "forwarded with a warning");
        }
        match verdict.result {
            Ok(certificate) => Some(Admitted { delivery, job, certificate }),
            Err(rejection) => {
                let code = rejection.code();
                self.parts.metrics.precheck_rejections.with_label_values(&[code.as_str()]).inc();
                if code == Code::PrivateKey {
                    warn_of_private_key(&delivery.message_id, &job);
                }
                let outcome = Outcome {
                    code,
                    detail: Some(rejection.to_string()),
                    subject: verdict.subject,
                    certificate_id: verdict.certificate_id,
                    known_status: None,
                    attempts: vec![],
                    n_attempts: 0,
                    parking: None,
                };
                self.finish(delivery, job, outcome, None).await;
                None
            }
        }
    }

    /// Prechecks a request; compares a CA's proof with the account's registration code.
    async fn judge(&self, job: &Job) -> Verdict {
        let check = |code: Option<&str>| self.parts.precheck.check(&job.request, self.parts.clock.now(), code);
        if !job.request.has_proof() {
            return check(None);
        }
        let client = &self.parts.targets[job.target.as_str()].client;
        let verdict = check(self.unless_stopped(client.registration_code()).await.as_deref());
        match &verdict.result {
            Err(rejection) if rejection.code() == Code::RegistrationCodeMismatch => {
                check(self.unless_stopped(client.latest_registration_code()).await.as_deref())
            }
            _ => verdict,
        }
    }

    /// Returns the code, or `None` if the process stops before: then no call will be made that needs it.
    async fn unless_stopped(&self, code: impl Future<Output = Option<String>>) -> Option<String> {
        tokio::select! {
            biased;
            () = self.parts.stop.cancelled() => None,
            code = code => code,
        }
    }
}

/// Logs which producer sent a private key: it must stop doing so, and the key must be treated as exposed.
fn warn_of_private_key(message_id: &str, job: &Job) {
    warn!(
        batch = job.batch.as_str(),
        source = job.source.as_ref().map(Name::as_str),
        "ref" = job.reference.as_ref().map(Name::as_str),
        message_id,
        "rejected: the job holds a private key, which must now be treated as exposed"
    );
}
