//! The AWS operations that the sandbox implements, and how each is recognized on the wire.

use axum::http::request::Parts;
use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

use super::form::Form;

/// An AWS operation that the sandbox implements.
#[derive(
    Clone,
    Copy,
    Debug,
    Deserialize,
    Display,
    EnumString,
    Eq,
    Hash,
    IntoStaticStr,
    Ord,
    PartialEq,
    PartialOrd,
    Serialize,
    VariantArray,
)]
#[expect(missing_docs, reason = "AWS's own names; AWS documents them")]
pub enum ApiOperation {
    RegisterCertificate,
    RegisterCertificateWithoutCA,
    RegisterCACertificate,
    DescribeCertificate,
    UpdateCertificate,
    DeleteCertificate,
    ListCertificates,
    ListCertificatesByCA,
    DescribeCACertificate,
    UpdateCACertificate,
    DeleteCACertificate,
    ListCACertificates,
    TagResource,
    UntagResource,
    ListTagsForResource,
    GetRegistrationCode,

    AssumeRole,
    GetCallerIdentity,

    CreateQueue,
    DeleteQueue,
    GetQueueUrl,
    GetQueueAttributes,
    SetQueueAttributes,
    ListQueues,
    PurgeQueue,
    SendMessage,
    SendMessageBatch,
    ReceiveMessage,
    DeleteMessage,
    DeleteMessageBatch,
    ChangeMessageVisibility,
    ChangeMessageVisibilityBatch,
}

/// The service that an operation belongs to; determines the format of the answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum AwsService {
    /// restJson1.
    Iot,
    /// awsQuery: a form in, XML out.
    Sts,
    /// awsJson1.0 with query-compatible error codes.
    Sqs,
}

impl ApiOperation {
    /// Returns the service that the operation belongs to.
    pub(super) fn service(self) -> AwsService {
        use ApiOperation as O;
        match self {
            O::RegisterCertificate
            | O::RegisterCertificateWithoutCA
            | O::RegisterCACertificate
            | O::DescribeCertificate
            | O::UpdateCertificate
            | O::DeleteCertificate
            | O::ListCertificates
            | O::ListCertificatesByCA
            | O::DescribeCACertificate
            | O::UpdateCACertificate
            | O::DeleteCACertificate
            | O::ListCACertificates
            | O::TagResource
            | O::UntagResource
            | O::ListTagsForResource
            | O::GetRegistrationCode => AwsService::Iot,
            O::AssumeRole | O::GetCallerIdentity => AwsService::Sts,
            _ => AwsService::Sqs,
        }
    }

    /// Returns whether the operation of a request is named only in its body: SQS and STS share the root path, and SQS
    /// has a header for it.
    pub(super) fn is_in_form(request: &Parts) -> bool {
        let is_root = request.method == "POST" && request.uri.path().trim_matches('/').is_empty();
        is_root && !request.headers.contains_key("x-amz-target")
    }

    /// Returns the operation that a form names.
    pub(super) fn of_form(form: &Form) -> Option<Self> {
        let operation: Self = form.get("Action")?.parse().ok()?;
        (operation.service() == AwsService::Sts).then_some(operation)
    }

    /// Recognizes a request by its method, path and target header; `None` if the sandbox does not implement the
    /// operation.
    pub(super) fn of(request: &Parts) -> Option<Self> {
        let segments: Vec<&str> = request.uri.path().trim_matches('/').split('/').collect();
        Some(match (request.method.as_str(), segments.as_slice()) {
            ("POST", [""]) => return Self::of_root(request),
            ("POST", ["certificate", "register"]) => Self::RegisterCertificate,
            ("POST", ["certificate", "register-no-ca"]) => Self::RegisterCertificateWithoutCA,
            ("POST", ["cacertificate"]) => Self::RegisterCACertificate,
            ("GET", ["certificates"]) => Self::ListCertificates,
            ("GET", ["certificates-by-ca", _]) => Self::ListCertificatesByCA,
            ("GET", ["certificates", _]) => Self::DescribeCertificate,
            ("PUT", ["certificates", _]) => Self::UpdateCertificate,
            ("DELETE", ["certificates", _]) => Self::DeleteCertificate,
            ("GET", ["cacertificates"]) => Self::ListCACertificates,
            ("GET", ["cacertificate", _]) => Self::DescribeCACertificate,
            ("PUT", ["cacertificate", _]) => Self::UpdateCACertificate,
            ("DELETE", ["cacertificate", _]) => Self::DeleteCACertificate,
            ("GET", ["tags"]) => Self::ListTagsForResource,
            ("POST", ["tags"]) => Self::TagResource,
            ("POST", ["untag"]) => Self::UntagResource,
            ("GET", ["registrationcode"]) => Self::GetRegistrationCode,
            _ => return None,
        })
    }

    fn of_root(request: &Parts) -> Option<Self> {
        let operation: Self =
            request.headers.get("x-amz-target")?.to_str().ok()?.strip_prefix("AmazonSQS.")?.parse().ok()?;
        (operation.service() == AwsService::Sqs).then_some(operation)
    }
}
