//! The same worker against a third-party emulator: the wire format works.
//!
//! moto checks nothing and computes its certificate id from the PEM text instead of the DER. So every job must be
//! refused with `id_mismatch`: an id that is not the certificate's is not a success, whoever returns it.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::process::{Child, Stdio};
use std::time::Duration;

use muster::aws::identity;
use muster::aws::queue::{self, OutgoingMessage, QueueAttributes};
use muster::config::Config;
use muster::config::access::Credentials;
use muster::engine::serve::Until;
use muster::http::service::Service;
use muster_core::job::{CertificateMode, RegisterCaCertificate, RegisterCertificateWithoutCa};
use muster_core::outcome::Code;
use muster_core::rate::Rate;
use muster_sandbox::specimen::Ca;
use tokio_util::sync::CancellationToken;

use crate::database::Database;
use crate::factory::{BATCH, Factory};
use crate::python::python_with;

#[tokio::test(flavor = "multi_thread")]
async fn every_job_against_moto_fails_with_id_mismatch() {
    let Some(moto) = tokio::task::spawn_blocking(Moto::start).await.unwrap() else { return };
    moto.is_up().await;
    let database = Database::fresh().await;
    let mut config = Config::default();
    config.aws.endpoint_url = Some(moto.url.clone());
    config.aws.region = Some("us-east-1".to_owned());
    config.aws.credentials = Credentials::Sandbox;
    config.database.url = database.url.as_str().into();
    config.queue.name = "jobs".to_owned();
    config.queue.wait = Duration::from_secs(1).into();
    config.admin.listen = None;
    config.http.listen = None;
    config.targets.get_mut("default").unwrap().rates.register_certificate = Rate::new(100.0).unwrap();

    let attributes = QueueAttributes {
        visibility_timeout: Duration::from_secs(30),
        retention: Duration::from_hours(96),
        max_receive_count: Some(5),
        ..QueueAttributes::default()
    };
    let aws = identity::load(&config.aws.access()).await;
    let queue = queue::create(&aws, "jobs", &attributes).await.unwrap();
    let ca = Ca::new("Plant CA");
    let job = |i| {
        let certificate_pem = ca.leaf(&format!("device {i}"));
        match i % 3 {
            0 => Factory::job(&certificate_pem),
            1 => Factory::job_of(RegisterCertificateWithoutCa { certificate_pem, status: None }),
            _ => Factory::job_of(RegisterCaCertificate {
                ca_certificate: Ca::new(&format!("CA {i}")).pem(),
                certificate_mode: Some(CertificateMode::SniOnly),
                ..RegisterCaCertificate::default()
            }),
        }
    };
    let messages: Vec<_> = (0..10).map(|i| OutgoingMessage { body: job(i).to_body(), group: None }).collect();
    let sent = queue.send(&messages).await.unwrap();
    assert!(sent.iter().all(Result::is_ok), "{sent:?}");

    let service = Service::start(&config, Until::Empty, CancellationToken::new()).await.unwrap();
    tokio::time::timeout(Duration::from_mins(1), service.run()).await.expect("the queue does not drain").unwrap();
    let batch = database.ledger().await.batch_status(BATCH).await.unwrap().unwrap();
    let outcomes: BTreeMap<_, _> = batch.counts.iter().map(|count| (count.code, count.n)).collect();
    assert_eq!(outcomes, BTreeMap::from([(Code::IdMismatch, 10)]));
    assert_eq!(queue.attributes().await.unwrap().messages(), 0);
}

/// A moto server; stopped on drop.
struct Moto {
    process: Child,
    url: String,
}

impl Moto {
    fn start() -> Option<Self> {
        let mut python = python_with("moto", "moto[server]>=5.1,<6")?;
        // moto does not support port 0; use one that was free a moment ago.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = python
            .args(["-m", "moto.server", "--host", "127.0.0.1", "--port", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Some(Self { process, url: format!("http://127.0.0.1:{port}") })
    }

    async fn is_up(&self) {
        let address = self.url.trim_start_matches("http://").to_owned();
        let up = async {
            while tokio::net::TcpStream::connect(&address).await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), up).await.expect("moto does not listen");
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
