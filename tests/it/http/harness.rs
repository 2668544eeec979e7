//! A site on a factory, and a client that sends exactly what a test says: nothing is normalised.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use muster::config::Config;
use muster::http::listener::Listening;
use muster::http::site::Site;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use sqlx::postgres::PgPool;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::factory::Factory;

/// Token of `vera`, a viewer.
pub(super) const VIEWER: &str = "CanaryOfTheViewersToken0123456789abcdef";

/// Token of `otto`, an operator.
pub(super) const OPERATOR: &str = "CanaryOfTheOperatorsToken0123456789abcd";

/// The lines of `http.tokens`.
pub(super) fn token_lines() -> String {
    format!("viewer vera {VIEWER}; operator otto {OPERATOR}")
}

/// How long a test waits for a response; far longer than any takes.
const PATIENCE: Duration = Duration::from_mins(1);

/// Creates a factory whose site knows a viewer and an operator.
pub(super) async fn factory() -> Factory {
    let mut factory = Factory::new(1000.0).await;
    factory.config.http.listen = Some((Ipv4Addr::LOCALHOST, 0).into());
    factory.config.http.tokens = token_lines().into();
    factory
}

/// A running site.
pub(super) struct Running {
    pub(super) address: SocketAddr,
    _task: AbortOnDropHandle<()>,
}

impl Running {
    pub(super) async fn start(config: &Config) -> Self {
        Self::run(Site::listen(config).await.unwrap().unwrap())
    }

    fn run(listening: Listening) -> Self {
        let address = listening.address().unwrap();
        Self { address, _task: AbortOnDropHandle::new(tokio::spawn(listening.run(CancellationToken::new()))) }
    }

    /// Sends a request from 127.0.0.1.
    pub(super) async fn send(&self, ask: &Ask) -> Reply {
        self.send_from(Ipv4Addr::LOCALHOST, ask).await
    }

    /// Sends a request from a loopback address.
    pub(super) async fn send_from(&self, from: Ipv4Addr, ask: &Ask) -> Reply {
        exchange(connect(from.into(), self.address).await, &ask.bytes(self.address)).await
    }

    /// Reads JSON from the API, as the viewer.
    pub(super) async fn get(&self, path: &str) -> Value {
        let reply = self.send(&Ask::get(&format!("/api/v1{path}")).token(VIEWER)).await;
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
        reply.json()
    }

    /// Sends JSON to the API, as the operator.
    pub(super) async fn post(&self, path: &str, body: &Value) -> Reply {
        self.send(&Ask::post(&format!("/api/v1{path}")).token(OPERATOR).json(body)).await
    }

    /// Reads a page, as the operator.
    pub(super) async fn page(&self, path: &str) -> Reply {
        self.send(&Ask::get(path).token(OPERATOR)).await
    }

    /// Logs in with a token, from the login page; returns the cookie.
    pub(super) async fn log_in(&self, token: &str) -> String {
        let reply = self.send(&Ask::login(token, "").same_origin(self.address)).await;
        assert_eq!(reply.status, 303, "{reply:?}");
        cookie_of(&reply)
    }
}

/// Returns the cookie that a response sets, as a browser sends it.
pub(super) fn cookie_of(reply: &Reply) -> String {
    let header = reply.header("set-cookie").unwrap_or_else(|| panic!("no cookie: {reply:?}"));
    header.split(';').next().unwrap().to_owned()
}

