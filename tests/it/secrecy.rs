//! No secret and no PEM body leaves the program: not through logs, metrics, pages, errors or panics. No private key
//! enters the ledger.

use std::net::SocketAddr;

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE};
use muster::aws::queue::{OutgoingMessage, ReceivedMessage};
use muster::config::DatabaseConfig;
use muster::engine::recorder::NotAJob;
use muster::ledger::Quarantined;
use muster::ledger::row::RowOutcome;
use muster_core::job::{Job, RegisterCertificate};
use muster_core::outcome::Code;
use muster_core::precheck::{Policy, Precheck};
use muster_sandbox::specimen::Flaw;
use muster_sandbox::{ApiOperation, Effect, Fault};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;
use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgPool};
use time::OffsetDateTime;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::ChildStderr;
use tokio::time::Instant;

use crate::factory::{BATCH, Factory, Program};
use crate::program::get;

const PRIVATE_KEY: &str = "CanaryOfThePrivateKeyCanaryOfThePrivateKey";
const PASSWORD: &str = "CanaryOfThePassword";
const AWS_SECRET: &str = "CanaryOfTheAwsSecretCanaryOfTheAwsSecret";
const AWS_TOKEN: &str = "CanaryOfTheSessionToken";
const BEARER: &str = "CanaryOfTheBearerToken";

/// What no output may contain.
const SECRETS: [&str; 5] = [PRIVATE_KEY, PASSWORD, AWS_SECRET, AWS_TOKEN, BEARER];

fn private_key(label: &str) -> String {
    format!("-----BEGIN {label}-----\n{PRIVATE_KEY}\n-----END {label}-----\n")
}

/// Returns a line from the middle of a PEM text.
fn middle(pem: &str) -> &str {
    pem.lines().nth(3).unwrap()
}

/// Returns the private key as it looks in JSON if every character is escaped.
fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |escaped, byte| escaped + &format!("\\u{byte:04x}"))
}

/// Returns how the private key can look inside base64, which depends on the number of bytes before it.
fn in_base64() -> Vec<String> {
    let encoded = |n_before: usize| BASE64_STANDARD.encode("x".repeat(n_before) + PRIVATE_KEY);
    // The first and last digits depend on the surrounding bytes.
    (0..3).map(encoded).map(|text| text[4..text.len() - 4].to_owned()).collect()
}

/// Encodes a DER element.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    [&[tag, u8::try_from(content.len()).unwrap()], content].concat()
}

/// Returns the private key in DER: PKCS #8, SEC 1, PKCS #1 and encrypted PKCS #8.
fn in_der() -> [Vec<u8>; 4] {
    let number = |bytes: &[u8]| element(0x02, bytes);
    let (secret, secret_number) = (element(0x04, PRIVATE_KEY.as_bytes()), number(PRIVATE_KEY.as_bytes()));
    let ed25519 = element(0x30, &element(0x06, &[0x2b, 0x65, 0x70]));
    let pbes2 = element(0x30, &element(0x06, &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0d]));
    [
        element(0x30, &[number(&[0]), ed25519, element(0x04, &secret)].concat()),
        element(0x30, &[number(&[1]), secret.clone()].concat()),
        element(0x30, &[number(&[0]), secret_number.clone(), number(&[3]), secret_number].concat()),
        element(0x30, &[pbes2, secret].concat()),
    ]
}

/// Asserts that an output contains no secret and no line of these PEM texts.
fn assert_no_secret(what: &str, output: &str, pems: &[String]) {
    let hidden = [vec![escaped(PRIVATE_KEY), hex::encode(PRIVATE_KEY)], in_base64()].concat();
    let secrets = SECRETS.into_iter().chain(hidden.iter().map(String::as_str));
    for canary in secrets.chain(pems.iter().map(|pem| middle(pem))) {
        assert!(!output.contains(canary), "{what} holds {canary}:\n{output}");
    }
}

/// Returns the program with secrets in its settings and its environment, at the most verbose log level.
fn command(factory: &Factory, arguments: &[&str]) -> tokio::process::Command {
    let mut command = factory.command(arguments);
    command
        .env("AWS_SECRET_ACCESS_KEY", AWS_SECRET)
        .env("AWS_SESSION_TOKEN", AWS_TOKEN)
        .env("MUSTER__LOG__FILTER", "trace")
        .env("MUSTER__DATABASE__TIMEOUT", "2s")
        .env("MUSTER__BREAKERS__TARGET_PROBE", "100ms")
        .env("RUST_BACKTRACE", "1");
    command
}

/// Runs the program until it exits, and checks what it printed.
async fn run(factory: &Factory, arguments: &[&str], pems: &[String]) -> (Option<i32>, String) {
    let (code, stdout, stderr) = Program(command(factory, arguments).spawn().unwrap()).wait().await;
    let output = stdout + &stderr;
    assert_no_secret(&format!("{arguments:?}"), &output, pems);
    (code, output)
}

