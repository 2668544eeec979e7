//! Proves possession of a CA's key to AWS: creates the verification certificate that mode DEFAULT requires.
//!
//! The certificate names the account's registration code and is signed with the CA's key. No signing request is needed
//! if that key is at hand: the verification certificate's own key is generated here and not needed again.
//! Everything stays in memory, and no key text is ever part of an error.

use std::borrow::Cow;

use rcgen::{CertificateParams, DistinguishedName, DnType, IsCa, KeyPair, SigningKey};
use rustls_pki_types::PrivateKeyDer;
use secrecy::zeroize::Zeroize;
use time::{Duration, OffsetDateTime};
use x509_parser::asn1_rs::{Any, FromDer};
use x509_parser::certificate::X509Certificate;
use x509_parser::nom::Offset;

use crate::advice::{Advice, Exit};
use crate::certificate::pem::{self, Block, Damage, PemError};
use crate::certificate::{Certificate, Issuer, IssuerError, Verification};

/// How far before now its validity starts, so that a clock that runs behind accepts it.
const VALID_SINCE: Duration = Duration::hours(1);

/// How long it is valid: AWS checks it once.
const VALID_FOR: Duration = Duration::days(30);

/// Why a verification certificate could not be created.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ProofError {
    /// The certificate is not a CA's.
    #[error(transparent)]
    NotACa(#[from] IssuerError),
    /// The text holds no private key.
    #[error("the text has no private key")]
    NoKey,
    /// The key's block is damaged.
    #[error("the private key's block {0}")]
    Pem(PemError),
    /// The key is encrypted.
    #[error("the private key is encrypted")]
    Encrypted,
    /// The key cannot be used.
    #[error("the {label} block does not hold a key that can sign here")]
    Unusable {
        /// The label of its block.
        label: &'static str,
    },
    /// The key does not belong to the CA.
    #[error("the private key does not belong to the CA {subject}")]
    Foreign {
        /// The CA's name.
        subject: String,
    },
}

impl ProofError {
    /// How to fix it, if that is known.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::NotACa(_) => return None,
            Self::NoKey | Self::Pem(_) => {
                "give the CA's private key as PEM: PRIVATE KEY, EC PRIVATE KEY or RSA PRIVATE KEY"
            }
            Self::Encrypted => "decrypt it and pipe it in: `openssl pkey -in FILE | muster ca register CA --key -`",
            Self::Unusable { .. } => {
                "AWS accepts CAs with RSA keys of at least 2048 bits and with keys on P-256, P-384 or P-521"
            }
            Self::Foreign { .. } => {
                "`openssl pkey -in KEY -pubout` and `openssl x509 -in CA -pubkey -noout` must print the same key"
            }
        })
    }
}

/// Creates the certificate that proves possession of the key of `ca` to AWS, as PEM. Its common name is the
/// registration code.
///
/// The key is PEM, as PKCS #8, SEC 1 or PKCS #1. The certificate is valid from one hour before `now` until 30 days
/// after.
///
/// # Errors
/// Fails if the certificate is not a CA's, or if the text does not hold a usable key of that CA.
pub fn verification_certificate(
    ca: &Certificate,
    key_pem: &str,
    registration_code: &str,
    now: OffsetDateTime,
) -> Result<String, ProofError> {
    let issuer = Issuer::new(ca.clone())?;
    let (key, label) = read_key(key_pem)?;
    let der = create_der(ca, &key, registration_code, now);
    let proof = Certificate::from_der(&der).expect("generated certificates are well-formed");
    match issuer.verify(&proof) {
        Verification::Good => Ok(proof.to_pem()),
        Verification::Bad => Err(ProofError::Foreign { subject: ca.subject() }),
        Verification::Unsupported => Err(ProofError::Unusable { label }),
    }
}

/// Wraps the DER of a key.
type ReadKey = fn(Vec<u8>) -> PrivateKeyDer<'static>;

/// The labels of unencrypted private keys, and how to read each.
const KEYS: [(&str, ReadKey); 3] = [
    ("PRIVATE KEY", |der| PrivateKeyDer::Pkcs8(der.into())),
    ("EC PRIVATE KEY", |der| PrivateKeyDer::Sec1(der.into())),
    ("RSA PRIVATE KEY", |der| PrivateKeyDer::Pkcs1(der.into())),
];

/// Reads the first private key of a text, and returns it with its label.
fn read_key(text: &str) -> Result<(KeyPair, &'static str), ProofError> {
    for block in pem::blocks(text) {
        if is_encrypted(&block) {
            return Err(ProofError::Encrypted);
        }
        if let Some((label, read)) = KEYS.into_iter().find(|(label, _)| *label == block.label) {
            if let Some(damage @ (Damage::NoBegin | Damage::NoEnd)) = block.damage {
                return Err(ProofError::Pem(PemError::Marker(damage)));
            }
            let der = block.decode().map_err(ProofError::Pem)?;
            let mut key = read(der);
            let pair = KeyPair::try_from(&key).map_err(|_| ProofError::Unusable { label });
            key.zeroize();
            return Ok((pair?, label));
        }
    }
    Err(ProofError::NoKey)
}

