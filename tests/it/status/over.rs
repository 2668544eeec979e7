//! `--wait`, `--check` and `--watch`: for scripts that go on when a batch is over and in order, and for who looks on.

use std::process::Command;

use muster::outcome::Code;
use muster::specimen::Flaw;

use super::missing::{quiet_for, seven_of_eight};
use super::{send, status};
use crate::factory::{BATCH, Factory};
use crate::ledger::{record, row};

#[tokio::test(flavor = "multi_thread")]
async fn waiting_begins_before_the_first_end_and_ends_with_the_last() {
    let factory = Factory::new(1000.0).await;
    let waits = factory.spawn(&["status", BATCH, "--wait"]);
    let pems = factory.leaves(6);
    send(&factory, &pems[..3], 6).await;
    factory.drain().await;
    send(&factory, &pems[3..], 6).await;
    factory.drain().await;
    let (code, text, said) = waits.end().await;
    assert_eq!(code, Some(0), "{said}");
    assert!(text.starts_with("batch batch: complete, 6 ended of 6 announced\n"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_meanwhile_is_in_the_exit_code_of_waiting() {
    let factory = Factory::new(1000.0).await;
    send(&factory, &[factory.ca.leaf("good"), factory.ca.flawed(Flaw::Expired, "late")], 2).await;
    factory.drain().await;
    assert_eq!(status(&factory, &[BATCH, "--wait"]).await.0, Some(3));
    let (code, _, said) = status(&factory, &[BATCH, "--wait", "--check"]).await;
    assert_eq!(code, Some(6));
    assert!(
        said.starts_with("problem: 1 ended as expired, for example SN-1: the certificate expired at 2019"),
        "{said}"
    );
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_ends_when_what_has_no_end_is_missing() {
    let factory = seven_of_eight().await;
    quiet_for(&factory.database, "1 minute").await;
    let mut waits = factory.spawn(&["status", BATCH, "--wait", "--check"]);
    // The connection shows that it looks; it must not find the batch to be over.
    let look = "select count(*) from pg_stat_activity where datname = current_database() and query like '-- batch_%'";
    factory
        .until("the program looks", async |f| {
            sqlx::query_scalar::<_, i64>(look).fetch_one(&f.database.pool).await.unwrap() > 0
        })
        .await;
    assert!(waits.0.try_wait().unwrap().is_none());
    quiet_for(&factory.database, "2 minutes").await;
    let (code, text, said) = waits.end().await;
    let missing = "1 missing: announced, without an end, and the queues have been empty for 2m";
    assert_eq!(code, Some(6), "{said}");
    assert!(said.contains(&format!("problem: {missing}")), "{said}");
    assert!(text.starts_with(&format!("batch batch: 7 ended of 8 announced, {missing}")), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_unknown_size_or_name_is_over_when_nothing_more_comes() {
    let factory = Factory::new(1000.0).await;
    factory.enqueue(&factory.leaves(2)).await;
    factory.drain().await;
    quiet_for(&factory.database, "3 minutes").await;
    assert_eq!(status(&factory, &[BATCH, "--wait"]).await.0, Some(0));
    let (code, _, said) = status(&factory, &["batsch", "--wait"]).await;
    assert_eq!(code, Some(1));
    assert!(said.contains("hint: did you mean batch?"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_is_interrupted_in_order() {
    let factory = seven_of_eight().await;
    let mut program = factory.spawn(&["status", BATCH, "--wait"]);
    let look = "select count(*) from pg_stat_activity where datname = current_database() and query like '-- batch_%'";
    factory
        .until("the program looks", async |f| {
            sqlx::query_scalar::<_, i64>(look).fetch_one(&f.database.pool).await.unwrap() > 0
        })
        .await;
    assert!(program.0.try_wait().unwrap().is_none());
    program.signal("INT");
    assert_eq!(program.end().await.0, Some(130));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_wrong_with_a_batch_that_is_complete_and_good() {
    let factory = Factory::new(1000.0).await;
    send(&factory, &factory.leaves(2), 2).await;
    factory.drain().await;
    let (code, text, said) = status(&factory, &[BATCH, "--check"]).await;
    let sentence = "nothing is wrong with batch batch: complete, 2 ended of 2 announced\n";
    assert_eq!((code, said.as_str()), (Some(0), sentence));
    assert!(text.starts_with("batch batch: complete"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_is_wrong_with_a_batch_has_a_line() {
    let factory = Factory::new(1000.0).await;
    let mut differs = row(1, Code::Exists);
    differs.end.known_status = None;
    let bad = [row(2, Code::Expired), row(3, Code::Expired), row(4, Code::Deleted), row(5, Code::Paused)];
    record(&factory.store, [vec![differs, row(6, Code::Ok)], bad.into()].concat()).await;
    sqlx::query("update batches set announced = 9").execute(&factory.database.pool).await.unwrap();
    let (code, _, said) = status(&factory, &[BATCH, "--check"]).await;
    let wanted = "problem: 3 outstanding: announced, without an end
problem: 2 ended as expired, for example SN-2: detail
problem: 1 ended as deleted, for example SN-4: detail
problem: 1 parked as paused, for example SN-5: detail
problem: 1 at AWS with another or an unknown status than was asked for
";
    assert_eq!((code, said.as_str()), (Some(6), wanted));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_watched_until_it_is_complete() {
    let factory = Factory::new(1000.0).await;
    let pems = factory.leaves(4);
    send(&factory, &pems[..2], 4).await;
    factory.drain().await;
    let mut program = factory.spawn(&["status", "--watch=100ms", BATCH]);
    let mut out = tokio::io::BufReader::new(program.0.stdout.take().unwrap());
    let mut text = String::new();
    tokio::io::AsyncBufReadExt::read_line(&mut out, &mut text).await.unwrap();
    assert_eq!(text, "batch batch: 2 ended of 4 announced, 2 outstanding\n");
    send(&factory, &pems[2..], 4).await;
    factory.drain().await;
    tokio::io::AsyncReadExt::read_to_string(&mut out, &mut text).await.unwrap();
    assert!(text.ends_with("\nbatch batch: complete, 4 ended of 4 announced\n"), "{text}");
    assert_eq!(program.end().await.0, Some(0));
}

/// A pseudo-terminal by `script`, where the machine has it.
#[tokio::test(flavor = "multi_thread")]
async fn on_a_terminal_a_batch_is_shown_in_place() {
    if Command::new("script").arg("--version").output().is_err() {
        return;
    }
    let factory = Factory::new(1000.0).await;
    send(&factory, &factory.leaves(2), 2).await;
    factory.drain().await;
    let program = factory.command(&["status", "--watch", BATCH]);
    let words: Vec<_> = std::iter::once(program.as_std().get_program())
        .chain(program.as_std().get_args())
        .map(|word| format!("'{}'", word.to_str().unwrap()))
        .collect();
    let mut script = tokio::process::Command::new("script");
    script.args(["-qec", &words.join(" "), "/dev/null"]).stdin(std::process::Stdio::null());
    let output = script.output().await.unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(shown.contains("\u{1b}[H\u{1b}[2Jbatch batch: complete, 2 ended of 2 announced"), "{shown:?}");
    assert!(shown.contains("2  registered"), "{shown:?}");
    assert!(output.status.success());
}
