//! Checks the two calls that register a device.

use std::sync::Arc;

use time::OffsetDateTime;

use crate::certificate::{Certificate, Issuer, Verification, sha256};
use crate::job::{CertificateStatus, RegisterCertificate, RegisterCertificateWithoutCa};

use super::found::FoundCertificate;
use super::rules::{check_certificate, refuse_private_keys};
use super::{Call, CheckedCertificate, Field, Precheck, Rejection, Warning};

impl Precheck {
    /// Checks a device whose CA must be registered.
    pub(super) fn judge_device(
        &self,
        request: &RegisterCertificate,
        leaf: Result<FoundCertificate, Rejection>,
        now: OffsetDateTime,
        warnings: &mut Vec<Warning>,
    ) -> Result<Call, Rejection> {
        // Checked before everything else: a job that holds a private key must never be stored.
        refuse_private_keys([
            (Field::CertificatePem, Some(&request.certificate_pem)),
            (Field::CaCertificatePem, request.ca_certificate_pem.as_ref()),
        ])?;
        let leaf = self.judge_leaf(leaf, request.status, now, warnings)?;
        warnings.extend(contradiction(request));
        let ca_pem = if let Some(text) = &request.ca_certificate_pem {
            Some(self.verify_under_given(text, &leaf, now, warnings)?)
        } else {
            warnings.extend(self.known.verify(&leaf, now)?);
            None
        };
        let issuer_key = sha256(leaf.issuer_der());
        Ok(Call::RegisterCertificate { pem: leaf.to_pem(), ca_pem, status: request.sent_status(), issuer_key })
    }

    /// Checks a device whose CA AWS does not know; it does not matter who signed it.
    pub(super) fn judge_device_without_ca(
        &self,
        request: &RegisterCertificateWithoutCa,
        leaf: Result<FoundCertificate, Rejection>,
        now: OffsetDateTime,
        warnings: &mut Vec<Warning>,
    ) -> Result<Call, Rejection> {
        refuse_private_keys([(Field::CertificatePem, Some(&request.certificate_pem))])?;
        let leaf = self.judge_leaf(leaf, request.status, now, warnings)?;
        Ok(Call::RegisterCertificateWithoutCa { pem: leaf.to_pem(), status: request.status })
    }

    fn judge_leaf(
        &self,
        leaf: Result<FoundCertificate, Rejection>,
        status: Option<CertificateStatus>,
        now: OffsetDateTime,
        warnings: &mut Vec<Warning>,
    ) -> Result<Certificate, Rejection> {
        let leaf = leaf?;
        warnings.extend(leaf.warnings());
        let leaf = leaf.certificate;
        warnings.extend(odd_uses(&leaf));
        refuse_unusable_status(status)?;
        warnings.extend(check_certificate(self.policy, Field::CertificatePem, &leaf, now)?);
        Ok(leaf)
    }

    /// Adds the CA of a device whose job carries none: the one among the configured CAs and `more` that signed it.
    /// Returns whether it added one. A call that already has a CA, or has no field for one, is not changed.
    pub fn name_ca(&self, certificate: &mut CheckedCertificate, more: &[Issuer]) -> bool {
        let Call::RegisterCertificate { pem, ca_pem: ca_pem @ None, .. } = &mut certificate.call else { return false };
        let Ok(leaf) = Certificate::from_pem(pem) else { return false };
        let signed =
            |issuer: &&Issuer| leaf.names_as_issuer(issuer.certificate()) && issuer.verify(&leaf) == Verification::Good;
        *ca_pem = self.known.named(&leaf).chain(more).find(signed).map(|ca| ca.certificate().to_pem().into());
        ca_pem.is_some()
    }

    /// Verifies the leaf against the CA that the job carries, and returns that CA as it is sent.
    fn verify_under_given(
        &self,
        ca_text: &str,
        leaf: &Certificate,
        now: OffsetDateTime,
        warnings: &mut Vec<Warning>,
    ) -> Result<Arc<str>, Rejection> {
        let given = self.given.read(ca_text)?;
        let (ca, verification) = given.issuer_of(leaf)?;
        let certificate = ca.issuer.certificate();
        match verification {
            Verification::Good => {}
            Verification::Bad => return Err(Rejection::signature_invalid(leaf, certificate)),
            Verification::Unsupported => warnings.push(Warning::signature_unverifiable(leaf, certificate)),
        }
        warnings.extend(given.warning());
        warnings.extend(Warning::about_ca(certificate, now));
        Ok(Arc::clone(&ca.pem))
    }
}

/// What is unusual for a device certificate.
fn odd_uses(leaf: &Certificate) -> impl Iterator<Item = Warning> {
    let ca = leaf.is_ca().then_some(Warning::LeafIsACa);
    let usage = (!leaf.may_sign()).then_some(Warning::KeyUsage);
    let extended = (!leaf.may_authenticate_a_client()).then_some(Warning::ExtendedKeyUsage);
    [ca, usage, extended].into_iter().flatten()
}

/// AWS returns 406 for any other status of a registration (measured by others for `PENDING_ACTIVATION`).
fn refuse_unusable_status(status: Option<CertificateStatus>) -> Result<(), Rejection> {
    match status {
        None | Some(CertificateStatus::Active | CertificateStatus::Inactive | CertificateStatus::Revoked) => Ok(()),
        Some(status) => Err(Rejection::StatusUnusable { status }),
    }
}

/// Warns if `status` and `set_as_active` contradict each other; `status` wins.
fn contradiction(request: &RegisterCertificate) -> Option<Warning> {
    let (status, set_as_active) = (request.status?, request.set_as_active?);
    let agree = (status == CertificateStatus::Active) == set_as_active;
    (!agree).then_some(Warning::StatusContradicted { status, set_as_active })
}
