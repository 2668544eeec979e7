//! Puts certificates on the queue as jobs: first everything is read and prechecked, then what passed is sent.
//!
//! Two passes, as every message says how many distinct certificates its batch has. What passed lies in a [`spool`]
//! meanwhile: so exactly what was checked is sent, standard input can be read, and memory holds ids only. What may be a
//! CA's waits until everything is read (`candidates`). Sending everything again is harmless, as a certificate's id is
//! its name. Nothing here knows the terminal.

mod candidates;
pub mod device;
pub mod plan;
pub mod reject;
pub mod send;
pub mod spool;

pub use plan::{EnqueueTally, Judge, Planner};
pub use reject::{Reject, RejectReason, RejectsFile, RejectsWritten};
pub use send::{BatchSender, Called};
pub use spool::{Planned, Spool};

use std::sync::Arc;

use muster_core::certificate::{Certificate, Issuer};
use muster_core::job::{
    CertificateStatus, Job, Name, Operation, RegisterCertificate, RegisterCertificateWithoutCa, Request,
};

/// What all jobs of one run share.
#[derive(Clone)]
pub struct BatchOrder {
    /// What the jobs are counted under.
    pub batch: Name,
    /// The factory line; also the tenant of SQS's fair queues.
    pub source: Option<Name>,
    /// The account and region, by its name in the configuration.
    pub target: Name,
    /// The status to register with; none: AWS's own default, INACTIVE.
    pub status: Option<CertificateStatus>,
    /// Whether AWS is asked even where the ledger knows a certificate.
    pub verify: bool,
    /// The CAs that signed the certificates: each job carries the one that signed its own.
    pub cas: Arc<[Issuer]>,
    /// Whether they are registered without a CA.
    pub without_ca: bool,
}

impl BatchOrder {
    /// The AWS call that the jobs ask for.
    pub fn operation(&self) -> Operation {
        if self.without_ca { Operation::RegisterCertificateWithoutCA } else { Operation::RegisterCertificate }
    }

    /// The CA that issued a certificate, by its place among the given ones; the first one where none has its issuer's
    /// name.
    fn ca_of(&self, certificate: Option<&Certificate>) -> Option<usize> {
        match (&*self.cas, certificate) {
            ([], _) => None,
            ([_], _) | (_, None) => Some(0),
            (several, Some(certificate)) => {
                Some(Issuer::among(several.iter(), certificate).map_or(0, |(at, _verification)| at))
            }
        }
    }

    /// The fields of the AWS call for one certificate.
    fn request(&self, certificate_pem: String, ca: Option<usize>) -> Request {
        if self.without_ca {
            return RegisterCertificateWithoutCa { certificate_pem, status: self.status }.into();
        }
        let ca_certificate_pem = ca.map(|ca| self.cas[ca].certificate().to_pem());
        RegisterCertificate { certificate_pem, ca_certificate_pem, status: self.status, set_as_active: None }.into()
    }

    /// The job for one certificate; `batch_size` is what its batch is announced to have.
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
