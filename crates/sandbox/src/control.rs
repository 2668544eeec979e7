//! The control API under `/_sandbox/`: reads the call log, plants certificates and CAs, sets rates and faults.
//!
//! JSON over HTTP regardless of the content type; described in docs/sandbox.md. Its requests are not AWS calls: they
//! have no quota and no faults, and are not logged.

mod error;
mod plant;
mod trouble;
mod view;

use std::sync::Arc;

use axum::Router;
use axum::routing::{delete, get, post, put};

use super::SandboxState;

/// The path prefix of the control API.
pub(super) const PREFIX: &str = "/_sandbox/";

/// Returns the routes of the control API.
pub(super) fn router(state: &Arc<SandboxState>) -> Router {
    Router::new()
        .route("/_sandbox/ledger", get(view::ledger))
        .route("/_sandbox/calls", get(view::calls))
        .route("/_sandbox/certificates", get(view::certificates).post(plant::plant_certificate))
        .route("/_sandbox/cas", post(plant::plant_ca))
        .route("/_sandbox/cas/{id}", put(plant::change_ca))
        .route("/_sandbox/templates/{name}", put(plant::add_template))
        .route("/_sandbox/queues", get(view::queues))
        .route("/_sandbox/queues/{name}/deleted", get(view::deleted))
        .route("/_sandbox/rates/{operation}", put(trouble::set_rate))
        .route("/_sandbox/faults", get(trouble::faults).post(trouble::set_fault).delete(trouble::clear_faults))
        .route("/_sandbox/faults/{id}", delete(trouble::clear_fault))
        .route("/_sandbox/sessions", delete(trouble::expire_sessions))
        .with_state(Arc::clone(state))
}
