//! The few extensions that matter here. One that cannot be read counts as absent; of duplicates the first counts.

use x509_parser::asn1_rs::FromDer;
use x509_parser::error::X509Error;
use x509_parser::extensions::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyIdentifier, KeyUsage, X509Extension,
};

use super::oid;

/// What the extensions of a certificate say.
#[derive(Clone)]
pub(super) struct Extensions {
    pub(super) is_ca: bool,
    key_usage: Option<KeyUsage>,
    pub(super) may_authenticate_a_client: bool,
    pub(super) subject_key_id: Option<Box<[u8]>>,
    pub(super) authority_key_id: Option<Box<[u8]>>,
}

/// Most bytes of an extension that is read. Honest ones have some tens, hostile ones tens of thousands.
const READ_MAX: usize = 4096;

impl Extensions {
    pub(super) fn read(extensions: &[X509Extension<'_>]) -> Self {
        Self {
            is_ca: value::<BasicConstraints>(extensions, oid::BASIC_CONSTRAINTS).is_some_and(|basic| basic.ca),
            key_usage: value(extensions, oid::KEY_USAGE),
            may_authenticate_a_client: value::<ExtendedKeyUsage<'_>>(extensions, oid::EXTENDED_KEY_USAGE)
                .is_none_or(|usage| usage.client_auth || usage.any),
            subject_key_id: value::<KeyIdentifier<'_>>(extensions, oid::SUBJECT_KEY_ID).map(|id| id.0.into()),
            authority_key_id: value::<AuthorityKeyIdentifier<'_>>(extensions, oid::AUTHORITY_KEY_ID)
                .and_then(|authority| authority.key_identifier)
                .map(|id| id.0.into()),
        }
    }

    /// Says whether the key usage, where there is one, has a use.
    pub(super) fn is_for(&self, has: impl FnOnce(&KeyUsage) -> bool) -> bool {
        self.key_usage.as_ref().is_none_or(has)
    }
}

fn value<'a, T: FromDer<'a, X509Error>>(extensions: &[X509Extension<'a>], oid: &[u8]) -> Option<T> {
    let extension = extensions.iter().find(|extension| extension.oid.as_bytes() == oid)?;
    if extension.value.len() > READ_MAX {
        return None;
    }
    T::from_der(extension.value).ok().map(|(_, value)| value)
}
