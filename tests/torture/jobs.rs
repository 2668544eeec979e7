//! The jobs of a run: mostly valid ones, some of every other kind, and the expected outcome of each.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use muster_core::job::{CertificateStatus, Job, RegisterCertificate};
use muster_core::precheck::Precheck;
use muster_sandbox::specimen::{Ca, Flaw};
use strum::VariantArray;
use time::OffsetDateTime;

/// A private key that must never leak.
pub(crate) const KEY_CANARY: &str = "CANARYPRIVATEKEY";

/// How many factory lines send jobs, each in its own batch.
const LINES: usize = 4;

/// The kind of a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// A certificate that AWS accepts.
    Valid,
    /// One that someone else has already registered.
    Planted,
    /// One whose CA is inactive at first.
    Held,
    /// One that the precheck rejects.
    Flawed(Flaw),
    /// A body that is not a job.
    NotAJob,
}

/// Where the ledger records the outcome of a message: batch and subject, or the text that marks a body that is not a
/// job.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) enum Place {
    Row(String, [u8; 32]),
    Quarantine(String),
}

/// All messages of a run.
#[derive(Default)]
pub(crate) struct Jobs {
    pub(crate) bodies: Vec<String>,
    /// The expected outcome of each place; duplicates share one.
    pub(crate) wanted: HashMap<Place, Kind>,
    /// Certificates to be registered by someone else.
    pub(crate) planted: Vec<String>,
    places: HashMap<u64, Place>,
}

/// The certificate authorities of the run.
pub(crate) struct Cas {
    pub(crate) valid: Ca,
    pub(crate) inactive: Ca,
}

impl Jobs {
    /// Creates `n` messages. The seed decides their kinds; the keys of the certificates are random.
    pub(crate) fn make(n: usize, cas: &Arc<Cas>, seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let precheck = Precheck::new(muster_core::precheck::Policy::default(), []);
        let mut jobs = Self::default();
        while jobs.bodies.len() < n {
            match random.u8(0..100) {
                0..3 if !jobs.bodies.is_empty() => jobs.add_copy(&mut random),
                3..6 if !jobs.bodies.is_empty() => jobs.add_to_another_batch(&mut random, &precheck),
                kind => jobs.add_new(kind, cas, &mut random, &precheck),
            }
        }
        jobs
    }

    /// Returns where the outcome of a message is recorded.
    pub(crate) fn place(&self, body: &str) -> Option<&Place> {
        self.places.get(&hash(body))
    }

    fn add_new(&mut self, kind: u8, cas: &Cas, random: &mut fastrand::Rng, precheck: &Precheck) {
        let i = self.bodies.len();
        let name = format!("device {i}");
        let line = random.usize(0..LINES);
        let kind = match kind {
            6..9 => Kind::Flawed(Flaw::VARIANTS[random.usize(0..Flaw::VARIANTS.len())]),
            9..11 => Kind::Flawed(Flaw::WronglySigned),
            11 => Kind::NotAJob,
            12..14 => Kind::Held,
            14 => Kind::Planted,
            _ => Kind::Valid,
        };
        let job = match kind {
            Kind::NotAJob => return self.add_not_a_job(i),
            Kind::Valid => job(line, cas.valid.leaf(&name), None),
            Kind::Planted => {
                let pem = cas.valid.leaf(&name);
                self.planted.push(pem.clone());
                job(line, pem, None)
            }
            Kind::Held => job(line, cas.inactive.leaf(&name), None),
            Kind::Flawed(flaw) => job(line, cas.valid.flawed(flaw, &name), Some(cas.valid.pem())),
        };
        self.add(&job, kind, precheck);
    }

    fn add_not_a_job(&mut self, i: usize) {
        let mark = format!("no job {i};");
        let body = format!("{mark} -----BEGIN PRIVATE KEY-----\n{KEY_CANARY}{i}\n-----END PRIVATE KEY-----");
        let place = Place::Quarantine(mark);
        self.places.insert(hash(&body), place.clone());
        self.wanted.insert(place, Kind::NotAJob);
        self.bodies.push(body);
    }

    fn add_copy(&mut self, random: &mut fastrand::Rng) {
        let body = self.bodies[random.usize(0..self.bodies.len())].clone();
        // Two messages that are not jobs are recorded separately, even if they are equal.
        if matches!(self.place(&body), Some(Place::Row(..))) {
            self.bodies.push(body);
        }
    }

    fn add_to_another_batch(&mut self, random: &mut fastrand::Rng, precheck: &Precheck) {
        let body = &self.bodies[random.usize(0..self.bodies.len())];
        let (Ok(mut job), Some(place)) = (Job::parse(body), self.place(body)) else { return };
        let kind = self.wanted[place];
        job.batch = "again".parse().unwrap();
        self.add(&job, kind, precheck);
    }

    fn add(&mut self, job: &Job, kind: Kind, precheck: &Precheck) {
        let subject = precheck.check(&job.request, OffsetDateTime::now_utc(), None).subject;
        let place = Place::Row(job.batch.to_string(), subject);
        let body = job.to_body();
        self.places.insert(hash(&body), place.clone());
        self.wanted.insert(place, kind);
        self.bodies.push(body);
    }
}

fn job(line: usize, certificate_pem: String, ca_certificate_pem: Option<String>) -> Job {
    Job {
        batch: format!("batch-{line}").parse().unwrap(),
        batch_size: None,
        source: Some(format!("line-{line}").parse().unwrap()),
        reference: None,
        target: "default".parse().unwrap(),
        verify: false,
        request: RegisterCertificate {
            certificate_pem,
            ca_certificate_pem,
            status: Some(CertificateStatus::Active),
            set_as_active: None,
        }
        .into(),
    }
}

fn hash(body: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    hasher.finish()
}
