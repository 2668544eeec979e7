//! Errors over HTTP: problem details (RFC 9457).

use std::borrow::Cow;

use axum::Json;
use axum::extract::rejection::{FormRejection, JsonRejection, PathRejection, QueryRejection};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder};
use utoipa::{ToResponse, ToSchema};

use crate::aws::queue::QueueError;
use crate::config::UnknownTarget;
use crate::ledger::LedgerError;
use crate::operator::bulk::BulkError;
use crate::operator::ca_registration::CaRegistrationError;
use crate::operator::certificates::{CertificateQueryError, NothingKnown};
use crate::operator::holds::NotHeld;
use crate::operator::pausing::{NotPaused, ScopeError};
use crate::operator::reconcile::InventoryError;
use crate::operator::replays::{NoReplay, PlanError};
use crate::operator::status::UnknownBatch;
use muster_core::advice::Advice;

/// SQLSTATE class of a value that Postgres refuses, such as text with a NUL character.
const DATA_ERROR: &str = "22";

/// What went wrong, as RFC 9457 defines it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Problem {
    /// A name of the kind of problem; `about:blank`: the title says it all.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The kind of problem, for people.
    pub title: &'static str,
    /// The HTTP status code.
    #[serde(serialize_with = "as_number")]
    #[schema(value_type = u16)]
    pub status: StatusCode,
    /// What happened.
    pub detail: String,
    /// What fixes it. Null: nothing in particular.
    pub hint: Option<String>,
    /// After how many seconds to try again. Null: it makes no difference.
    pub retry_after: Option<u64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn as_number<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

impl Problem {
    /// Creates a problem whose title is that of the status code.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("Error");
        Self { kind: "about:blank", title, status, detail: detail.into(), hint: None, retry_after: None }
    }

    /// Adds what fixes it.
    #[must_use]
    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Adds after how many seconds to try again.
    #[must_use]
    pub fn with_retry_after(self, seconds: u64) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    fn of<E: Advice + std::fmt::Display>(status: StatusCode, error: &E) -> Self {
        let hint = error.hint().map(Cow::into_owned);
        Self { hint, ..Self::new(status, error.to_string()) }
    }
}

impl From<anyhow::Error> for Problem {
    fn from(error: anyhow::Error) -> Self {
        use StatusCode as Code;
        if let Some(unknown) = error.downcast_ref::<UnknownBatch>() {
            Self::of(Code::NOT_FOUND, unknown)
        } else if let Some(unknown) = error.downcast_ref::<NothingKnown>() {
            Self::of(Code::NOT_FOUND, unknown)
        } else if let Some(unknown) = error.downcast_ref::<NotHeld>() {
            Self::of(Code::NOT_FOUND, unknown)
        } else if let Some(none) = error.downcast_ref::<NoReplay>() {
            Self::of(if matches!(none, NoReplay::Unknown(_)) { Code::NOT_FOUND } else { Code::CONFLICT }, none)
        } else if let Some(plan) = error.downcast_ref::<PlanError>() {
            Self::of(status_of_plan(plan), plan)
        } else if let Some(bulk) = error.downcast_ref::<BulkError>() {
            Self::of(status_of_bulk(bulk), bulk)
        } else if let Some(conflict) = error.downcast_ref::<NotPaused>() {
            Self::of(Code::CONFLICT, conflict)
        } else if let Some(wrong) = error.downcast_ref::<CertificateQueryError>() {
            Self::of(Code::BAD_REQUEST, wrong)
        } else if let Some(wrong) = error.downcast_ref::<ScopeError>() {
            Self::of(Code::BAD_REQUEST, wrong)
        } else if let Some(wrong) = error.downcast_ref::<UnknownTarget>() {
            Self::of(Code::BAD_REQUEST, wrong)
        } else if let Some(ledger) = error.downcast_ref::<LedgerError>() {
            Self::of_ledger(ledger)
        } else if let Some(advice) = aws_error(&error) {
            let hint = advice.hint().map(Cow::into_owned);
            Self { hint, ..Self::new(Code::BAD_GATEWAY, format!("AWS could not be asked: {error:#}")) }
        } else {
            tracing::error!(error = format!("{error:#}"), "a request failed");
            Self::new(Code::INTERNAL_SERVER_ERROR, "the request failed; the log of the process says why")
        }
    }
}

