//! One X.509 certificate: read from PEM or DER, identified, verified under its issuer.
//!
//! A [`Certificate`] is exactly one well-formed DER certificate and nothing beside it. Reading is one linear pass and
//! never panics, whatever the bytes. It judges nothing: what AWS takes is the precheck's business. Signatures are
//! verified by [`Issuer`].

mod extensions;
mod id;
mod issuer;
mod key;
mod name;
mod oid;
pub mod pem;
mod signature_algorithm;

use std::fmt;
use std::ops::Range;

use time::OffsetDateTime;
use x509_parser::asn1_rs::{Any, FromDer};
use x509_parser::certificate::{X509Certificate, X509CertificateParser};
use x509_parser::error::X509Error;
use x509_parser::extensions::KeyUsage;
use x509_parser::nom::{Offset, Parser};

use extensions::Extensions;

pub(crate) use id::sha256;
pub use id::{CertificateId, CertificateIdError};
pub use issuer::{Issuer, IssuerError, Verification};
pub use key::{Curve, Key};
pub use signature_algorithm::{Hash, SignatureAlgorithm};

/// One well-formed X.509 certificate.
///
/// Equal certificates have equal DER. `Debug` prints the id and the subject only.
#[derive(Clone)]
pub struct Certificate {
    id: CertificateId,
    der: Box<[u8]>,
    signed: Range<usize>,
    issuer: Range<usize>,
    subject: Range<usize>,
    public_key: Range<usize>,
    version: u32,
    serial: Box<[u8]>,
    not_before: OffsetDateTime,
    not_after: OffsetDateTime,
    key: Key,
    signature_algorithm: SignatureAlgorithm,
    signature: Box<[u8]>,
    extensions: Extensions,
}

/// Why no certificate could be read.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CertificateError {
    /// The text has no block with the label CERTIFICATE.
    #[error("the text has no CERTIFICATE block")]
    NoBlock,
    /// The CERTIFICATE block is damaged.
    #[error("the CERTIFICATE block {0}")]
    Pem(#[from] pem::PemError),
    /// The bytes are no X.509 certificate in DER.
    #[error("not an X.509 certificate in DER: {0}")]
    Malformed(#[from] X509Error),
    /// The certificate ends before its bytes do.
    #[error("{bytes} bytes follow the certificate inside its block, none may")]
    TrailingData {
        /// How many bytes follow.
        bytes: usize,
    },
    /// The signed part names another signature algorithm than the signature does (RFC 5280, 4.1.1.2: must be equal).
    #[error(
        "the signature algorithm is {inside} in the signed part and {outside} beside it, both must have the same bytes"
    )]
    AlgorithmsDiffer {
        /// The algorithm inside the signed part.
        inside: SignatureAlgorithm,
        /// The algorithm beside the signature.
        outside: SignatureAlgorithm,
    },
}

