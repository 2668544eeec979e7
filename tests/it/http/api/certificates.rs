//! Certificates: found by every name, and what AWS says about them.

use muster_core::certificate::Certificate;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::worked_off;
use crate::factory::BATCH;
use crate::http::harness::{Ask, OPERATOR, Reply, Running, VIEWER};

async fn search(site: &Running, text: &str) -> Reply {
    let ask = Ask::post("/api/v1/certificates/search").token(VIEWER);
    site.send(&ask.json(&json!({ "certificate": text }))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_found_by_every_name() {
    let (factory, pems) = worked_off().await;
    let site = Running::start(&factory.config).await;
    for (i, pem) in pems[..9].iter().enumerate() {
        let certificate = Certificate::from_pem(pem).unwrap();
        let id = certificate.id().to_string();
        let serial = hex::encode(certificate.serial());
        let colons: Vec<_> = serial.as_bytes().chunks(2).map(|two| std::str::from_utf8(two).unwrap()).collect();
        let by_id = site.get(&format!("/certificates/{id}")).await;
        let known = &by_id["certificates"][0];
        assert_eq!((&known["certificate_id"], &known["at_aws"]), (&json!(id), &Value::Null), "{by_id}");
        let row = &known["rows"][0];
        assert_eq!((&row["ref"], &row["batch"]), (&json!(format!("SN-{i}")), &json!(BATCH)), "{by_id}");
        assert_eq!(known["certificate"]["subject"].as_str(), Some(certificate.subject().as_str()), "{by_id}");
        let reference = format!("SN-{i}");
        for name in [&id.to_uppercase(), &serial, &colons.join(":"), &format!("0x{serial}"), &reference] {
            let found = site.get(&format!("/certificates/{}", utf8_percent_encode(name, NON_ALPHANUMERIC))).await;
            assert_eq!(found, by_id, "{name}");
            assert_eq!(search(&site, name).await.json(), by_id, "{name}");
        }
        for text in
            [pem.clone(), format!("\r\n{}", pem.replace('\n', "\r\n")), format!("Here it is:\n{pem}\nThank you")]
        {
            let reply = search(&site, &text).await;
            assert_eq!((reply.status, reply.json()), (200, by_id.clone()), "{text}");
        }
    }
    let none = site.get("/certificates/SN-9").await;
    assert_eq!(none["certificates"][0]["certificate_id"], Value::Null);
    assert_eq!(none["certificates"][0]["rows"][0]["code"], "not_a_certificate");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_certificate_of_the_ledger_is_not_found() {
    let (factory, pems) = worked_off().await;
    let site = Running::start(&factory.config).await;
    let strange = factory.ca.leaf("strange");
    let beginning = &pems[0][..200];
    for (text, status) in [
        ("SN-10", 404),
        (&"ab".repeat(32), 404),
        (&strange, 404),
        ("00", 404),
        ("' or 1=1 --", 404),
        ("%", 404),
        (beginning, 400),
        ("-----BEGIN CERTIFICATE-----", 400),
        ("\0", 400),
        ("SN-1\0", 400),
        ("", 400),
        (" \n", 400),
        (&"x".repeat(100_000), 400),
    ] {
        let detail = search(&site, text).await.problem(status);
        assert!(detail.len() < 500, "{detail}");
    }
    for (path, status) in [("SN-10", 404), ("%00", 400), ("%20", 400), ("%ff", 400), ("..%2f..%2fetc%2fpasswd", 404)] {
        site.send(&Ask::get(&format!("/api/v1/certificates/{path}")).token(VIEWER)).await.problem(status);
    }
    for body in [json!({}), json!({ "certificate": 7 }), json!([]), json!({ "certificate": "SN-1", "x": 1 })] {
        site.post("/certificates/search", &body).await.problem(422);
    }
}

/// Premise: somebody pastes a file that contains the private key too.
#[tokio::test(flavor = "multi_thread")]
async fn a_pasted_private_key_goes_nowhere() {
    let (factory, pems) = worked_off().await;
    let site = Running::start(&factory.config).await;
    let before = crate::http::harness::dump(&factory.database.pool).await;
    let key = "-----BEGIN PRIVATE KEY-----\nCanaryOfThePrivateKeyCanaryOfThePrivateKey\n-----END PRIVATE KEY-----\n";
    let reply = search(&site, &format!("{}{key}", pems[0])).await;
    assert!(reply.status == 200 && !reply.body.contains("Canary"), "{reply:?}");
    assert!(!search(&site, key).await.problem(400).contains("Canary"));
    let form = Ask::post("/search").token(VIEWER).form(&[("text", &format!("{key}{}", pems[1]))]);
    let reply = site.send(&form).await;
    let id = Certificate::from_pem(&pems[1]).unwrap().id();
    assert_eq!((reply.status, reply.header("location")), (303, Some(format!("/certificates/{id}").as_str())));
    assert_eq!(crate::http::harness::dump(&factory.database.pool).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn aws_is_asked_about_a_certificate() {
    let (factory, pems) = worked_off().await;
    let site = Running::start(&factory.config).await;
    let describe = async |name: &str| {
        let ask = Ask::post(&format!("/api/v1/certificates/{name}/describe")).token(VIEWER);
        site.send(&ask).await
    };
    let reply = describe("SN-0").await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let answer = &reply.json()["certificates"][0]["at_aws"][0];
    let found = ["target", "region", "is_there", "status", "problem"].map(|name| answer[name].clone());
    assert_eq!(found, [json!("default"), json!("us-east-1"), json!(true), json!("ACTIVE"), Value::Null], "{reply:?}");
    let id = Certificate::from_pem(&pems[6]).unwrap().id().to_string();
    let reply = describe(&id).await;
    assert_eq!(reply.json()["certificates"][0]["at_aws"][0]["is_there"], false, "{reply:?}");
    describe("SN-10").await.problem(404);
    let page = site.send(&Ask::post("/certificates/SN-0/describe").token(VIEWER).form(&[])).await;
    assert!(page.status == 200 && page.body.contains("At AWS now"), "{page:?}");

    // AWS is away: what is not known is not shown as an answer.
    let mut factory = factory;
    factory.config.aws.endpoint_url = Some("http://127.0.0.1:1".to_owned());
    let site = Running::start(&factory.config).await;
    let ask = Ask::post("/api/v1/certificates/SN-0/describe").token(OPERATOR);
    site.send(&ask).await.problem(502);
}
