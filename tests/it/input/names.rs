//! SQL, HTML and spreadsheet formulas in every name.

use muster_core::job::Job;
use muster_core::outcome::Code;
use serde_json::{Value, json};

use super::{Case, check};
use crate::factory::{Factory, Program};

/// The fields of a job that are names.
const FIELDS: [&str; 4] = ["batch", "source", "ref", "target"];

#[tokio::test(flavor = "multi_thread")]
async fn names_with_sql_html_or_formulas_are_rejected() {
    let texts = [
        "'; drop table registrations; --",
        "\" or \"\"=\"",
        "<script>alert(1)</script>",
        "&lt;b&gt;",
        "=HYPERLINK(\"http://example.com\")",
        "=cmd|' /C calc'!A0",
        "\t=1+1",
        "a\r\nERROR muster: b",
        "\u{1b}[31m",
        "\u{202e}evil",
        "../../etc/passwd\0",
        "${jndi:ldap://x}",
        "%s%n",
        " ",
        "",
    ];
    let factory = Factory::new(1000.0).await;
    let body = |field: &str, text: &str| {
        let mut message: Value = serde_json::from_str(&Factory::job("x").to_body()).unwrap();
        message[field] = json!(text);
        message.to_string()
    };
    let case = |field, text| Case::no_job("a name", "not_a_job", body(field, text));
    let cases = texts.iter().flat_map(|text| FIELDS.map(|field| case(field, text)));
    check(&factory, &cases.collect::<Vec<_>>()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_look_like_formulas_are_kept_unchanged() {
    let factory = Factory::new(1000.0).await;
    let names = ["=1+1", "@SUM", "+1", "-1", "../../etc/passwd", "null", "0"];
    let name = |text: &str| Some(text.parse().unwrap());
    for text in names {
        let plain = Factory::job("no certificate");
        let job = Job { batch: text.parse().unwrap(), source: name(text), reference: name(text), ..plain };
        factory.send(&[job.to_body()]).await;
    }
    factory.drain().await;
    let kept: Vec<(String, String, String)> =
        sqlx::query_as("select batch, source, ref from registrations").fetch_all(&factory.database.pool).await.unwrap();
    let mut kept: Vec<_> = kept.iter().map(|(batch, source, reference)| [batch, source, reference]).collect();
    kept.sort();
    let mut wanted = names;
    wanted.sort_unstable();
    assert_eq!(kept, wanted.map(|text| [text, text, text]));

    for text in names {
        let (code, stdout, stderr) = status(&factory, &["--json", "--", text]).await;
        assert_eq!(code, Some(0), "{stderr}");
        let numbers: Value = serde_json::from_str(&stdout).unwrap();
        let failure = &numbers["failures"][0];
        assert_eq!(failure["code"], Code::NotACertificate.as_str());
        assert_eq!((&numbers["batch"], &failure["example"]["ref"]), (&json!(text), &json!(text)));
        let (_, stdout, _) = status(&factory, &["--", text]).await;
        assert!(stdout.contains(&format!("\nbatch {text}: ")), "{stdout}");
    }
}

/// Runs `muster status` without measuring a rate.
async fn status(factory: &Factory, arguments: &[&str]) -> (Option<i32>, String, String) {
    // The settings come first: after `--` they would be taken for names.
    let mut command = factory.command(&[]);
    command.args(["status", "--measure=0s"]).args(arguments);
    Program(command.spawn().unwrap()).wait().await
}
