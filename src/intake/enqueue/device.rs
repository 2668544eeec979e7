//! One prechecked entry of a file, and whether it is sent or rejected.

use std::path::Path;

use time::OffsetDateTime;

use super::{BatchOrder, Planned, Reject, RejectReason};
use crate::intake::manifest::{Content, Entry, FilePosition, STDIN};
use muster_core::certificate::{Certificate, NameKey, pem};
use muster_core::job::Name;
use muster_core::precheck::{CheckedCertificate, Field, Precheck, Warning};

/// One entry and its precheck result.
pub(super) struct Judged {
    pub(super) place: FilePosition,
    /// The text that contains it: see [`Entry::text`].
    pub(super) text: u64,
    /// The PEM block, if there is one that may be shown.
    pub(super) pem: Option<String>,
    pub(super) n_padding: u64,
    pub(super) is_next_to_private_key: bool,
    pub(super) reference: Option<Name>,
    pub(super) is_resent: bool,
    /// The certificate, if it can be read.
    pub(super) certificate: Option<Certificate>,
    /// The name of its issuer, unless it is self-signed.
    pub(super) issuer: Option<NameKey>,
    ca: Option<usize>,
    result: Result<CheckedCertificate, RejectReason>,
    warnings: Vec<Warning>,
}

/// What happens to a device certificate.
pub(super) enum Fate {
    /// It will be sent.
    Sent { planned: Planned, checked: CheckedCertificate, warnings: Vec<Warning> },
    /// It is rejected.
    Rejected(Reject),
}

impl Judged {
    /// Prechecks an entry.
    pub(super) fn new(entry: Entry, order: &BatchOrder, precheck: &Precheck, now: OffsetDateTime) -> Self {
        let Entry { place, text, content, n_padding, is_next_to_private_key, reference, is_resent } = entry;
        let mut judged = Self {
            place,
            text,
            pem: None,
            n_padding,
            is_next_to_private_key,
            reference,
            is_resent,
            certificate: None,
            issuer: None,
            ca: None,
            result: Err(RejectReason::NotKept),
            warnings: vec![],
        };
        match content {
            Content::Pem(text) => judged.check(text, order, precheck, now),
            Content::Der(der) => {
                judged.check(pem::encode(pem::CERTIFICATE, &der), order, precheck, now);
                // Bytes that are not a certificate may be anything, even a private key: they are not shown.
                judged.pem.take_if(|_| judged.certificate.is_none());
            }
            Content::NoBlock => {
                judged.check(String::new(), order, precheck, now);
                judged.pem = None;
            }
            Content::Garbage { bytes } => judged.result = Err(RejectReason::Garbage { bytes }),
            Content::NotKept => {}
            Content::NoRecord => judged.result = Err(RejectReason::NoRecord),
            Content::Unreadable(error) => judged.result = Err(RejectReason::Unreadable(error)),
        }
        judged
    }

    fn check(&mut self, text: String, order: &BatchOrder, precheck: &Precheck, now: OffsetDateTime) {
        self.certificate = order.request(text.clone(), None).certificate();
        self.ca = order.ca_of(self.certificate.as_ref());
        self.issuer = self.certificate.as_ref().and_then(Certificate::other_issuer);
        let verdict = precheck.check(&order.request(text.clone(), self.ca), now, None);
        self.warnings = verdict.warnings;
        if self.n_padding > 0 {
            self.warnings.push(Warning::Padding { field: Field::CertificatePem, bytes: self.n_padding });
        }
        self.result = verdict.result.map_err(RejectReason::Precheck);
        self.pem = Some(text);
    }

    /// Returns whether it may be a certificate but could not be read.
    pub(super) fn is_unreadable(&self) -> bool {
        self.certificate.is_none() && !matches!(self.result, Err(RejectReason::NotKept))
    }

    /// Decides whether it is sent; `is_alone`: its text has no other device, so it may be named after the file.
    pub(super) fn fate(self, is_alone: bool) -> Fate {
        let of_file = || if is_alone { file_stem(&self.place) } else { None };
        let reference = self.reference.or_else(of_file);
        let result = if self.is_next_to_private_key { Err(RejectReason::NextToPrivateKey) } else { self.result };
        match result {
            Ok(checked) => {
                let planned = Planned {
                    file: self.place.file.to_string(),
                    line: self.place.line,
                    reference,
                    certificate_pem: checked.pem().to_owned(),
                    ca: self.ca,
                    is_resent: self.is_resent,
                };
                Fate::Sent { planned, checked, warnings: self.warnings }
            }
            Err(reason) => Fate::Rejected(Reject::new(&self.place, reference, self.pem, &reason)),
        }
    }
}

/// Returns the file name without its extension, if it is valid as a job's `ref`.
pub(super) fn file_stem(place: &FilePosition) -> Option<Name> {
    if &*place.file == STDIN {
        return None;
    }
    Path::new(&*place.file).file_stem()?.to_str()?.parse().ok()
}
