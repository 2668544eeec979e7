//! Parsing any body returns a job or an error, and the error reveals nothing of the body.

use muster_core::job::{
    BATCH_SIZE_MAX, CertificateMode, CertificateStatus, Job, Name, ParseError, RegisterCaCertificate,
    RegisterCertificate, RegisterCertificateWithoutCa, RegistrationConfig, Request, Tag,
};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use strum::VariantArray;

/// A text that no error may repeat.
const SECRET: &str = "-----BEGIN PRIVATE KEY-----\u{1b}\0`, expected `\"SECRET";

/// Parses a body and checks what must hold for every result.
fn check_parse(body: &str) {
    match Job::parse(body) {
        Ok(job) => assert_eq!(Job::parse(&job.to_body()).unwrap(), job),
        Err(error) => {
            assert!(ParseError::CODES.contains(&error.code()));
            let text = error.to_string();
            assert!(text.len() < 500 && !text.contains(char::is_control), "{text:?}");
            assert!(!text.contains("BEGIN") && !text.contains("SECRET"), "{text}");
        }
    }
}

fn names() -> impl Strategy<Value = Name> {
    "[A-Za-z0-9._:/+@=-]{1,128}".prop_map(|text| text.parse().unwrap())
}

prop_compose! {
    fn devices()(
        pems in (any::<String>(), any::<Option<String>>()),
        status in prop::option::of(prop::sample::select(CertificateStatus::VARIANTS)),
        set_as_active in any::<Option<bool>>(),
    ) -> Request {
        let (certificate_pem, ca_certificate_pem) = pems;
        RegisterCertificate { certificate_pem, ca_certificate_pem, status, set_as_active }.into()
    }
}

prop_compose! {
    fn devices_without_ca()(
        certificate_pem in any::<String>(),
        status in prop::option::of(prop::sample::select(CertificateStatus::VARIANTS)),
    ) -> Request {
        RegisterCertificateWithoutCa { certificate_pem, status }.into()
    }
}

prop_compose! {
    fn cas()(
        pems in (any::<String>(), any::<Option<String>>()),
        (set_as_active, allow_auto_registration) in any::<(bool, bool)>(),
        config in any::<Option<[Option<String>; 3]>>(),
        tags in prop::collection::vec(any::<(String, Option<String>)>(), 0..4),
        certificate_mode in prop::option::of(prop::sample::select(CertificateMode::VARIANTS)),
    ) -> Request {
        let (ca_certificate, verification_certificate) = pems;
        let config_of = |[template_body, role_arn, template_name]: [Option<String>; 3]| {
            RegistrationConfig { template_body, role_arn, template_name }
        };
        RegisterCaCertificate {
            ca_certificate,
            verification_certificate,
            set_as_active,
            allow_auto_registration,
            registration_config: config.map(config_of),
            tags: tags.into_iter().map(|(key, value)| Tag { key, value }).collect(),
            certificate_mode,
        }
        .into()
    }
}

prop_compose! {
    fn jobs()(
        names in (names(), prop::option::of(names()), prop::option::of(names()), names()),
        batch_size in prop::option::of(0..=BATCH_SIZE_MAX),
        verify in any::<bool>(),
        request in prop_oneof![devices(), devices_without_ca(), cas()],
    ) -> Job {
        let (batch, source, reference, target) = names;
        Job { batch, batch_size, source, reference, target, verify, request }
    }
}

/// Generates arbitrary JSON, with the words of a message among its keys and strings.
fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        Just(json!(1)),
        any::<String>().prop_map(Value::from),
        Just(json!(SECRET)),
        Just(json!("RegisterCertificate")),
        Just(json!("RegisterCertificateWithoutCA")),
        Just(json!("RegisterCACertificate")),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((keys(), inner), 0..6).prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn keys() -> impl Strategy<Value = String> {
    const KNOWN: [&str; 14] = [
        "version",
        "operation",
        "batch",
        "ref",
        "request",
        "certificatePem",
        "status",
        "verify",
        "caCertificate",
        "setAsActive",
        "registrationConfig",
        "tags",
        "certificateMode",
        SECRET,
    ];
    prop_oneof![prop::sample::select(&KNOWN[..]).prop_map(str::to_owned), any::<String>()]
}

