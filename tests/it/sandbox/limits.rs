//! SQS: requests that exceed its limits, and the resulting errors.

use aws_sdk_sqs::error::ProvideErrorMetadata;
use aws_sdk_sqs::operation::send_message::builders::SendMessageFluentBuilder;
use aws_sdk_sqs::types::{QueueAttributeName, SendMessageBatchRequestEntry};
use muster_sandbox::SandboxSettings;

use super::Bench;

/// A sandbox with one queue.
struct Fixture {
    bench: Bench,
    url: String,
}

impl Fixture {
    async fn start() -> Self {
        let bench = Bench::start(SandboxSettings::default()).await;
        let url = bench.queue("jobs", &[]).await;
        Self { bench, url }
    }

    fn message(&self, body: impl Into<String>) -> SendMessageFluentBuilder {
        self.bench.sqs.send_message().queue_url(&self.url).message_body(body)
    }

    async fn refusal(&self, request: SendMessageFluentBuilder) -> String {
        request.send().await.expect_err("a message").code().unwrap_or_default().to_owned()
    }

    async fn batch_refusal(&self, entries: Vec<(&str, String)>) -> String {
        let entry = |(id, body)| SendMessageBatchRequestEntry::builder().id(id).message_body(body).build().unwrap();
        let entries = entries.into_iter().map(entry).collect();
        let request = self.bench.sqs.send_message_batch().queue_url(&self.url).set_entries(Some(entries));
        request.send().await.expect_err("a batch").code().unwrap_or_default().to_owned()
    }
}

#[tokio::test]
async fn messages_are_limited_to_one_mebibyte() {
    let fixture = Fixture::start().await;
    fixture.message("x".repeat(1 << 20)).send().await.unwrap();
    assert_eq!(fixture.refusal(fixture.message("x".repeat((1 << 20) + 1))).await, "InvalidParameterValue");
    let limit = (QueueAttributeName::MaximumMessageSize, "1024");
    fixture.bench.sqs.set_queue_attributes().queue_url(&fixture.url).attributes(limit.0, limit.1).send().await.unwrap();
    assert_eq!(fixture.refusal(fixture.message("x".repeat(1_025))).await, "InvalidParameterValue");
}

#[tokio::test]
async fn numbers_outside_their_range_are_refused() {
    let fixture = Fixture::start().await;
    assert_eq!(fixture.refusal(fixture.message("x").delay_seconds(901)).await, "InvalidParameterValue");
    assert_eq!(fixture.refusal(fixture.message("x").message_group_id("a b")).await, "InvalidParameterValue");
    let receive = || fixture.bench.sqs.receive_message().queue_url(&fixture.url);
    for request in [
        receive().max_number_of_messages(11),
        receive().max_number_of_messages(0),
        receive().wait_time_seconds(21),
        receive().visibility_timeout(43_201),
    ] {
        assert_eq!(request.send().await.unwrap_err().code(), Some("InvalidParameterValue"));
    }
    for (name, value) in
        [("MessageRetentionPeriod", "59"), ("VisibilityTimeout", "43201"), ("DelaySeconds", "-1"), ("Colour", "red")]
    {
        let request = fixture.bench.sqs.set_queue_attributes().queue_url(&fixture.url).attributes(name.into(), value);
        let code = request.send().await.unwrap_err().code().unwrap().to_owned();
        assert_eq!(code, if name == "Colour" { "InvalidAttributeName" } else { "InvalidAttributeValue" }, "{name}");
    }
}

#[tokio::test]
async fn characters_outside_xml_and_empty_bodies_are_refused() {
    let fixture = Fixture::start().await;
    assert_eq!(fixture.refusal(fixture.message("a\0b")).await, "InvalidMessageContents");
    assert_eq!(fixture.refusal(fixture.message("\u{ffff}")).await, "InvalidMessageContents");
    assert_eq!(fixture.refusal(fixture.message("")).await, "MissingParameter");
    assert_eq!(fixture.refusal(fixture.bench.sqs.send_message().queue_url(&fixture.url)).await, "MissingParameter");
}

