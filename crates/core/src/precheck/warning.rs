//! What looks wrong but may not matter to AWS: it is reported and counted, and the certificate is forwarded.

use strum::{IntoStaticStr, VariantNames};
use time::OffsetDateTime;

use crate::certificate::input::Oddity;
use crate::certificate::pem::Damage;
use crate::certificate::{Certificate, CertificateId};
use crate::job::CertificateStatus;

use super::Field;
use super::rejection::rfc3339;

/// Something odd that AWS does not document as a reason to refuse.
#[derive(Clone, Debug, Eq, IntoStaticStr, PartialEq, VariantNames, thiserror::Error)]
#[strum(serialize_all = "snake_case")]
pub enum Warning {
    /// The validity has not begun.
    #[error("{field} is valid from {} on, checked at {}", rfc3339(*.not_before), rfc3339(*.now))]
    NotYetValid {
        /// The field that holds the certificate.
        field: Field,
        /// The start of the validity.
        not_before: OffsetDateTime,
        /// The time of the check.
        now: OffsetDateTime,
    },
    /// The status and its older form contradict each other.
    #[error("setAsActive is {set_as_active} but status is {status}; only status is sent")]
    StatusContradicted {
        /// The status.
        status: CertificateStatus,
        /// Its older form.
        set_as_active: bool,
    },
    /// The certificate was sent together with its CAs.
    #[error("{n_ignored} more certificates came with {field} and are not sent")]
    SeveralCertificates {
        /// The field that holds them.
        field: Field,
        /// How many are not sent.
        n_ignored: usize,
    },
    /// More certificates were sent next to that of a device's CA.
    #[error("{n_ignored} more certificates came with the issuer in caCertificatePem and are not sent")]
    SeveralCaCertificates {
        /// How many are not sent.
        n_ignored: usize,
    },
    /// The markers of the certificate's block are damaged or missing.
    #[error("{field} was read although its block {damage}")]
    DamagedMarkers {
        /// The field that holds the certificate.
        field: Field,
        /// How they are damaged.
        damage: Damage,
    },
    /// The certificate's block has an unusual label.
    #[error("{field} was read although its block is labelled {label}")]
    UnusualLabel {
        /// The field that holds the certificate.
        field: Field,
        /// The label.
        label: String,
    },
    /// Padding follows the certificate inside its block or file.
    #[error("{bytes} bytes of padding follow {field} and are not sent")]
    Padding {
        /// The field that holds the certificate.
        field: Field,
        /// How many bytes.
        bytes: u64,
    },
    /// OpenSSL's trust settings follow the certificate.
    #[error("{bytes} bytes of OpenSSL's trust settings follow {field} and are not sent")]
    TrustSettings {
        /// The field that holds the certificate.
        field: Field,
        /// How many bytes.
        bytes: u64,
    },
    /// A date is written in a form that RFC 5280 does not allow.
    #[error("a date of {field} is written in an unusual form, which AWS may not accept")]
    UnusualDate {
        /// The field that holds the certificate.
        field: Field,
    },
    /// The two signature algorithms differ in NULL parameters.
    #[error("the signature algorithm of {field} has NULL parameters in one of its two places only")]
    AlgorithmsDifferInNull {
        /// The field that holds the certificate.
        field: Field,
    },
    /// The curve of the key is not named.
    #[error(
        "the key of {field} has explicit EC parameters ({bits} bits) instead of a named curve, which AWS may not accept"
    )]
    ExplicitCurve {
        /// The field that holds the certificate.
        field: Field,
        /// The size of the curve's field.
        bits: usize,
    },
    /// A known CA of the issuer's name did not sign the certificate, but another of that name may have.
    #[error(
        "the key of the known CA {ca} (CA certificate {ca_id}) did not sign the certificate, which names no key id: another CA \
         of that name may have"
    )]
    IssuerKeyDiffers {
        /// The CA's subject.
        ca: String,
        /// The id of that CA certificate, because several may have the same name.
        ca_id: CertificateId,
    },
    /// The certificate is not an X.509 v3 certificate.
    #[error("the certificate has X.509 version {found}, 3 is usual")]
    #[strum(serialize = "not_version_3")]
    NotVersion3 {
        /// The version.
        found: u32,
    },
    /// The certificate is a CA's.
    #[error("the certificate is a CA certificate, device certificates are usually not")]
    LeafIsACa,
    /// The key usage forbids what a TLS handshake does.
    #[error("the key usage has no digitalSignature, so the device may fail to connect")]
    KeyUsage,
    /// The extended key usage forbids what a device does.
    #[error("the extended key usage has no clientAuth, so the device may fail to connect")]
    ExtendedKeyUsage,
    /// The job carries no CA, and no known CA matches.
    #[error("no known CA is the issuer {issuer}, so the signature was not verified")]
    IssuerUnknown {
        /// The leaf's issuer.
        issuer: String,
    },
    /// The signature cannot be verified here.
    #[error("a {algorithm} signature under the {ca_key} key of {ca} cannot be verified here")]
    SignatureUnverifiable {
        /// The algorithm of the signature.
        algorithm: String,
        /// The kind and size of the CA's key.
        ca_key: String,
        /// The CA's subject.
        ca: String,
    },
    /// The CA is not valid now.
    #[error("the CA {ca} is valid from {} to {}, checked at {}", rfc3339(*.not_before), rfc3339(*.not_after), rfc3339(*.now))]
    CaOutsideValidity {
        /// The CA's subject.
        ca: String,
        /// The start of its validity.
        not_before: OffsetDateTime,
        /// The end of its validity.
        not_after: OffsetDateTime,
        /// The time of the check.
        now: OffsetDateTime,
    },
    /// The key usage of a CA forbids what CAs do.
    #[error("the key usage of caCertificate has no keyCertSign, so AWS may not accept certificates that it signs")]
    CaKeyUsage,
    /// The CA has no name.
    #[error("caCertificate has an empty subject, so AWS may not recognise the certificates that it signed")]
    CaNameless,
    /// The account's registration code is not known here.
    #[error("the registration code of the account is not known, so verificationCertificate was not checked against it")]
    RegistrationCodeUnchecked,
    /// The template is not JSON.
    #[error("registrationConfig.templateBody is not JSON")]
    TemplateNotJson,
    /// A template is given in full, without a role.
    #[error("registrationConfig has a templateBody and no roleArn, so AWS may not be allowed to apply the template")]
    RoleMissing,
    /// A tag begins with the prefix that is reserved for AWS, in capitals or in its value.
    #[error("{field} begins with aws: (in any case), which is reserved for AWS")]
    TagPrefix {
        /// The first such text.
        field: Field,
    },
    /// A tag has unusual characters.
    #[error("{field} has characters other than letters, digits, spaces and _ . : / = + - @")]
    TagCharacters {
        /// The first such text.
        field: Field,
    },
}

