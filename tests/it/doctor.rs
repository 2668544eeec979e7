//! `muster doctor`: a healthy setup, and the finding that reports each possible fault.

use std::collections::BTreeSet;

use muster_core::account::Account;

use muster::aws::queue::OutgoingMessage;
use muster::ledger::rate_limit::Quota;
use muster_core::job::Operation;
use muster_core::rate::Rate;
use muster_core::role::Role;
use muster_sandbox::{self, Effect, Fault};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use crate::factory::{Factory, count_only, patient_queue_attributes};

/// Creates a factory with no problems.
async fn healthy() -> Factory {
    Factory::with_queue(count_only(), 1000.0, patient_queue_attributes()).await
}

/// Runs `muster doctor`; returns exit code and findings.
async fn doctor(factory: &Factory, arguments: &[&str]) -> (Option<i32>, Vec<Value>) {
    let (code, stdout, stderr) = factory.spawn(&[&["doctor", "--json"], arguments].concat()).wait().await;
    let findings = serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}{stderr}"));
    (code, findings)
}

/// Returns subject and verdict of each finding of a check.
fn verdicts<'a>(findings: &'a [Value], check: &str) -> Vec<(&'a str, &'a str)> {
    let of_check = findings.iter().filter(|finding| finding["check"] == check);
    of_check.map(|finding| (finding["subject"].as_str().unwrap(), finding["verdict"].as_str().unwrap())).collect()
}

/// Returns the first finding of a check that is not ok: its verdict, what was found, and its fix.
fn finding_not_ok<'a>(findings: &'a [Value], check: &str) -> (&'a str, &'a str, &'a str) {
    let is_it =
        |finding: &&Value| finding["check"] == check && finding["verdict"] != "ok" && finding["fix"] != Value::Null;
    let found = findings.iter().find(is_it).unwrap_or_else(|| panic!("{check} is ok: {findings:#?}"));
    let text = |field: &str| found[field].as_str().unwrap();
    assert_eq!(text("mend"), text("fix"), "the old name stays for one version");
    (text("verdict"), text("found"), text("fix"))
}

/// Returns the checks that found a problem.
fn problems(findings: &[Value]) -> BTreeSet<&str> {
    let problems = findings.iter().filter(|finding| finding["verdict"] == "problem");
    problems.map(|finding| finding["check"].as_str().unwrap()).collect()
}

async fn execute(factory: &Factory, sql: &str) {
    sqlx::query(AssertSqlSafe(sql.to_owned())).execute(&factory.database.pool).await.unwrap();
}

