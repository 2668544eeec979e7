//! Injected faults, and how the call log reports them.

use std::time::{Duration, Instant};

use aws_sdk_iot::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_iot::operation::register_certificate::{RegisterCertificateError, RegisterCertificateOutput};
use aws_sdk_sqs::types::{
    DeleteMessageBatchRequestEntry, Message, SendMessageBatchRequestEntry, SendMessageBatchResultEntry,
};
use muster_sandbox::specimen::Ca;
use muster_sandbox::{ApiOperation, Effect, Fault, Limiting, Rates, SandboxSettings};

use super::Bench;

/// A sandbox with a CA and one device certificate to register.
struct Fixture {
    bench: Bench,
    pem: String,
}

type Registration = Result<RegisterCertificateOutput, SdkError<RegisterCertificateError>>;

impl Fixture {
    async fn start() -> Self {
        let bench = Bench::start(SandboxSettings { limiting: Limiting::CountOnly, ..SandboxSettings::default() }).await;
        let ca = Ca::new("Plant CA");
        bench.sandbox.plant_ca(&ca.pem()).unwrap();
        Self { bench, pem: ca.leaf("device") }
    }

    /// Makes the next registration meet an effect.
    fn inject(&self, effect: Effect) {
        let fault = Fault::new(ApiOperation::RegisterCertificate, effect).calls(1);
        self.bench.sandbox.faults().set(fault).unwrap();
    }

    async fn register(&self) -> Registration {
        self.bench.iot.register_certificate().certificate_pem(&self.pem).send().await
    }

    fn n_certificates(&self) -> usize {
        self.bench.sandbox.ledger().n_certificates()
    }

    /// Returns the answer of the last call, and whether it was executed.
    fn last_call(&self) -> (Option<String>, bool) {
        let call = self.bench.sandbox.ledger().calls().pop().unwrap();
        (call.answer.map(std::borrow::Cow::into_owned), call.executed)
    }
}

