//! The fields of a certificate.

use std::fmt;

use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use utoipa::ToSchema;

use muster_core::certificate::Certificate;

/// The fields of a certificate.
#[derive(Debug, Serialize, ToSchema)]
pub struct CertificateFields {
    /// Distinguished name of its subject.
    pub subject: String,
    /// Distinguished name of its issuer.
    pub issuer: String,
    /// Serial number, as OpenSSL prints it.
    pub serial: String,
    /// Start of its validity.
    pub valid_from: String,
    /// End of its validity.
    pub valid_until: String,
    /// Algorithm and size of its public key.
    pub key: String,
    /// Algorithm of its signature.
    pub signature_algorithm: String,
}

impl CertificateFields {
    /// Reads the fields.
    pub fn of(certificate: &Certificate) -> Self {
        Self {
            subject: certificate.subject(),
            issuer: certificate.issuer(),
            serial: serial(certificate.serial()),
            valid_from: date(certificate.not_before()),
            valid_until: date(certificate.not_after()),
            key: certificate.key().to_string(),
            signature_algorithm: certificate.signature_algorithm().to_string(),
        }
    }
}

/// Formats hex digits with colons, without the leading zero byte that only marks the number as positive.
fn serial(bytes: &[u8]) -> String {
    let bytes = match bytes {
        [0, rest @ ..] if !rest.is_empty() => rest,
        _ => bytes,
    };
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

/// Formats a certificate's time. Its year may be one that RFC 3339 cannot express.
fn date(time: OffsetDateTime) -> String {
    time.format(&Rfc3339).unwrap_or_else(|_| time.to_string())
}

impl fmt::Display for CertificateFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "    subject {}", self.subject)?;
        writeln!(f, "    issuer {}", self.issuer)?;
        writeln!(f, "    serial {}", self.serial)?;
        writeln!(f, "    valid from {} until {}", self.valid_from, self.valid_until)?;
        writeln!(f, "    key {}, signed with {}", self.key, self.signature_algorithm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serial_is_printed_as_openssl_does() {
        assert_eq!(serial(&[0x00, 0xab, 0x01]), "ab:01");
        assert_eq!(serial(&[0x00]), "00");
        assert_eq!(serial(&[0x10, 0x00]), "10:00");
    }
}
