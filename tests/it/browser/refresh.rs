//! The page keeps itself current, without disturbing its reader.

use muster_core::certificate::Certificate;
use muster_core::hold::HoldKey;
use muster_core::outcome::Code;
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::chromium::{Browser, ZONE};
use super::stage::{OPERATOR, Stage, VIEWER};
use crate::factory::BATCH;
use crate::ledger::{record, row};

/// Makes the clock of the page fifty times as fast, and counts how often it wakes up and what it fetches.
const FAST: &str = "{
        const { setTimeout, fetch } = window;
        Object.assign(window, {
            n_wakings: 0,
            n_fetches: 0,
            setTimeout: (action, ms) => setTimeout(() => { window.n_wakings += 1; action(); }, ms / 50),
            fetch: (...request) => { window.n_fetches += 1; return fetch(...request); },
        });
    }";

impl Browser {
    /// Makes the pages opened from now on refresh fifty times as often.
    async fn hurry(&self) {
        self.devtools("Page.addScriptToEvaluateOnNewDocument", json!({ "source": FAST })).await;
    }

    async fn count(&self, what: &str) -> u64 {
        self.script(&format!("return window.{what}")).await.as_u64().unwrap()
    }

    /// Waits until the page has woken up three more times; returns how often it fetched meanwhile.
    async fn fetches_in_three_wakings(&self) -> u64 {
        let (wakings, fetches) = (self.count("n_wakings").await, self.count("n_fetches").await);
        self.until(&format!("window.n_wakings >= {}", wakings + 3)).await;
        self.count("n_fetches").await - fetches
    }
}

async fn open(token: &str, path: &str) -> Option<Stage> {
    let stage = Stage::open_as(token).await?;
    record(&stage.factory.ledger, vec![row(1, Code::Ok), row(2, Code::Timeout)]).await;
    stage.browser.hurry().await;
    stage.visit(path).await;
    Some(stage)
}

