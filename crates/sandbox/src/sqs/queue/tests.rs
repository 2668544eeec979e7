use proptest::prelude::*;

use super::*;

const HOUR: Duration = Duration::from_hours(1);

/// A queue and a clock that only the test advances.
struct Harness {
    queue: SandboxQueue,
    now: Instants,
    n_sent: u64,
}

impl Harness {
    fn new(attributes: &[(&str, &str)]) -> Self {
        let attributes = attributes.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        let queue = SandboxQueue::new(1, QueueSettings::new().with(&attributes).unwrap());
        Self { queue, now: Instants::now(), n_sent: 0 }
    }

    fn advance(&mut self, time: Duration) {
        self.now.at += time;
        self.now.unix_ms += u64::try_from(time.as_millis()).unwrap();
    }

    fn send(&mut self) -> u64 {
        self.send_later(Duration::ZERO)
    }

    fn send_later(&mut self, delay: Duration) -> u64 {
        let group = if self.n_sent.is_multiple_of(3) { "loud" } else { "quiet" };
        let content = MessageContent { body: "x".into(), group: group.into(), attributes: None, trace: None };
        self.n_sent += 1;
        self.queue.send(self.n_sent, content, delay, self.now);
        self.n_sent
    }

    /// Receives with a visibility timeout of 30 seconds.
    fn receive(&mut self) -> Received {
        self.queue.receive(10, Duration::from_secs(30), self.now)
    }

    /// Returns the receipt of the latest delivery of a message.
    fn receipt(&self, number: u64) -> Receipt {
        Receipt { queue: 1, number, receives: self.queue.message(number).receives }
    }

    fn hide(&mut self, number: u64, time: Duration) -> Result<(), VisibilityRefusal> {
        self.queue.change_visibility(self.receipt(number), time, self.now)
    }
}

#[test]
fn a_message_reappears_exactly_when_its_visibility_timeout_ends() {
    let mut harness = Harness::new(&[]);
    let number = harness.send();
    assert_eq!(harness.receive().delivered, [number]);
    harness.advance(Duration::from_millis(29_999));
    assert!(harness.receive().delivered.is_empty());
    harness.advance(Duration::from_millis(1));
    assert_eq!(harness.receive().delivered, [number]);
    assert_eq!(harness.queue.message(number).receives, 2);
}

#[test]
fn a_delayed_message_appears_when_its_delay_ends() {
    let mut harness = Harness::new(&[]);
    let number = harness.send_later(Duration::from_mins(1));
    assert_eq!(
        (harness.queue.sizes(), harness.queue.next_wake()),
        ((0, 0, 1), Some(harness.now.at + Duration::from_mins(1)))
    );
    harness.advance(Duration::from_mins(1));
    assert_eq!(harness.receive().delivered, [number]);
    assert_eq!(harness.queue.sizes(), (0, 1, 0));
}

#[test]
fn a_heartbeat_hides_a_message_for_at_most_twelve_hours() {
    let mut harness = Harness::new(&[]);
    let number = harness.send();
    harness.receive();
    for _ in 0..11 {
        harness.hide(number, HOUR + Duration::from_mins(1)).unwrap();
        harness.advance(HOUR);
        assert!(harness.receive().delivered.is_empty());
    }
    harness.hide(number, HOUR).unwrap();
    assert_eq!(harness.hide(number, HOUR + Duration::from_secs(1)), Err(VisibilityRefusal::TooLong));
}

#[test]
fn only_the_latest_receipt_of_an_in_flight_message_changes_visibility() {
    let mut harness = Harness::new(&[]);
    let number = harness.send();
    harness.receive();
    let old = harness.receipt(number);
    harness.hide(number, Duration::ZERO).unwrap();
    assert_eq!(harness.hide(number, HOUR), Err(VisibilityRefusal::NotInFlight));
    harness.receive();
    assert_eq!(harness.queue.change_visibility(old, HOUR, harness.now), Err(VisibilityRefusal::Stale));
    harness.queue.delete(harness.receipt(number));
    assert_eq!(harness.queue.change_visibility(old, HOUR, harness.now), Err(VisibilityRefusal::Stale));
}

#[test]
fn a_receipt_stays_valid_until_the_message_is_received_again() {
    let mut harness = Harness::new(&[]);
    let [first, second] = [harness.send(), harness.send()];
    harness.receive();
    let receipts = [harness.receipt(first), harness.receipt(second)];
    harness.advance(Duration::from_mins(1));
    harness.queue.wake(harness.now);
    harness.queue.delete(receipts[0]);
    assert_eq!(harness.receive().delivered, [second]);
    harness.queue.delete(receipts[1]);
    assert_eq!((harness.queue.sizes(), harness.queue.deleted()), ((0, 1, 0), &[first][..]));
}

#[test]
fn messages_expire_in_every_state() {
    let mut harness = Harness::new(&[("MessageRetentionPeriod", "60")]);
    harness.send();
    harness.send_later(Duration::from_mins(10));
    harness.receive();
    harness.advance(Duration::from_secs(50));
    harness.send();
    harness.advance(Duration::from_secs(10));
    harness.queue.wake(harness.now);
    assert_eq!(harness.queue.counts().total.expired, 0, "a message is kept until its retention period is over");
    harness.advance(Duration::from_millis(1));
    harness.queue.wake(harness.now);
    assert_eq!((harness.queue.counts().total.expired, harness.queue.sizes()), (2, (1, 0, 0)));
}

