//! The fields of a CA request besides its certificates, at their bounds.

use muster_core::job::{RegisterCaCertificate, RegistrationConfig, Tag};
use muster_core::outcome::Code;
use muster_sandbox::specimen::Ca;

use super::{ca_alone, check_ca, rejection, warnings};

const ROLE: &str = "arn:aws:iam::123456789012:role/maker";

fn with_config(
    template_body: Option<&str>,
    role_arn: Option<&str>,
    template_name: Option<&str>,
) -> RegisterCaCertificate {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    let config = RegistrationConfig {
        template_body: owned(template_body),
        role_arn: owned(role_arn),
        template_name: owned(template_name),
    };
    RegisterCaCertificate { registration_config: Some(config), ..ca_alone(Ca::new("Plant CA").pem()) }
}

fn with_tags(tags: &[(&str, Option<&str>)]) -> RegisterCaCertificate {
    let tag = |(key, value): &(&str, Option<&str>)| Tag { key: (*key).to_owned(), value: value.map(str::to_owned) };
    let tags = tags.iter().map(tag).collect();
    RegisterCaCertificate { tags, ..ca_alone(Ca::new("Plant CA").pem()) }
}

fn n_tags(n: usize) -> RegisterCaCertificate {
    let keys: Vec<_> = (0..n).map(|number| number.to_string()).collect();
    with_tags(&keys.iter().map(|key| (key.as_str(), None)).collect::<Vec<_>>())
}

/// Returns a JSON text of `n_chars` characters, some of them multibyte.
fn template(n_chars: usize) -> String {
    format!("\"{}\"", "ä".repeat(n_chars - 2))
}

/// Each rule barely violated, and the expected message.
fn violations() -> Vec<(RegisterCaCertificate, &'static str)> {
    let long = "x".repeat(3_000);
    vec![
        (
            with_config(Some(&template(10_241)), Some(ROLE), None),
            "registrationConfig.templateBody has 10241 characters, AWS accepts 0 to 10240",
        ),
        (
            with_config(None, Some(&long[..19]), None),
            "registrationConfig.roleArn has 19 characters, AWS accepts 20 to 2048",
        ),
        (
            with_config(None, Some(&long[..2_049]), None),
            "registrationConfig.roleArn has 2049 characters, AWS accepts 20 to 2048",
        ),
        (with_config(None, None, Some("")), "registrationConfig.templateName has 0 characters, AWS accepts 1 to 36"),
        (
            with_config(None, None, Some(&long[..37])),
            "registrationConfig.templateName has 37 characters, AWS accepts 1 to 36",
        ),
        (
            with_config(None, None, Some("a.b")),
            "registrationConfig.templateName has the character `.`, AWS accepts only A-Za-z0-9_-",
        ),
        (
            with_config(None, None, Some("a\u{1b}")),
            "registrationConfig.templateName has the character `\\u{1b}`, AWS accepts only A-Za-z0-9_-",
        ),
        (
            with_config(Some("{}"), Some(ROLE), Some("name")),
            "registrationConfig has a templateBody and a templateName, AWS accepts only one of them",
        ),
        (n_tags(51), "tags has 51 entries, AWS accepts at most 50"),
        (with_tags(&[("", None)]), "tags[0].Key has 0 characters, AWS accepts 1 to 128"),
        (with_tags(&[("a", None), (&long[..129], None)]), "tags[1].Key has 129 characters, AWS accepts 1 to 128"),
        (with_tags(&[("a", Some(&long[..257]))]), "tags[0].Value has 257 characters, AWS accepts 0 to 256"),
        (with_tags(&[("aws:line", None)]), "tags[0].Key begins with aws:, which is reserved for AWS"),
        (
            with_tags(&[("a", Some("1")), ("b", None), ("a", Some("2"))]),
            "tags[2].Key is the same as tags[0].Key, all keys must differ",
        ),
    ]
}

/// Returns every violated rule with its code.
pub(super) fn rejected() -> Vec<(Code, RegisterCaCertificate)> {
    violations().into_iter().map(|(request, _)| (Code::ParameterInvalid, request)).collect()
}

