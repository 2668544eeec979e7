//! Single-flight for copies of one certificate in this process: the first makes the call, the others take its outcome.
//!
//! A claim is held until its outcome is committed. A caller that claims the certificate later and then reads the ledger
//! therefore finds the row: no call is spent twice.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::watch;

use muster_core::certificate::CertificateId;
use muster_core::job::{Job, Name, Operation};
use muster_core::outcome::Outcome;

/// The claims of this process; clones share them.
#[derive(Clone, Debug, Default)]
pub struct SingleFlight(Arc<Mutex<HashMap<FlightKey, Join>>>);

/// What a call is spent on. A job with `verify` needs an answer from AWS, so it does not join one without.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct FlightKey {
    target: Name,
    /// AWS keeps CA and device certificates apart, even if they are the same certificate.
    is_of_ca: bool,
    id: CertificateId,
    verify: bool,
}

/// The result of a claim.
#[derive(Debug)]
pub enum Claimed {
    /// No other job in this process is working on the certificate.
    First(Claim),
    /// Another job is working on it; its outcome will be ours.
    Joined(Join),
}

/// The right to work on a certificate; released on drop.
#[derive(Debug)]
pub struct Claim {
    flights: SingleFlight,
    key: FlightKey,
    outcome: watch::Sender<Option<Outcome>>,
}

/// A wait for the outcome of the first job.
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
    /// Passes the outcome to the jobs that joined.
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
    /// Returns the outcome of the first job, or `None` if it gave up. A job of another operation receives only a
    /// success: the reason why one call failed may not apply to another.
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
            Claimed::Joined(_) => panic!("the claim is held"),
        }
    }

    fn joined(flights: &SingleFlight) -> Join {
        match flights.claim(&job(), ID) {
            Claimed::First(_) => panic!("the claim is not held"),
            Claimed::Joined(join) => join,
        }
    }

    #[tokio::test]
    async fn a_copy_takes_over_the_outcome_of_the_first() {
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
    async fn a_job_of_another_operation_takes_over_only_a_success() {
        let other = Operation::RegisterCertificateWithoutCA;
        for (code, is_shared) in [(Code::Ok, true), (Code::CertificateConflict, false)] {
            let flights = SingleFlight::default();
            let claim = first(&flights);
            let join = joined(&flights);
            claim.settle(outcome(code));
            assert_eq!(join.outcome(other).await.is_some(), is_shared, "{code}");
        }
    }

    #[test]
    fn a_verify_job_does_not_join_one_without_verify() {
        let flights = SingleFlight::default();
        let _claim = first(&flights);
        let job = Job { verify: true, ..job() };
        assert!(matches!(flights.claim(&job, ID), Claimed::First(_)));
    }
}
