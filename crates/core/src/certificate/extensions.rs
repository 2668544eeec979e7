//! The few extensions that Muster uses. One that cannot be read counts as absent; of duplicates, the first counts.

use x509_parser::asn1_rs::FromDer;
use x509_parser::error::X509Error;
use x509_parser::extensions::{AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyIdentifier, KeyUsage};

use super::der::{elements, tag};
use super::oid;

/// The parsed extensions of a certificate.
#[derive(Clone)]
pub(super) struct Extensions {
    pub(super) is_ca: bool,
    key_usage: Option<KeyUsage>,
    pub(super) may_authenticate_a_client: bool,
    pub(super) subject_key_id: Option<Box<[u8]>>,
    pub(super) authority_key_id: Option<Box<[u8]>>,
}

/// Maximum size in bytes of an extension that is parsed; a larger one counts as absent. Real ones have tens of bytes,
/// hostile ones tens of thousands.
const READ_MAX: usize = 4096;

impl Extensions {
    /// Parses the content of the sequence of extensions.
    pub(super) fn read(extensions: &[u8]) -> Self {
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

    /// Returns whether the key usage allows a use; true if there is no key usage.
    pub(super) fn is_for(&self, has: impl FnOnce(&KeyUsage) -> bool) -> bool {
        self.key_usage.as_ref().is_none_or(has)
    }

    /// Returns whether there is a key usage and it includes keyCertSign.
    pub(super) fn is_for_certificates(&self) -> bool {
        self.key_usage.as_ref().is_some_and(KeyUsage::key_cert_sign)
    }
}

fn value<'a, T: FromDer<'a, X509Error>>(extensions: &'a [u8], oid: &[u8]) -> Option<T> {
    let value = elements(extensions).find_map(|extension| value_of(extension.content, oid))?;
    if value.len() > READ_MAX {
        return None;
    }
    T::from_der(value).ok().map(|(_, value)| value)
}

/// Returns the value of an extension if it has this identifier. An optional `critical` flag comes between the two.
fn value_of<'a>(extension: &'a [u8], oid: &[u8]) -> Option<&'a [u8]> {
    let mut parts = elements(extension);
    parts.next().filter(|id| id.tag == tag::OID && id.content == oid)?;
    parts.find(|part| part.tag == tag::OCTET_STRING).map(|value| value.content)
}
