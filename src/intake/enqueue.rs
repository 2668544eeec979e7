//! Puts certificates on the queue as jobs: the first pass reads and prechecks everything, the second sends what passed.
//!
//! There are two passes because every message announces how many distinct certificates its batch has. In between,
//! certificates wait in a [`spool`]: exactly what was checked is sent, standard input works, and memory holds only ids.
//! Whether a possible CA is sent is decided once everything is read (`candidates`). Resending everything is harmless,
//! because a certificate's id is its idempotency key. Prints nothing to the terminal.

mod candidates;
pub mod device;
pub mod plan;
pub mod reject;
pub mod send;
pub mod spool;

pub use plan::{EnqueueTally, Judge, Planner};
pub use reject::{Reject, RejectReason, RejectsFile, RejectsWritten};
pub use send::{BatchSender, CallResult};
pub use spool::{Planned, Spool};

use std::sync::Arc;

use muster_core::certificate::{Certificate, Issuer};
use muster_core::job::{
    CertificateStatus, Job, Name, Operation, RegisterCertificate, RegisterCertificateWithoutCa, Request,
};

/// The fields that all jobs of one run share.
#[derive(Clone)]
pub struct BatchOrder {
    /// The batch that the jobs are counted under.
    pub batch: Name,
    /// The factory line; also the message group (tenant) for SQS fair queues.
    pub source: Option<Name>,
    /// The target: the configured name of an account and region.
    pub target: Name,
    /// The status to register with. `None`: AWS's default, INACTIVE.
    pub status: Option<CertificateStatus>,
    /// Whether to call AWS even if the ledger has the certificate as registered.
    pub verify: bool,
    /// The CAs that signed the certificates. Each job carries the CA of its certificate.
    pub cas: Arc<[Issuer]>,
    /// Whether to register without a CA.
    pub without_ca: bool,
}

impl BatchOrder {
    /// Returns the AWS call that the jobs request.
    pub fn operation(&self) -> Operation {
        if self.without_ca { Operation::RegisterCertificateWithoutCA } else { Operation::RegisterCertificate }
    }

    /// Returns the index of the CA that issued a certificate; the first CA if none has its issuer's name.
    fn ca_of(&self, certificate: Option<&Certificate>) -> Option<usize> {
        match (&*self.cas, certificate) {
            ([], _) => None,
            ([_], _) | (_, None) => Some(0),
            (several, Some(certificate)) => {
                Some(Issuer::among(several.iter(), certificate).map_or(0, |(at, _verification)| at))
            }
        }
    }

    /// Builds the AWS request for one certificate.
    fn request(&self, certificate_pem: String, ca: Option<usize>) -> Request {
        if self.without_ca {
            return RegisterCertificateWithoutCa { certificate_pem, status: self.status }.into();
        }
        let ca_certificate_pem = ca.map(|ca| self.cas[ca].certificate().to_pem());
        RegisterCertificate { certificate_pem, ca_certificate_pem, status: self.status, set_as_active: None }.into()
    }

    /// Builds the job for one certificate; `batch_size` is the announced size of its batch.
    fn job(&self, planned: &Planned, batch_size: Option<u64>) -> Job {
        Job {
            batch: self.batch.clone(),
            batch_size,
            source: self.source.clone(),
            reference: planned.reference.clone(),
            target: self.target.clone(),
            verify: self.verify,
            request: self.request(planned.certificate_pem.clone(), planned.ca),
        }
    }
}