impl Warning {
    /// The code: the metric label and the log field. `Warning::VARIANTS` lists the closed set.
    pub fn code(&self) -> &'static str {
        self.into()
    }

    pub(super) fn of_oddity(field: Field, oddity: Oddity) -> Self {
        match oddity {
            Oddity::Markers(damage) => Self::DamagedMarkers { field, damage },
            Oddity::Label(label) => Self::UnusualLabel { field, label },
            Oddity::Padding { bytes } => Self::Padding { field, bytes: bytes as u64 },
            Oddity::TrustSettings { bytes } => Self::TrustSettings { field, bytes: bytes as u64 },
        }
    }

    pub(super) fn other_key(ca: &Certificate) -> Self {
        Self::IssuerKeyDiffers { ca: ca.subject(), ca_id: ca.id() }
    }

    pub(super) fn signature_unverifiable(leaf: &Certificate, ca: &Certificate) -> Self {
        Self::SignatureUnverifiable {
            algorithm: leaf.signature_algorithm().to_string(),
            ca_key: ca.key().to_string(),
            ca: ca.subject(),
        }
    }

    pub(super) fn about_ca(ca: &Certificate, now: OffsetDateTime) -> Option<Self> {
        let (not_before, not_after) = (ca.not_before(), ca.not_after());
        let is_valid = (not_before..=not_after).contains(&now);
        (!is_valid).then(|| Self::CaOutsideValidity { ca: ca.subject(), not_before, not_after, now })
    }
}
