use super::{Call, CheckedCertificate, Precheck};
use crate::certificate::{Certificate, Issuer, Verification};
impl Precheck {
    /// tmp
    pub fn name_ca(&self, certificate: &mut CheckedCertificate, more: &[Issuer]) -> bool {
        let Call::RegisterCertificate { pem, ca_pem: ca_pem @ None, .. } = &mut certificate.call else { return false };
        let Ok(leaf) = Certificate::from_pem(pem) else { return false };
        let found = more.iter().find(|ca| leaf.names_as_issuer(ca.certificate()) && ca.verify(&leaf) == Verification::Good);
        if let Some(ca) = found {
            *ca_pem = Some(ca.certificate().to_pem().into());
        }
        ca_pem.is_some()
    }
}
