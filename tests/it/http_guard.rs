//! Who may do what on the ops page and its API: over real HTTP and Postgres, with the tricks of attackers.

mod bounds;
mod forged;
mod login;
mod proxies;
mod roles;
mod start;
mod tls;

use std::net::SocketAddr;
use std::time::Duration;

use muster::config::Config;
use muster::config::access::Credentials;
use muster::config::http::HttpConfig;
use muster::http::site::Site;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::database::Database;

const VIEWER: &str = "viewer-token-of-at-least-32-characters";
const OPERATOR: &str = "operator-token-of-at-least-32-characters";

/// How long a test waits for an answer; far longer than any takes.
const PATIENCE: Duration = Duration::from_mins(1);

/// A running ops page.
struct Page {
    address: SocketAddr,
    database: Database,
    _stop: DropGuard,
}

/// A response, as it came.
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

fn tokens() -> HttpConfig {
    let lines = format!("viewer ben {VIEWER}; operator eva {OPERATOR}");
    HttpConfig { listen: Some(([127, 0, 0, 1], 0).into()), tokens: lines.into(), ..HttpConfig::default() }
}

fn no_tokens() -> HttpConfig {
    HttpConfig { tokens: "".into(), ..tokens() }
}

fn config(database: &Database, http: HttpConfig) -> Config {
    let mut config = Config { http, ..Config::default() };
    config.database.url = database.url.as_str().into();
    config.aws.credentials = Credentials::Sandbox;
    config.aws.region = Some("us-east-1".to_owned());
    config.aws.endpoint_url = Some("http://127.0.0.1:9".to_owned());
    config
}

impl Page {
    async fn start(http: HttpConfig) -> Self {
        Self::at(Database::fresh().await, http).await
    }

    /// Starts a page on a database that others use too.
    async fn at(database: Database, http: HttpConfig) -> Self {
        let listening = Site::listen(&config(&database, http)).await.unwrap().unwrap();
        let (address, stop) = (listening.address().unwrap(), CancellationToken::new());
        tokio::spawn(listening.run(stop.clone()));
        Self { address, database, _stop: stop.drop_guard() }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends bytes and returns the response.
    async fn raw(&self, request: impl AsRef<[u8]>) -> Answer {
        let mut stream = self.connect().await;
        stream.write_all(request.as_ref()).await.unwrap();
        read(stream).await
    }

    /// Sends a request with headers, and no body.
    async fn send(&self, line: &str, headers: &[&str]) -> Answer {
        let headers: String = headers.iter().flat_map(|header| [*header, "\r\n"]).collect();
        self.raw(format!("{line} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{headers}\r\n", self.address)).await
    }

    /// Sends a form, as a browser does from a page of the site itself if `headers` is empty.
    async fn form(&self, path: &str, fields: &str, headers: &[&str]) -> Answer {
        let own = format!("Origin: http://{}", self.address);
        let headers = if headers.is_empty() { vec!["Sec-Fetch-Site: same-origin", &own] } else { headers.to_vec() };
        let headers: String = headers.iter().flat_map(|header| [*header, "\r\n"]).collect();
        self.raw(format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {}\r\n{headers}\r\n{fields}",
            self.address,
            fields.len()
        ))
        .await
    }

    /// Logs in and returns the header with the session's cookie.
    async fn log_in(&self, token: &str) -> String {
        let answer = self.form("/login", &format!("token={token}"), &[]).await;
        assert_eq!(answer.status, 303, "{}", answer.body);
        let cookie = answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
        format!("Cookie: {cookie}")
    }

    /// Returns who did what, from the audit log.
    async fn audited(&self) -> Vec<(String, String)> {
        let query = "select who, action from audit order by id";
        sqlx::query_as(query).fetch_all(&self.database.pool).await.unwrap()
    }
}

/// Reads a response to its end.
async fn read(mut stream: impl AsyncRead + Unpin) -> Answer {
    let mut bytes = Vec::new();
    // A server that refuses a body closes the connection while it is still being sent.
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("there is no answer");
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no response: {text:?}"));
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let header = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned()));
    Answer { status, headers: lines.filter_map(header).collect(), body: body.to_owned() }
}

/// Sends what may be refused before it is complete.
async fn try_send(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) {
    let _ = stream.write_all(bytes).await;
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(its_name, _)| its_name == name).map(|(_, value)| value.as_str())
    }

    fn problem(&self) -> serde_json::Value {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.body);
        serde_json::from_str(&self.body).unwrap()
    }
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}")
}
