//! Bodies that are not jobs, and certificates in every form that factory lines send.

use muster_core::certificate::pem;
use muster_core::job::RegisterCertificate;
use muster_core::outcome::Code;
use muster_sandbox::specimen::{Ca, Flaw, hostile, request};

use super::{Case, check};
use crate::factory::Factory;

/// Returns a complete message of version 1, with additional fields in front.
fn with_fields(fields: &str) -> String {
    format!(r#"{{{fields}"version":1,"operation":"RegisterCertificate","request":{{"certificatePem":"x"}}}}"#)
}

fn with_request(request: &str) -> String {
    format!(r#"{{"version":1,"operation":"RegisterCertificate","request":{request}}}"#)
}

fn not_jobs() -> Vec<Case> {
    let long = "x".repeat(1_000_000);
    let no_job = |name, reason, body: &str| Case::no_job(name, reason, body);
    vec![
        no_job("plain text", "not_json", "the certificates will follow by mail"),
        no_job("half a message", "not_json", with_fields("").trim_end_matches('}')),
        no_job("two messages", "not_json", &with_fields("").repeat(2)),
        no_job("a BOM at the end", "not_json", &format!("{}\u{feff}", with_fields(""))),
        no_job("arrays without end", "not_json", &"[".repeat(200_000)),
        no_job("objects without end", "not_json", &r#"{"a":"#.repeat(150_000)),
        no_job("deep nesting", "not_a_job", &format!("{}{}", "[".repeat(100_000), "]".repeat(100_000))),
        no_job("a deep request", "not_a_job", &with_request(&("[".repeat(100_000) + &"]".repeat(100_000)))),
        no_job(
            "a deep field",
            "not_a_job",
            &with_request(&format!(r#"{{"a":{}1{}}}"#, "[".repeat(9_999), "]".repeat(9_999))),
        ),
        no_job("a lone surrogate in a name", "not_json", &with_fields(r#""batch":"\ud800","#)),
        no_job("a lone surrogate in a request", "not_json", &with_request(r#"{"certificatePem":"\udc00"}"#)),
        no_job("no object", "not_a_job", "1"),
        no_job("no field", "not_a_job", "{}"),
        no_job("a field twice", "not_a_job", &with_fields(r#""version":1,"#)),
        no_job("a field twice, once escaped", "not_a_job", &with_fields(r#""\u0076ersion":1,"#)),
        no_job("a name twice", "not_a_job", &with_fields(r#""batch":"a","batch":"b","#)),
        no_job("a PEM twice", "not_a_job", &with_request(r#"{"certificatePem":"x","certificatePem":"y"}"#)),
        no_job("an unknown field", "not_a_job", &with_fields(r#""colour":1,"#)),
        no_job("an unknown field of a request", "not_a_job", &with_request(r#"{"certificatePem":"x","tags":""}"#)),
        no_job("an unknown field with a NUL", "not_a_job", &with_fields(r#""\u0000":1,"#)),
        no_job("an unknown field of a megabyte", "not_a_job", &with_fields(&format!(r#""{long}":1,"#))),
        no_job("a name of a megabyte", "not_a_job", &with_fields(&format!(r#""batch":"{long}","#))),
        no_job("a name with a NUL", "not_a_job", &with_fields(r#""ref":"a\u0000b","#)),
        no_job("another version", "unknown_version", r#"{"version":2,"certificates":[]}"#),
        no_job("version 0", "unknown_version", &with_fields("").replace(":1,", ":0,")),
        no_job("a version of 33 bits", "unknown_version", &with_fields("").replace(":1,", ":4294967297,")),
        no_job("a version as text", "not_a_job", &with_fields("").replace(":1,", r#":"1","#)),
        no_job("an unknown operation", "not_a_job", &with_fields("").replace("Register", "Delete")),
        no_job("an unknown status", "not_a_job", &with_request(r#"{"certificatePem":"x","status":"\u0000"}"#)),
        no_job("a negative size", "not_a_job", &with_fields(r#""batchSize":-1,"#)),
        no_job("an unknown target", "unknown_target", &with_fields(r#""target":"mars","#)),
    ]
}

/// Valid certificates in every accepted form, each of another device.
fn valid(ca: &Ca) -> Vec<Case> {
    let valid = |name, form: &dyn Fn(String) -> String| Case::job(name, Code::Ok, request_for(form(ca.leaf(name))));
    vec![
        valid("as-it-should-be", &|pem| pem),
        valid("CRLF", &|pem| pem.replace('\n', "\r\n")),
        valid("CR", &|pem| pem.replace('\n', "\r")),
        valid("no-line-end", &|pem| pem.trim_end().to_owned()),
        valid("BOM", &|pem| format!("\u{feff}{pem}")),
        valid("text-around", &|pem| format!("subject=CN\n{pem}-----\n\0\u{1b}[31m")),
        valid("its-CA-after-it", &|pem| pem + &ca.pem()),
        valid("its-CA-before-it", &|pem| ca.pem() + &pem),
        valid("NULs", &|pem| pem.chars().flat_map(|c| [c, '\0']).collect()),
        valid("small-letters", &|pem| pem.replace("BEGIN CERTIFICATE", "begin certificate")),
        valid("typographic-dashes", &|pem| pem.replace("-----", "–––––")),
        valid("four-dashes", &|pem| pem.replace("-----BEGIN", "----BEGIN")),
    ]
}

fn invalid(ca: &Ca) -> Vec<Case> {
    let invalid = |name, code, pem: String| Case::job(name, code, request_for(pem));
    let leaf = || ca.leaf("device");
    let key = || ca.flawed(Flaw::WithPrivateKey, "device");
    let block = |label: &str| leaf() + "-----BEGIN " + label + "-----\nlQOYBF\n-----END " + label + "-----\n";
    vec![
        invalid("two-devices", Code::SeveralCertificates, ca.flawed(Flaw::TwoDevices, "device")),
        invalid("trailing-data", Code::TrailingData, ca.flawed(Flaw::TrailingByte, "device")),
        invalid("a-request", Code::CertificateRequest, request("device")),
        invalid("a-damaged-leaf-and-its-CA", Code::MalformedCertificate, leaf().replace("MII", "III") + &ca.pem()),
        invalid("half-a-leaf-and-its-CA", Code::NotACertificate, leaf()[..300].to_owned() + "\n" + &ca.pem()),
        invalid("a-request-and-its-CA", Code::CertificateRequest, request("device") + &ca.pem()),
        invalid("a-CA-and-a-request", Code::CertificateRequest, ca.pem() + &request("device")),
        invalid("PKCS7-and-its-CA", Code::NotACertificate, block("PKCS7").replace(&leaf(), "") + &ca.pem()),
        invalid("a-chain-without-device", Code::SeveralCertificates, ca.subordinate("Line CA") + &ca.pem()),
        invalid(
            "a-small-letter-key",
            Code::PrivateKey,
            block("EC PRIVATE KEY").replace("EC PRIVATE KEY", "ec private key"),
        ),
        invalid("escaped-line-ends", Code::NotACertificate, leaf().replace('\n', "\\n")),
        invalid("an-escape-of-NUL-as-text", Code::NotACertificate, r"\u0000 \\u0000".to_owned()),
        invalid("nothing", Code::NotACertificate, String::new()),
        invalid("a-megabyte", Code::PemTooLong, "x".repeat(1_000_000)),
        invalid("a-key", Code::PrivateKey, key()),
        invalid("a-key-far-down", Code::PrivateKey, " ".repeat(900_000) + &key()),
        invalid("a-key-with-CRLF", Code::PrivateKey, key().replace('\n', "\r\n")),
        invalid("half-a-key", Code::PrivateKey, block("EC PRIVATE KEY").replace("-----END EC", "")),
        invalid("an-OpenSSH-key", Code::PrivateKey, block("OPENSSH PRIVATE KEY")),
        invalid("a-PGP-key", Code::PrivateKey, block("PGP PRIVATE KEY BLOCK")),
        Case::job(
            "a-key-next-to-the-CA",
            Code::PrivateKey,
            RegisterCertificate { ca_certificate_pem: Some(ca.pem() + &key()), ..request_for(leaf()) },
        ),
    ]
}

/// The cases of the hostile corpus that contain a certificate or its bytes, under a CA that did not issue them.
fn hostile_der(ca: &Ca) -> Vec<Case> {
    let codes = [
        ("a length beyond the end", "a-length-beyond-the-end", Code::MalformedCertificate),
        ("a length of the length of 126 bytes", "a-length-of-the-length", Code::MalformedCertificate),
        ("sequences in sequences", "sequences-in-sequences", Code::MalformedCertificate),
        ("an RSA key of 32,000 bits", "an-RSA-key-of-32000-bits", Code::IssuerMismatch),
        ("10,000 alternative names", "10000-alternative-names", Code::IssuerMismatch),
        ("thousands of extensions", "thousands-of-extensions", Code::IssuerMismatch),
    ];
    let corpus = hostile::corpus();
    let case = |(what, name, code)| {
        let hostile = corpus.iter().find(|hostile| hostile.name == what).expect(what);
        let request = RegisterCertificate { ca_certificate_pem: Some(ca.pem()), ..hostile.request.clone() };
        Case::job(name, code, request)
    };
    codes.into_iter().map(case).collect()
}

fn request_for(certificate_pem: String) -> RegisterCertificate {
    RegisterCertificate { certificate_pem, ..RegisterCertificate::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_input_gets_its_exact_outcome() {
    let factory = Factory::new(1000.0).await;
    let ca = &factory.ca;
    let cases: Vec<Case> = [not_jobs(), valid(ca), invalid(ca), hostile_der(ca)].into_iter().flatten().collect();
    check(&factory, &cases).await;
}

/// Premise: these bodies are stored in full, so a key in them would be stored too.
#[tokio::test(flavor = "multi_thread")]
async fn no_quarantined_body_contains_a_private_key() {
    let factory = Factory::new(1000.0).await;
    let mark = |label: &str| format!("-----BEGIN {label}-----\\nSECRET\\n-----END {label}-----\\n");
    let bodies = [
        mark("PRIVATE KEY"),
        format!(r#"{{"privateKey":"{}"}}"#, mark("EC PRIVATE KEY")),
        format!(r#"{{"{}":1}}"#, mark("RSA PRIVATE KEY")),
        format!(r#"{{"version":2,"key":"{}"}}"#, mark("PGP PRIVATE KEY BLOCK")),
        format!(r#"{{"version":2,"key":"{}"}}"#, mark("ENCRYPTED PRIVATE KEY").replace('-', r"\u002d")),
        with_fields("").replace("RegisterCertificate", &mark("PRIVATE KEY")),
        with_request(&format!(r#"{{"certificatePem":"x","status":"{}"}}"#, mark("PRIVATE KEY"))),
    ];
    factory.send(&bodies).await;
    factory.drain().await;
    let kept: Vec<(Vec<u8>, String)> =
        sqlx::query_as("select body, detail from quarantine").fetch_all(&factory.database.pool).await.unwrap();
    assert_eq!(kept.len(), bodies.len());
    for (body, detail) in kept {
        let body = String::from_utf8(body).unwrap();
        assert!(body.contains("[private key removed]") && !pem::holds_private_key(&body), "{body}");
        assert!(!body.contains("SECRET") && !detail.contains("SECRET"), "{body}: {detail}");
    }
}
