//! Joins copies of one certificate in this process: the first makes the call, the others take over how it ended.
//!
//! A claim is held until its end is committed. So whoever claims a certificate anew and then looks into the ledger
//! finds its row: no call is spent twice.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::watch;

use muster_core::certificate::CertificateId;
use muster_core::job::{Job, Name, Operation};
use muster_core::outcome::Outcome;

/// The claims of this process.
#[derive(Clone, Debug, Default)]
pub struct SingleFlight(Arc<Mutex<HashMap<FlightKey, Join>>>);

/// What a call is spent on. A job that insists on AWS's own answer does not join one that does not.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct FlightKey {
    target: Name,
    /// A CA and a device are two things at AWS, whatever they share.
    is_of_ca: bool,
    id: CertificateId,
    verify: bool,
}

/// What came of a claim.
#[derive(Debug)]
pub enum Claimed {
    /// Nobody else works on the certificate.
    First(Claim),
    /// Somebody does; its end will be ours.
    Joined(Join),
}

/// The right to work on a certificate; dropping it gives the right back.
#[derive(Debug)]
pub struct Claim {
    flights: SingleFlight,
    key: FlightKey,
    outcome: watch::Sender<Option<Outcome>>,
}

/// The wait for another's end.
#[derive(Clone, Debug)]
pub struct Join {
    operation: Operation,
    outcome: watch::Receiver<Option<Outcome>>,
}

impl SingleFlight {
    /// Claims a certificate for a job.
    pub fn claim(&self, job: &Job, id: CertificateId) -> Claimed {
        let key =
            FlightKey { target: job.target.clone(), is_of_ca: job.operation().is_of_ca(), id, verify: job.verify };
        match self.lock().entry(key.clone()) {
            Entry::Occupied(entry) => Claimed::Joined(entry.get().clone()),
            Entry::Vacant(entry) => {
                let (outcome, join) = watch::channel(None);
                entry.insert(Join { operation: job.operation(), outcome: join });
                Claimed::First(Claim { flights: self.clone(), key, outcome })
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<FlightKey, Join>> {
        self.0.lock().expect("nothing panics while it holds this lock")
    }
}

impl Claim {
    /// Tells those who joined how it ended.
    pub fn settle(&self, outcome: Outcome) {
        self.outcome.send_replace(Some(outcome));
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.flights.lock().remove(&self.key);
    }
}

impl Join {
    /// How the first ended, or nothing where it gave up. A job of another operation learns only of a good end: what one
    /// call failed for may not be true of another.
    pub async fn outcome(mut self, operation: Operation) -> Option<Outcome> {
        let is_same = operation == self.operation;
        let outcome = self.outcome.wait_for(Option::is_some).await.ok()?.clone();
        outcome.filter(|outcome| is_same || outcome.status().is_success())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_core::outcome::Code;

    const ID: CertificateId = CertificateId([7; 32]);
    const OPERATION: Operation = Operation::RegisterCertificate;

    fn job() -> Job {
        Job::parse(r#"{"version":1,"operation":"RegisterCertificate","request":{"certificatePem":"x"}}"#).unwrap()
    }

    fn outcome(code: Code) -> Outcome {
        Outcome {
            code,
            detail: None,
            subject: ID.0,
            certificate_id: Some(ID),
            known_status: None,
            attempts: vec![],
            n_attempts: 0,
            parking: None,
        }
    }

    fn first(flights: &SingleFlight) -> Claim {
        match flights.claim(&job(), ID) {
            Claimed::First(claim) => claim,
            Claimed::Joined(_) => panic!("somebody holds the claim"),
        }
    }

    fn joined(flights: &SingleFlight) -> Join {
        match flights.claim(&job(), ID) {
            Claimed::First(_) => panic!("nobody holds the claim"),
            Claimed::Joined(join) => join,
        }
    }

    #[tokio::test]
    async fn a_copy_takes_over_how_the_first_ended() {
        let flights = SingleFlight::default();
        let claim = first(&flights);
        let join = joined(&flights);
        claim.settle(outcome(Code::Ok));
        drop(claim);
        assert_eq!(join.outcome(OPERATION).await.unwrap().code, Code::Ok);
    }

    #[tokio::test]
    async fn a_copy_learns_that_the_first_gave_up() {
        let flights = SingleFlight::default();
        let claim = first(&flights);
        let join = joined(&flights);
        drop(claim);
        assert!(join.outcome(OPERATION).await.is_none());
        drop(first(&flights));
    }

    #[tokio::test]
    async fn a_job_of_another_operation_learns_only_of_a_good_end() {
        let other = Operation::RegisterCertificateWithoutCA;
        for (code, is_told) in [(Code::Ok, true), (Code::CertificateConflict, false)] {
            let flights = SingleFlight::default();
            let claim = first(&flights);
            let join = joined(&flights);
            claim.settle(outcome(code));
            assert_eq!(join.outcome(other).await.is_some(), is_told, "{code}");
        }
    }

    #[test]
    fn a_job_that_insists_on_an_answer_of_aws_does_not_join_one_that_does_not() {
        let flights = SingleFlight::default();
        let _claim = first(&flights);
        let job = Job { verify: true, ..job() };
        assert!(matches!(flights.claim(&job, ID), Claimed::First(_)));
    }
}