/// Creates a factory whose database has a password.
async fn factory() -> Factory {
    let mut factory = Factory::new(1000.0).await;
    let options: PgConnectOptions = factory.database.url.parse().unwrap();
    factory.database.url = options.password(PASSWORD).to_url_lossy().to_string();
    assert!(factory.database.url.contains(PASSWORD));
    factory
}

/// Every way in which a secret can arrive in a message.
fn hostile_bodies(factory: &Factory) -> Vec<String> {
    let key = private_key("PRIVATE KEY");
    let leaf = || factory.ca.leaf("device");
    let job = |certificate_pem, ca| {
        let request = RegisterCertificate { certificate_pem, ca_certificate_pem: ca, ..RegisterCertificate::default() };
        Factory::job_of(request).to_body()
    };
    let request = |request| json!({ "version": 1, "operation": "RegisterCertificate", "request": request });
    let percent_encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let in_der = in_der().into_iter().flat_map(|der| {
        let encoded = [BASE64_STANDARD.encode(&der), BASE64_URL_SAFE.encode(&der), hex::encode(&der)];
        let encoded = encoded.into_iter().chain([percent_encoded(&BASE64_STANDARD.encode(&der))]);
        encoded.flat_map(|key| {
            let leaf_and_key = leaf() + &key;
            [job(key.clone(), None), job(leaf_and_key, None), json!({ "version": 2, "key": &key }).to_string(), key]
        })
    });
    let others = vec![
        percent_encoded(&key),
        job("long ".repeat(10_000) + &hex::encode(&key), None),
        percent_encoded(&job(leaf() + &key, None)),
        job(percent_encoded(&(leaf() + &key)), None),
        hex::encode(job(leaf() + &key, None)),
        json!({ "version": 2, "jwk": { "kty": "EC", "d": PRIVATE_KEY } }).to_string(),
        json!({ "Message": json!({ "d": PRIVATE_KEY, "kty": "OKP" }).to_string() }).to_string(),
        job(json!({ "kty": "EC", "d": PRIVATE_KEY }).to_string(), None),
        job(leaf() + &key, None),
        job(leaf(), Some(factory.ca.pem() + &private_key("EC PRIVATE KEY"))),
        job(leaf() + &private_key("PGP PRIVATE KEY BLOCK"), None),
        job(key.clone(), None),
        key.clone(),
        json!({ "version": 2, "privateKey": &key }).to_string(),
        json!({ &key: 1 }).to_string(),
        BASE64_STANDARD.encode(&key),
        job(BASE64_STANDARD.encode(leaf() + &key), None),
        BASE64_STANDARD.encode(job(leaf() + &key, None)),
        BASE64_STANDARD.encode(format!("{{{}", json!({ "key": &key }))),
        json!({ "version": 2, "body": BASE64_STANDARD.encode(&key) }).to_string(),
        format!(r#"{{"version":2,"key":"{}"}}"#, escaped(&key)),
        json!({ "Type": "Notification", "Message": job(leaf() + &key, None) }).to_string(),
        json!({ "version": &key }).to_string(),
        json!({ "version": 1, "operation": &key }).to_string(),
        request(json!({ "certificatePem": leaf(), "status": &key })).to_string(),
        request(json!({ "certificatePem": leaf(), &key: 1 })).to_string(),
        request(json!({ "certificatePem": [&key] })).to_string(),
        json!({ "version": 1, "batch": format!("Bearer {BEARER}") }).to_string(),
        json!({ format!("Bearer {BEARER}"): 1 }).to_string(),
    ];
    in_der.chain(others).collect()
}

/// Causes trouble of every kind, so that there is much to report.
fn trouble(factory: &Factory) {
    let error = |status, code: &str| Effect::Error {
        status,
        code: code.to_owned(),
        message: "as ordered".to_owned(),
        executed: false,
    };
    for (operation, effect) in [
        (ApiOperation::RegisterCertificate, error(403, "ExpiredTokenException")),
        (ApiOperation::RegisterCertificate, error(503, "ServiceUnavailableException")),
        (ApiOperation::RegisterCertificate, error(400, "InvalidRequestException")),
        (ApiOperation::RegisterCertificate, Effect::WrongId),
        (ApiOperation::RegisterCertificate, Effect::Reset { executed: true }),
        (ApiOperation::ReceiveMessage, error(403, "AccessDenied")),
        (ApiOperation::DeleteMessageBatch, error(500, "InternalError")),
    ] {
        factory.sandbox.faults().set(Fault::new(operation, effect).calls(3).for_share(0.5, 1)).unwrap();
    }
}

/// Reads the log up to the address of the listener.
async fn address(log: &mut Lines<BufReader<ChildStderr>>, seen: &mut String) -> SocketAddr {
    while let Some(line) = log.next_line().await.unwrap() {
        seen.push_str(&line);
        seen.push('\n');
        if let Some((_, address)) = line.split_once("metrics and health address=") {
            return address.parse().unwrap();
        }
    }
    panic!("it does not listen: {seen}");
}

/// Returns the contents of the ledger, as text.
async fn ledger(pool: &PgPool) -> String {
    let mut all = String::new();
    for table in ["targets", "batches", "registrations", "batch_counters"] {
        let rows = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("select to_jsonb(t)::text from {table} t")));
        let rows: Vec<String> = rows.fetch_all(pool).await.unwrap();
        all.extend(rows);
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_in_trouble_leaks_no_secret() {
    let factory = factory().await;
    let ca = &factory.ca;
    // Twenty that get registered, one that is registered with a warning, and one that is rejected.
    let pems = [factory.leaves(20), vec![ca.not_yet_valid_leaf("early"), ca.flawed(Flaw::Expired, "late")]].concat();
    trouble(&factory);
    factory.enqueue(&pems).await;
    let hostile = hostile_bodies(&factory);
    factory.send(&hostile).await;

    let mut program = command(&factory, &["serve"]).spawn().unwrap();
    let mut log = BufReader::new(program.stderr.take().unwrap()).lines();
    let mut seen = String::new();
    let address = address(&mut log, &mut seen).await;
    let n_sent = (pems.len() + hostile.len()) as u64;
    let rest = tokio::spawn(async move {
        while let Ok(Some(line)) = log.next_line().await {
            seen.push_str(&line);
            seen.push('\n');
        }
        seen
    });
    factory.until("all are deleted", async |f| f.counts("jobs").deleted == n_sent).await;
    for path in ["/metrics", "/readyz", "/livez", "/nothing"] {
        assert_no_secret(path, &get(address, path).await.1, &pems);
    }
    factory.sandbox.stop().await;
    assert_no_secret("/readyz in trouble", &get(address, "/readyz").await.1, &pems);
    let program = Program(program);
    program.signal("TERM");
    let (_, stdout, _) = program.wait().await;
    let log = rest.await.unwrap();
    for expected in
        ["AWS denies the call", "forwarded with a warning", "the job holds a private key", "a message is not a job"]
    {
        assert!(log.contains(expected), "{expected:?} was not logged:\n{log}");
    }
    assert_no_secret("the log", &(stdout + &log), &pems);

    let ledger = ledger(&factory.database.pool).await;
    assert!(ledger.contains(Code::PrivateKey.as_str()), "{ledger}");
    // Requests are kept for resending, so certificates are present.
    assert_no_secret("the ledger", &ledger, &[]);
    let kept: Vec<(Vec<u8>, String)> =
        sqlx::query_as("select body, detail from quarantine").fetch_all(&factory.database.pool).await.unwrap();
    for (body, detail) in kept {
        assert_no_secret("the reason of a quarantine", &detail, &pems);
        // A body is kept in full except for keys.
        assert_no_secret("a quarantined body", &String::from_utf8(body).unwrap().replace(BEARER, ""), &[]);
    }
}

/// Premise: if a row violates a constraint of its table, the server's error repeats the row.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_error_leaks_no_row() {
    let factory = factory().await;
    for rule in [
        "alter table registrations add constraint nothing_late check (code <> 'expired')",
        "alter table quarantine add constraint nothing check (body is null)",
    ] {
        sqlx::query(rule).execute(&factory.database.pool).await.unwrap();
    }
    let late: Vec<_> = (0..3).map(|i| factory.ca.flawed(Flaw::Expired, &format!("late {i}"))).collect();
    factory.enqueue(&late).await;
    let not_a_job = json!({ "version": 2, "note": &late[0] }).to_string();
    factory.send(&[not_a_job]).await;
    let mut program = command(&factory, &["serve"]).spawn().unwrap();
    let mut log = BufReader::new(program.stderr.take().unwrap()).lines();
    let mut seen = String::new();
    let expected = ["an outcome cannot be recorded at all", "nothing_late", "violates check constraint \"nothing\""];
    while !expected.iter().all(|text| seen.contains(text)) {
        let line = tokio::time::timeout(factory.patience, log.next_line()).await;
        let line = line.unwrap_or_else(|_| panic!("not all of {expected:?} are logged: {seen}")).unwrap();
        seen = seen + &line.expect("the log continues") + "\n";
    }
    program.start_kill().unwrap();
    while let Ok(Some(line)) = log.next_line().await {
        seen = seen + &line + "\n";
    }
    assert!(!seen.contains("Failing row"), "{seen}");
    assert_no_secret("the log", &seen, &late);
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_leak_no_secret() {
    let factory = factory().await;
    let pems = factory.leaves(2);
    let input = factory.folder().join("in.pem");
    std::fs::write(&input, pems.concat() + &private_key("PRIVATE KEY") + &factory.ca.flawed(Flaw::Expired, "x"))
        .unwrap();
    let input = input.display().to_string();
    let (code, output) = run(&factory, &["enqueue", "--batch", BATCH, &input], &pems).await;
    assert_eq!(code, Some(3), "{output}");
    for file in std::fs::read_dir(factory.folder()).unwrap().map(|file| file.unwrap().path()) {
        let is_ours = file.is_file() && !file.ends_with("in.pem") && !file.ends_with("muster.toml");
        let text = if is_ours { std::fs::read_to_string(&file).unwrap() } else { String::new() };
        assert_no_secret(&file.display().to_string(), &text, &[]);
    }
    let (code, output) = run(&factory, &["serve", "--until-empty"], &pems).await;
    assert_eq!(code, Some(0), "{output}");
    for arguments in [
        &["status", BATCH][..],
        &["status", "--json", BATCH],
        &["status", "no-such-batch"],
        &["config", "show"],
        &["config", "show", "--json"],
        &["migrate"],
    ] {
        let (_, output) = run(&factory, arguments, &pems).await;
        assert!(!output.is_empty(), "{arguments:?}");
    }
}

/// Premise: errors about a URL are reported, and the URL contains the password.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_database_url_leaks_no_password() {
    let mut factory = Factory::new(10.0).await;
    for url in [
        format!("postgres://ada:{PASSWORD}@127.0.0.1:1/muster"),
        format!("postgres://ada:{PASSWORD}@nowhere.invalid/muster"),
        format!("postgres://ada:{PASSWORD}@127.0.0.1:port/muster"),
        format!("postgres://ada:{PASSWORD}#?/@127.0.0.1:1/muster"),
        format!("postgres://ada:{PASSWORD}/x@127.0.0.1:1/muster"),
        format!("postgres:ada:{PASSWORD}@127.0.0.1:1/muster"),
        format!("postgres://ada@127.0.0.1:1/muster?password={PASSWORD}"),
        format!("postgres://ada@127.0.0.1:1/muster?sslpassword={PASSWORD}"),
        format!("host=127.0.0.1 password={PASSWORD}"),
        format!("mysql://ada:{PASSWORD}@127.0.0.1:1/muster"),
    ] {
        factory.database.url.clone_from(&url);
        for arguments in [&["serve"][..], &["config", "show"]] {
            let (code, output) = run(&factory, arguments, &[]).await;
            assert!(arguments == ["config", "show"] || code != Some(0), "{url}: {output}");
        }
    }
}