/// Returns whether a key is encrypted: as PKCS #8, or in OpenSSL's older format, which is marked inside the block.
fn is_encrypted(block: &Block<'_>) -> bool {
    let is_key = block.label.ends_with("PRIVATE KEY");
    is_key && (block.label == "ENCRYPTED PRIVATE KEY" || block.text.contains("Proc-Type: 4,ENCRYPTED"))
}

/// Creates the certificate, in DER.
fn create_der(ca: &Certificate, key: &KeyPair, registration_code: &str, now: OffsetDateTime) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, registration_code);
    params.is_ca = IsCa::ExplicitNoCa;
    (params.not_before, params.not_after) = (now - VALID_SINCE, now + VALID_FOR);
    let stand_in = rcgen::Issuer::from_params(&params, key);
    let own = KeyPair::generate().expect("aws-lc-rs generates P-256 keys");
    let draft = params.signed_by(&own, &stand_in).expect("parameters made here are complete");
    with_issuer(draft.der(), ca.subject_der(), key)
}

/// Replaces the stand-in's name with the issuer's own, byte for byte as AWS compares it, and signs the result again.
/// Rebuilding the name from its parts would change a name with several values of one kind.
fn with_issuer(draft: &[u8], issuer: &[u8], key: &KeyPair) -> Vec<u8> {
    const WELL_FORMED: &str = "rcgen generates well-formed certificates";
    let (_, x509) = X509Certificate::from_der(draft).expect(WELL_FORMED);
    let (signed, name) = (x509.tbs_certificate.as_ref(), x509.tbs_certificate.issuer.as_raw());
    let after = &draft[draft.offset(signed) + signed.len()..];
    let (signature, _) = Any::from_der(after).expect(WELL_FORMED);
    let algorithm = &after[..after.len() - signature.len()];

    let (_, fields) = Any::from_der(signed).expect(WELL_FORMED);
    let start = fields.data.offset(name);
    let signed = sequence(&[&fields.data[..start], issuer, &fields.data[start + name.len()..]]);
    let signature = key.sign(&signed).expect("a key that signed once can sign again");
    sequence(&[&signed, algorithm, &tagged(BIT_STRING, &[&[0], &signature])])
}

const BIT_STRING: u8 = 0x03;
const SEQUENCE: u8 = 0x30;

fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tagged(SEQUENCE, parts)
}

/// Encodes one non-empty element in DER.
fn tagged(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    const SHORT_MAX: usize = 0x7f;
    let content = parts.concat();
    let length = content.len().to_be_bytes();
    let digits: Vec<u8> = length.into_iter().skip_while(|&byte| byte == 0).collect();
    let mut der = vec![tag];
    if content.len() > SHORT_MAX {
        der.push(0x80 | u8::try_from(digits.len()).expect("a length has at most eight bytes"));
    }
    [der, digits, content].concat()
}