#[tokio::test]
async fn a_batch_is_refused_as_a_whole_for_its_ids_and_its_length() {
    let fixture = Fixture::start().await;
    let ids = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"];
    let small = |ids: &[&'static str]| ids.iter().map(|&id| (id, "x".to_owned())).collect::<Vec<_>>();
    let code = |short: &str| format!("AWS.SimpleQueueService.{short}");
    assert_eq!(fixture.batch_refusal(small(&[])).await, code("EmptyBatchRequest"));
    assert_eq!(fixture.batch_refusal(small(&ids)).await, code("TooManyEntriesInBatchRequest"));
    assert_eq!(fixture.batch_refusal(small(&["a", "a"])).await, code("BatchEntryIdsNotDistinct"));
    assert_eq!(fixture.batch_refusal(small(&["a b"])).await, code("InvalidBatchEntryId"));
    let half = "x".repeat((1 << 19) + 1);
    assert_eq!(fixture.batch_refusal(vec![("a", half.clone()), ("b", half)]).await, code("BatchRequestTooLong"));
    assert_eq!(fixture.bench.sandbox.ledger().queue("jobs").unwrap().total.sent, 0);
}

#[tokio::test]
async fn creating_a_queue_again_needs_the_same_attributes() {
    let fixture = Fixture::start().await;
    let again = fixture.bench.sqs.create_queue().queue_name("jobs").send().await.unwrap();
    assert_eq!(again.queue_url(), Some(fixture.url.as_str()));
    let other = fixture.bench.sqs.create_queue().queue_name("jobs").attributes(QueueAttributeName::DelaySeconds, "7");
    assert_eq!(other.send().await.unwrap_err().code(), Some("QueueAlreadyExists"));
    let fifo = fixture.bench.sqs.create_queue().queue_name("jobs.fifo").send().await;
    assert_eq!(fifo.unwrap_err().code(), Some("InvalidParameterValue"));
    let redrive = r#"{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:nowhere","maxReceiveCount":"3"}"#;
    let orphan =
        fixture.bench.sqs.create_queue().queue_name("b").attributes(QueueAttributeName::RedrivePolicy, redrive);
    assert_eq!(orphan.send().await.unwrap_err().code(), Some("InvalidAttributeValue"));
}

#[tokio::test]
async fn only_a_message_in_flight_can_change_its_visibility() {
    let fixture = Fixture::start().await;
    fixture.message("x").send().await.unwrap();
    let received = fixture.bench.sqs.receive_message().queue_url(&fixture.url).send().await.unwrap().messages.unwrap();
    let change = |handle: &str, seconds| {
        let request = fixture.bench.sqs.change_message_visibility().queue_url(&fixture.url).receipt_handle(handle);
        request.visibility_timeout(seconds).send()
    };
    let handle = received[0].receipt_handle().unwrap();
    assert_eq!(change("nonsense", 1).await.unwrap_err().code(), Some("ReceiptHandleIsInvalid"));
    assert_eq!(change(handle, 43_201).await.unwrap_err().code(), Some("InvalidParameterValue"));
    change(handle, 0).await.unwrap();
    let late = change(handle, 5).await.unwrap_err();
    assert_eq!(late.code(), Some("AWS.SimpleQueueService.MessageNotInflight"));
    fixture.bench.sqs.delete_message().queue_url(&fixture.url).receipt_handle(handle).send().await.unwrap();
    assert_eq!(change(handle, 5).await.unwrap_err().code(), Some("InvalidParameterValue"), "it is gone");
}

#[tokio::test]
async fn a_deleted_queue_ends_its_long_polls() {
    let fixture = Fixture::start().await;
    let poll = tokio::spawn(fixture.bench.sqs.receive_message().queue_url(&fixture.url).wait_time_seconds(20).send());
    while fixture.bench.sandbox.ledger().n_calls() < 2 {
        tokio::task::yield_now().await;
    }
    fixture.bench.sqs.delete_queue().queue_url(&fixture.url).send().await.unwrap();
    assert!(poll.await.unwrap().unwrap_err().into_service_error().is_queue_does_not_exist());
}