impl Certificate {
    /// Reads a certificate from DER.
    ///
    /// # Errors
    /// The bytes are no certificate, or more than one.
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        match Self::from_der_start(der)? {
            (certificate, 0) => Ok(certificate),
            (_, bytes) => Err(CertificateError::TrailingData { bytes }),
        }
    }

    /// Reads a certificate from the start of `der` and says how many bytes follow it.
    ///
    /// # Errors
    /// The bytes do not start with a certificate.
    pub fn from_der_start(der: &[u8]) -> Result<(Self, usize), CertificateError> {
        // Extensions are read one by one, and only those that matter: names and policies in them can be very many.
        let mut parser = X509CertificateParser::new().with_deep_parse_extensions(false);
        let (rest, x509) = parser.parse(der).map_err(X509Error::from)?;
        Ok((Self::from_x509(&x509)?, rest.len()))
    }

    /// Reads the first CERTIFICATE block of a PEM text.
    ///
    /// # Errors
    /// The text has no such block, or what the block holds is not exactly one certificate.
    pub fn from_pem(text: &str) -> Result<Self, CertificateError> {
        Self::from_block(pem::sections(text).find(pem::Section::is_certificate))
    }

    /// Reads a CERTIFICATE block, where there is one.
    pub(crate) fn from_block(block: Option<pem::Section<'_>>) -> Result<Self, CertificateError> {
        Self::from_der(&block.ok_or(CertificateError::NoBlock)?.decode()?)
    }

    fn from_x509(x509: &X509Certificate<'_>) -> Result<Self, CertificateError> {
        let der = x509.as_raw();
        let range = |part: &[u8]| der.offset(part)..der.offset(part) + part.len();
        let (signed, issuer) = (range(x509.tbs_certificate.as_ref()), range(x509.issuer.as_raw()));
        check_unsigned(x509, &der[..issuer.start], &der[signed.end..])?;
        Ok(Self {
            id: CertificateId::of_der(der),
            signed,
            issuer,
            subject: range(x509.subject.as_raw()),
            public_key: range(x509.subject_pki.raw),
            version: x509.version.0.saturating_add(1),
            serial: x509.raw_serial().into(),
            not_before: x509.validity.not_before.to_datetime(),
            not_after: x509.validity.not_after.to_datetime(),
            key: Key::read(&x509.subject_pki)?,
            signature_algorithm: SignatureAlgorithm::read(&x509.signature_algorithm),
            signature: x509.signature_value.as_ref().into(),
            extensions: Extensions::read(x509.extensions()),
            der: der.into(),
        })
    }

    /// The id that AWS gives this certificate.
    pub fn id(&self) -> CertificateId {
        self.id
    }

    /// The whole certificate.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The certificate as one canonical PEM block: 64 columns, LF, a line end after the last line.
    pub fn to_pem(&self) -> String {
        pem::encode(pem::CERTIFICATE, &self.der)
    }

    /// The subject's name in DER.
    pub fn subject_der(&self) -> &[u8] {
        &self.der[self.subject.clone()]
    }

    /// The issuer's name in DER.
    pub fn issuer_der(&self) -> &[u8] {
        &self.der[self.issuer.clone()]
    }

    /// The subject's name for people: short, and safe to print.
    pub fn subject(&self) -> String {
        name::printable(self.subject_der())
    }

    /// The issuer's name for people: short, and safe to print.
    pub fn issuer(&self) -> String {
        name::printable(self.issuer_der())
    }

    /// The common names in the subject as they stand there, however they are encoded; none where one cannot be read.
    pub fn common_names(&self) -> Vec<String> {
        name::common_names(self.subject_der())
    }

    /// Says whether the subject has no attribute at all.
    pub fn is_nameless(&self) -> bool {
        name::is_empty(self.subject_der())
    }

    /// Says whether issuer and subject have one name: then it was signed by its own key, or by another of that name.
    pub fn is_self_issued(&self) -> bool {
        self.names_as_issuer(self)
    }

    /// Says whether the issuer's name is the subject of `ca`, as RFC 5280 (7.1) compares names.
    pub fn names_as_issuer(&self, ca: &Certificate) -> bool {
        name::same(self.issuer_der(), ca.subject_der())
    }

    /// The X.509 version as people count it: 1, 2 or 3; hostile certificates claim others.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The serial number, big-endian, as it stands in the DER.
    pub fn serial(&self) -> &[u8] {
        &self.serial
    }

    /// The first second of the validity.
    pub fn not_before(&self) -> OffsetDateTime {
        self.not_before
    }

    /// The last second of the validity.
    pub fn not_after(&self) -> OffsetDateTime {
        self.not_after
    }

    /// The kind and size of the subject's key.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// The algorithm of the signature.
    pub fn signature_algorithm(&self) -> &SignatureAlgorithm {
        &self.signature_algorithm
    }

    /// Says whether basicConstraints has CA:true.
    pub fn is_ca(&self) -> bool {
        self.extensions.is_ca
    }

    /// The key id that the issuer gave the subject's key.
    pub fn subject_key_id(&self) -> Option<&[u8]> {
        self.extensions.subject_key_id.as_deref()
    }

    /// The key id of the issuer's key.
    pub fn authority_key_id(&self) -> Option<&[u8]> {
        self.extensions.authority_key_id.as_deref()
    }

    /// Says whether the key may sign, as a TLS handshake makes it: no key usage, or digitalSignature in it.
    pub fn may_sign(&self) -> bool {
        self.extensions.is_for(KeyUsage::digital_signature)
    }

    /// Says whether the key may sign certificates: no key usage, or keyCertSign in it.
    pub fn may_sign_certificates(&self) -> bool {
        self.extensions.is_for(KeyUsage::key_cert_sign)
    }

    /// Says whether the key may log a TLS client in: no extended key usage, or clientAuth or any in it.
    pub fn may_authenticate_a_client(&self) -> bool {
        self.extensions.may_authenticate_a_client
    }

    fn signed_part(&self) -> &[u8] {
        &self.der[self.signed.clone()]
    }

    fn public_key_der(&self) -> &[u8] {
        &self.der[self.public_key.clone()]
    }
}

/// Checks what no signature protects: x509-parser passes over flipped bits there, other readers do not.
fn check_unsigned(
    x509: &X509Certificate<'_>,
    before_issuer: &[u8],
    after_signed: &[u8],
) -> Result<(), CertificateError> {
    const SEQUENCE: u8 = 0x30;
    const BIT_STRING: u8 = 0x03;
    let (signature, _) = Any::from_der(after_signed).map_err(X509Error::from)?;
    let algorithm = &after_signed[..after_signed.len() - signature.len()];
    // In the signed part the algorithm stands right before the issuer.
    if !before_issuer.ends_with(algorithm) {
        return Err(CertificateError::AlgorithmsDiffer {
            inside: SignatureAlgorithm::read(&x509.signature),
            outside: SignatureAlgorithm::read(&x509.signature_algorithm),
        });
    }
    let tags = (x509.as_raw().first(), signature.first(), x509.signature_value.unused_bits);
    if tags != (Some(&SEQUENCE), Some(&BIT_STRING), 0) {
        return Err(X509Error::InvalidCertificate.into());
    }
    Ok(())
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.der == other.der
    }
}

impl Eq for Certificate {}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({}, {})", self.id, self.subject())
    }
}
