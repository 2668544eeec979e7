//! Lists and describes the certificates that AWS IoT has. Each function makes one call, which has its own quota.

use aws_sdk_iot::config::http::HttpResponse;
use aws_sdk_iot::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_iot::operation::describe_ca_certificate::DescribeCaCertificateOutput;
use aws_sdk_iot::operation::describe_certificate::DescribeCertificateOutput;
use aws_sdk_iot::types;
use time::OffsetDateTime;

use super::answer::classify;
use super::{CallError, ErrorKind, Registrar};
use crate::aws::sdk_error;
use muster_core::certificate::CertificateId;
use muster_core::outcome::Code;

/// Maximum number of certificates that AWS lists in one page.
const PAGE_MAX: i32 = 250;

/// A device certificate in a list from AWS.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ListedCertificate {
    /// Its id.
    pub id: CertificateId,
    /// Its status in AWS's wording. A future status may be unknown here.
    pub status: String,
}

/// One page of a list from AWS.
#[derive(Clone, Debug, Default)]
pub struct ListedPage {
    /// Its certificates, in AWS's order: by age.
    pub certificates: Vec<ListedCertificate>,
    /// The marker of the next page. `None`: this is the last page.
    pub next: Option<String>,
}

/// AWS's description of one certificate.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DescribedCertificate {
    /// Its status in AWS's wording.
    pub status: String,
    /// Its mode in AWS's wording.
    pub mode: Option<String>,
    /// When it was registered.
    pub created_at: Option<OffsetDateTime>,
    /// The id of the registered CA that issued it.
    pub ca_id: Option<String>,
}

impl Registrar {
    /// Lists one page of the account's device certificates in the region, starting at `marker`. With `ca`, lists only
    /// those that this CA issued.
    pub async fn list(&self, ca: Option<CertificateId>, marker: Option<&str>) -> Result<ListedPage, CallError> {
        let marker = marker.map(str::to_owned);
        let (listed, next) = if let Some(ca) = ca {
            let call = self.client.list_certificates_by_ca().ca_certificate_id(ca.to_string());
            let answer = call.page_size(PAGE_MAX).set_marker(marker).send().await.map_err(|e| classify(&e))?;
            (answer.certificates, answer.next_marker)
        } else {
            let call = self.client.list_certificates().page_size(PAGE_MAX).set_marker(marker);
            let answer = call.send().await.map_err(|e| classify(&e))?;
            (answer.certificates, answer.next_marker)
        };
        let certificates = listed.unwrap_or_default().iter().map(read).collect::<Result<_, _>>()?;
        Ok(ListedPage { certificates, next: next.filter(|next| !next.is_empty()) })
    }

    /// Describes a device certificate, once. Returns `None` if AWS does not have it.
    pub async fn describe(&self, id: CertificateId) -> Result<Option<DescribedCertificate>, CallError> {
        let answer = self.client.describe_certificate().certificate_id(id.to_string()).send().await;
        none_if_not_found(answer)?.map(|answer| described(answer, id)).transpose()
    }

    /// Describes a CA, once. Returns `None` if AWS does not have it.
    pub async fn describe_ca(&self, id: CertificateId) -> Result<Option<DescribedCertificate>, CallError> {
        let answer = self.client.describe_ca_certificate().certificate_id(id.to_string()).send().await;
        none_if_not_found(answer)?.map(|answer| described_ca(answer, id)).transpose()
    }
}

/// Returns the answer to a describe call, or `None` if AWS does not have the certificate.
fn none_if_not_found<O, E>(answer: Result<O, SdkError<E, HttpResponse>>) -> Result<Option<O>, CallError>
where
    E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    match answer {
        Ok(output) => Ok(Some(output)),
        Err(failure) => match classify(&failure) {
            CallError { kind: ErrorKind::Refused(Code::ResourceNotFound), .. } => Ok(None),
            error => Err(error),
        },
    }
}

fn read(certificate: &types::Certificate) -> Result<ListedCertificate, CallError> {
    let id = certificate.certificate_id().and_then(|id| id.parse().ok());
    let id = id.ok_or_else(|| CallError::unusable("a listed certificate has no id of 64 hex digits"))?;
    Ok(ListedCertificate { id, status: status(certificate.status())? })
}

fn described(answer: DescribeCertificateOutput, asked: CertificateId) -> Result<DescribedCertificate, CallError> {
    let described = answer.certificate_description;
    let described = described.ok_or_else(|| CallError::unusable("the answer describes no certificate"))?;
    check_id(described.certificate_id(), asked)?;
    let created_at = described.creation_date().map(aws_sdk_iot::primitives::DateTime::secs);
    Ok(DescribedCertificate {
        status: status(described.status())?,
        mode: described.certificate_mode().map(|mode| sdk_error::one_line(mode.as_str())),
        created_at: created_at.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok()),
        ca_id: described.ca_certificate_id().map(sdk_error::one_line),
    })
}

fn described_ca(answer: DescribeCaCertificateOutput, asked: CertificateId) -> Result<DescribedCertificate, CallError> {
    let described = answer.certificate_description;
    let described = described.ok_or_else(|| CallError::unusable("the answer describes no CA"))?;
    check_id(described.certificate_id(), asked)?;
    let status = described.status().ok_or_else(|| CallError::unusable("a CA has no status"))?;
    let created_at = described.creation_date().map(aws_sdk_iot::primitives::DateTime::secs);
    Ok(DescribedCertificate {
        status: sdk_error::one_line(status.as_str()),
        mode: described.certificate_mode().map(|mode| sdk_error::one_line(mode.as_str())),
        created_at: created_at.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok()),
        ca_id: None,
    })
}

/// Checks that an answer is about the requested certificate.
fn check_id(answered: Option<&str>, asked: CertificateId) -> Result<(), CallError> {
    let answered = answered.and_then(|id| id.parse::<CertificateId>().ok());
    if answered == Some(asked) { Ok(()) } else { Err(CallError::unusable("the answer is about another certificate")) }
}

fn status(status: Option<&types::CertificateStatus>) -> Result<String, CallError> {
    let status = status.ok_or_else(|| CallError::unusable("a certificate has no status"))?;
    Ok(sdk_error::one_line(status.as_str()))
}
