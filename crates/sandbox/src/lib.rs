//! A local AWS: SQS, AWS IoT and STS on one loopback listener, with real rules, quotas and a call log.
//!
//! Any AWS client works against it through its endpoint URL; tests, the demo and the benchmarks use nothing else. It
//! answers what AWS would answer, as far as that is known (docs/sandbox.md says how far). It keeps everything in
//! memory, does not check request signatures, and is not for production.

mod answer;
mod bucket;
mod calls;
mod control;
mod fault;
mod form;
mod gateway;
mod iot;
mod ledger;
mod operation;
pub mod postgres;
mod roles;
mod settings;
pub mod specimen;
mod sqs;
mod sts;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use muster_core::certificate::CertificateId;
use muster_core::job::CertificateStatus;
use muster_core::role::Role;

pub use self::bucket::{Limiting, Rates};
pub use self::calls::LoggedCall;
pub use self::fault::{ActiveFault, Effect, Fault, FaultError, FaultId, Faults};
pub use self::iot::{PlantError, ProvisioningConfig, RegisteredAuthority, RegisteredCertificate};
pub use self::ledger::{CallLog, CallSummary};
pub use self::operation::ApiOperation;
pub use self::settings::SandboxSettings;
pub use self::sqs::{BatchCounts, Deleting, QueueCounts};

/// A running sandbox; dropping it closes its listener and every connection.
pub struct Sandbox {
    address: SocketAddr,
    state: Arc<SandboxState>,
    stop: CancellationToken,
    server: AbortOnDropHandle<()>,
}

/// Everything behind the listener.
struct SandboxState {
    settings: SandboxSettings,
    calls: calls::Calls,
    buckets: bucket::Buckets,
    faults: Faults,
    iot: iot::Iot,
    roles: Arc<roles::Roles>,
    sqs: sqs::Sqs,
    sts: sts::Sts,
}

impl Sandbox {
    /// Starts the sandbox and listens.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn start(settings: SandboxSettings) -> io::Result<Self> {
        let listener = TcpListener::bind(settings.listen).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(SandboxState::new(settings));
        let stop = CancellationToken::new();
        let server = tokio::spawn(serve(listener, Arc::clone(&state), stop.clone()));
        Ok(Self { address, state, stop, server: AbortOnDropHandle::new(server) })
    }

    /// Returns the endpoint URL of all three services, `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the call log: what the sandbox has seen so far.
    pub fn ledger(&self) -> CallLog {
        CallLog::new(&self.state)
    }

    /// Returns the faults, to set and clear them.
    pub fn faults(&self) -> &Faults {
        &self.state.faults
    }

    /// Registers a device certificate without any check, as if another client had done so; returns false if it was
    /// already registered.
    ///
    /// # Errors
    /// The text is not a valid certificate.
    pub fn plant_certificate(&self, pem: &str, status: CertificateStatus) -> Result<bool, PlantError> {
        Ok(self.state.iot.plant_certificate(pem, status)?.1)
    }

    /// Registers an active CA without proof of its key, and returns its id; does not change a CA that is already
    /// registered.
    ///
    /// # Errors
    /// The text is not a valid CA certificate, or ten CAs have the same subject.
    pub fn plant_ca(&self, pem: &str) -> Result<CertificateId, PlantError> {
        Ok(self.state.iot.plant_ca(pem, true)?.0)
    }

    /// Activates or deactivates a CA; returns false if it does not exist.
    #[must_use = "nothing changes if the CA does not exist"]
    pub fn set_ca_active(&self, id: CertificateId, is_active: bool) -> bool {
        self.state.iot.set_ca_active(id, is_active)
    }

    /// Adds a provisioning template by name; it has no content. Does nothing if it exists.
    pub fn add_template(&self, name: impl Into<String>) {
        self.state.iot.add_template(name.into());
    }

    /// Returns the account's registration code, 64 hex digits: the common name of a verification certificate.
    pub fn registration_code(&self) -> String {
        self.state.iot.registration_code()
    }

    /// Makes every message delete wait for `watcher`, which is called just before the delete and can check what must
    /// hold at that moment. A later watcher replaces an earlier one.
    pub fn watch_deletes<W>(&self, watcher: impl Fn(Vec<Deleting>) -> W + Send + Sync + 'static)
    where
        W: Future<Output = ()> + Send + 'static,
    {
        self.state.sqs.watch_deletes(watcher);
    }

    /// Changes the quota of an operation from now on, in calls per second.
    pub fn set_rate(&self, operation: ApiOperation, rate: f64) {
        self.state.buckets.set_rate(operation, rate, std::time::Instant::now());
    }

    /// Changes the role that IoT requires from now on, as an operator changes a trust policy; existing sessions are
    /// kept.
    pub fn set_role(&self, role: Option<Role>) {
        self.state.roles.set(role);
    }

    /// Expires every role session issued so far.
    pub fn expire_sessions(&self) {
        self.state.sts.expire_sessions();
    }

    /// Closes the listener and every connection, and waits until they are closed.
    pub async fn stop(self) {
        self.stop.cancel();
        // An error would be a panic in the accept loop, which also closes everything.
        let _ = self.server.await;
    }
}

impl SandboxState {
    fn new(settings: SandboxSettings) -> Self {
        let roles = Arc::new(roles::Roles::new(&settings));
        Self {
            calls: calls::Calls::new(),
            buckets: bucket::Buckets::new(settings.rates.clone(), settings.limiting, settings.burst),
            faults: Faults::default(),
            iot: iot::Iot::new(&settings, Arc::clone(&roles)),
            sqs: sqs::Sqs::new(&settings),
            sts: sts::Sts::new(&settings, Arc::clone(&roles)),
            roles,
            settings,
        }
    }
}

/// Accepts connections until stopped. Connections are closed with it, because they live in its set.
async fn serve(listener: TcpListener, state: Arc<SandboxState>, stop: CancellationToken) {
    let control = TowerToHyperService::new(control::router(&state));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => { connections.spawn(serve_connection(stream, Arc::clone(&state), control.clone())); }
                // Usually out of file descriptors: other connections must close first.
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            },
        }
    }
    connections.shutdown().await;
}

/// Answers the requests of one connection.
async fn serve_connection(stream: TcpStream, state: Arc<SandboxState>, control: TowerToHyperService<Router>) {
    // Answers are small and the next request waits for them. Failure to set it only makes them slower.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: Request<Incoming>| {
        let (state, control) = (Arc::clone(&state), control.clone());
        async move {
            if request.uri().path().starts_with(control::PREFIX) {
                let Ok(response) = control.call(request).await;
                return Ok(response);
            }
            gateway::answer(&state, request).await
        }
    });
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    if (&mut connection).await.is_err() {
        // The client then sees a reset, as when a server dies, instead of an orderly close.
        let _ = connection.into_parts().io.into_inner().set_zero_linger();
    }
}
