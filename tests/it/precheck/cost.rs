//! No request costs much more than an honest one, in instructions counted by valgrind, if it is installed.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use muster_core::job::{RegisterCaCertificate, Request};
use muster_core::precheck::{PEM_CHARS_MAX, Policy, Precheck};
use muster_sandbox::specimen::{Ca, hostile};

use super::{CODE, NOW, job_under};

/// How many honest checks (P-256 under P-256, with the CA not yet parsed) each 64 KiB of a hostile request may cost.
const HONEST_CHECKS_MAX: u64 = 20;

/// The test below runs this one under valgrind: the honest check comes first, then the corpus in its order.
#[test]
fn corpus_is_checked_once() {
    let ca = Ca::new("Plant CA");
    let honest = job_under(&ca, ca.leaf("device"));
    let hostile = requests().into_iter().map(|(_, request)| request);
    for request in std::iter::once(honest.into()).chain(hostile) {
        // A fresh precheck that has parsed nothing yet, so that every CA is parsed again.
        std::hint::black_box(Precheck::new(Policy::default(), []).check(&request, NOW, Some(CODE)));
    }
}

#[test]
fn no_hostile_request_costs_more_than_twenty_honest_ones() {
    let folder = tempfile::tempdir().unwrap();
    let Some(costs) = instructions(folder.path()) else {
        eprintln!("skipped: valgrind is not installed");
        return;
    };
    let corpus = requests();
    assert_eq!(costs.len(), 1 + corpus.len());
    let honest = costs[0];
    for ((name, request), cost) in corpus.iter().zip(&costs[1..]) {
        let max = HONEST_CHECKS_MAX * n_texts(request);
        let checks = cost.div_ceil(honest);
        eprintln!("{checks:3} honest checks of {max}: {name}");
        assert!(checks <= max, "{name}: {cost} instructions, {honest} for an honest check");
    }
}

/// Returns the corpora of devices and of CAs, by name.
fn requests() -> Vec<(&'static str, Request)> {
    let devices = hostile::corpus().into_iter().map(|hostile| (hostile.name, hostile.request.into()));
    devices.chain(hostile::ca_corpus().into_iter().map(|hostile| (hostile.name, hostile.request.into()))).collect()
}

/// Returns the length of a request's texts in units of 64 KiB; texts other than certificates are counted together.
fn n_texts(request: &Request) -> u64 {
    let texts = match request {
        Request::RegisterCertificate(request) => {
            vec![Some(&request.certificate_pem), request.ca_certificate_pem.as_ref()]
        }
        Request::RegisterCertificateWithoutCa(request) => vec![Some(&request.certificate_pem)],
        Request::RegisterCaCertificate(request) => {
            vec![Some(&request.ca_certificate), request.verification_certificate.as_ref()]
        }
    };
    let n_other = match request {
        Request::RegisterCaCertificate(request) => n_other_chars(request),
        _ => 0,
    };
    let lengths = texts.into_iter().flatten().map(String::len).chain([n_other]);
    lengths.map(|length| length.div_ceil(PEM_CHARS_MAX) as u64).sum::<u64>().max(1)
}

fn n_other_chars(request: &RegisterCaCertificate) -> usize {
    let body = request.registration_config.as_ref().and_then(|config| config.template_body.as_ref());
    let tags = request.tags.iter().map(|tag| tag.key.len() + tag.value.as_ref().map_or(0, String::len));
    body.map_or(0, String::len) + tags.sum::<usize>()
}

/// Returns the instruction count of each check, in order; valgrind writes a file after each.
fn instructions(folder: &Path) -> Option<Vec<u64>> {
    let check = "muster_core::precheck::Precheck::check";
    let status = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet", &format!("--toggle-collect={check}"), &format!("--dump-after={check}")])
        .arg(format!("--callgrind-out-file={}", folder.join("out").display()))
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "precheck::cost::corpus_is_checked_once", "--test-threads=1"])
        .stdout(Stdio::null())
        .status()
        .ok()?;
    assert!(status.success(), "{status}");
    let dump = |number: usize| fs::read_to_string(folder.join(format!("out.{number}"))).ok();
    Some((1..).map_while(dump).map(|dump| total(&dump)).collect())
}

fn total(dump: &str) -> u64 {
    let line = dump.lines().find_map(|line| line.strip_prefix("totals: ").or(line.strip_prefix("summary: "))).unwrap();
    line.trim().parse().unwrap()
}
