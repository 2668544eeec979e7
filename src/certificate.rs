//! One X.509 certificate: read from PEM or DER, identified, verified under its issuer.

/// AWS's certificate id: the SHA-256 of the certificate's DER. Displays as 64 lower-case hex digits.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct CertificateId(pub [u8; 32]);
