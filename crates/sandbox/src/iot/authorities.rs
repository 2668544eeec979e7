//! The registered CAs of the account.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use time::OffsetDateTime;

use super::registration_config::ProvisioningConfig;
use super::rows::{NotRemoved, RowRange, Rows};
use muster_core::certificate::{Certificate, CertificateId, Issuer};
use muster_core::job::CertificateMode;

/// Maximum number of CAs with the same subject in an account and region, as in AWS.
const SAME_SUBJECT_MAX: usize = 10;

/// A CA that the sandbox has registered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RegisteredAuthority {
    /// The SHA-256 of its DER.
    pub id: CertificateId,
    /// Whether certificates it issued can be registered.
    pub is_active: bool,
    /// How clients with its leaves must connect.
    pub mode: CertificateMode,
    /// Whether its leaves are registered when they first connect.
    pub auto_registration: bool,
    /// Its tags, by key.
    pub tags: BTreeMap<String, String>,
    /// What just-in-time provisioning is configured to do.
    pub registration_config: Option<ProvisioningConfig>,
    /// When it was registered.
    pub registered_at: OffsetDateTime,
}

/// The state of a registered CA at one instant.
#[derive(Clone)]
pub(super) struct CaState {
    pub(super) issuer: Arc<Issuer>,
    pub(super) registered: RegisteredAuthority,
    pub(super) modified_at: OffsetDateTime,
    /// Starts at 1; each update adds 1.
    pub(super) version: u32,
}

/// Why a CA was not registered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Refusal {
    /// It is already registered.
    AlreadyRegistered,
    /// Ten other CAs have the same subject.
    TooManyOfOneSubject,
}

/// The CAs by id, by subject, and in order of registration.
#[derive(Default)]
pub(super) struct Authorities {
    inner: Mutex<AuthorityState>,
}

#[derive(Default)]
struct AuthorityState {
    // Shared, so that looking up the issuer of a leaf does not copy tags and templates.
    rows: Rows<Arc<CaState>>,
    by_subject: HashMap<Box<[u8]>, Vec<CertificateId>>,
}

impl CaState {
    /// Creates a CA registered now, in mode DEFAULT, without tags or provisioning.
    pub(super) fn now(issuer: Issuer, is_active: bool) -> Self {
        let registered_at = OffsetDateTime::now_utc();
        let registered = RegisteredAuthority {
            id: issuer.certificate().id(),
            is_active,
            mode: CertificateMode::Default,
            auto_registration: false,
            tags: BTreeMap::new(),
            registration_config: None,
            registered_at,
        };
        Self { issuer: Arc::new(issuer), registered, modified_at: registered_at, version: 1 }
    }

    /// Applies an update, which makes a new version.
    pub(super) fn update(&mut self, change: impl FnOnce(&mut RegisteredAuthority)) {
        change(&mut self.registered);
        self.version += 1;
        self.modified_at = OffsetDateTime::now_utc();
    }

    /// Returns AWS's status text.
    pub(super) fn status(&self) -> &'static str {
        if self.registered.is_active { "ACTIVE" } else { "INACTIVE" }
    }

    fn template_name(&self) -> Option<&str> {
        self.registered.registration_config.as_ref()?.template_name.as_deref()
    }
}

impl Authorities {
    /// Registers a CA.
    pub(super) fn register(&self, authority: CaState) -> Result<(), Refusal> {
        let id = authority.registered.id;
        let inner = &mut *self.inner();
        if inner.rows.get(id).is_some() {
            return Err(Refusal::AlreadyRegistered);
        }
        let namesakes = inner.by_subject.entry(authority.issuer.certificate().subject_der().into()).or_default();
        if namesakes.len() >= SAME_SUBJECT_MAX {
            return Err(Refusal::TooManyOfOneSubject);
        }
        namesakes.push(id);
        inner.rows.insert(id, Arc::new(authority));
        Ok(())
    }

    /// Returns the CA with this id.
    pub(super) fn find(&self, id: CertificateId) -> Option<Arc<CaState>> {
        self.inner().rows.get(id).cloned()
    }

    /// Returns the CAs whose subject is the issuer of `leaf`: by equal bytes if there are any, otherwise by equivalent
    /// names.
    pub(super) fn with_subject_of_issuer(&self, leaf: &Certificate) -> Vec<Arc<CaState>> {
        let inner = self.inner();
        if let Some(ids) = inner.by_subject.get(leaf.issuer_der()) {
            return ids.iter().filter_map(|id| inner.rows.get(*id)).cloned().collect();
        }
        let all = inner.rows.iter();
        all.filter(|authority| leaf.names_as_issuer(authority.issuer.certificate())).cloned().collect()
    }

    /// Changes a CA; returns `None` if it does not exist.
    pub(super) fn change<T>(&self, id: CertificateId, change: impl FnOnce(&mut CaState) -> T) -> Option<T> {
        self.inner().rows.get_mut(id).map(|authority| change(Arc::make_mut(authority)))
    }

    /// Deletes a CA unless it is active.
    pub(super) fn remove(&self, id: CertificateId) -> Result<(), NotRemoved> {
        let inner = &mut *self.inner();
        let removed = inner.rows.remove(id, |authority| authority.registered.is_active)?;
        let subject = removed.issuer.certificate().subject_der();
        let namesakes = inner.by_subject.get_mut(subject).expect("every registered CA is indexed by its subject");
        namesakes.retain(|&namesake| namesake != id);
        if namesakes.is_empty() {
            inner.by_subject.remove(subject);
        }
        Ok(())
    }

    /// Returns one page of CAs, restricted to `template` if given, and the marker of the next page, if there is one.
    pub(super) fn page(&self, page: &RowRange, template: Option<&str>) -> (Vec<Arc<CaState>>, Option<u64>) {
        let inner = self.inner();
        let (page, next) = inner.rows.page(page, |ca| template.is_none() || ca.template_name() == template);
        (page.into_iter().cloned().collect(), next)
    }

    pub(super) fn len(&self) -> usize {
        self.inner().rows.len()
    }

    fn inner(&self) -> MutexGuard<'_, AuthorityState> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
