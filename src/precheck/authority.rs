//! Judges the call that registers a CA.

use time::OffsetDateTime;

use crate::certificate::sha256;
use crate::job::RegisterCaCertificate;

use super::leaf::Leaf;
use super::{Call, Field, Precheck, Rejection, Warning, refuse_private_keys};

impl Precheck {
    /// Judges a CA. `registration_code` is the account's, where it is known.
    pub(super) fn judge_authority(
        &self,
        request: &RegisterCaCertificate,
        ca: Result<Leaf, Rejection>,
        now: OffsetDateTime,
        registration_code: Option<&str>,
        warnings: &mut Vec<Warning>,
    ) -> Result<Call, Rejection> {
        let _ = (now, registration_code, warnings);
        refuse_private_keys([(Field::CaCertificate, Some(&request.ca_certificate))])?;
        let ca = ca?.certificate;
        let request = Box::new(RegisterCaCertificate { ca_certificate: ca.to_pem(), ..request.clone() });
        Ok(Call::RegisterCaCertificate { request, subject_key: sha256(ca.subject_der()) })
    }
}
