//! One X.509 certificate: parsed from PEM or DER, identified, verified against its issuer.
//!
//! A [`Certificate`] is exactly one well-formed DER certificate, with no trailing bytes. Parsing is one linear pass and
//! never panics, whatever the bytes. Whether AWS accepts the certificate is for the precheck to decide. [`input`] finds
//! certificates in text, [`chain`] picks one of several, [`Issuer`] verifies signatures.

pub mod chain;
mod der;
mod extensions;
mod id;
pub mod input;
mod issuer;
mod key;
mod kind;
mod moment;
mod name;
mod oid;
mod parse;
pub mod pem;
mod signature_algorithm;

use std::fmt;
use std::ops::Range;

use time::OffsetDateTime;
use x509_parser::extensions::KeyUsage;
use x509_parser::nom::Offset;

use extensions::Extensions;
use parse::ParsedParts;

pub use id::sha256;
pub use id::{CertificateId, CertificateIdError};
pub use issuer::{Issuer, IssuerError, Verification};
pub use key::{Curve, Key};
pub use kind::InputKind;
pub use name::NameKey;
pub use parse::{CertificatePart, PartFault};
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
    form: Irregularity,
}

/// Unusual encodings that do not make a certificate ambiguous.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Irregularity {
    /// A validity date has a UTC offset, no seconds or a fraction of a second, which RFC 5280 (4.1.2.5) forbids.
    pub has_unusual_date: bool,
    /// The signature algorithm has NULL parameters in the signed part and none next to the signature, or vice versa.
    pub algorithms_differ_in_null: bool,
}

/// Why a certificate could not be read. The messages are for users and contain no parser jargon.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CertificateError {
    /// The text has no block with the label CERTIFICATE.
    #[error("there is no -----BEGIN CERTIFICATE----- line")]
    NoBlock,
    /// The block is damaged.
    #[error("the block {0}")]
    Pem(#[from] pem::PemError),
    /// The bytes are a recognised format other than a certificate.
    #[error("it is {0}, not a certificate")]
    Is(InputKind),
    /// The bytes do not start like DER.
    #[error("the decoded bytes are not a certificate")]
    NotDer,
    /// The bytes end before the certificate does.
    #[error("the certificate is cut off: its header announces {expected} bytes, but only {found} are present")]
    CutOff {
        /// Length in bytes according to the certificate's own header.
        expected: usize,
        /// Number of bytes present.
        found: usize,
    },
    /// A part of the certificate is damaged.
    #[error("the certificate is damaged: its {part} {fault}")]
    Malformed {
        /// The damaged part.
        part: CertificatePart,
        /// What is wrong with it.
        fault: PartFault,
    },
    /// A validity date is not a date.
    #[error("the certificate is damaged: its validity has the date `{found}`, which is not a date")]
    Date {
        /// The date as found, truncated and safe to print.
        found: String,
    },
    /// Bytes follow the certificate that are not part of it.
    #[error("{bytes} bytes follow the certificate that do not belong to it")]
    TrailingData {
        /// How many bytes follow.
        bytes: usize,
    },
    /// The signed part and the signature name different algorithms. RFC 5280 (4.1.1.2) requires them to be equal.
    #[error(
        "the certificate is damaged: its signature algorithm is {inside} in the signed part and {outside} outside of it"
    )]
    AlgorithmsDiffer {
        /// The algorithm inside the signed part.
        inside: SignatureAlgorithm,
        /// The algorithm next to the signature.
        outside: SignatureAlgorithm,
    },
}

