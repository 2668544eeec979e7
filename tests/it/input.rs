//! Hostile and broken input, end to end: from the body of a message to its row or its entry in quarantine.

mod bodies;
mod cas;
mod hostile;
mod log;
mod message;
mod names;
mod series;

use std::collections::BTreeMap;

use muster::aws::sdk_error::TEXT_MAX;
use muster_core::job::{Job, Request};
use muster_core::outcome::Code;

use crate::factory::Factory;

/// A message, and its expected outcome.
struct Case {
    name: &'static str,
    body: String,
    expected: Outcome,
}

/// Where a message ends up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Outcome {
    /// In quarantine, with this reason.
    Quarantined(&'static str),
    /// In a row with this code.
    Row(Code),
}

impl Case {
    /// Creates a case whose body is not a job.
    fn no_job(name: &'static str, reason: &'static str, body: impl Into<String>) -> Self {
        Self { name, body: body.into(), expected: Outcome::Quarantined(reason) }
    }

    /// Creates a case whose body is a job. Its name is its `ref`, by which its row is found.
    fn job(name: &'static str, code: Code, request: impl Into<Request>) -> Self {
        let job = Job { reference: Some(name.parse().unwrap()), ..Factory::job_of(request) };
        Self { name, body: job.to_body(), expected: Outcome::Row(code) }
    }
}

/// Sends every message, lets a worker process them, and checks each outcome.
async fn check(factory: &Factory, cases: &[Case]) {
    for case in cases {
        // One at a time: ten messages of maximum size exceed the limit of a batch call.
        factory.send(std::slice::from_ref(&case.body)).await;
    }
    factory.drain().await;
    let rows = rows(factory).await;
    let quarantined = quarantined(factory).await;
    for Case { name, body, expected } in cases {
        let found = match expected {
            Outcome::Row(_) => rows.get(*name).copied().map(Outcome::Row),
            Outcome::Quarantined(_) => {
                quarantined.iter().find(|(kept, _)| kept == body).map(|(_, reason)| Outcome::Quarantined(reason))
            }
        };
        assert_eq!(found, Some(*expected), "{name}");
    }
    assert_eq!(rows.len() + quarantined.len(), cases.len(), "every message has one outcome");
    let n_calls = cases.iter().filter(|case| case.expected == Outcome::Row(Code::Ok)).count();
    assert_eq!(factory.n_calls(), n_calls, "only valid certificates cost a call");
    assert_texts_are_short_and_plain(factory).await;
}

/// Returns the code of each row by its `ref`.
async fn rows(factory: &Factory) -> BTreeMap<String, Code> {
    let rows: Vec<(String, String)> =
        sqlx::query_as("select ref, code from registrations").fetch_all(&factory.database.pool).await.unwrap();
    rows.into_iter().map(|(reference, code)| (reference, code.parse().unwrap())).collect()
}

/// Returns the body and the reason of every quarantined message.
async fn quarantined(factory: &Factory) -> Vec<(String, &'static str)> {
    let kept: Vec<(Vec<u8>, String)> =
        sqlx::query_as("select body, reason from quarantine").fetch_all(&factory.database.pool).await.unwrap();
    let known = |reason: String| muster_core::job::ParseError::CODES.into_iter().find(|code| *code == reason).unwrap();
    kept.into_iter().map(|(body, reason)| (String::from_utf8(body).unwrap(), known(reason))).collect()
}

/// Checks that recorded texts about hostile input are short and have no control characters.
async fn assert_texts_are_short_and_plain(factory: &Factory) {
    let texts: Vec<String> = sqlx::query_scalar(
        "select detail from registrations where detail is not null union all select detail from quarantine",
    )
    .fetch_all(&factory.database.pool)
    .await
    .unwrap();
    for text in texts {
        assert!(text.chars().count() <= 2 * TEXT_MAX && !text.contains(char::is_control), "{text:?}");
    }
}
