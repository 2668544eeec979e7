//! A simulated factory line: most of its certificates are valid, some have flaws seen in real production.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::aws::queue::{CALL_MAX, OutgoingMessage, Queue};
use muster_core::job::{CertificateStatus, DEFAULT_TARGET};
use muster_core::job::{Job, Name, RegisterCertificate};
use muster_core::outcome::Code;
use muster_sandbox::specimen::{Ca, Flaw};

/// The batch name of the demo.
pub(super) const BATCH: &str = "demo";

/// The factory line's name.
const SOURCE: &str = "plant-1/line-1";

/// Which of each hundred devices has which flaw. Fixed positions keep the mix the same in every run.
const FLAWS: [(usize, Flaw); 4] =
    [(11, Flaw::Expired), (31, Flaw::WeakKey), (53, Flaw::WronglySigned), (71, Flaw::NotACertificate)];

/// Which of each hundred devices is sent twice.
const DUPLICATE: usize = 43;

/// Which of each hundred devices is followed by a message that is not a job.
const POISON: usize = 87;

/// What the line sends, and the outcomes expected.
#[derive(Debug, Default)]
pub(super) struct LinePlan {
    /// Expected outcomes by code.
    pub outcomes: BTreeMap<Code, u64>,
    /// Number of duplicate messages.
    pub duplicates: u64,
    /// Number of messages that are not jobs.
    pub poisoned: u64,
}

impl LinePlan {
    /// Plans `n` devices.
    pub(super) fn new(n: usize) -> Self {
        let mut plan = Self::default();
        for i in 0..n {
            *plan.outcomes.entry(flaw(i).map_or(Code::Ok, Flaw::code)).or_default() += 1;
            plan.duplicates += u64::from(i % 100 == DUPLICATE);
            plan.poisoned += u64::from(i % 100 == POISON);
        }
        plan
    }

    /// Plans `n` certificates that must all be registered.
    pub(super) fn all_registered(n: u64) -> Self {
        Self { outcomes: BTreeMap::from([(Code::Ok, n)]), ..Self::default() }
    }

    /// Returns the number of distinct certificates plus the messages that are not jobs.
    pub(super) fn enqueued(&self) -> u64 {
        self.outcomes.values().sum::<u64>() + self.poisoned
    }
}

/// Sends the simulated line's messages, if there is one, ten per call.
pub(super) async fn send(queue: Queue, ca: Option<Arc<Ca>>, n: usize) -> anyhow::Result<()> {
    let Some(ca) = ca else { return Ok(()) };
    let (sender, mut receiver) = tokio::sync::mpsc::channel(100);
    let generator = tokio::task::spawn_blocking(move || {
        for message in (0..n).flat_map(|i| messages(&ca, i, n)) {
            if sender.blocking_send(message).is_err() {
                return;
            }
        }
    });
    let mut ten = Vec::with_capacity(CALL_MAX);
    while receiver.recv_many(&mut ten, CALL_MAX).await > 0 {
        send_all(&queue, std::mem::take(&mut ten)).await?;
    }
    Ok(generator.await?)
}

/// Sends messages and resends those that SQS refuses.
async fn send_all(queue: &Queue, mut messages: Vec<OutgoingMessage>) -> anyhow::Result<()> {
    while !messages.is_empty() {
        let mut results = queue.send(&messages).await?.into_iter();
        messages.retain(|_| matches!(results.next(), Some(Err(_))));
    }
    Ok(())
}

/// Creates the messages of device `i` of `n`.
pub(super) fn messages(ca: &Ca, i: usize, n: usize) -> Vec<OutgoingMessage> {
    let device = format!("SN-{i:06}");
    let pem = match flaw(i) {
        None => ca.leaf(&device),
        Some(flaw) => ca.flawed(flaw, &device),
    };
    let mut messages = vec![outgoing(job(pem, &device, n).to_body())];
    if i % 100 == DUPLICATE {
        messages.push(messages[0].clone());
    }
    if i % 100 == POISON {
        messages.push(outgoing(format!("{{\"version\":1,\"device\":\"{device}\"}}")));
    }
    messages
}

fn flaw(i: usize) -> Option<Flaw> {
    FLAWS.iter().find(|(position, _)| i % 100 == *position).map(|(_, flaw)| *flaw)
}

fn outgoing(body: String) -> OutgoingMessage {
    OutgoingMessage { body, group: Some(SOURCE.to_owned()) }
}

fn job(certificate_pem: String, device: &str, n: usize) -> Job {
    Job {
        batch: name(BATCH),
        batch_size: u64::try_from(n).ok(),
        source: Some(name(SOURCE)),
        reference: Some(name(device)),
        target: name(DEFAULT_TARGET),
        verify: false,
        request: RegisterCertificate {
            certificate_pem,
            ca_certificate_pem: None,
            status: Some(CertificateStatus::Active),
            set_as_active: None,
        }
        .into(),
    }
}

fn name(text: &str) -> Name {
    text.parse().expect("names made here have only letters, digits, dashes and slashes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_messages_match_the_plan() {
        let ca = Ca::new("demo CA");
        let plan = LinePlan::new(200);
        let messages: Vec<_> = (0..200).flat_map(|i| messages(&ca, i, 200)).collect();
        assert_eq!(messages.len() as u64, plan.enqueued() + plan.duplicates);
        let n_jobs = messages.iter().filter(|message| Job::parse(&message.body).is_ok()).count();
        assert_eq!(n_jobs as u64, 200 + plan.duplicates);
        assert_eq!(plan.outcomes[&Code::Expired], 2);
    }
}