impl Advice for ProofError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        Self::hint(self).map(Cow::Borrowed)
    }

    fn exit(&self) -> Exit {
        Exit::Usage
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, RsaKeySize};
    use time::macros::datetime;

    use super::*;
    use muster_sandbox::specimen::KeyKind;

    const NOW: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);
    const CODE: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    /// A CA and its key, as PKCS #8.
    fn ca_of(key: &KeyPair) -> (Certificate, String) {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::OrganizationName, "Plant");
        let certificate = Certificate::from_der(params.self_signed(key).unwrap().der()).unwrap();
        (certificate, key.serialize_pem())
    }

    fn p256() -> (Certificate, String) {
        ca_of(&KeyPair::generate().unwrap())
    }

    /// Extracts the key inside a PKCS #8 block, in PKCS #1 or SEC 1.
    fn bare(pkcs8: &str, label: &str) -> String {
        let der = pem::blocks(pkcs8).next().unwrap().decode().unwrap();
        let (_, outer) = Any::from_der(&der).unwrap();
        let (rest, _version) = Any::from_der(outer.data).unwrap();
        let (rest, _algorithm) = Any::from_der(rest).unwrap();
        pem::encode(label, Any::from_der(rest).unwrap().1.data)
    }

    fn assert_proves(ca: &Certificate, key_pem: &str) {
        let proof = Certificate::from_pem(&verification_certificate(ca, key_pem, CODE, NOW).unwrap()).unwrap();
        assert_eq!(proof.subject(), format!("CN={CODE}"));
        assert_eq!(proof.issuer_der(), ca.subject_der());
        assert_eq!(Issuer::new(ca.clone()).unwrap().verify(&proof), Verification::Good);
        assert!(!proof.is_ca() && proof.version() == 3);
        assert!(proof.not_before() < NOW && proof.not_after() > NOW + Duration::days(29));
    }

    #[test]
    fn every_kind_of_key_that_aws_accepts_works() {
        for algorithm in
            [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ECDSA_P521_SHA512]
        {
            let (ca, key) = ca_of(&KeyPair::generate_for(algorithm).unwrap());
            assert_proves(&ca, &key);
            assert_proves(&ca, &bare(&key, "EC PRIVATE KEY"));
        }
        let (ca, key) = ca_of(&KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap());
        assert_proves(&ca, &key);
        assert_proves(&ca, &bare(&key, "RSA PRIVATE KEY"));
    }

    #[test]
    fn a_key_is_found_among_other_blocks() {
        let (ca, key) = p256();
        let parameters = pem::encode("EC PARAMETERS", &[6, 8, 42, 134, 72, 206, 61, 3, 1, 7]);
        assert_proves(&ca, &format!("{}\nsome text\n{parameters}{}", ca.to_pem(), bare(&key, "EC PRIVATE KEY")));
    }

    /// Premise: a name with several values of one kind, or with unusual string types, changes when it is rebuilt from
    /// its parts.
    #[test]
    fn the_issuer_is_the_ca_subject_byte_for_byte() {
        let key = KeyPair::generate().unwrap();
        let (ca, key_pem) = ca_of(&key);
        // DC=com, DC=plant, as IA5String; O=Plant, as BMPString.
        let domain = |name: &str| {
            let value = tagged(0x16, &[name.as_bytes()]);
            let oid = [0x06, 0x0a, 0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x19];
            tagged(0x31, &[&sequence(&[&oid, &value])])
        };
        let wide = tagged(0x1e, &[b"\0P\0l\0a\0n\0t"]);
        let organisation = tagged(0x31, &[&sequence(&[&[0x06, 0x03, 0x55, 0x04, 0x0a], &wide])]);
        let name = sequence(&[&domain("com"), &domain("plant"), &organisation, &domain(&"x".repeat(200))]);
        let renamed = with_issuer(ca.der(), &name, &key);
        let twice = with_subject(&renamed, &name, &key);
        let ca = Certificate::from_der(&twice).unwrap();
        assert_eq!((ca.subject_der(), ca.is_ca()), (name.as_slice(), true));
        assert_proves(&ca, &key_pem);
    }

    /// Replaces the subject of a certificate.
    fn with_subject(der: &[u8], subject: &[u8], key: &KeyPair) -> Vec<u8> {
        let (_, x509) = X509Certificate::from_der(der).unwrap();
        let (signed, name) = (x509.tbs_certificate.as_ref(), x509.tbs_certificate.subject.as_raw());
        let (_, fields) = Any::from_der(signed).unwrap();
        let start = fields.data.offset(name);
        let signed = sequence(&[&fields.data[..start], subject, &fields.data[start + name.len()..]]);
        // The signature does not matter: with_issuer replaces it.
        let unsigned = sequence(&[
            &signed,
            &der[der.offset(x509.tbs_certificate.as_ref()) + x509.tbs_certificate.as_ref().len()..],
        ]);
        with_issuer(&unsigned, subject, key)
    }

    #[test]
    fn unusable_keys_get_precise_errors_without_key_text() {
        let (ca, key) = p256();
        let (_, foreign) = p256();
        let encrypted = pem::encode("ENCRYPTED PRIVATE KEY", b"MIIE");
        let older = "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA\n-----END EC PRIVATE KEY-----\n";
        let subject = ca.subject();
        let (_, ed25519) = ca_of(&KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap());
        for (text, wanted) in [
            ("", ProofError::NoKey),
            (&ca.to_pem(), ProofError::NoKey),
            (&key[..key.len() / 2], ProofError::Pem(PemError::Marker(Damage::NoEnd))),
            (&pem::encode("PRIVATE KEY", b"ABC"), ProofError::Unusable { label: "PRIVATE KEY" }),
            (&pem::encode("RSA PRIVATE KEY", b"ABC"), ProofError::Unusable { label: "RSA PRIVATE KEY" }),
            (&encrypted, ProofError::Encrypted),
            (older, ProofError::Encrypted),
            (&foreign, ProofError::Foreign { subject }),
            (&ed25519, ProofError::Unusable { label: "PRIVATE KEY" }),
        ] {
            let error = verification_certificate(&ca, text, CODE, NOW).expect_err(text);
            assert_eq!(error, wanted);
            let output = format!("{error} {error:?} {:?}", error.hint());
            let lines = text.lines().filter(|line| line.len() > 20 && !line.starts_with('-'));
            assert!(lines.into_iter().all(|line| !output.contains(line)), "{output}");
        }
        let device =
            Certificate::from_pem(&muster_sandbox::specimen::Ca::new("x").leaf_with_key(KeyKind::P256, "d")).unwrap();
        assert!(matches!(verification_certificate(&device, &key, CODE, NOW), Err(ProofError::NotACa(_))));
    }
}