#[tokio::test(flavor = "multi_thread")]
async fn it_pauses_when_the_reader_says_so() {
    let Some(stage) = open(VIEWER, "/failures").await else { return };
    let browser = &stage.browser;
    browser.until("window.n_fetches >= 2").await;
    browser.press("Pause refresh").await;
    assert_eq!(browser.fetches_in_three_wakings().await, 0);
    record(&stage.factory.ledger, vec![row(3, Code::ServerError)]).await;
    browser.press("Resume refresh").await;
    browser.sees("server_error").await;
    stage.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_pauses_while_the_page_is_hidden() {
    let Some(stage) = open(VIEWER, "/failures").await else { return };
    let browser = &stage.browser;
    browser.until("window.n_fetches >= 2").await;
    browser.minimize(true).await;
    browser.until("document.hidden").await;
    assert_eq!(browser.fetches_in_three_wakings().await, 0);
    record(&stage.factory.ledger, vec![row(3, Code::ServerError)]).await;
    browser.minimize(false).await;
    browser.sees("server_error").await;
    stage.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_cannot_be_refreshed_says_that_it_is_old() {
    const NOTICE: &str = "document.querySelector('#stale').checkVisibility()";
    let Some(mut stage) = open(VIEWER, "/failures").await else { return };
    stage.browser.until(&format!("window.n_fetches >= 2 && !{NOTICE}")).await;
    stage.stop_page().await;
    stage.browser.until(NOTICE).await;
    stage.browser.sees("timeout").await;
    stage.restart_page().await;
    stage.browser.until(&format!("!{NOTICE}")).await;
    stage.finish(&["net::ERR_"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_ended_leads_to_the_login_and_back() {
    let Some(stage) = open(VIEWER, "/failures").await else { return };
    sqlx::query("delete from sessions").execute(&stage.factory.database.pool).await.unwrap();
    stage.log_in(OPERATOR).await;
    stage.browser.arrives("Failures").await;
    stage.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_reader_typed_opened_and_focused_stays() {
    let Some(stage) = open(OPERATOR, "/").await else { return };
    let browser = &stage.browser;
    browser.fill("#q", "SN-0").await;
    browser.click_on("#chart summary").await;
    browser.fill("#reason", "line 7").await;
    browser.script("document.querySelector('#reason').setSelectionRange(2, 4)").await;
    let fetches = browser.count("n_fetches").await;
    stage.factory.ledger.pause(&HoldKey::batch(&BATCH.parse().unwrap()), "paused by ben: x", "ben").await.unwrap();
    browser.sees("paused by ben: x").await;
    browser.until(&format!("window.n_fetches >= {}", fetches + 2)).await;
    let state = "const reason = document.querySelector('#reason');
        return [document.querySelector('#q').value, reason.value, reason.selectionStart,
            document.activeElement === reason, document.querySelector('#chart details').open]";
    assert_eq!(browser.script(state).await, json!(["SN-0", "line 7", 2, true, true]));
    stage.finish(&[]).await;
}

/// A button keeps the focus, and never becomes the button of another row while the reader is about to press it.
#[tokio::test(flavor = "multi_thread")]
async fn a_focused_button_stays_that_of_its_row() {
    let Some(stage) = open(OPERATOR, &format!("/batches/{BATCH}")).await else { return };
    let browser = &stage.browser;
    let code = "document.activeElement.form?.code?.value";
    browser.script("document.querySelector('#failures button').focus()").await;
    record(&stage.factory.ledger, (10..20).map(|n| row(n, Code::ServerError)).collect()).await;
    browser.until("document.querySelector('#failures tbody a').textContent === 'server_error'").await;
    assert_eq!(browser.script(&format!("return {code}")).await, "timeout");
    stage.finish(&[]).await;
}

/// Sections appear when there is something to show, and disappear.
#[tokio::test(flavor = "multi_thread")]
async fn parked_jobs_come_and_go() {
    let Some(stage) = open(VIEWER, &format!("/batches/{BATCH}")).await else { return };
    let is_shown = "!!document.querySelector('#parked h2')";
    stage.browser.until(&format!("window.n_fetches >= 1 && !{is_shown}")).await;
    record(&stage.factory.ledger, vec![row(5, Code::BatchFailing)]).await;
    stage.browser.until(is_shown).await;
    record(&stage.factory.ledger, vec![row(5, Code::Ok)]).await;
    stage.browser.until(&format!("!{is_shown}")).await;
    stage.finish(&[]).await;
}

/// What AWS answered belongs to the moment of the question: a refresh would show the page without it.
#[tokio::test(flavor = "multi_thread")]
async fn the_answer_of_aws_stays() {
    let Some(stage) = open(VIEWER, "/").await else { return };
    let Stage { factory, browser, .. } = &stage;
    let pems = factory.leaves(1);
    factory.enqueue(&pems).await;
    factory.drain().await;
    let id = Certificate::from_pem(&pems[0]).unwrap().id();
    stage.visit(&format!("/certificates/{id}")).await;
    browser.press("Ask AWS what it knows now").await;
    browser.sees("At AWS now").await;
    browser.sees("ACTIVE, registered").await;
    assert_eq!(browser.script("return document.querySelector('#refresh').checkVisibility()").await, false);
    assert_eq!(browser.count("n_wakings").await, 0);
    stage.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn times_are_local_with_utc_in_the_title() {
    let Some(stage) = open(VIEWER, &format!("/batches/{BATCH}")).await else { return };
    let browser = &stage.browser;
    browser.until("window.n_fetches >= 2").await;
    let times =
        "return [...document.querySelectorAll('time')].map(time => [time.dateTime, time.textContent, time.title])";
    let times: Vec<[String; 3]> = serde_json::from_value(browser.script(times).await).unwrap();
    assert!(times.len() >= 3, "{times:?}");
    for [machine, shown, title] in times {
        let at = OffsetDateTime::parse(&machine, &Rfc3339).unwrap();
        let (local, utc) = (at.to_offset(ZONE.1), at.to_offset(time::UtcOffset::UTC));
        assert!(shown.contains(&format!(":{:02}:{:02}", local.minute(), local.second())), "{machine}: {shown}");
        assert!(title.contains(&format!("{:02}:{:02}:{:02} UTC", utc.hour(), utc.minute(), utc.second())), "{title}");
    }
    stage.finish(&[]).await;
}
