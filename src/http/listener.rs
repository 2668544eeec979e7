//! A bounded HTTP listener: limits on connections, handshakes and headers, TLS if configured, and a graceful end.
//!
//! HTTP/1.1 only. What a handler may take is limited in [`guard`](super::guard).

use std::borrow::Cow;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service as _;
use tracing::{debug, warn};

use muster_core::advice::{Advice, Exit};

/// Most connections at a time; further ones wait to be accepted.
const CONNECTIONS_MAX: usize = 512;

/// Longest time for the TLS handshake.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// Longest time for the headers of a request, and longest idle time of a connection.
const HEADERS_MAX: Duration = Duration::from_secs(30);

/// How long open requests may take to finish at the end.
const END_MAX: Duration = Duration::from_secs(5);

/// Pause after an error of `accept`, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A bound listener with the routes that it serves.
#[derive(Debug)]
pub struct Listening {
    listener: TcpListener,
    router: Router,
    tls: Option<Tls>,
}

/// The server side of TLS.
#[derive(Clone)]
pub struct Tls(TlsAcceptor);

/// Certificate or key cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {cause}", path.display())]
pub struct TlsError {
    path: PathBuf,
    cause: String,
}

impl Advice for TlsError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        Some("`http.certificate` is a PEM file with the certificate chain, `http.key` one with its private key".into())
    }

    fn exit(&self) -> Exit {
        Exit::Usage
    }
}

impl Tls {
    /// Reads certificate chain and private key.
    ///
    /// # Errors
    /// A file cannot be read, or the key does not fit the certificate.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let wrong = |path: &Path, cause: String| TlsError { path: path.to_owned(), cause };
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
            .and_then(Iterator::collect)
            .map_err(|error| wrong(certificate, error.to_string()))?;
        if chain.is_empty() {
            return Err(wrong(certificate, "it contains no certificate".to_owned()));
        }
        let private = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong(key, error.to_string()))?;
        let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, private))
            .map_err(|error| wrong(certificate, error.to_string()))?;
        Ok(Self(Arc::new(config).into()))
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

impl Listening {
    /// Binds an address.
    ///
    /// # Errors
    /// The address is in use or not permitted.
    pub async fn bind(address: SocketAddr, router: Router, tls: Option<Tls>) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind(address).await?, router, tls })
    }

    /// Returns the address it listens on.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Returns the URL of the page, for people.
    pub fn url(&self) -> io::Result<String> {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        Ok(format!("{scheme}://{}/", self.address()?))
    }

    /// Serves requests until `stop` is cancelled, then gives open requests five seconds to finish.
    pub async fn run(self, stop: CancellationToken) {
        let (room, connections) = (Arc::new(Semaphore::new(CONNECTIONS_MAX)), TaskTracker::new());
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = accept(&self.listener, &room) => accepted,
            };
            let Some((stream, peer, permit)) = accepted else { continue };
            let (router, tls, stop) = (self.router.clone(), self.tls.clone(), stop.clone());
            connections.spawn(async move {
                serve(stream, peer, router, tls, stop).await;
                drop(permit);
            });
        }
        connections.close();
        if tokio::time::timeout(END_MAX, connections.wait()).await.is_err() {
            debug!("requests still open at the end were cut off");
        }
    }
}

/// Waits for room and for a connection; `None` after an error.
async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let permit = Arc::clone(room).acquire_owned().await.expect("the semaphore is never closed");
    match listener.accept().await {
        Ok((stream, peer)) => Some((stream, peer, permit)),
        Err(error) => {
            warn!(%error, "cannot accept a connection");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

async fn serve(stream: TcpStream, peer: SocketAddr, router: Router, tls: Option<Tls>, stop: CancellationToken) {
    let Some(Tls(acceptor)) = tls else { return serve_on(stream, peer, router, stop).await };
    match tokio::time::timeout(HANDSHAKE_MAX, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => serve_on(stream, peer, router, stop).await,
        Ok(Err(error)) => debug!(%error, %peer, "a TLS handshake failed"),
        Err(_) => debug!(%peer, "a TLS handshake took too long"),
    }
}

async fn serve_on(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: SocketAddr,
    router: Router,
    stop: CancellationToken,
) {
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        router.clone().call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let served = tokio::select! {
        served = &mut connection => served,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        debug!(%error, %peer, "a connection ended with an error");
    }
}