fn refusal(code: &str) -> Effect {
    Effect::Error { status: 403, code: code.to_owned(), message: "no".to_owned(), executed: false }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_setup_passes_every_check_and_is_not_changed() {
    let factory = healthy().await;
    let (code, findings) = doctor(&factory, &[]).await;
    let lines: Vec<_> = findings
        .iter()
        .map(|finding| {
            let text = |field: &str| finding[field].as_str().unwrap();
            (text("check"), text("subject"), text("verdict"))
        })
        .collect();
    let wanted = [
        ("settings", "", "ok"),
        ("identity", "default", "ok"),
        ("target", "default", "ok"),
        ("aws_clock", "", "ok"),
        ("queue", "jobs", "ok"),
        ("dead_letter_queue", "jobs", "ok"),
        ("permission", "sqs:DeleteMessage on jobs", "ok"),
        ("permission", "sqs:ChangeMessageVisibility on jobs", "ok"),
        ("permission", "sqs:ReceiveMessage on jobs", "ok"),
        ("permission", "sqs:SendMessage on jobs", "skipped"),
        ("permission", "iot:RegisterCertificate on default", "ok"),
        ("permission", "iot:GetRegistrationCode on default", "ok"),
        ("quota", "RegisterCertificate of default", "ok"),
        ("quota", "RegisterCertificateWithoutCA of default", "ok"),
        ("quota", "RegisterCACertificate of default", "ok"),
        ("postgres", "", "ok"),
        ("postgres_version", "", "ok"),
        ("postgres_tls", "", "ok"),
        ("postgres_schema", "", "ok"),
        ("postgres_rights", "", "ok"),
        ("postgres_connections", "", "ok"),
        ("postgres_clock", "", "ok"),
        ("admin", "", "ok"),
        ("work", "", "ok"),
        ("holds", "", "ok"),
    ];
    assert_eq!(lines, wanted, "{findings:#?}");
    assert_eq!(code, Some(0));
    assert!(findings.iter().all(|finding| finding["fix"] == Value::Null && finding["mend"] == Value::Null));
    let quota = findings.iter().find(|finding| finding["check"] == "quota").unwrap();
    assert_eq!(quota["found"], "1000/s configured, nothing learnt yet, a million takes 16 min 40 s");

    let called: Vec<String> =
        factory.sandbox.ledger().summaries().keys().map(|operation| format!("{operation:?}")).collect();
    let harmless = [
        "GetCallerIdentity",
        "GetQueueUrl",
        "GetQueueAttributes",
        "DeleteMessageBatch",
        "ReceiveMessage",
        "ChangeMessageVisibilityBatch",
        "RegisterCertificate",
        "GetRegistrationCode",
        // Called by the factory itself.
        "CreateQueue",
    ];
    assert!(called.iter().all(|operation| harmless.contains(&operation.as_str())), "{called:?}");
    assert_eq!((factory.n_calls(), factory.sandbox.ledger().n_certificates()), (1, 0));
    let n_rows: i64 = sqlx::query_scalar(
        "select (select count(*) from registrations) + (select count(*) from targets) + (select count(*) from batches)
            + (select count(*) from rate_limits) + (select count(*) from audit) + (select count(*) from holds)",
    )
    .fetch_one(&factory.database.pool)
    .await
    .unwrap();
    assert_eq!(n_rows, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_text_shows_each_check_and_its_fix() {
    let factory = Factory::new(1000.0).await;
    let (code, text, _) = factory.spawn(&["doctor"]).wait().await;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.starts_with("ok       settings: "), "{text}");
    let warning = "\nwarning  queue: queue `jobs` moves messages to its dead-letter queue after 3 receives: restarts may use \
                   them up\n         fix: set maxReceiveCount to 20 in the queue's RedrivePolicy\n";
    assert!(text.contains(warning), "{text}");
    assert!(text.contains("\nskipped  permission sqs:SendMessage on jobs: not tested: "), "{text}");
    assert!(!text.contains('\u{1b}'));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_queue_is_a_problem_and_everything_else_is_checked() {
    let factory = healthy().await;
    let (code, findings) = doctor(&factory, &["--set", "queue.name=gone"]).await;
    assert_eq!(code, Some(6));
    assert_eq!(problems(&findings), BTreeSet::from(["queue"]));
    let (_, found, fix) = finding_not_ok(&findings, "queue");
    assert!(found.starts_with("GetQueueUrl: ") && fix.contains("check `queue.name`"), "{found} {fix}");
    assert_eq!(verdicts(&findings, "dead_letter_queue"), [("gone", "skipped")]);
    assert_eq!(verdicts(&findings, "permission")[0], ("sqs:DeleteMessage on gone", "skipped"));
    assert_eq!(verdicts(&findings, "permission")[4], ("iot:RegisterCertificate on default", "ok"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_queue_is_checked_like_the_first() {
    let factory = healthy().await;
    let (code, findings) = doctor(&factory, &["--set", "queue.replay=jobs"]).await;
    assert_eq!(code, Some(6));
    assert_eq!(verdicts(&findings, "queue"), [("jobs", "ok"), ("jobs", "ok"), ("", "problem")]);
    assert_eq!(finding_not_ok(&findings, "queue").1, "`queue.replay` is `jobs`, which is the main queue itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_call_is_a_problem_of_its_permission() {
    let factory = healthy().await;
    let faults = factory.sandbox.faults();
    faults
        .set(Fault::new(muster_sandbox::ApiOperation::RegisterCertificate, refusal("AccessDeniedException")))
        .unwrap();
    faults.set(Fault::new(muster_sandbox::ApiOperation::DeleteMessageBatch, refusal("AccessDenied"))).unwrap();
    faults
        .set(Fault::new(muster_sandbox::ApiOperation::UpdateCACertificate, refusal("AccessDeniedException")))
        .unwrap();
    let (code, findings) = doctor(&factory, &["--all-operations"]).await;
    assert_eq!(code, Some(6));
    assert_eq!(
        verdicts(&findings, "permission"),
        [
            ("sqs:DeleteMessage on jobs", "problem"),
            ("sqs:ChangeMessageVisibility on jobs", "ok"),
            ("sqs:ReceiveMessage on jobs", "ok"),
            ("sqs:SendMessage on jobs", "skipped"),
            ("iot:RegisterCertificate on default", "problem"),
            ("iot:RegisterCertificateWithoutCA on default", "ok"),
            ("iot:RegisterCACertificate on default", "ok"),
            ("iot:GetRegistrationCode on default", "ok"),
            ("iot:UpdateCACertificate on default", "warning"),
            ("iot:DescribeCACertificate on default", "ok"),
        ]
    );
    let iot = findings.iter().find(|finding| finding["subject"] == "iot:RegisterCertificate on default").unwrap();
    assert_eq!(iot["found"], "denied: AccessDeniedException: no");
    assert_eq!(iot["fix"], "allow iot:RegisterCertificate in the IAM policy");
    assert_eq!(factory.sandbox.ledger().n_authorities(), 1, "only the factory's own CA is registered");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_is_a_problem_and_a_throttle_a_warning() {
    let factory = healthy().await;
    let faults = factory.sandbox.faults();
    faults
        .set(Fault::new(muster_sandbox::ApiOperation::RegisterCertificate, Effect::Reset { executed: false }))
        .unwrap();
    faults.set(Fault::new(muster_sandbox::ApiOperation::GetRegistrationCode, Effect::Throttle)).unwrap();
    let (code, findings) = doctor(&factory, &[]).await;
    assert_eq!((code, problems(&findings)), (Some(6), BTreeSet::from(["permission"])));
    let (_, found, fix) = finding_not_ok(&findings, "permission");
    assert!(found.starts_with("cannot be reached: transport: ") && fix.starts_with("check the network"), "{found}");
    assert_eq!(verdicts(&findings, "permission")[5], ("iot:GetRegistrationCode on default", "warning"));
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_credentials_are_a_problem() {
    let factory = healthy().await;
    let fault = Fault::new(muster_sandbox::ApiOperation::GetCallerIdentity, refusal("InvalidClientTokenId"));
    factory.sandbox.faults().set(fault).unwrap();
    let (code, findings) = doctor(&factory, &[]).await;
    assert_eq!((code, problems(&findings)), (Some(6), BTreeSet::from(["identity"])));
    let (_, found, fix) = finding_not_ok(&findings, "identity");
    assert!(found.contains("InvalidClientTokenId") && fix.contains("aws sts get-caller-identity"), "{found} {fix}");
    assert_eq!(verdicts(&findings, "target"), [("default", "skipped")]);
    assert_eq!(verdicts(&findings, "aws_clock"), [("", "ok")], "an error response has the time too");
    assert_eq!(verdicts(&findings, "permission")[4], ("iot:RegisterCertificate on default", "skipped"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_target_is_checked_with_its_own_role() {
    let mut factory = healthy().await;
    let arn = "arn:aws:iam::222222222222:role/muster";
    let role = Role { arn: arn.parse().unwrap(), external_id: Some("plant-3".to_owned()) };
    let settings =
        muster_sandbox::SandboxSettings { account: "222222222222".to_owned(), role: Some(role), ..count_only() };
    let second = factory.add_target("second", settings).await;
    let (code, findings) = doctor(&factory, &[]).await;
    assert_eq!(code, Some(0), "{findings:#?}");
    let identity = findings.iter().find(|finding| finding["subject"] == "second").unwrap();
    let found = identity["found"].as_str().unwrap();
    assert!(found.starts_with(&format!("account 222222222222 in us-east-1 as {arn}, answered in ")), "{found}");
    assert_eq!(finding_not_ok(&findings, "queue").0, "warning", "two targets share one queue");

    let other = Role { arn: arn.parse().unwrap(), external_id: Some("another".to_owned()) };
    second.set_role(Some(other));
    let (code, findings) = doctor(&factory, &[]).await;
    assert_eq!((code, problems(&findings)), (Some(6), BTreeSet::from(["identity"])));
    let (_, found, fix) = finding_not_ok(&findings, "identity");
    assert!(found.contains("does not let us assume the role") && fix.contains("external_id"), "{found} {fix}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_changed_its_account_is_a_problem() {
    let factory = healthy().await;
    factory.ledger.claim_target("default", "999999999999", "us-east-1").await.unwrap();
    let (code, findings) = doctor(&factory, &[]).await;
    assert_eq!((code, problems(&findings)), (Some(6), BTreeSet::from(["target"])));
    let (_, found, _) = finding_not_ok(&findings, "target");
    assert!(found.contains("target `default` is account 999999999999 in us-east-1 in the ledger"), "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_postgres_skips_the_checks_that_need_it() {
    let factory = healthy().await;
    let (code, findings) = doctor(&factory, &["--set", "database.url=postgres://nobody:secret@127.0.0.1:1/none"]).await;
    assert_eq!((code, problems(&findings)), (Some(6), BTreeSet::from(["postgres"])));
    let (_, found, fix) = finding_not_ok(&findings, "postgres");
    assert!(found.contains("Connection refused") && fix.contains("check `database.url`"), "{found} {fix}");
    for check in ["target", "quota", "postgres_tls", "postgres_schema", "postgres_rights", "work", "holds"] {
        assert!(verdicts(&findings, check).iter().all(|(_, verdict)| *verdict == "skipped"), "{check}: {findings:#?}");
    }
    assert_eq!(
        (verdicts(&findings, "queue"), verdicts(&findings, "identity")),
        (vec![("jobs", "ok")], vec![("default", "ok")])
    );
    assert!(!format!("{findings:?}").contains("secret"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_database_user_is_a_problem() {
    let factory = healthy().await;
    let (_, host) = factory.database.url.rsplit_once('@').unwrap();
    let url = format!("database.url=postgres://nobody_there:wrong@{host}");
    let (code, findings) = doctor(&factory, &["--set", &url]).await;
    assert_eq!((code, problems(&findings)), (Some(6), BTreeSet::from(["postgres"])));
    assert!(finding_not_ok(&findings, "postgres").2.contains("check `database.url`"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_schema_is_a_problem() {
    let factory = healthy().await;
    execute(&factory, "delete from _sqlx_migrations where version > 3").await;
    let (code, findings) = doctor(&factory, &[]).await;
    assert_eq!((code, problems(&findings)), (Some(6), BTreeSet::from(["postgres_schema"])));
    let (_, found, fix) = finding_not_ok(&findings, "postgres_schema");
    assert!(found.contains("version 3 found") && fix == "run `muster migrate`", "{found} {fix}");
    assert_eq!(verdicts(&findings, "holds"), [("", "skipped")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_without_write_permission_is_a_problem() {
    let factory = healthy().await;
    let name: String = sqlx::query_scalar("select current_database()").fetch_one(&factory.database.pool).await.unwrap();
    let role = format!("reader_of_{name}");
    for sql in [
        format!("create role {role} login password 'reader'"),
        format!("grant select on all tables in schema public to {role}"),
        format!("grant insert, update, delete on holds to {role}"),
    ] {
        execute(&factory, &sql).await;
    }
    let (_, host) = factory.database.url.rsplit_once('@').unwrap();
    let url = format!("database.url=postgres://{role}:reader@{host}");
    let (code, findings) = doctor(&factory, &["--set", &url]).await;
    assert_eq!((code, problems(&findings)), (Some(6), BTreeSet::from(["postgres_rights"])), "{findings:#?}");
    let (_, found, fix) = finding_not_ok(&findings, "postgres_rights");
    assert!(
        found.starts_with("no permission to write registrations, batches, ") && !found.contains("holds"),
        "{found}"
    );
    assert!(fix.starts_with("grant select, insert, update, delete on registrations, "), "{fix}");
    execute(&factory, &format!("drop owned by {role}")).await;
    execute(&factory, &format!("drop role {role}")).await;

    execute(&factory, &format!("alter database {name} set default_transaction_read_only = on")).await;
    let (code, findings) = doctor(&factory, &[]).await;
    assert_eq!((code, problems(&findings)), (Some(6), BTreeSet::from(["postgres_rights"])));
    assert!(finding_not_ok(&findings, "postgres_rights").1.contains("does not accept writes"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_cut_by_throttles_is_a_warning() {
    let factory = healthy().await;
    let muster_sandbox::SandboxSettings { account: id, region, .. } = muster_sandbox::SandboxSettings::default();
    factory.ledger.claim_target("default", &id, &region).await.unwrap();
    let quota = Quota { account: Account { id, region }, operation: Operation::RegisterCertificate };
    factory.ledger.open_quota(&quota, Rate::new(1000.0).unwrap()).await.unwrap();
    for _ in 0..3 {
        let lease = factory.ledger.lease(&quota, 1).await.unwrap();
        factory.ledger.cut_rate(&quota, lease.granted_at, true).await.unwrap().unwrap();
    }
    let (code, findings) = doctor(&factory, &[]).await;
    assert_eq!(code, Some(0), "a warning is not a problem");
    let (verdict, found, fix) = finding_not_ok(&findings, "quota");
    assert_eq!(verdict, "warning");
    assert!(found.starts_with("1000/s configured, 729/s learnt of 1000/s, a million takes 22 min "), "{found}");
    assert!(fix.contains("`targets.default.rates.register_certificate`"), "{fix}");
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_dead_and_held_jobs_are_warnings() {
    let factory = healthy().await;
    factory.enqueue(&factory.leaves(2)).await;
    let arn = factory.queue.attributes().await.unwrap().dead_letter_arn.unwrap();
    let dead = factory.queue.dead_letter_queue(&arn).await.unwrap();
    dead.send(&[OutgoingMessage { body: "dead".to_owned(), group: None }]).await.unwrap();
    execute(
        &factory,
        "insert into holds (hold, reason, is_closed, probe_every, probe_at)
        values ('batch:a', 'fails', true, interval '1 minute', now()), ('pause:all', 'paused', true, interval '1 minute', now()),
            ('busy:default:RegisterCertificate', 'busy', false, interval '1 minute', now())",
    )
    .await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!("admin.listen={}", taken.local_addr().unwrap());
    let (code, findings) = doctor(&factory, &["--set", &listen]).await;
    assert_eq!(code, Some(0));
    for (check, wanted, fix) in [
        ("dead_letter_queue", "contains messages (about 1)", "muster dead list"),
        ("work", "no worker is running, and the queue holds 2 messages", "muster serve"),
        ("holds", "jobs are held: 1 of kind batch, 1 of kind pause", "muster holds"),
        ("admin", " is in use", "another address"),
    ] {
        let (verdict, found, found_fix) = finding_not_ok(&findings, check);
        assert_eq!(verdict, "warning", "{check}");
        assert!(found.ends_with(wanted) && found_fix.contains(fix), "{check}: {found} {found_fix}");
    }

    factory.drain().await;
    let (_, findings) = doctor(&factory, &[]).await;
    assert_eq!(verdicts(&findings, "work"), [("", "ok")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn conflicting_settings_are_reported() {
    let factory = healthy().await;
    let arguments = ["--set", "queue.wait=30s", "--set", "worker.drain_deadline=1s"];
    let (code, findings) = doctor(&factory, &arguments).await;
    assert_eq!(code, Some(6));
    assert_eq!(verdicts(&findings, "settings"), [("", "ok"), ("", "problem"), ("", "warning")]);
    assert_eq!(finding_not_ok(&findings, "settings").2, json!("set `queue.wait` to 20s or less"));
}
