//! Generated certificates: CAs, valid device certificates, and every kind of invalid one.
//!
//! For the demo, the tests and the benchmarks; nothing in the service calls it. Dates are fixed, keys are random. The
//! private keys of devices are discarded at once; a [`Ca`] keeps its own in memory.

pub mod hostile;

use aws_lc_rs::digest;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair,
    KeyUsagePurpose, PublicKeyData, RsaKeySize, SerialNumber, SignatureAlgorithm,
};
use strum::{Display, VariantArray};
use time::OffsetDateTime;
use time::macros::datetime;

use muster_core::certificate::{Certificate, pem};
use muster_core::outcome::Code;

/// The default validity.
const VALID: [OffsetDateTime; 2] = [datetime!(2020-01-01 0:00 UTC), datetime!(9999-12-31 23:59:59 UTC)];
const EXPIRED: [OffsetDateTime; 2] = [datetime!(2014-01-01 0:00 UTC), datetime!(2019-12-31 23:59:59 UTC)];
const NOT_YET_VALID: [OffsetDateTime; 2] = [datetime!(2400-01-01 0:00 UTC), datetime!(2500-01-01 0:00 UTC)];

/// A certificate authority and its key.
pub struct Ca {
    common_name: String,
    issuer: Issuer<'static, KeyPair>,
    certificate: Certificate,
}

/// The kinds of keys for certificates. An RSA key takes from a tenth of a second to a few seconds to generate.
#[derive(Clone, Copy, Debug, Display, Eq, PartialEq, VariantArray)]
pub enum KeyKind {
    /// P-256, signing with SHA-256.
    P256,
    /// P-384, signing with SHA-384.
    P384,
    /// P-521, signing with SHA-512.
    P521,
    /// RSA of 2,048 bits, signing with PKCS #1 and SHA-256.
    Rsa2048,
    /// RSA of 4,096 bits, signing with PKCS #1 and SHA-256.
    Rsa4096,
    /// Ed25519, which AWS does not accept.
    Ed25519,
}

/// A flaw in a device certificate that makes the precheck reject a job with the certificate and its CA.
#[derive(Clone, Copy, Debug, Display, Eq, PartialEq, VariantArray)]
pub enum Flaw {
    /// Plain text.
    NotACertificate,
    /// A certificate in more text than AWS accepts.
    TooLong,
    /// A valid certificate, followed by its private key.
    WithPrivateKey,
    /// A signing request instead of a certificate.
    Request,
    /// A certificate cut off in the middle.
    CutOff,
    /// A certificate followed by an extra byte.
    TrailingByte,
    /// Two device certificates.
    TwoDevices,
    /// A validity that ended in 2019.
    Expired,
    /// An RSA key of 1,024 bits.
    WeakKey,
    /// An Ed25519 key.
    Ed25519Key,
    /// An Ed25519 signature, by a CA with the same name.
    Ed25519Signature,
    /// Issued by a CA with another name.
    Foreign,
    /// Signed by another key under the CA's name and key id.
    WronglySigned,
}

impl Flaw {
    /// Returns the code with which the precheck rejects the certificate.
    pub fn code(self) -> Code {
        match self {
            Self::NotACertificate => Code::NotACertificate,
            Self::TooLong => Code::PemTooLong,
            Self::WithPrivateKey => Code::PrivateKey,
            Self::Request => Code::CertificateRequest,
            Self::CutOff => Code::MalformedCertificate,
            Self::TrailingByte => Code::TrailingData,
            Self::TwoDevices => Code::SeveralCertificates,
            Self::Expired => Code::Expired,
            Self::WeakKey => Code::KeyTooSmall,
            Self::Ed25519Key => Code::KeyUnsupported,
            Self::Ed25519Signature => Code::SignatureAlgorithmUnsupported,
            Self::Foreign => Code::IssuerMismatch,
            Self::WronglySigned => Code::SignatureInvalid,
        }
    }
}

impl Ca {
    /// Creates a CA with a P-256 key.
    pub fn new(common_name: &str) -> Self {
        Self::with_key(KeyKind::P256, common_name)
    }

    /// Creates a CA with the given kind of key.
    pub fn with_key(kind: KeyKind, common_name: &str) -> Self {
        Self::make(kind, common_name, ca_params(common_name))
    }

    /// Creates a CA whose validity ended in 2019.
    pub fn expired(common_name: &str) -> Self {
        Self::make(KeyKind::P256, common_name, valid(EXPIRED, ca_params(common_name)))
    }

