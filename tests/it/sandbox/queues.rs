//! SQS: delivery, visibility, batches, dead letters, fairness.

use aws_sdk_sqs::types::{
    DeleteMessageBatchRequestEntry, Message, MessageSystemAttributeName, QueueAttributeName,
    SendMessageBatchRequestEntry, SendMessageBatchResultEntry,
};
use muster_sandbox::SandboxSettings;

use super::Bench;

impl Bench {
    async fn send(&self, url: &str, body: &str) {
        self.sqs.send_message().queue_url(url).message_body(body).send().await.unwrap();
    }

    /// Receives without waiting.
    async fn receive(&self, url: &str) -> Vec<Message> {
        let request = self.sqs.receive_message().queue_url(url).max_number_of_messages(10);
        let request = request.message_system_attribute_names(MessageSystemAttributeName::All);
        request.send().await.unwrap().messages.unwrap_or_default()
    }

    /// Receives with a long poll, until a message arrives.
    async fn await_messages(&self, url: &str) -> Vec<Message> {
        let request = self.sqs.receive_message().queue_url(url).max_number_of_messages(10).wait_time_seconds(20);
        let request = request.message_system_attribute_names(MessageSystemAttributeName::All);
        request.send().await.unwrap().messages.unwrap_or_default()
    }

    async fn hide(&self, url: &str, message: &Message, seconds: i32) {
        let handle = message.receipt_handle().unwrap();
        let request = self.sqs.change_message_visibility().queue_url(url).receipt_handle(handle);
        request.visibility_timeout(seconds).send().await.unwrap();
    }

    async fn delete(&self, url: &str, message: &Message) {
        let handle = message.receipt_handle().unwrap();
        self.sqs.delete_message().queue_url(url).receipt_handle(handle).send().await.unwrap();
    }
}

fn receive_count(message: &Message) -> &str {
    &message.attributes().unwrap()[&MessageSystemAttributeName::ApproximateReceiveCount]
}

#[tokio::test]
async fn a_message_is_delivered_once_and_gone_after_its_delete() {
    let bench = Bench::start(SandboxSettings::default()).await;
    let url = bench.queue("jobs", &[]).await;
    bench.send(&url, "hello").await;
    let received = bench.receive(&url).await;
    assert_eq!(received.iter().map(|message| message.body().unwrap()).collect::<Vec<_>>(), ["hello"]);
    assert!(bench.receive(&url).await.is_empty(), "a message in flight was delivered again");
    bench.delete(&url, &received[0]).await;
    let total = bench.sandbox.ledger().queue("jobs").unwrap().total;
    assert_eq!((total.sent, total.deliveries, total.deleted, total.visible, total.in_flight), (1, 1, 1, 0, 0));
}

#[tokio::test]
async fn a_long_poll_ends_with_the_first_message() {
    let bench = Bench::start(SandboxSettings::default()).await;
    let url = bench.queue("jobs", &[]).await;
    let (received, ()) = tokio::join!(bench.await_messages(&url), async {
        while bench.sandbox.ledger().n_calls() < 2 {
            tokio::task::yield_now().await;
        }
        bench.send(&url, "late").await;
    });
    assert_eq!(received[0].body(), Some("late"));
}

#[tokio::test]
async fn a_released_message_comes_back_with_a_higher_receive_count() {
    let bench = Bench::start(SandboxSettings::default()).await;
    let url = bench.queue("jobs", &[]).await;
    bench.send(&url, "again").await;
    let first = bench.receive(&url).await.remove(0);
    assert_eq!(receive_count(&first), "1");
    bench.hide(&url, &first, 0).await;
    let second = bench.await_messages(&url).await.remove(0);
    assert_eq!((receive_count(&second), second.message_id()), ("2", first.message_id()));
}

#[tokio::test]
async fn an_expired_visibility_ends_a_long_poll() {
    let bench = Bench::start(SandboxSettings::default()).await;
    let url = bench.queue("jobs", &[("VisibilityTimeout", "1")]).await;
    bench.send(&url, "again").await;
    let first = bench.receive(&url).await.remove(0);
    let second = bench.await_messages(&url).await.remove(0);
    assert_eq!((receive_count(&second), second.body()), ("2", first.body()));
}

