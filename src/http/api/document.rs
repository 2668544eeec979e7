//! What the `OpenAPI` document says about all operations: roles, problems and names, each declared once.

use utoipa::OpenApi;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{OpenApi as Document, Ref, RefOr};

use crate::http::problem::Problem;
use crate::ledger::batch::BatchState;
use crate::operator::export::ExportFormat;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Muster",
        description = "Registers device certificates with AWS IoT Core in bulk. Every endpoint needs a token with the role \
                       viewer; those that change something need the role operator.",
    ),
    // The last two occur only in parameters, for which the macro adds no schema.
    components(schemas(Problem, BatchState, ExportFormat), responses(Problem))
)]
struct Api;

/// Returns the document without operations.
pub(super) fn beginning() -> Document {
    let mut document = Api::openapi();
    let components = document.components.get_or_insert_default();
    for (role, allows) in [("viewer", "may read"), ("operator", "may read and change")] {
        let description = format!("A token of `http.tokens_file` whose role is {role}: it {allows}.");
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(description)).build();
        components.add_security_scheme(role, SecurityScheme::Http(bearer));
    }
    document
}

/// Completes the operations of the document.
pub(super) fn complete(document: &mut Document) {
    for item in document.paths.paths.values_mut() {
        for operation in [&mut item.get, &mut item.post].into_iter().flatten() {
            qualify(operation);
            declare_problem(operation);
        }
    }
}

/// Makes the id of an operation unique: handlers of several tags have the same name.
fn qualify(operation: &mut Operation) {
    let tag = operation.tags.iter().flatten().next();
    if let (Some(tag), Some(id)) = (tag, &operation.operation_id) {
        operation.operation_id = Some(format!("{tag}_{id}"));
    }
}

/// Declares the answer to whatever fails. The macro would declare a problem as `application/json`.
fn declare_problem(operation: &mut Operation) {
    let problem = RefOr::Ref(Ref::from_response_name("Problem"));
    operation.responses.responses.insert("default".to_owned(), problem);
}
