//! What must hold whatever the bytes are. A check panics where it does not.

use std::sync::LazyLock;

use strum::{IntoStaticStr, VariantArray};
use time::OffsetDateTime;
use time::macros::datetime;

use crate::certificate::{Certificate, CertificateId, pem};
use crate::job::{Job, ParseError, RegisterCertificate, Request};
use crate::outcome::Status;
use crate::precheck::{PEM_CHARS_MAX, Policy, Precheck};
use crate::specimen::hostile;

/// Most bytes of what is told about an input: nobody repeats a body.
const TOLD_MAX: usize = 4096;

const NOW: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);

/// A CA and a certificate that it signed.
const CA: &[u8] = include_bytes!("../corpus/certificate/ca.der");
const LEAF: &[u8] = include_bytes!("../corpus/certificate/leaf.der");

static PRECHECK: LazyLock<Precheck> = LazyLock::new(|| Precheck::new(Policy::default(), []));

/// What reads input from outside.
#[derive(Clone, Copy, Debug, Eq, IntoStaticStr, PartialEq, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Target {
    /// The body of a message.
    Message,
    /// A certificate: DER where it begins as DER does, otherwise PEM text.
    Certificate,
}

impl Target {
    /// The target's name, which is its folder in the corpus.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Checks what must hold for an input.
    ///
    /// # Panics
    /// It does not hold.
    pub fn check(self, input: &[u8]) {
        match self {
            Self::Message => check_message(&String::from_utf8_lossy(input)),
            Self::Certificate => check_certificate(input),
        }
    }

    /// Inputs that are as large as they may be: checked as they are.
    pub fn hostile(self) -> Vec<Vec<u8>> {
        let requests = hostile::corpus().into_iter().map(|hostile| hostile.request);
        match self {
            Self::Message => requests.map(|request| body(&request)).collect(),
            Self::Certificate => requests.map(|request| request.certificate_pem.into_bytes()).collect(),
        }
    }
}

fn body(request: &RegisterCertificate) -> Vec<u8> {
    let minimal = r#"{"version":1,"operation":"RegisterCertificate","request":{"certificatePem":"x"}}"#;
    let job = Job::parse(minimal).expect("it lacks nothing");
    Job { request: request.clone().into(), ..job }.to_body().into_bytes()
}

fn check_message(body: &str) {
    match Job::parse(body) {
        Ok(job) => {
            assert_eq!(Job::parse(&job.to_body()).expect("what was read is written"), job);
            check_request(&job.request);
        }
        Err(error) => {
            assert!(ParseError::CODES.contains(&error.code()), "{}", error.code());
            check_told(&error.to_string());
        }
    }
}

fn check_certificate(input: &[u8]) {
    let is_der = input.first() == Some(&0x30);
    let text = if is_der { pem::encode(pem::CERTIFICATE, input) } else { String::from_utf8_lossy(input).into_owned() };
    let request = |certificate_pem: &str, ca: Option<&str>| RegisterCertificate {
        certificate_pem: certificate_pem.to_owned(),
        ca_certificate_pem: ca.map(str::to_owned),
        ..RegisterCertificate::default()
    };
    check_request(&request(&text, Some(&pem::encode(pem::CERTIFICATE, CA))).into());
    check_request(&request(&pem::encode(pem::CERTIFICATE, LEAF), Some(&text)).into());
    check_request(&request(&text, None).into());
    check_blanking(&text);
}

fn check_request(request: &Request) {
    let verdict = PRECHECK.check(request, NOW, None);
    let subject = verdict.certificate_id.unwrap_or_else(|| CertificateId::of_der(request.pem().as_bytes()));
    assert_eq!(verdict.subject, subject.0);
    // As people see it: `Debug` would escape what must not be there.
    verdict.warnings.iter().for_each(|warning| check_told(&warning.to_string()));
    let checked = match verdict.result {
        Ok(checked) => checked,
        Err(rejection) => {
            assert_eq!(rejection.code().status(), Status::Rejected, "{rejection}");
            return check_told(&rejection.to_string());
        }
    };
    assert_eq!(Some(checked.id()), verdict.certificate_id);
    for pem in [Some(checked.pem()), checked.ca_pem()].into_iter().flatten() {
        assert!(pem.len() <= PEM_CHARS_MAX && !pem::holds_private_key(pem));
        let certificate = Certificate::from_pem(pem).expect("what is sent can be read");
        assert_eq!(certificate.to_pem(), pem, "what is sent is canonical");
    }
}

fn check_blanking(text: &str) {
    let blanked = pem::blank_private_keys(text);
    assert!(!pem::holds_private_key(&blanked), "{blanked:?}");
    assert!(pem::holds_private_key(text) || blanked == text || text.contains("\\u00"), "{blanked:?}");
}

fn check_told(text: &str) {
    assert!(text.len() <= TOLD_MAX && !text.contains(char::is_control), "{text:?}");
}