/// Generates a valid message with some of its fields replaced, removed or added.
fn changed_messages() -> impl Strategy<Value = Value> {
    let changes = prop::collection::vec((keys(), prop::option::of(values()), any::<bool>()), 1..4);
    (jobs(), changes).prop_map(|(job, changes)| {
        let mut message: Map<String, Value> = serde_json::from_str(&job.to_body()).unwrap();
        for (key, value, in_request) in changes {
            let fields = match message.get_mut("request") {
                Some(Value::Object(request)) if in_request => request,
                _ => &mut message,
            };
            match value {
                Some(value) => drop(fields.insert(key, value)),
                None => drop(fields.remove(&key)),
            }
        }
        Value::Object(message)
    })
}

proptest! {
    #[test]
    fn arbitrary_text_parses_or_fails_cleanly(body in any::<String>()) {
        check_parse(&body);
    }

    #[test]
    fn arbitrary_json_parses_or_fails_cleanly(body in values()) {
        check_parse(&body.to_string());
    }

    #[test]
    fn a_changed_message_parses_or_fails_cleanly(body in changed_messages()) {
        check_parse(&body.to_string());
    }

    #[test]
    fn a_broken_message_parses_or_fails_cleanly(
        job in jobs(),
        at in any::<prop::sample::Index>(),
        n_cut in 0..8_usize,
        piece in any::<String>(),
    ) {
        let mut chars: Vec<char> = job.to_body().chars().collect();
        let at = at.index(chars.len());
        let end = chars.len().min(at + n_cut);
        chars.splice(at..end, piece.chars());
        check_parse(&chars.into_iter().collect::<String>());
    }

    #[test]
    fn a_job_round_trips_through_its_message(job in jobs()) {
        prop_assert_eq!(Job::parse(&job.to_body()).unwrap(), job);
    }
}

fn of_ca(fields: &str) -> String {
    format!(r#"{{"version":1,"operation":"RegisterCACertificate","request":{{"caCertificate":"x",{fields}}}}}"#)
}

#[test]
fn errors_never_repeat_a_secret() {
    let quoted = json!(SECRET).to_string();
    for body in [
        format!("{{{quoted}:1}}"),
        format!(r#"{{"version":{quoted}}}"#),
        format!(r#"{{"version":1,"operation":{quoted}}}"#),
        format!(r#"{{"version":1,"operation":"RegisterCertificate","request":{quoted}}}"#),
        format!(r#"{{"version":1,"operation":"RegisterCertificate","request":{{{quoted}:1}}}}"#),
        format!(r#"{{"version":1,"operation":"RegisterCertificate","request":{{"status":{quoted}}}}}"#),
        format!(r#"{{"version":1,"operation":"RegisterCertificate","request":{{"certificatePem":[{quoted}]}}}}"#),
        of_ca(&format!("{quoted}:1")),
        of_ca(&format!(r#""certificateMode":{quoted}"#)),
        of_ca(&format!(r#""setAsActive":{quoted}"#)),
        of_ca(&format!(r#""tags":{quoted}"#)),
        of_ca(&format!(r#""tags":[{{"Key":"a",{quoted}:1}}]"#)),
        of_ca(&format!(r#""registrationConfig":{quoted}"#)),
        of_ca(&format!(r#""registrationConfig":{{"templateBody":[{quoted}]}}"#)),
    ] {
        assert!(Job::parse(&body).is_err(), "{body}");
        check_parse(&body);
    }
}

#[test]
fn a_misspelt_field_is_named() {
    let body = r#"{"version":1,"operation":"RegisterCertificate","batchsize":1}"#;
    let error = Job::parse(body).expect_err(body).to_string();
    assert!(error.starts_with("unknown field `batchsize`, expected one of `version`, `operation`"), "{error}");
}
