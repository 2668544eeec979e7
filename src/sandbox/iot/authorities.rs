//! The CAs that the account has registered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use time::OffsetDateTime;

use super::CertificateMode;
use crate::certificate::{Certificate, CertificateId, Issuer};

/// Most CAs with one subject in an account and region.
const SAME_SUBJECT_MAX: usize = 10;

/// A registered CA, as it is at one instant.
#[derive(Clone)]
pub(super) struct Authority {
    pub(super) issuer: Arc<Issuer>,
    pub(super) is_active: bool,
    pub(super) mode: CertificateMode,
    pub(super) registered_at: OffsetDateTime,
}

/// Why a CA is not registered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Refusal {
    /// It was there before.
    AlreadyThere,
    /// Ten others have its subject.
    TooManyOfOneName,
}

/// The CAs by id and by subject.
#[derive(Default)]
pub(super) struct Authorities {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    by_id: HashMap<CertificateId, Authority>,
    by_subject: HashMap<Box<[u8]>, Vec<CertificateId>>,
}

impl Authority {
    pub(super) fn id(&self) -> CertificateId {
        self.issuer.certificate().id()
    }
}

impl Authorities {
    /// Registers a CA.
    pub(super) fn register(&self, issuer: Issuer, is_active: bool, mode: CertificateMode) -> Result<(), Refusal> {
        let id = issuer.certificate().id();
        let inner = &mut *self.inner();
        if inner.by_id.contains_key(&id) {
            return Err(Refusal::AlreadyThere);
        }
        let namesakes = inner.by_subject.entry(issuer.certificate().subject_der().into()).or_default();
        if namesakes.len() >= SAME_SUBJECT_MAX {
            return Err(Refusal::TooManyOfOneName);
        }
        namesakes.push(id);
        let registered_at = OffsetDateTime::now_utc();
        inner.by_id.insert(id, Authority { issuer: Arc::new(issuer), is_active, mode, registered_at });
        Ok(())
    }

    /// The CA with this id.
    pub(super) fn find(&self, id: CertificateId) -> Option<Authority> {
        self.inner().by_id.get(&id).cloned()
    }

    /// The CAs whose subject is the issuer of `leaf`: by equal bytes, or else by names that mean the same.
    pub(super) fn with_subject_of_issuer(&self, leaf: &Certificate) -> Vec<Authority> {
        let inner = self.inner();
        if let Some(ids) = inner.by_subject.get(leaf.issuer_der()) {
            return ids.iter().map(|id| inner.by_id[id].clone()).collect();
        }
        let all = inner.by_id.values();
        all.filter(|authority| leaf.names_as_issuer(authority.issuer.certificate())).cloned().collect()
    }

    /// Activates or deactivates a CA; false when there is none with this id.
    pub(super) fn set_active(&self, id: CertificateId, is_active: bool) -> bool {
        let mut inner = self.inner();
        let authority = inner.by_id.get_mut(&id);
        authority.map(|authority| authority.is_active = is_active).is_some()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
