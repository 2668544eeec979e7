//! The ops page: server-rendered HTML over the same functions as the API and the commands.
//!
//! Everything works without a script; `assets/live.js` only refreshes what is marked with `data-live` and shows times
//! in the reader's time zone. Templates escape every text. Changes are forms that POST and redirect.

mod assets;
mod audit;
mod batch;
mod batches;
mod cas;
mod certificate;
mod chart;
mod failures;
mod frame;
mod holds;
mod messages;
mod overview;
mod parts;
mod replays;

use axum::Router;
use axum::routing::{get, post};

use super::site::Site;

pub(super) use frame::{document, problem_page};
pub(super) use parts::address;

/// Returns the routes of the page.
pub fn routes() -> Router<Site> {
    Router::new()
        .route("/", get(overview::show))
        .route("/batches", get(batches::list))
        .route("/batches/{batch}", get(batch::show))
        .route("/batches/{batch}/failures", get(batch::failures))
        .route("/batches/{batch}/failures.csv", get(batch::failures_csv))
        .route("/failures", get(failures::list))
        .route("/search", get(certificate::search_form).post(certificate::search))
        .route("/certificates/{certificate}", get(certificate::show))
        .route("/certificates/{certificate}/describe", post(certificate::ask_aws))
        .route("/holds", get(holds::list))
        .route("/cas", get(cas::list))
        .route("/holds/release", post(holds::release))
        .route("/pause", post(holds::pause))
        .route("/resume", post(holds::resume))
        .route("/replays", get(replays::list).post(replays::start))
        .route("/replays/plans", post(replays::plan))
        .route("/replays/plans/{plan}", get(replays::confirm))
        .route("/replays/{number}", get(replays::show))
        .route("/replays/{number}/cancel", post(replays::cancel))
        .route("/dead-letters", get(messages::dead_letters).post(messages::list_dead_letters))
        .route("/quarantine", get(messages::quarantine))
        .route("/changes", get(messages::changes).post(messages::start))
        .route("/changes/plans", post(messages::plan))
        .route("/changes/plans/{plan}", get(messages::confirm))
        .route("/changes/{change}", get(messages::change))
        .route("/changes/{change}/cancel", post(messages::cancel))
        .route("/audit", get(audit::list))
        .route("/assets/style.css", get(assets::style))
        .route("/assets/live.js", get(assets::script))
}