    fn make(kind: KeyKind, common_name: &str, params: CertificateParams) -> Self {
        let key = kind.generate();
        let certificate = read(&params.self_signed(&key).expect(COMPLETE));
        Self { common_name: common_name.to_owned(), issuer: Issuer::new(params, key), certificate }
    }

    /// Creates a CA issued by this one.
    #[must_use]
    pub fn intermediate(&self, common_name: &str) -> Self {
        let (params, key) = (ca_params(common_name), KeyKind::P256.generate());
        let certificate = read(&params.signed_by(&key, &self.issuer).expect(COMPLETE));
        Self { common_name: common_name.to_owned(), issuer: Issuer::new(params, key), certificate }
    }

    /// Creates a CA with another key under this CA's name and key id.
    #[must_use]
    pub fn impostor(&self, kind: KeyKind) -> Self {
        let key_id = self.certificate.subject_key_id().expect("a CA made here has a key id");
        let mut params = ca_params(&self.common_name);
        params.key_identifier_method = KeyIdMethod::PreSpecified(key_id.to_vec());
        Self::make(kind, &self.common_name, params)
    }

    /// Returns the CA's certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Returns the CA's certificate as PEM.
    pub fn pem(&self) -> String {
        self.certificate.to_pem()
    }

    /// Returns the CA's private key as PKCS #8 PEM.
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// Issues a valid device certificate with a P-256 key.
    pub fn leaf(&self, common_name: &str) -> String {
        self.issue(&device_params(common_name), &KeyKind::P256.generate())
    }

    /// Issues a valid device certificate with the given kind of key.
    pub fn leaf_with_key(&self, kind: KeyKind, common_name: &str) -> String {
        self.issue(&device_params(common_name), &kind.generate())
    }

    /// Issues a valid device certificate with the given serial number, big-endian.
    pub fn leaf_with_serial(&self, serial: &[u8], common_name: &str) -> String {
        let mut params = device_params(common_name);
        params.serial_number = Some(SerialNumber::from_slice(serial));
        self.issue(&params, &KeyKind::P256.generate())
    }

    /// Issues a device certificate whose validity begins in 2400; whether that is a flaw is a matter of policy.
    pub fn not_yet_valid_leaf(&self, common_name: &str) -> String {
        self.issue(&valid(NOT_YET_VALID, device_params(common_name)), &KeyKind::P256.generate())
    }

    /// Issues the certificate that proves possession of the CA's key to AWS: its common name is the registration code.
    pub fn verification(&self, registration_code: &str) -> String {
        self.leaf(registration_code)
    }

    /// Issues a certificate that is itself a CA certificate.
    pub fn subordinate(&self, common_name: &str) -> String {
        self.issue(&ca_params(common_name), &KeyKind::P256.generate())
    }

    /// Returns text with the given flaw instead of the PEM of a valid device certificate.
    pub fn flawed(&self, flaw: Flaw, common_name: &str) -> String {
        let leaf = || self.leaf(common_name);
        match flaw {
            Flaw::NotACertificate => format!("{common_name}: the certificate will follow by mail\n"),
            Flaw::TooLong => " ".repeat(65_536) + &leaf(),
            Flaw::WithPrivateKey => leaf() + &KeyKind::P256.generate().serialize_pem(),
            Flaw::Request => request(common_name),
            Flaw::CutOff => with_der(&leaf(), |der| der.truncate(der.len() / 2)),
            Flaw::TrailingByte => with_der(&leaf(), |der| der.push(1)),
            Flaw::TwoDevices => leaf() + &leaf(),
            Flaw::Expired => self.issue(&valid(EXPIRED, device_params(common_name)), &KeyKind::P256.generate()),
            Flaw::WeakKey => self.issue(&device_params(common_name), &WeakKey::new(common_name)),
            Flaw::Ed25519Key => self.leaf_with_key(KeyKind::Ed25519, common_name),
            Flaw::Ed25519Signature => self.impostor(KeyKind::Ed25519).leaf(common_name),
            Flaw::Foreign => Self::new("a CA that nobody registered").leaf(common_name),
            Flaw::WronglySigned => self.impostor(KeyKind::P256).leaf(common_name),
        }
    }

    fn issue(&self, params: &CertificateParams, key: &impl PublicKeyData) -> String {
        read(&params.signed_by(key, &self.issuer).expect(COMPLETE)).to_pem()
    }
}

impl KeyKind {
    fn generate(self) -> KeyPair {
        match self {
            Self::P256 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
            Self::P384 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384),
            Self::P521 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA512),
            Self::Rsa2048 => KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048),
            Self::Rsa4096 => KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_4096),
            Self::Ed25519 => KeyPair::generate_for(&rcgen::PKCS_ED25519),
        }
        .expect("aws-lc-rs generates every kind of key that is listed")
    }
}