/// Oddities of parameters, with the expected warning codes.
pub(super) fn odd() -> Vec<(Vec<&'static str>, RegisterCaCertificate)> {
    vec![
        (vec!["template_not_json"], with_config(Some("{"), Some(ROLE), None)),
        (vec!["template_not_json"], with_config(Some(""), Some(ROLE), Some("name"))),
        (vec!["template_not_json"], with_config(Some(&"[".repeat(10_240)), Some(ROLE), None)),
        (vec!["role_missing"], with_config(Some("{}"), None, None)),
        (vec!["tag_prefix"], with_tags(&[("Aws:line", None)])),
        (vec!["tag_prefix"], with_tags(&[("line", Some("aws:7"))])),
        (vec!["tag_characters"], with_tags(&[("a", None), ("line#7", None)])),
        (vec!["tag_characters"], with_tags(&[("line", Some("\t7"))])),
    ]
}

#[test]
fn a_violation_names_the_field_and_the_limit() {
    for (request, text) in violations() {
        assert_eq!(rejection(check_ca(&request)).to_string(), text);
    }
}

#[test]
fn values_at_the_bounds_pass() {
    let long = "x".repeat(3_000);
    for request in [
        with_config(Some(&template(10_240)), Some(ROLE), None),
        with_config(None, Some(&long[..20]), None),
        with_config(None, Some(&long[..2_048]), None),
        with_config(None, None, Some("a")),
        with_config(None, None, Some("ABCDEFGHIJKLMNOPQRSTUVWXYZ_-01234567")),
        with_config(None, Some(ROLE), Some("name")),
        with_config(None, None, None),
        RegisterCaCertificate { allow_auto_registration: true, ..n_tags(0) },
        n_tags(50),
        with_tags(&[("a", None), ("A", None)]),
        with_tags(&[("ä".repeat(128).as_str(), Some("ß".repeat(256).as_str()))]),
        with_tags(&[("Straße 7_.:/=+-@", Some("")), ("aws", None), ("laws:", None)]),
    ] {
        assert_eq!(warnings(&check_ca(&request)), Vec::<&str>::new(), "{request:?}");
    }
}

#[test]
fn the_first_odd_tag_is_named() {
    let verdict = check_ca(&with_tags(&[("a", None), ("b", Some("#")), ("c", Some("#"))]));
    let texts: Vec<_> = verdict.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(texts, ["tags[1].Value has characters other than letters, digits, spaces and _ . : / = + - @"]);
}

/// Premise: a template or a tag may contain anything, and messages go into logs and tables.
#[test]
fn messages_never_repeat_a_value() {
    const CANARY: &str = "CanaryOfTheTemplate";
    let config = |body: String| with_config(Some(&body), Some(&format!("{CANARY}{CANARY}")), None);
    let requests = [
        config(format!("{{{CANARY}")),
        config(CANARY.repeat(600)),
        with_config(Some(CANARY), Some(CANARY), Some(CANARY)),
        with_config(None, None, Some(&format!("{CANARY}.{CANARY}"))),
        with_tags(&[(CANARY, Some("#")), (CANARY, None)]),
        with_tags(&[(&CANARY.repeat(10), None)]),
        with_tags(&[("a", Some(&CANARY.repeat(20)))]),
        with_tags(&[(&format!("aws:{CANARY}"), None)]),
        with_tags(&[(&format!("AWS:#{CANARY}"), Some(CANARY))]),
    ];
    for request in requests {
        let verdict = check_ca(&request);
        let mut texts: Vec<_> = verdict.warnings.iter().map(|warning| format!("{warning} {warning:?}")).collect();
        texts.extend(verdict.result.as_ref().err().map(|error| format!("{error} {error:?} {:?}", error.hint())));
        assert!(!texts.is_empty(), "there is no message to check");
        assert!(!format!("{texts:?} {verdict:?}").contains(CANARY), "{texts:?}");
    }
}
