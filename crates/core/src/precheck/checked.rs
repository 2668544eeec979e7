//! What passed the precheck: the fields of a call, as they are sent.

use std::fmt;
use std::sync::Arc;

use crate::certificate::CertificateId;
use crate::job::{CertificateStatus, Operation, RegisterCaCertificate};

/// A certificate that AWS has no known reason to refuse, in the form in which it is sent. Only the precheck creates it.
pub struct CheckedCertificate {
    pub(super) id: CertificateId,
    pub(super) call: Call,
}

/// The fields of a call. PEM is canonical, and each field holds one certificate.
pub enum Call {
    /// A device certificate of a registered CA.
    RegisterCertificate {
        /// The certificate.
        pem: String,
        /// The CA that the job carried, or that is known to have signed it.
        ca_pem: Option<Arc<str>>,
        /// The status that the job asked for; if `None`, no status is sent.
        status: Option<CertificateStatus>,
        /// The SHA-256 of the issuer's name.
        issuer_key: [u8; 32],
    },
    /// A device certificate alone.
    RegisterCertificateWithoutCa {
        /// The certificate.
        pem: String,
        /// The status that the job asked for; if `None`, no status is sent.
        status: Option<CertificateStatus>,
    },
    /// A CA.
    RegisterCaCertificate {
        /// The fields as they are sent.
        request: Box<RegisterCaCertificate>,
        /// The SHA-256 of the CA's name.
        subject_key: [u8; 32],
    },
}

impl CheckedCertificate {
    /// The id that AWS will assign to it.
    pub fn id(&self) -> CertificateId {
        self.id
    }

    /// The fields that are sent.
    pub fn call(&self) -> &Call {
        &self.call
    }

    /// The certificate alone, as canonical PEM.
    pub fn pem(&self) -> &str {
        match &self.call {
            Call::RegisterCertificate { pem, .. } | Call::RegisterCertificateWithoutCa { pem, .. } => pem,
            Call::RegisterCaCertificate { request, .. } => &request.ca_certificate,
        }
    }

    /// The AWS call that registers it.
    pub fn operation(&self) -> Operation {
        match self.call {
            Call::RegisterCertificate { .. } => Operation::RegisterCertificate,
            Call::RegisterCertificateWithoutCa { .. } => Operation::RegisterCertificateWithoutCA,
            Call::RegisterCaCertificate { .. } => Operation::RegisterCACertificate,
        }
    }

    /// The SHA-256 of the name of the CA that must be registered and active in AWS: equal for all certificates of one
    /// CA. `None` if AWS does not look for a CA.
    pub fn issuer_key(&self) -> Option<[u8; 32]> {
        match self.call {
            Call::RegisterCertificate { issuer_key, .. } => Some(issuer_key),
            Call::RegisterCertificateWithoutCa { .. } | Call::RegisterCaCertificate { .. } => None,
        }
    }

    /// The SHA-256 of a CA's own name: the issuer key of the certificates that it signed. `None` for devices.
    pub fn subject_key(&self) -> Option<[u8; 32]> {
        match self.call {
            Call::RegisterCaCertificate { subject_key, .. } => Some(subject_key),
            Call::RegisterCertificate { .. } | Call::RegisterCertificateWithoutCa { .. } => None,
        }
    }

    /// The CA that is sent with the certificate.
    pub fn ca_pem(&self) -> Option<&str> {
        match &self.call {
            Call::RegisterCertificate { ca_pem, .. } => ca_pem.as_deref(),
            Call::RegisterCertificateWithoutCa { .. } | Call::RegisterCaCertificate { .. } => None,
        }
    }
}

/// Prints the id only: a PEM body never reaches a log.
impl fmt::Debug for CheckedCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CheckedCertificate({})", self.id)
    }
}