/// A request.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Ask {
    pub(super) fn new(method: &str, path: &str) -> Self {
        Self { method: method.to_owned(), path: path.to_owned(), headers: vec![], body: String::new() }
    }

    pub(super) fn get(path: &str) -> Self {
        Self::new("GET", path)
    }

    pub(super) fn post(path: &str) -> Self {
        Self::new("POST", path)
    }

    /// The login form.
    pub(super) fn login(token: &str, next: &str) -> Self {
        Self::post("/login").form(&[("token", token), ("next", next)])
    }

    pub(super) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(super) fn token(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// Adds the headers that a browser adds to a form of the site's own page.
    pub(super) fn same_origin(self, site: SocketAddr) -> Self {
        self.header("origin", &format!("http://{site}")).header("sec-fetch-site", "same-origin")
    }

    pub(super) fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json").body(&body.to_string())
    }

    pub(super) fn form(self, fields: &[(&str, &str)]) -> Self {
        let encode = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
        let pairs = fields.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value)));
        let body = pairs.collect::<Vec<_>>().join("&");
        self.header("content-type", "application/x-www-form-urlencoded").body(&body)
    }

    pub(super) fn body(self, body: &str) -> Self {
        Self { body: body.to_owned(), ..self }
    }

    /// The request, with a `Host` unless it has one, for a connection that ends with the response. Without a token it
    /// comes from a browser.
    pub(super) fn bytes(&self, site: SocketAddr) -> Vec<u8> {
        let has = |header: &str| self.headers.iter().any(|(name, _)| name == header);
        let accept = (!has("accept") && !has("authorization")).then(|| ("Accept".to_owned(), "text/html".to_owned()));
        let host = (!has("host")).then(|| ("Host".to_owned(), site.to_string()));
        let has_body = !self.body.is_empty() || self.method == "POST";
        let length = has_body.then(|| ("Content-Length".to_owned(), self.body.len().to_string()));
        let end = ("Connection".to_owned(), "close".to_owned());
        let headers = host.iter().chain(&accept).chain(&self.headers).chain(&length).chain([&end]);
        let headers: String = headers.flat_map(|(name, value)| [name, ": ", value, "\r\n"]).collect();
        format!("{} {} HTTP/1.1\r\n{headers}\r\n{}", self.method, self.path, self.body).into_bytes()
    }
}

/// A response.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl Reply {
    fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("not a response: {text:?}"));
        let (first, lines) = head.split_once("\r\n").unwrap_or((head, ""));
        let header = |line: &str| {
            let (name, value) = line.split_once(':').unwrap();
            (name.to_ascii_lowercase(), value.trim().to_owned())
        };
        let headers: Vec<_> = lines.split("\r\n").filter(|line| !line.is_empty()).map(header).collect();
        let status = first.split(' ').nth(1).unwrap().parse().unwrap();
        let is_chunked = headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked");
        let body = if is_chunked { joined(body) } else { body.to_owned() };
        Self { status, headers, body }
    }

    /// Returns the only value of a header.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(its_name, _)| its_name == name).map(|(_, value)| value.as_str());
        let value = values.next();
        assert_eq!(values.next(), None, "{name} occurs twice: {self:?}");
        value
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Asserts that it is a problem of RFC 9457; returns its detail.
    pub(super) fn problem(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], status, "{self:?}");
        let is_text = |field: &str| problem[field].as_str().is_some_and(|text| !text.is_empty());
        assert!(is_text("type") && is_text("title") && is_text("detail"), "{self:?}");
        problem["detail"].as_str().unwrap().to_owned()
    }
}

/// Joins the chunks of a body.
fn joined(mut chunks: &str) -> String {
    let mut body = String::new();
    loop {
        let (size, rest) = chunks.split_once("\r\n").expect("every chunk has a size");
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            return body;
        }
        body.push_str(&rest[..size]);
        chunks = &rest[size + 2..];
    }
}

/// Connects from an address of this machine.
pub(super) async fn connect(from: IpAddr, to: SocketAddr) -> tokio::net::TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    socket.connect(to).await.unwrap()
}

/// Sends bytes and reads until the other side closes the connection.
pub(super) async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, bytes: &[u8]) -> Reply {
    // The other side may answer and close before it has read everything.
    let _ = stream.write_all(bytes).await;
    Reply::parse(&read(&mut stream).await)
}

/// Reads until the other side closes the connection.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let reading = stream.read_to_end(&mut bytes);
    // A connection that is reset after the response was sent is as good as closed.
    let _ = tokio::time::timeout(PATIENCE, reading).await.expect("no response");
    bytes
}

/// Returns every row of every table, as text.
pub(super) async fn dump(pool: &PgPool) -> String {
    let tables = "select quote_ident(tablename) from pg_tables where schemaname = 'public' order by tablename";
    let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(pool).await.unwrap();
    let mut all = String::new();
    for table in tables {
        let rows = format!("select to_jsonb(t)::text from {table} t order by 1");
        let rows: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(rows)).fetch_all(pool).await.unwrap();
        all.extend(rows.into_iter().map(|row| format!("{table}: {row}\n")));
    }
    all
}