fn code(registration: Registration) -> String {
    registration.expect_err("an error was injected").code().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn an_injected_throttle_looks_like_the_services_own() {
    let fixture = Fixture::start().await;
    fixture.inject(Effect::Throttle);
    assert_eq!(code(fixture.register().await), "ThrottlingException");
    assert_eq!((fixture.last_call(), fixture.n_certificates()), ((Some("ThrottlingException".to_owned()), false), 0));
    fixture.register().await.unwrap();
}

#[tokio::test]
async fn any_error_can_come_before_or_after_execution() {
    let fixture = Fixture::start().await;
    for (executed, n_certificates) in [(false, 0), (true, 1)] {
        let (status, code, message) = (503, "ServiceUnavailableException".to_owned(), "later".to_owned());
        fixture.inject(Effect::Error { status, code, message, executed });
        let Err(SdkError::ServiceError(error)) = fixture.register().await else { panic!("no answer") };
        assert_eq!((error.raw().status().as_u16(), error.err().message()), (503, Some("later")));
        assert_eq!(fixture.n_certificates(), n_certificates);
    }
}

#[tokio::test]
async fn a_reset_breaks_the_connection_before_or_after_execution() {
    let fixture = Fixture::start().await;
    for (executed, n_certificates) in [(false, 0), (true, 1)] {
        fixture.inject(Effect::Reset { executed });
        let error = fixture.register().await.unwrap_err();
        assert!(matches!(error, SdkError::DispatchFailure(_)), "{error:?}");
        assert_eq!(
            (fixture.last_call(), fixture.n_certificates()),
            ((Some("reset".to_owned()), executed), n_certificates)
        );
    }
    assert_eq!(code(fixture.register().await), "ResourceAlreadyExistsException");
}

#[tokio::test]
async fn a_hung_call_is_executed_and_never_answered() {
    let fixture = Fixture::start().await;
    fixture.inject(Effect::Hang { executed: true });
    let call = fixture.register();
    tokio::select! {
        answer = call => panic!("an answer: {answer:?}"),
        () = async {
            while fixture.n_certificates() == 0 || fixture.last_call().0.is_none() {
                tokio::task::yield_now().await;
            }
        } => {}
    }
    assert_eq!(fixture.last_call(), (Some("hung".to_owned()), true));
}

#[tokio::test]
async fn a_latency_delays_the_answer() {
    let fixture = Fixture::start().await;
    fixture.inject(Effect::Latency { milliseconds: 150, up_to: Some(200) });
    let before = Instant::now();
    fixture.register().await.unwrap();
    assert!(before.elapsed() >= Duration::from_millis(150), "{:?}", before.elapsed());
}

#[tokio::test]
async fn a_wrong_id_is_in_the_answer_only() {
    let fixture = Fixture::start().await;
    fixture.inject(Effect::WrongId);
    let returned = fixture.register().await.unwrap().certificate_id.unwrap();
    let registered = fixture.bench.sandbox.ledger().certificates()[0].id.to_string();
    assert!(returned != registered && returned.len() == registered.len());
}

#[tokio::test]
async fn faults_strike_only_calls_within_the_quota() {
    let bench =
        Bench::start(SandboxSettings { rates: Rates::all(0.001), burst: Some(1.0), ..SandboxSettings::default() })
            .await;
    let unavailable = || Effect::Error {
        status: 500,
        code: "InternalFailureException".to_owned(),
        message: String::new(),
        executed: false,
    };
    bench.sandbox.faults().set(Fault::new(ApiOperation::GetRegistrationCode, unavailable())).unwrap();
    let mut codes = Vec::new();
    for _ in 0..2 {
        codes.push(bench.iot.get_registration_code().send().await.unwrap_err().code().unwrap().to_owned());
    }
    assert_eq!(codes, ["InternalFailureException", "ThrottlingException"]);
    assert_eq!(bench.sandbox.faults().list()[0].strikes, 1);
}

async fn receive(bench: &Bench, url: &str) -> Vec<Message> {
    let request = bench.sqs.receive_message().queue_url(url).max_number_of_messages(10);
    request.send().await.unwrap().messages.unwrap_or_default()
}

#[tokio::test]
async fn the_first_entries_of_a_batch_fail_and_are_not_sent() {
    let bench = Bench::start(SandboxSettings::default()).await;
    let url = bench.queue("jobs", &[]).await;
    let effect = Effect::FailEntries { entries: 2, code: "InternalError".to_owned(), sender_fault: false };
    bench.sandbox.faults().set(Fault::new(ApiOperation::SendMessageBatch, effect).calls(1)).unwrap();
    let entry = |id: &str| SendMessageBatchRequestEntry::builder().id(id).message_body(id).build().unwrap();
    let request = bench.sqs.send_message_batch().queue_url(&url);
    let sent = request.set_entries(Some(["a", "b", "c"].map(entry).into())).send().await.unwrap();
    let failed: Vec<_> = sent.failed().iter().map(|entry| (entry.id(), entry.code(), entry.sender_fault())).collect();
    assert_eq!(failed, [("a", "InternalError", false), ("b", "InternalError", false)]);
    assert_eq!(sent.successful().iter().map(SendMessageBatchResultEntry::id).collect::<Vec<_>>(), ["c"]);
    assert_eq!(bench.sandbox.ledger().queue("jobs").unwrap().total.sent, 1);
}

#[tokio::test]
async fn a_message_is_delivered_twice_while_it_is_in_flight() {
    let bench = Bench::start(SandboxSettings::default()).await;
    let url = bench.queue("jobs", &[]).await;
    bench.sqs.send_message().queue_url(&url).message_body("x").send().await.unwrap();
    bench.sandbox.faults().set(Fault::new(ApiOperation::ReceiveMessage, Effect::DeliverTwice).calls(1)).unwrap();
    let first = receive(&bench, &url).await;
    let second = receive(&bench, &url).await;
    assert_eq!(first[0].message_id(), second[0].message_id());
    assert_ne!(first[0].receipt_handle(), second[0].receipt_handle());
    assert!(receive(&bench, &url).await.is_empty(), "a third delivery");
    let total = bench.sandbox.ledger().queue("jobs").unwrap().total;
    assert_eq!((total.deliveries, total.in_flight), (2, 1));
}

#[tokio::test]
async fn a_stale_delete_is_confirmed_but_the_message_stays() {
    let bench = Bench::start(SandboxSettings::default()).await;
    let url = bench.queue("jobs", &[]).await;
    bench.sqs.send_message().queue_url(&url).message_body("x").send().await.unwrap();
    let message = receive(&bench, &url).await.remove(0);
    bench.sandbox.faults().set(Fault::new(ApiOperation::DeleteMessageBatch, Effect::StaleHandles).calls(1)).unwrap();
    let handle = message.receipt_handle().unwrap();
    let entry = || DeleteMessageBatchRequestEntry::builder().id("a").receipt_handle(handle).build().unwrap();
    let delete = || bench.sqs.delete_message_batch().queue_url(&url).entries(entry()).send();
    let total = || bench.sandbox.ledger().queue("jobs").unwrap().total;
    assert_eq!(delete().await.unwrap().successful().len(), 1);
    assert_eq!((total().deleted, total().in_flight), (0, 1));
    assert_eq!(delete().await.unwrap().successful().len(), 1);
    assert_eq!((total().deleted, total().in_flight), (1, 0));
}

#[tokio::test]
async fn a_throttled_queue_answers_with_its_own_code() {
    let bench = Bench::start(SandboxSettings::default()).await;
    let url = bench.queue("jobs", &[]).await;
    bench.sandbox.faults().set(Fault::new(ApiOperation::ReceiveMessage, Effect::Throttle).calls(1)).unwrap();
    let error = bench.sqs.receive_message().queue_url(&url).send().await.unwrap_err();
    assert!(error.into_service_error().is_request_throttled());
    bench.sqs.receive_message().queue_url(&url).send().await.unwrap();
}

#[tokio::test]
async fn a_reset_is_a_reset_on_the_wire_too() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let fixture = Fixture::start().await;
    fixture.inject(Effect::Reset { executed: false });
    let address = fixture.bench.sandbox.url().trim_start_matches("http://").to_owned();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(b"POST /certificate/register HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}").await.unwrap();
    let error = stream.read(&mut [0; 1]).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}
