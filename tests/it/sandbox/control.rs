//! The control API, as any HTTP client sees it.

use aws_sdk_iot::error::ProvideErrorMetadata;
use muster_sandbox::specimen::Ca;
use muster_sandbox::{Limiting, SandboxSettings};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Bench;

impl Bench {
    /// Sends a request to the control API; returns the status and the JSON of the answer.
    async fn control(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let body = body.to_string();
        let address = self.sandbox.url().trim_start_matches("http://").to_owned();
        let mut stream = TcpStream::connect(address).await.unwrap();
        let length = body.len();
        let head = format!(
            "{method} /_sandbox/{path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
        );
        stream.write_all((head + &body).as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap_or_default())
    }

    async fn read(&self, path: &str) -> Value {
        let (status, answer) = self.control("GET", path, Value::Null).await;
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }
}

async fn bench() -> Bench {
    Bench::start(SandboxSettings { limiting: Limiting::CountOnly, ..SandboxSettings::default() }).await
}

#[tokio::test]
async fn the_ledger_shows_calls_certificates_and_queues() {
    let bench = bench().await;
    let ca = Ca::new("Plant CA");
    bench.sandbox.plant_ca(&ca.pem()).unwrap();
    let registered = bench.iot.register_certificate().certificate_pem(ca.leaf("device")).send().await.unwrap();
    let url = bench.queue("jobs", &[]).await;
    bench.sqs.send_message().queue_url(&url).message_body(r#"{"batch":"b1"}"#).send().await.unwrap();

    let ledger = bench.read("ledger").await;
    assert_eq!(ledger["certificates"], 1);
    assert_eq!(ledger["operations"]["RegisterCertificate"]["answers"], json!({ "ok": 1 }));
    assert_eq!(ledger["operations"]["RegisterCertificate"]["worstSecond"], 1);
    assert_eq!(ledger["queues"]["jobs"]["batches"]["b1"]["visible"], 1);

    let calls = bench.read("calls?skip=0&limit=2").await;
    assert_eq!(
        (calls[0]["operation"].as_str(), calls[1]["operation"].as_str()),
        (Some("RegisterCertificate"), Some("CreateQueue"))
    );
    assert_eq!(calls[0]["certificateId"].as_str(), registered.certificate_id());
    assert_eq!(bench.read("certificates").await[0]["certificateId"].as_str(), registered.certificate_id());
}

#[tokio::test]
async fn all_sessions_can_be_expired() {
    let bench = bench().await;
    let assume = bench.sts.assume_role().role_arn("arn:aws:iam::000000000000:role/muster").role_session_name("me");
    let keys = assume.send().await.unwrap().credentials.unwrap();
    let config = super::sdk(&bench.sandbox.url()).into_builder();
    let keys =
        super::Credentials::new(keys.access_key_id, keys.secret_access_key, Some(keys.session_token), None, "test");
    let config = config.credentials_provider(super::SharedCredentialsProvider::new(keys)).build();
    let sts = aws_sdk_sts::Client::new(&config);
    sts.get_caller_identity().send().await.unwrap();
    assert_eq!(bench.control("DELETE", "sessions", Value::Null).await.0, 204);
    assert_eq!(sts.get_caller_identity().send().await.unwrap_err().code(), Some("ExpiredToken"));
}

#[tokio::test]
async fn deleted_messages_are_listed_by_id() {
    let bench = bench().await;
    let url = bench.queue("jobs", &[]).await;
    let sent = bench.sqs.send_message().queue_url(&url).message_body("x").send().await.unwrap();
    let received = bench.sqs.receive_message().queue_url(&url).send().await.unwrap().messages.unwrap();
    assert_eq!(bench.read("queues/jobs/deleted").await, json!([]));
    let handle = received[0].receipt_handle().unwrap();
    bench.sqs.delete_message().queue_url(&url).receipt_handle(handle).send().await.unwrap();
    assert_eq!(bench.read("queues/jobs/deleted").await, json!([sent.message_id()]));
    assert_eq!(bench.control("GET", "queues/nowhere/deleted", Value::Null).await.0, 404);
}

#[tokio::test]
async fn certificates_and_cas_can_be_planted_and_cas_deactivated() {
    let bench = bench().await;
    let ca = Ca::new("Plant CA");
    let pem = ca.leaf("device");
    let (status, planted) =
        bench.control("POST", "certificates", json!({ "certificatePem": pem, "status": "ACTIVE" })).await;
    assert_eq!((status, &planted["isNew"]), (200, &json!(true)));
    let (_, planted_ca) = bench.control("POST", "cas", json!({ "caCertificate": ca.pem() })).await;
    let register = || bench.iot.register_certificate().certificate_pem(&pem).send();
    assert_eq!(register().await.unwrap_err().code(), Some("ResourceAlreadyExistsException"));

    let path = format!("cas/{}", planted_ca["certificateId"].as_str().unwrap());
    assert_eq!(bench.control("PUT", &path, json!({ "active": false })).await.0, 204);
    assert_eq!(register().await.unwrap_err().code(), Some("CertificateStateException"));

    let nowhere = format!("cas/{}", "0".repeat(64));
    assert_eq!(bench.control("PUT", &nowhere, json!({ "active": false })).await.0, 404);
    let leaf = json!({ "caCertificate": pem });
    assert_eq!(bench.control("POST", "cas", leaf).await.0, 400, "a leaf is no CA");
}

#[tokio::test]
async fn a_template_can_be_added() {
    let bench = bench().await;
    let config = aws_sdk_iot::types::RegistrationConfig::builder().template_name("line-7").build();
    let request = bench.register_sni_only(&Ca::new("Plant CA")).registration_config(config);
    let refused = request.clone().send().await.unwrap_err();
    assert!(refused.into_service_error().is_resource_not_found_exception());
    assert_eq!(bench.control("PUT", "templates/line-7", Value::Null).await.0, 204);
    request.send().await.unwrap();
    assert_eq!(bench.read("ledger").await["cas"], 1);
}

#[tokio::test]
async fn faults_are_set_listed_and_cleared() {
    let bench = bench().await;
    let fault = json!({ "operation": "GetRegistrationCode", "effect": "throttle" });
    let (status, set) = bench.control("POST", "faults", fault).await;
    assert_eq!(status, 200);
    let ask = || bench.iot.get_registration_code().send();
    assert_eq!(ask().await.unwrap_err().code(), Some("ThrottlingException"));
    assert_eq!(bench.read("faults").await[0]["strikes"], 1);
    assert_eq!(bench.control("DELETE", &format!("faults/{}", set["id"]), Value::Null).await.0, 204);
    ask().await.unwrap();
    let nonsense = json!({ "operation": "GetRegistrationCode", "effect": "deliverTwice" });
    let (status, answer) = bench.control("POST", "faults", nonsense).await;
    assert_eq!((status, &answer["error"]), (400, &json!("the effect does not fit GetRegistrationCode")));
    assert_eq!(bench.control("DELETE", "faults", Value::Null).await.0, 204);
    assert_eq!(bench.read("faults").await, json!([]));
}

#[tokio::test]
async fn a_rate_can_be_changed_while_it_runs() {
    let bench = Bench::start(SandboxSettings { burst: Some(1.0), ..SandboxSettings::default() }).await;
    let set = |rate: Value| bench.control("PUT", "rates/GetRegistrationCode", json!({ "rate": rate }));
    assert_eq!(set(json!(0.000_1)).await.0, 204);
    let ask = || bench.iot.get_registration_code().send();
    ask().await.unwrap();
    assert_eq!(ask().await.unwrap_err().code(), Some("ThrottlingException"));
    assert_eq!(set(json!(1e9)).await.0, 204);
    ask().await.unwrap();
    assert_eq!(set(json!(0)).await.0, 400);
    assert_eq!(bench.control("PUT", "rates/Nothing", json!({ "rate": 1 })).await.0, 404);
}

#[tokio::test]
async fn control_calls_are_not_in_the_ledger() {
    let bench = bench().await;
    bench.read("ledger").await;
    assert_eq!(bench.control("GET", "nowhere", Value::Null).await.0, 404);
    assert_eq!(bench.sandbox.ledger().n_calls(), 0);
}
