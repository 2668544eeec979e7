//! What must hold for any bytes. A check panics if it does not hold.

use std::sync::LazyLock;

use strum::{IntoStaticStr, VariantArray};
use time::OffsetDateTime;
use time::macros::datetime;

use muster_core::certificate::{Certificate, CertificateId, pem};
use muster_core::job::{
    CertificateMode, Job, ParseError, RegisterCaCertificate, RegisterCertificate, RegisterCertificateWithoutCa, Request,
};
use muster_core::outcome::Status;
use muster_core::precheck::{Call, CheckedCertificate, PEM_CHARS_MAX, Policy, Precheck};
use muster_sandbox::specimen::hostile;

/// Maximum size in bytes of an error or warning about an input: it must not repeat a body.
const REPORT_MAX: usize = 4096;

const NOW: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);

/// A CA, a certificate that it signed, and the registration code, which is that certificate's common name.
const CA: &[u8] = include_bytes!("../corpus/certificate/ca.der");
const LEAF: &[u8] = include_bytes!("../corpus/certificate/leaf.der");
const CODE: &str = "device 7";

static PRECHECK: LazyLock<Precheck> = LazyLock::new(|| Precheck::new(Policy::default(), []));

/// A reader of untrusted input.
#[derive(Clone, Copy, Debug, Eq, IntoStaticStr, PartialEq, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Target {
    /// The body of a message.
    Message,
    /// A certificate: DER if it starts like DER, otherwise PEM text.
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
    /// Panics if it does not hold.
    pub fn check(self, input: &[u8]) {
        match self {
            Self::Message => check_message(&String::from_utf8_lossy(input)),
            Self::Certificate => check_certificate(input),
        }
    }

    /// Inputs that are as large as allowed, checked without mutation.
    pub fn hostile(self) -> Vec<Vec<u8>> {
        let devices = hostile::corpus().into_iter().map(|hostile| Request::from(hostile.request));
        let requests = devices.chain(hostile::ca_corpus().into_iter().map(|hostile| hostile.request.into()));
        match self {
            Self::Message => requests.map(body).collect(),
            Self::Certificate => requests.map(|request| request.pem().as_bytes().to_vec()).collect(),
        }
    }
}

fn body(request: Request) -> Vec<u8> {
    let minimal = r#"{"version":1,"operation":"RegisterCertificate","request":{"certificatePem":"x"}}"#;
    let job = Job::parse(minimal).expect("the job is complete");
    Job { request, ..job }.to_body().into_bytes()
}

fn check_message(body: &str) {
    match Job::parse(body) {
        Ok(job) => {
            assert_eq!(Job::parse(&job.to_body()).expect("a job that was read can be written and read again"), job);
            check_request(&job.request);
        }
        Err(error) => {
            assert!(ParseError::CODES.contains(&error.code()), "{}", error.code());
            check_report(&error.to_string());
        }
    }
}

fn check_certificate(input: &[u8]) {
    let is_der = input.first() == Some(&0x30);
    let text = if is_der { pem::encode(pem::CERTIFICATE, input) } else { String::from_utf8_lossy(input).into_owned() };
    let [ca, leaf] = [CA, LEAF].map(|der| pem::encode(pem::CERTIFICATE, der));
    let device = |certificate_pem: &str, ca: Option<&str>| RegisterCertificate {
        certificate_pem: certificate_pem.to_owned(),
        ca_certificate_pem: ca.map(str::to_owned),
        ..RegisterCertificate::default()
    };
    let authority = |ca: &str, proof: Option<&str>| RegisterCaCertificate {
        ca_certificate: ca.to_owned(),
        verification_certificate: proof.map(str::to_owned),
        certificate_mode: proof.is_none().then_some(CertificateMode::SniOnly),
        ..RegisterCaCertificate::default()
    };
    check_request(&device(&text, Some(&ca)).into());
    check_request(&device(&leaf, Some(&text)).into());
    check_request(&device(&text, None).into());
    check_request(&RegisterCertificateWithoutCa { certificate_pem: text.clone(), status: None }.into());
    check_request(&authority(&text, None).into());
    check_request(&authority(&text, Some(&leaf)).into());
    check_request(&authority(&ca, Some(&text)).into());
    check_blanking(&text);
}

fn check_request(request: &Request) {
    let verdict = PRECHECK.check(request, NOW, Some(CODE));
    let subject = verdict.certificate_id.unwrap_or_else(|| CertificateId::of_der(request.pem().as_bytes()));
    assert_eq!(verdict.subject, subject.0);
    // Checked as displayed: `Debug` would escape what must not be there.
    verdict.warnings.iter().for_each(|warning| check_report(&warning.to_string()));
    let checked = match verdict.result {
        Ok(checked) => checked,
        Err(rejection) => {
            assert_eq!(rejection.code().status(), Status::Rejected, "{rejection}");
            return check_report(&rejection.to_string());
        }
    };
    assert_eq!(Some(checked.id()), verdict.certificate_id);
    assert_eq!(checked.operation(), request.operation());
    for pem in sent(&checked) {
        assert!(pem.len() <= PEM_CHARS_MAX && !pem::holds_private_key(pem));
        let certificate = Certificate::from_pem(pem).expect("a certificate that is sent can be read");
        assert_eq!(certificate.to_pem(), pem, "a certificate that is sent is canonical");
    }
}

/// The certificates that are sent.
fn sent(checked: &CheckedCertificate) -> impl Iterator<Item = &str> {
    let proof = match checked.call() {
        Call::RegisterCaCertificate { request, .. } => request.verification_certificate.as_deref(),
        _ => None,
    };
    [Some(checked.pem()), checked.ca_pem(), proof].into_iter().flatten()
}

fn check_blanking(text: &str) {
    let blanked = pem::blank_private_keys(text);
    assert!(!pem::hides_private_key(&blanked), "{blanked:?}");
    assert!(pem::hides_private_key(text) || blanked == text, "{blanked:?}");
}

fn check_report(text: &str) {
    assert!(text.len() <= REPORT_MAX && !text.contains(char::is_control), "{text:?}");
}
