//! A bounded HTTP listener: limits on connections, handshakes and headers, TLS if configured, and a graceful end.
//!
//! HTTP/1.1 only. What a handler may take is limited in [`guard`](super::guard).

mod seats;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service as _;
use tracing::{debug, warn};

use seats::{Seat, Seats};

pub use tls::{Tls, TlsError};

/// Most connections at a time.
const CONNECTIONS_MAX: usize = 512;

/// Longest time for the TLS handshake.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// Longest time for the headers of a request, and longest idle time of a connection.
const HEADERS_MAX: Duration = Duration::from_secs(15);

/// Largest request line with headers, in bytes; also the largest part of a body that is read at once.
const HEADERS_SIZE_MAX: usize = 32 << 10;

/// After this time a connection ends with its current request, so that none stays forever, whatever it does.
const CONNECTION_MAX: Duration = Duration::from_mins(10);

/// Longest time for the last request of a connection and for its response to be read, which may be a large download.
const LAST_REQUEST_MAX: Duration = Duration::from_hours(1);

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
    seats: Seats,
}

impl Listening {
    /// Binds an address.
    ///
    /// # Errors
    /// The address is in use or not permitted.
    pub async fn bind(address: SocketAddr, router: Router, tls: Option<Tls>) -> io::Result<Self> {
        let seats = Seats::new(CONNECTIONS_MAX);
        Ok(Self { listener: TcpListener::bind(address).await?, router, tls, seats })
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
        let connections = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = accept(&self.listener, &self.seats) => accepted,
            };
            let Some((stream, peer, seat)) = accepted else { continue };
            let connection = Connection { peer, seat: Arc::new(seat), router: self.router.clone(), stop: stop.clone() };
            connections.spawn(connection.serve(stream, self.tls.clone()));
        }
        connections.close();
        if tokio::time::timeout(END_MAX, connections.wait()).await.is_err() {
            debug!("requests still open at the end were cut off");
        }
    }
}

/// Waits for a connection and room for it; `None` after an error.
async fn accept(listener: &TcpListener, seats: &Seats) -> Option<(TcpStream, SocketAddr, Seat)> {
    match listener.accept().await {
        Ok((stream, peer)) => Some((stream, peer, seats.take().await)),
        Err(error) => {
            warn!(%error, "cannot accept a connection");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

/// One connection of a client.
struct Connection {
    peer: SocketAddr,
    seat: Arc<Seat>,
    router: Router,
    stop: CancellationToken,
}

impl Connection {
    async fn serve(self, stream: TcpStream, tls: Option<Tls>) {
        let (seat, peer) = (Arc::clone(&self.seat), self.peer);
        let served = async {
            let Some(Tls(acceptor)) = tls else { return self.serve_on(stream).await };
            match tokio::time::timeout(HANDSHAKE_MAX, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => self.serve_on(stream).await,
                Ok(Err(error)) => debug!(%error, %peer, "a TLS handshake failed"),
                Err(_) => debug!(%peer, "a TLS handshake took too long"),
            }
        };
        tokio::select! {
            () = served => {}
            () = seat.must_leave() => debug!(%peer, "a connection without a request was closed to make room"),
        }
    }

    async fn serve_on(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let Self { peer, seat, router, stop } = self;
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            seat.works();
            request.extensions_mut().insert(ConnectInfo(peer));
            let (response, seat) = (router.clone().call(request), Arc::clone(&seat));
            async move {
                let response = response.await;
                // Whoever does not read the response does not keep others out either.
                seat.waits();
                response
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADERS_MAX)
            .max_buf_size(HEADERS_SIZE_MAX)
            .serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let served = tokio::select! {
            served = &mut connection => Ok(served),
            _ = tokio::time::timeout(CONNECTION_MAX, stop.cancelled()) => {
                connection.as_mut().graceful_shutdown();
                tokio::time::timeout(LAST_REQUEST_MAX, connection).await
            }
        };
        match served {
            Ok(Ok(())) => {}
            Ok(Err(error)) => debug!(%error, %peer, "a connection ended with an error"),
            Err(_) => debug!(%peer, "a connection was cut off"),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Bytes;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Far more than the buffers of a connection hold.
    const LARGE: usize = 64 << 20;

    async fn request(address: SocketAddr, path: &str) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    /// Premise: a response that is never read keeps its connection open.
    #[tokio::test]
    async fn connections_that_never_read_do_not_keep_others_out() {
        let large = Bytes::from(vec![b'a'; LARGE]);
        let router = Router::new().route("/", get(|| async { "ok" })).route("/large", get(async move || large.clone()));
        let listening = Listening::bind(([127, 0, 0, 1], 0).into(), router, None).await.unwrap();
        let listening = Listening { seats: Seats::new(2), ..listening };
        let address = listening.address().unwrap();
        let stop = CancellationToken::new();
        let running = tokio::spawn(listening.run(stop.clone()));
        let mut deaf = [request(address, "/large").await, request(address, "/large").await];
        for stream in &mut deaf {
            stream.read_exact(&mut [0; 15]).await.unwrap();
        }
        let mut answer = String::new();
        request(address, "/").await.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("ok"), "{answer}");
        let mut rest = Vec::new();
        let cut = deaf[0].read_to_end(&mut rest).await;
        assert!(cut.is_err() || rest.len() < LARGE, "the one that waited longest was closed");
        drop(deaf);
        stop.cancel();
        running.await.unwrap();
    }
}
