//! stub
use time::OffsetDateTime;
use crate::certificate::CertificateId;
use crate::job::{CertificateStatus, RegisterCertificate};
use crate::outcome::Code;
/// x
#[derive(Debug, Default)]
pub struct Precheck {}
impl Precheck { /// x
 pub fn check(&self, _r: &RegisterCertificate, _now: OffsetDateTime) -> Verdict { unimplemented!() } }
/// x
#[derive(Debug)]
pub struct Verdict { /// x
 pub subject: [u8; 32], /// x
 pub certificate_id: Option<CertificateId>, /// x
 pub result: Result<CheckedCertificate, Rejection>, /// x
 pub warnings: Vec<Warning> }
/// x
#[derive(Clone,Debug)]
pub struct CheckedCertificate {}
impl CheckedCertificate { 
/// x
pub fn id(&self) -> CertificateId { unimplemented!() }
/// x
pub fn pem(&self) -> &str { unimplemented!() }
/// x
pub fn ca_pem(&self) -> Option<&str> { unimplemented!() }
/// x
pub fn status(&self) -> Option<CertificateStatus> { unimplemented!() } }
/// x
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct Rejection {}
impl Rejection { /// x
 pub fn code(&self) -> Code { unimplemented!() } }
/// x
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct Warning {}