#[tokio::test]
async fn a_stale_receipt_silently_deletes_nothing() {
    let bench = Bench::start(SandboxSettings::default()).await;
    let url = bench.queue("jobs", &[]).await;
    bench.send(&url, "mine").await;
    let first = bench.receive(&url).await.remove(0);
    bench.hide(&url, &first, 0).await;
    bench.await_messages(&url).await;
    bench.delete(&url, &first).await;
    assert_eq!(bench.sandbox.ledger().queue("jobs").unwrap().total.in_flight, 1);
}

#[tokio::test]
async fn a_message_received_too_often_becomes_a_dead_letter() {
    let bench = Bench::start(SandboxSettings::default()).await;
    let dead = bench.queue("dead", &[]).await;
    let redrive = r#"{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:dead","maxReceiveCount":2}"#;
    let url = bench.queue("jobs", &[("RedrivePolicy", redrive)]).await;
    bench.send(&url, "poison").await;
    for _ in 0..2 {
        let message = bench.await_messages(&url).await.remove(0);
        bench.hide(&url, &message, 0).await;
    }
    assert!(bench.receive(&url).await.is_empty(), "a third delivery");
    let letter = bench.receive(&dead).await.remove(0);
    let attributes = letter.attributes().unwrap();
    assert_eq!(letter.body(), Some("poison"));
    assert_eq!(
        attributes[&MessageSystemAttributeName::DeadLetterQueueSourceArn],
        "arn:aws:sqs:us-east-1:000000000000:jobs"
    );
    assert_eq!(bench.sandbox.ledger().queue("jobs").unwrap().total.dead_lettered, 1);
}

#[tokio::test]
async fn a_batch_is_answered_entry_by_entry() {
    let bench = Bench::start(SandboxSettings::default()).await;
    let url = bench.queue("jobs", &[]).await;
    let entry =
        |id: &str, body: &str| SendMessageBatchRequestEntry::builder().id(id).message_body(body).build().unwrap();
    let request = bench.sqs.send_message_batch().queue_url(&url);
    let request = request.entries(entry("good", "x")).entries(entry("bad", "\u{b}")).entries(entry("fine", "y"));
    let sent = request.send().await.unwrap();
    assert_eq!(sent.successful().iter().map(SendMessageBatchResultEntry::id).collect::<Vec<_>>(), ["good", "fine"]);
    assert_eq!((sent.failed()[0].id(), sent.failed()[0].code()), ("bad", "InvalidMessageContents"));

    let received = bench.receive(&url).await;
    let handle = |id: &str, handle: &str| {
        DeleteMessageBatchRequestEntry::builder().id(id).receipt_handle(handle).build().unwrap()
    };
    let request = bench.sqs.delete_message_batch().queue_url(&url);
    let request = request.entries(handle("a", received[0].receipt_handle().unwrap())).entries(handle("b", "nonsense"));
    let deleted = request.send().await.unwrap();
    assert_eq!((deleted.successful()[0].id(), deleted.failed()[0].code()), ("a", "ReceiptHandleIsInvalid"));
    assert_eq!(bench.sandbox.ledger().queue("jobs").unwrap().total.deleted, 1);
}

#[tokio::test]
async fn a_quiet_group_does_not_wait_behind_a_noisy_one() {
    let bench = Bench::start(SandboxSettings::default()).await;
    let url = bench.queue("jobs", &[]).await;
    let send = |group: &'static str, body: String| {
        bench.sqs.send_message().queue_url(&url).message_group_id(group).message_body(body).send()
    };
    for i in 0..20 {
        send("noisy", format!("noisy {i}")).await.unwrap();
    }
    assert_eq!(bench.receive(&url).await.len(), 10);
    send("quiet", "quiet".to_owned()).await.unwrap();
    let next = bench.receive(&url).await;
    assert_eq!(next[0].body(), Some("quiet"));
    assert_eq!(next[0].attributes().unwrap()[&MessageSystemAttributeName::MessageGroupId], "quiet");
}