/// Returns the error if AWS could not be asked.
fn aws_error(error: &anyhow::Error) -> Option<&dyn Advice> {
    let inventory = error.downcast_ref::<InventoryError>().map(|error| error as &dyn Advice);
    let queue = || error.downcast_ref::<QueueError>().map(|error| error as &dyn Advice);
    // To create the client of a target fails with it.
    let target = || error.downcast_ref::<CaRegistrationError>().map(|error| error as &dyn Advice);
    inventory.or_else(queue).or_else(target)
}

fn status_of_plan(error: &PlanError) -> StatusCode {
    match error {
        PlanError::Unknown(_) => StatusCode::NOT_FOUND,
        PlanError::Expired | PlanError::Unconfirmed(_) | PlanError::Nothing => StatusCode::CONFLICT,
        PlanError::NoScope | PlanError::TooManyCertificates | PlanError::Successful => StatusCode::BAD_REQUEST,
    }
}

fn status_of_bulk(error: &BulkError) -> StatusCode {
    match error {
        BulkError::Unknown(_) => StatusCode::NOT_FOUND,
        BulkError::Nothing | BulkError::Expired | BulkError::Unconfirmed(_) | BulkError::NotRunning(_) => {
            StatusCode::CONFLICT
        }
        BulkError::NoScope | BulkError::WrongScope => StatusCode::BAD_REQUEST,
    }
}

impl Problem {
    /// The ledger cannot answer, so nothing is known: never shown as zero.
    fn of_ledger(error: &LedgerError) -> Self {
        if error.class() == DATA_ERROR {
            return Self::new(StatusCode::BAD_REQUEST, "the request contains a text that the ledger cannot contain");
        }
        if matches!(error, LedgerError::TargetChanged { .. }) {
            return Self::of(StatusCode::CONFLICT, error);
        }
        Self { title: "The ledger is unavailable", ..Self::of(StatusCode::SERVICE_UNAVAILABLE, error) }
    }
}

impl From<LedgerError> for Problem {
    fn from(error: LedgerError) -> Self {
        Self::of_ledger(&error)
    }
}

impl From<CertificateQueryError> for Problem {
    fn from(error: CertificateQueryError) -> Self {
        Self::of(StatusCode::BAD_REQUEST, &error)
    }
}

macro_rules! from_rejection {
    ($($rejection:ty),+) => {
        $(impl From<$rejection> for Problem {
            fn from(rejection: $rejection) -> Self {
                Self::new(rejection.status(), rejection.body_text())
            }
        })+
    };
}

from_rejection!(FormRejection, JsonRejection, PathRejection, QueryRejection);

/// The media type of problem details.
const MEDIA_TYPE: &str = "application/problem+json";

impl<'r> ToResponse<'r> for Problem {
    fn response() -> (&'r str, RefOr<utoipa::openapi::Response>) {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
        let response = ResponseBuilder::new().description("The request failed.").content(MEDIA_TYPE, content);
        ("Problem", response.build().into())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let retry_after = self.retry_after;
        let content_type = [(CONTENT_TYPE, MEDIA_TYPE)];
        let mut response = (self.status, content_type, Json(&self)).into_response();
        add_retry_after(&mut response, retry_after);
        // Who reads it may need a page instead: `guard` decides that.
        response.extensions_mut().insert(self);
        response
    }
}

/// Adds the header `Retry-After`.
pub(super) fn add_retry_after(response: &mut Response, seconds: Option<u64>) {
    if let Some(seconds) = seconds {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
}