#[test]
fn a_dead_letter_keeps_its_age_and_its_receive_count() {
    let redrive = r#"{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:dead","maxReceiveCount":1}"#;
    let mut harness = Harness::new(&[("RedrivePolicy", redrive)]);
    let number = harness.send();
    let sent_ms = harness.now.unix_ms;
    harness.receive();
    harness.advance(Duration::from_mins(1));
    let mut received = harness.receive();
    assert!(received.delivered.is_empty());
    let letter = received.dead.remove(0);
    assert_eq!((letter.number, letter.sent_ms, letter.receives), (number, sent_ms, 1));

    let mut dead = Harness::new(&[("MessageRetentionPeriod", "60")]);
    dead.now = harness.now;
    dead.queue.admit(letter, Duration::ZERO, dead.now);
    dead.advance(Duration::from_millis(1));
    assert!(dead.receive().delivered.is_empty(), "the dead letter is older than a minute");
    assert_eq!(dead.queue.counts().total.expired, 1);
}

#[test]
fn an_echo_is_delivered_once_more_while_in_flight() {
    let mut harness = Harness::new(&[]);
    let [echoed, deleted] = [harness.send(), harness.send()];
    harness.receive();
    harness.queue.echo(&[echoed, deleted]);
    harness.queue.delete(harness.receipt(deleted));
    assert_eq!(harness.receive().delivered, [echoed]);
    assert!(harness.receive().delivered.is_empty());
    assert_eq!(harness.queue.sizes(), (0, 1, 0));
    harness.advance(Duration::from_secs(30));
    assert_eq!(harness.receive().delivered, [echoed]);
}

#[test]
fn a_queue_with_120_000_messages_in_flight_delivers_no_more() {
    let mut harness = Harness::new(&[]);
    for _ in 0..=IN_FLIGHT_MAX {
        harness.send();
    }
    let taken = harness.queue.receive(usize::MAX, HOUR, harness.now).delivered;
    assert_eq!((taken.len(), harness.queue.sizes()), (IN_FLIGHT_MAX, (1, IN_FLIGHT_MAX, 0)));
    assert!(harness.receive().delivered.is_empty());
    harness.queue.delete(harness.receipt(taken[0]));
    assert_eq!(harness.receive().delivered.len(), 1);
}

#[test]
fn a_purge_deletes_messages_in_every_state() {
    let mut harness = Harness::new(&[]);
    harness.send();
    harness.receive();
    harness.send();
    harness.send_later(HOUR);
    harness.queue.purge();
    assert_eq!((harness.queue.counts().total.purged, harness.queue.sizes()), (3, (0, 0, 0)));
    harness.advance(HOUR);
    assert!(harness.receive().delivered.is_empty());
}

/// Something that can happen to a queue; `pick` chooses among all messages ever sent.
#[derive(Clone, Debug)]
enum Step {
    Send { delay_s: u64 },
    Receive { max: usize },
    Delete { pick: u64 },
    Hide { pick: u64, seconds: u64 },
    Echo { pick: u64 },
    Advance { seconds: u64 },
    Purge,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => prop_oneof![Just(0), 1..900_u64].prop_map(|delay_s| Step::Send { delay_s }),
        6 => (1..10_usize).prop_map(|max| Step::Receive { max }),
        4 => any::<u64>().prop_map(|pick| Step::Delete { pick }),
        4 => (any::<u64>(), 0..100_u64).prop_map(|(pick, seconds)| Step::Hide { pick, seconds }),
        2 => any::<u64>().prop_map(|pick| Step::Echo { pick }),
        4 => (0..100_u64).prop_map(|seconds| Step::Advance { seconds }),
        1 => Just(Step::Purge),
    ]
}

impl Harness {
    /// Returns the receipt of some message, stale or not.
    fn some_receipt(&self, pick: u64) -> Receipt {
        let number = pick % (self.n_sent + 1);
        let receives = self.queue.slots.get(&number).map_or(1, |slot| slot.message.receives);
        Receipt { queue: 1, number, receives: receives - u32::try_from(pick % 2).unwrap().min(receives) }
    }

    fn apply(&mut self, step: &Step) {
        match *step {
            Step::Send { delay_s } => {
                self.send_later(Duration::from_secs(delay_s));
            }
            Step::Receive { max } => drop(self.queue.receive(max, Duration::from_secs(30), self.now)),
            Step::Delete { pick } => self.queue.delete(self.some_receipt(pick)),
            Step::Hide { pick, seconds } => {
                let receipt = self.some_receipt(pick);
                let _ = self.queue.change_visibility(receipt, Duration::from_secs(seconds), self.now);
            }
            Step::Echo { pick } => self.queue.echo(&[pick % (self.n_sent + 1)]),
            Step::Advance { seconds } => self.advance(Duration::from_secs(seconds)),
            Step::Purge => self.queue.purge(),
        }
    }
}

proptest! {
    #[test]
    fn every_message_is_in_exactly_one_state(steps in prop::collection::vec(step(), 1..200)) {
        let redrive = r#"{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:dead","maxReceiveCount":3}"#;
        let mut harness = Harness::new(&[("RedrivePolicy", redrive), ("MessageRetentionPeriod", "600")]);
        for step in &steps {
            harness.apply(step);
            let queue = &harness.queue;
            let total = queue.counts().total;
            let sizes = [total.visible, total.in_flight, total.delayed].map(|n| usize::try_from(n).unwrap());
            prop_assert_eq!(queue.sizes(), sizes.into());
            prop_assert_eq!(queue.turns.n_waiting(), sizes[0]);
            prop_assert_eq!(queue.turns.n_in_flight(), sizes[1]);
            prop_assert_eq!(queue.hidden.len(), sizes[1] + sizes[2]);
            prop_assert_eq!(queue.by_age.len(), queue.slots.len());
            let gone = total.deleted + total.dead_lettered + total.expired + total.purged;
            prop_assert_eq!(total.sent, gone + total.visible + total.in_flight + total.delayed);
        }
    }
}