/// An RSA key of 1,024 bits that no one can use: its modulus is made up.
struct WeakKey(Vec<u8>);

impl WeakKey {
    fn new(seed: &str) -> Self {
        let digest = digest::digest(&digest::SHA256, seed.as_bytes());
        // RSAPublicKey: a SEQUENCE of a positive INTEGER of 128 bytes and the exponent 65537 (RFC 8017, A.1.1).
        let mut der = vec![0x30, 0x81, 0x89, 0x02, 0x81, 0x81, 0x00, 0x80];
        der.extend(digest.as_ref().iter().cycle().take(127));
        der.extend([0x02, 0x03, 0x01, 0x00, 0x01]);
        Self(der)
    }
}

impl PublicKeyData for WeakKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_RSA_SHA256
    }
}

const COMPLETE: &str = "parameters made here are complete";

fn read(certificate: &rcgen::Certificate) -> Certificate {
    Certificate::from_der(certificate.der()).expect("rcgen generates well-formed certificates")
}

fn ca_params(common_name: &str) -> CertificateParams {
    let mut params = named(common_name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn device_params(common_name: &str) -> CertificateParams {
    let mut params = named(common_name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    params
}

fn named(common_name: &str) -> CertificateParams {
    let mut params = valid(VALID, CertificateParams::default());
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params
}

fn valid([not_before, not_after]: [OffsetDateTime; 2], params: CertificateParams) -> CertificateParams {
    let mut params = params;
    (params.not_before, params.not_after) = (not_before, not_after);
    params
}

/// Creates a certificate signing request.
pub fn request(common_name: &str) -> String {
    named(common_name).serialize_request(&KeyKind::P256.generate()).and_then(|request| request.pem()).expect(COMPLETE)
}

fn with_der(leaf: &str, change: impl Fn(&mut Vec<u8>)) -> String {
    let mut der = Certificate::from_pem(leaf).expect("a leaf made here is well-formed").der().to_vec();
    change(&mut der);
    pem::encode(pem::CERTIFICATE, &der)
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_core::certificate::{Curve, Issuer, Key, Verification};

    #[test]
    fn a_leaf_is_named_dated_and_signed_as_requested() {
        let ca = Ca::new("Plant CA");
        let leaf = Certificate::from_pem(&ca.leaf("device 7")).unwrap();
        assert_eq!((leaf.subject(), leaf.issuer()), ("CN=device 7".to_owned(), "CN=Plant CA".to_owned()));
        assert_eq!((leaf.not_before(), leaf.not_after()), (VALID[0], VALID[1]));
        assert_eq!(leaf.authority_key_id(), ca.certificate().subject_key_id());
        assert!(leaf.names_as_issuer(ca.certificate()) && leaf.may_sign() && leaf.may_authenticate_a_client());
        assert_eq!(Issuer::new(ca.certificate().clone()).unwrap().verify(&leaf), Verification::Good);
    }

    #[test]
    fn keys_have_the_requested_kind_and_size() {
        let ca = Ca::new("Plant CA");
        let key = |kind| Certificate::from_pem(&ca.leaf_with_key(kind, "device")).unwrap().key().clone();
        assert_eq!(key(KeyKind::P256), Key::Ec { curve: Curve::P256 });
        assert_eq!(key(KeyKind::P384), Key::Ec { curve: Curve::P384 });
        assert_eq!(key(KeyKind::P521), Key::Ec { curve: Curve::P521 });
        assert_eq!(key(KeyKind::Rsa2048), Key::Rsa { bits: 2048 });
        assert_eq!(key(KeyKind::Ed25519), Key::Other { oid: "Ed25519 (1.3.101.112)".to_owned() });
        let weak = Certificate::from_pem(&ca.flawed(Flaw::WeakKey, "device")).unwrap();
        assert_eq!(weak.key(), &Key::Rsa { bits: 1024 });
    }

    #[test]
    fn an_impostor_differs_from_the_ca_in_its_key_only() {
        let ca = Ca::new("Plant CA");
        let impostor = ca.impostor(KeyKind::P256);
        assert_eq!(impostor.certificate().subject_der(), ca.certificate().subject_der());
        assert_eq!(impostor.certificate().subject_key_id(), ca.certificate().subject_key_id());
        let leaf = Certificate::from_pem(&impostor.leaf("device")).unwrap();
        assert_eq!(Issuer::new(ca.certificate().clone()).unwrap().verify(&leaf), Verification::Bad);
    }
}