/// Premise: a panic prints the `Debug` form of values.
#[tokio::test(flavor = "multi_thread")]
async fn debug_output_holds_no_secret() {
    let factory = factory().await;
    let pem = factory.ca.leaf("device");
    let job = Factory::job(&pem);
    let body = json!({ "key": private_key("PRIVATE KEY"), "bearer": BEARER }).to_string() + &pem;
    let now = OffsetDateTime::UNIX_EPOCH;
    let message = ReceivedMessage {
        queue: factory.queue.clone(),
        id: String::new(),
        body: body.clone(),
        receipt: String::new(),
        receive_count: 1,
        sent_at: now,
        asked_at: Instant::now(),
    };
    let quarantined = Quarantined {
        queue: String::new(),
        message_id: String::new(),
        reason: "",
        detail: String::new(),
        body: body.clone(),
        sent_at: now,
    };
    let outcome = RowOutcome {
        code: Code::Expired,
        detail: None,
        wanted_status: job.request.wanted_status(),
        known_status: None,
        request: Some(body.clone()),
        waits_for: None,
        verify: false,
        resent_at: None,
        sent_at: now,
        received_at: now,
        ended_at: now,
    };
    let url = format!("postgres://ada:{PASSWORD}@db/muster");
    let database = DatabaseConfig { url: url.as_str().into(), ..DatabaseConfig::default() };
    let verdict = Precheck::new(Policy::default(), []).check(&job.request, now, None);
    assert!(verdict.result.is_ok(), "{verdict:?}");
    let error = Job::parse(&body).expect_err("it is not a job");
    let printed = format!(
        "{message:?} {:?} {:?} {quarantined:?} {outcome:?} {database:?} {:?} {job:?} {verdict:?}",
        OutgoingMessage { body: body.clone(), group: None },
        NotAJob { error, body },
        database.settings(),
    );
    assert_no_secret("a panic", &printed, &[pem]);
}
