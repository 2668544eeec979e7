//! The id that AWS IoT assigns to a certificate: the SHA-256 of its DER, known before any call.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize, Serializer};

/// AWS's certificate id: the SHA-256 of the certificate's DER. Displays as 64 lower-case hex digits.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct CertificateId(pub [u8; 32]);

/// Text that is not a certificate id.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a certificate id: expected 64 hex digits, found {chars} characters")]
pub struct CertificateIdError {
    chars: usize,
}

impl CertificateId {
    /// Computes the id of the certificate with this DER.
    pub fn of_der(der: &[u8]) -> Self {
        Self(sha256(der))
    }
}

/// Computes a SHA-256.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    digest::digest(&digest::SHA256, bytes).as_ref().try_into().expect("a SHA-256 has 32 bytes")
}

impl fmt::Display for CertificateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl FromStr for CertificateId {
    type Err = CertificateIdError;

    fn from_str(text: &str) -> Result<Self, CertificateIdError> {
        let mut id = [0; 32];
        match hex::decode_to_slice(text, &mut id) {
            Ok(()) => Ok(Self(id)),
            Err(_) => Err(CertificateIdError { chars: text.chars().count() }),
        }
    }
}

impl<'de> Deserialize<'de> for CertificateId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for CertificateId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_is_the_sha256_of_the_der_in_lower_case_hex() {
        // The well-known digest of the empty string.
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(CertificateId::of_der(b"").to_string(), empty);
        assert_eq!(empty.parse(), Ok(CertificateId::of_der(b"")));
        assert_eq!(serde_json::to_value(CertificateId::of_der(b"")).unwrap(), empty);
    }

    #[test]
    fn text_that_is_not_an_id_is_refused() {
        for text in ["", "e3b0", &"g".repeat(64), &"0".repeat(65)] {
            assert!(text.parse::<CertificateId>().is_err(), "{text}");
        }
    }
}
