//! One X.509 certificate: read from PEM or DER, identified, verified under its issuer.
//!
//! A [`Certificate`] is exactly one well-formed DER certificate and nothing beside it. Reading is one linear pass and
//! never panics, whatever the bytes. Whether AWS accepts it is the precheck's business. [`input`] finds certificates in
//! text, [`chain`] decides which of several is meant, [`Issuer`] verifies signatures.

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

/// What is unusual about how a certificate is written, though it can be read with certainty.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Irregularity {
    /// A date of the validity is written with an offset, without seconds or with a fraction (RFC 5280, 4.1.2.5 forbids it).
    pub has_unusual_date: bool,
    /// The signature algorithm has NULL parameters in the signed part and none beside it, or the other way round.
    pub algorithms_differ_in_null: bool,
}

/// Why no certificate could be read. The texts are for people and name no parser's concepts.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CertificateError {
    /// The text has no block with the label CERTIFICATE.
    #[error("there is no -----BEGIN CERTIFICATE----- line")]
    NoBlock,
    /// The block is damaged.
    #[error("the block {0}")]
    Pem(#[from] pem::PemError),
    /// The bytes are something else, which is recognised.
    #[error("it is {0}, not a certificate")]
    Is(InputKind),
    /// The bytes do not begin as DER does.
    #[error("the decoded bytes are not a certificate")]
    NotDer,
    /// The bytes end before the certificate does.
    #[error("the certificate is cut off: by its header it has {expected} bytes, only {found} are there")]
    CutOff {
        /// How many bytes the certificate has by its own header.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// A part of it is damaged.
    #[error("the certificate is damaged: its {part} {fault}")]
    Malformed {
        /// The part.
        part: CertificatePart,
        /// What is wrong with it.
        fault: PartFault,
    },
    /// A date of the validity is none.
    #[error("the certificate is damaged: its validity has the date `{found}`, which is not a date")]
    Date {
        /// The date, short and safe to print.
        found: String,
    },
    /// The certificate ends before its bytes do, and what follows is no padding.
    #[error("{bytes} bytes follow the certificate that do not belong to it")]
    TrailingData {
        /// How many bytes follow.
        bytes: usize,
    },
    /// The signed part names another signature algorithm than the signature does (RFC 5280, 4.1.1.2: must be equal).
    #[error(
        "the certificate is damaged: its signature algorithm is {inside} in the signed part and {outside} outside of it"
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

    /// Reads a certificate from the start of `der`, and returns how many bytes follow it.
    ///
    /// # Errors
    /// The bytes do not start with a certificate.
    pub fn from_der_start(der: &[u8]) -> Result<(Self, usize), CertificateError> {
        let read = parse::parse(der).and_then(|(parts, rest)| Ok((Self::from_parts(&parts)?, rest.len())));
        read.map_err(|error| InputKind::of(der).map_or(error, CertificateError::Is))
    }

    /// Reads the first CERTIFICATE block of a PEM text, strictly. [`input`] reads what people send.
    ///
    /// # Errors
    /// The text has no such block, or what the block holds is not exactly one certificate.
    pub fn from_pem(text: &str) -> Result<Self, CertificateError> {
        let block = pem::blocks(text).find(|block| block.kind == pem::BlockKind::Certificate && block.damage.is_none());
        Self::from_der(&block.ok_or(CertificateError::NoBlock)?.decode()?)
    }

    fn from_parts(parts: &ParsedParts<'_>) -> Result<Self, CertificateError> {
        let der = parts.whole;
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

    /// What is unusual about how it is written.
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

    /// The subject's name as it is compared: equal for names that RFC 5280 (7.1) calls one.
    pub fn subject_key(&self) -> NameKey {
        name::key(self.subject_der())
    }

    /// The issuer's name as it is compared.
    pub fn issuer_key(&self) -> NameKey {
        name::key(self.issuer_der())
    }

    /// Says whether issuer and subject have one name: then it was signed by its own key, or by another of that name.
    pub fn is_self_issued(&self) -> bool {
        self.names_as_issuer(self)
    }

    /// Says whether it issued itself, by its names and, where there are any, its key ids.
    pub fn is_issued_by_itself(&self) -> bool {
        self.is_self_issued() && self.has_one_key_id()
    }

    /// Says whether the key ids, as far as there are any, let its own key have signed it.
    fn has_one_key_id(&self) -> bool {
        self.authority_key_id().is_none_or(|issuer| self.subject_key_id() == Some(issuer))
    }

    /// Says whether the issuer's name is the subject of `ca`, as RFC 5280 (7.1) compares names.
    pub fn names_as_issuer(&self, ca: &Certificate) -> bool {
        self.issuer_der() == ca.subject_der() || self.issuer_key() == ca.subject_key()
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

    /// Says whether it may be a CA's: it says so, it may sign certificates, or its own key signed it, as old roots are
    /// that cannot say so.
    pub fn may_be_a_ca(&self) -> bool {
        self.is_ca() || self.extensions.is_for_certificates() || self.is_signed_by_itself()
    }

    /// The issuer's name, unless its own key signed it. A signature that cannot be verified here counts as its own.
    pub fn other_issuer(&self) -> Option<NameKey> {
        (!self.is_signed_by_itself()).then(|| self.issuer_key())
    }

    /// Costs a signature check where issuer and subject have one name, and nothing elsewhere.
    fn is_signed_by_itself(&self) -> bool {
        self.is_issued_by_itself() && Issuer::of_any(self.clone()).verify(self) != Verification::Bad
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

/// Compares the algorithm that the signature covers with the one beside it, which is not protected. Returns whether they
/// differ, in NULL parameters only.
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
