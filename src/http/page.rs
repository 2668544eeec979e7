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

use super::guard::Routes;
use super::site::Site;

/// Returns the routes of the page.
pub fn routes() -> Routes<Site> {
    Routes::new()
        .get("/", overview::show)
        .get("/batches", batches::list)
        .get("/batches/{batch}", batch::show)
        .get("/batches/{batch}/failures", batch::failures)
        .get("/batches/{batch}/failures.csv", batch::failures_csv)
        .get("/failures", failures::list)
        .get("/search", certificate::search_form)
        .post("/search", certificate::search)
        .get("/certificates/{certificate}", certificate::show)
        .post("/certificates/{certificate}/describe", certificate::ask_aws)
        .get("/holds", holds::list)
        .post("/holds/release", holds::release)
        .get("/cas", cas::list)
        .post("/pause", holds::pause)
        .post("/resume", holds::resume)
        .get("/replays", replays::list)
        .post("/replays", replays::start)
        .post("/replays/plans", replays::plan)
        .get("/replays/plans/{plan}", replays::confirm)
        .get("/replays/{number}", replays::show)
        .post("/replays/{number}/cancel", replays::cancel)
        .get("/dead-letters", messages::dead_letters)
        .post("/dead-letters", messages::list_dead_letters)
        .get("/quarantine", messages::quarantine)
        .get("/changes", messages::changes)
        .post("/changes", messages::start)
        .post("/changes/plans", messages::plan)
        .get("/changes/plans/{plan}", messages::confirm)
        .get("/changes/{change}", messages::change)
        .post("/changes/{change}/cancel", messages::cancel)
        .get("/audit", audit::list)
        .get("/assets/style.css", assets::style)
        .get("/assets/live.js", assets::script)
}