impl Certificate {
    /// Reads a certificate from DER.
    ///
    /// # Errors
    /// Fails if the bytes are not exactly one certificate.
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        match Self::from_der_start(der)? {
            (certificate, 0) => Ok(certificate),
            (_, bytes) => Err(CertificateError::TrailingData { bytes }),
        }
    }

    /// Reads a certificate from the start of `der`, and returns how many bytes follow it.
    ///
    /// # Errors
    /// Fails if the bytes do not start with a certificate.
    pub fn from_der_start(der: &[u8]) -> Result<(Self, usize), CertificateError> {
        let read = parse::parse(der).and_then(|(parts, rest)| Ok((Self::from_parts(&parts)?, rest.len())));
        read.map_err(|error| InputKind::of(der).map_or(error, CertificateError::Is))
    }

    /// Reads the first undamaged CERTIFICATE block of a PEM text. [`input`] is the lenient reader for what people send.
    ///
    /// # Errors
    /// Fails if the text has no such block, or if the block does not hold exactly one certificate.
    pub fn from_pem(text: &str) -> Result<Self, CertificateError> {
        let block = pem::blocks(text).find(|block| block.kind == pem::BlockKind::Certificate && block.damage.is_none());
        Self::from_der(&block.ok_or(CertificateError::NoBlock)?.decode()?)
    }

    fn from_parts(parts: &ParsedParts<'_>) -> Result<Self, CertificateError> {
        let der = parts.der;
        let range = |part: &[u8]| der.offset(part)..der.offset(part) + part.len();
        let signature_algorithm = SignatureAlgorithm::read(&parse::algorithm(parts.outer_algorithm)?);
        Ok(Self {
            id: CertificateId::of_der(der),
            signed: range(parts.signed),
            issuer: range(parts.issuer),
            subject: range(parts.subject),
            public_key: range(parts.key.raw),
            version: parts.version,
            serial: parts.serial.into(),
            not_before: parts.not_before.at,
            not_after: parts.not_after.at,
            key: Key::read(&parts.key)?,
            signature: parts.signature.into(),
            extensions: Extensions::read(parts.extensions),
            form: Irregularity {
                has_unusual_date: !(parts.not_before.is_usual && parts.not_after.is_usual),
                algorithms_differ_in_null: check_algorithms(parts, &signature_algorithm)?,
            },
            signature_algorithm,
            der: der.into(),
        })
    }

    /// The id that AWS assigns to this certificate.
    pub fn id(&self) -> CertificateId {
        self.id
    }

    /// The whole certificate, in DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The certificate as one canonical PEM block: 64 columns, LF line endings and a final newline.
    pub fn to_pem(&self) -> String {
        pem::encode(pem::CERTIFICATE, &self.der)
    }

    /// What is unusual about the encoding.
    pub fn form(&self) -> Irregularity {
        self.form
    }

    /// The subject's name in DER.
    pub fn subject_der(&self) -> &[u8] {
        &self.der[self.subject.clone()]
    }

    /// The issuer's name in DER.
    pub fn issuer_der(&self) -> &[u8] {
        &self.der[self.issuer.clone()]
    }

    /// The subject's name in readable form: short, and safe to print.
    pub fn subject(&self) -> String {
        name::printable(self.subject_der())
    }

    /// The issuer's name in readable form: short, and safe to print.
    pub fn issuer(&self) -> String {
        name::printable(self.issuer_der())
    }

    /// The subject's common names, decoded from any string type. A common name that cannot be decoded is omitted.
    pub fn common_names(&self) -> Vec<String> {
        name::common_names(self.subject_der())
    }

    /// Returns whether the subject has no attributes.
    pub fn is_nameless(&self) -> bool {
        name::is_empty(self.subject_der())
    }

    /// The subject's name, normalised for comparison: equal for names that are equal by RFC 5280 (7.1).
    pub fn subject_key(&self) -> NameKey {
        name::key(self.subject_der())
    }

    /// The issuer's name, normalised for comparison.
    pub fn issuer_key(&self) -> NameKey {
        name::key(self.issuer_der())
    }

    /// Returns whether issuer and subject have the same name: it was signed by its own key, or by another key of that
    /// name.
    pub fn is_self_issued(&self) -> bool {
        self.names_as_issuer(self)
    }

    /// Returns whether the certificate issued itself, according to its names and its key ids, if any.
    pub fn is_issued_by_itself(&self) -> bool {
        self.is_self_issued() && self.has_matching_key_ids()
    }

    /// Returns whether the key ids, if any, are consistent with the certificate being signed by its own key.
    fn has_matching_key_ids(&self) -> bool {
        self.authority_key_id().is_none_or(|issuer| self.subject_key_id() == Some(issuer))
    }

    /// Returns whether the issuer's name is the subject of `ca`, comparing names as RFC 5280 (7.1) does.
    pub fn names_as_issuer(&self, ca: &Certificate) -> bool {
        self.issuer_der() == ca.subject_der() || self.issuer_key() == ca.subject_key()
    }

    /// The X.509 version: 1, 2 or 3. Hostile certificates claim others.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The serial number: the big-endian bytes in the DER.
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

    /// Returns whether basicConstraints has CA:true.
    pub fn is_ca(&self) -> bool {
        self.extensions.is_ca
    }

    /// Returns whether this may be a CA certificate: basicConstraints says CA:true, the key usage allows signing
    /// certificates, or its own key signed it, as with old roots that have no basicConstraints.
    pub fn may_be_a_ca(&self) -> bool {
        self.is_ca() || self.extensions.is_for_certificates() || self.is_signed_by_itself()
    }

    /// The issuer's name; `None` if the certificate is self-signed. If issuer and subject are equal but the signature
    /// cannot be verified here, it counts as self-signed.
    pub fn other_issuer(&self) -> Option<NameKey> {
        (!self.is_signed_by_itself()).then(|| self.issuer_key())
    }

    /// Costs a signature check if the certificate issued itself by name, and nothing otherwise.
    fn is_signed_by_itself(&self) -> bool {
        self.is_issued_by_itself() && Issuer::of_any(self.clone()).verify(self) != Verification::Bad
    }

    /// The subject key identifier: the id that the issuer assigned to the subject's key.
    pub fn subject_key_id(&self) -> Option<&[u8]> {
        self.extensions.subject_key_id.as_deref()
    }

    /// The authority key identifier: the id of the issuer's key.
    pub fn authority_key_id(&self) -> Option<&[u8]> {
        self.extensions.authority_key_id.as_deref()
    }

    /// Returns whether the key may sign a TLS handshake: there is no key usage, or it includes digitalSignature.
    pub fn may_sign(&self) -> bool {
        self.extensions.is_for(KeyUsage::digital_signature)
    }

    /// Returns whether the key may sign certificates: there is no key usage, or it includes keyCertSign.
    pub fn may_sign_certificates(&self) -> bool {
        self.extensions.is_for(KeyUsage::key_cert_sign)
    }

    /// Returns whether the key may authenticate a TLS client: there is no extended key usage, or it includes clientAuth
    /// or any.
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

/// Compares the algorithm that the signature covers with the unprotected one next to the signature. Returns whether
/// they differ, which is allowed in NULL parameters only.
fn check_algorithms(parts: &ParsedParts<'_>, outside: &SignatureAlgorithm) -> Result<bool, CertificateError> {
    let (inner, outer) = (parts.inner_algorithm, parts.outer_algorithm);
    if inner.raw == outer.raw {
        return Ok(false);
    }
    if parse::is_same_but_for_null(inner, outer) {
        return Ok(true);
    }
    let inside = SignatureAlgorithm::read(&parse::algorithm(inner)?);
    Err(CertificateError::AlgorithmsDiffer { inside, outside: outside.clone() })
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
