//! Valid jobs, created before the run.

use std::sync::Arc;

use muster::aws::queue::OutgoingMessage;
use muster_core::certificate::{Certificate, CertificateId};
use muster_core::job::{CertificateStatus, Job, RegisterCertificate};
use muster_sandbox::specimen::Ca;
use tokio::task::JoinSet;

/// Creates certificates, on all cores.
pub(crate) async fn certificates(ca: &Arc<Ca>, n: usize) -> Vec<String> {
    let n_threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut tasks = JoinSet::new();
    for thread in 0..n_threads {
        let ca = Arc::clone(ca);
        let own = (thread..n).step_by(n_threads);
        tasks.spawn_blocking(move || own.map(|i| ca.leaf(&format!("device {i}"))).collect::<Vec<_>>());
    }
    tasks.join_all().await.concat()
}

/// Creates a job for a target, without a message group.
pub(crate) fn for_target(target: &str, certificate_pem: String) -> OutgoingMessage {
    let job = Job { target: target.parse().unwrap(), ..job(certificate_pem) };
    OutgoingMessage { body: job.to_body(), group: None }
}

/// Creates a job of a line; SQS lets the lines take turns.
pub(crate) fn for_line(line: &str, certificate_pem: String) -> OutgoingMessage {
    let job = Job { source: Some(line.parse().unwrap()), ..job(certificate_pem) };
    OutgoingMessage { body: job.to_body(), group: Some(line.to_owned()) }
}

/// Returns the id that a certificate will have.
pub(crate) fn id(certificate_pem: &str) -> CertificateId {
    Certificate::from_pem(certificate_pem).unwrap().id()
}

fn job(certificate_pem: String) -> Job {
    Job {
        batch: "fleet".parse().unwrap(),
        batch_size: None,
        source: None,
        reference: None,
        target: "default".parse().unwrap(),
        verify: false,
        request: RegisterCertificate {
            certificate_pem,
            status: Some(CertificateStatus::Active),
            ..RegisterCertificate::default()
        }
        .into(),
    }
}