#[tokio::test]
async fn a_delayed_message_is_hidden_until_its_time() {
    let bench = Bench::start(SandboxSettings::default()).await;
    let url = bench.queue("jobs", &[]).await;
    bench.sqs.send_message().queue_url(&url).message_body("later").delay_seconds(1).send().await.unwrap();
    assert_eq!(bench.sandbox.ledger().queue("jobs").unwrap().total.delayed, 1);
    let message = bench.await_messages(&url).await.remove(0);
    let at = |name| message.attributes().unwrap()[&name].parse::<u64>().unwrap();
    let hidden_ms = at(MessageSystemAttributeName::ApproximateFirstReceiveTimestamp)
        - at(MessageSystemAttributeName::SentTimestamp);
    assert!(hidden_ms >= 999, "it came after {hidden_ms} ms");
}

#[tokio::test]
async fn counts_are_kept_for_each_batch_of_jobs() {
    let bench = Bench::start(SandboxSettings::default()).await;
    let url = bench.queue("jobs", &[]).await;
    for body in [r#"{"batch":"a"}"#, r#"{"batch":"a"}"#, r#"{"batch":"b"}"#, "no job"] {
        bench.send(&url, body).await;
    }
    let received = bench.receive(&url).await;
    bench.delete(&url, &received[0]).await;
    let counts = bench.sandbox.ledger().queue("jobs").unwrap();
    assert_eq!((counts.batches["a"].sent, counts.batches["a"].deleted, counts.batches["a"].in_flight), (2, 1, 1));
    assert_eq!((counts.batches["b"].in_flight, counts.batches["unbatched"].in_flight), (1, 1));
    assert_eq!((counts.total.sent, counts.total.deliveries), (4, 4));
}

#[tokio::test]
async fn get_queue_attributes_returns_the_attributes() {
    let bench = Bench::start(SandboxSettings::default()).await;
    let url = bench.queue("jobs", &[("VisibilityTimeout", "120"), ("MessageRetentionPeriod", "1209600")]).await;
    assert_eq!(bench.sqs.get_queue_url().queue_name("jobs").send().await.unwrap().queue_url(), Some(url.as_str()));
    assert_eq!(bench.sqs.list_queues().send().await.unwrap().queue_urls(), std::slice::from_ref(&url));
    bench
        .sqs
        .set_queue_attributes()
        .queue_url(&url)
        .attributes(QueueAttributeName::DelaySeconds, "5")
        .send()
        .await
        .unwrap();
    bench.send(&url, "x").await;
    let request = bench.sqs.get_queue_attributes().queue_url(&url).attribute_names(QueueAttributeName::All);
    let attributes = request.send().await.unwrap().attributes.unwrap();
    for (name, value) in [
        (QueueAttributeName::VisibilityTimeout, "120"),
        (QueueAttributeName::MessageRetentionPeriod, "1209600"),
        (QueueAttributeName::DelaySeconds, "5"),
        (QueueAttributeName::ApproximateNumberOfMessagesDelayed, "1"),
        (QueueAttributeName::QueueArn, "arn:aws:sqs:us-east-1:000000000000:jobs"),
    ] {
        assert_eq!(attributes[&name], value, "{name:?}");
    }
    bench.sqs.purge_queue().queue_url(&url).send().await.unwrap();
    assert_eq!(bench.sandbox.ledger().queue("jobs").unwrap().total.purged, 1);
}

#[tokio::test]
async fn a_missing_queue_is_reported_in_both_spellings() {
    let bench = Bench::start(SandboxSettings::default()).await;
    let error = bench.sqs.get_queue_url().queue_name("nowhere").send().await.unwrap_err();
    let header = error.raw_response().unwrap().headers().get("x-amzn-query-error").map(str::to_owned);
    assert_eq!(header.as_deref(), Some("AWS.SimpleQueueService.NonExistentQueue;Sender"));
    assert!(error.into_service_error().is_queue_does_not_exist());
}
