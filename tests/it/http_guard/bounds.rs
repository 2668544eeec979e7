//! Limits: large and slow requests, many connections, slow statements.

use std::time::Duration;

use muster::config::http::HttpConfig;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::{OPERATOR, Page, bearer, no_tokens, read, tokens, try_send};

/// More than the connections that a listener serves at a time.
const MANY: usize = 520;

#[tokio::test(flavor = "multi_thread")]
async fn a_huge_body_is_refused_without_reading_it() {
    let page = Page::start(tokens()).await;
    let operator = bearer(OPERATOR);
    let head = |path: &str, length: &str, more: &str| {
        let host = page.address;
        format!("POST {path} HTTP/1.1\r\nHost: {host}\r\n{length}\r\nContent-Type: application/json\r\n{more}\r\n\r\n")
    };
    let huge = "Content-Length: 1000000000000";
    for (path, more, status) in [
        ("/api/v1/pause", "X: none", 403),
        ("/api/v1/pause", "Sec-Fetch-Site: same-origin", 401),
        ("/api/v1/pause", &*operator, 413),
    ] {
        let mut stream = page.connect().await;
        stream.write_all(head(path, huge, more).as_bytes()).await.unwrap();
        try_send(&mut stream, &vec![b'1'; 2 << 20]).await;
        assert_eq!(read(stream).await.status, status, "{path} {more}");
    }
    let mut stream = page.connect().await;
    stream.write_all(head("/api/v1/pause", "Transfer-Encoding: chunked", &operator).as_bytes()).await.unwrap();
    let chunk = format!("10000\r\n{}\r\n", "1".repeat(0x10000));
    for _ in 0..32 {
        try_send(&mut stream, chunk.as_bytes()).await;
    }
    assert_eq!(read(stream).await.status, 413, "without a length");
}

#[tokio::test(flavor = "multi_thread")]
async fn huge_headers_are_refused() {
    let page = Page::start(no_tokens()).await;
    let long = "a".repeat(100_000);
    for (request, status) in [
        (format!("GET /{long} HTTP/1.1\r\nHost: localhost\r\n\r\n"), &[414, 431][..]),
        (format!("GET / HTTP/1.1\r\nHost: localhost\r\nCookie: {long}\r\n\r\n"), &[431]),
        (format!("GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "A: b\r\n".repeat(1000)), &[431]),
    ] {
        let mut stream = page.connect().await;
        try_send(&mut stream, request.as_bytes()).await;
        let answered = read(stream).await.status;
        assert!(status.contains(&answered), "{answered}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_login_form_is_given_up() {
    let page = Page::start(tokens()).await;
    let mut stream = page.connect().await;
    let host = page.address;
    let head = format!(
        "POST /login HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nContent-Length: 100\r\n\
         Content-Type: application/x-www-form-urlencoded\r\n\r\ntoken="
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = read(stream).await;
    assert_eq!((answer.status, answer.problem()["status"].as_u64()), (408, Some(408)));
}

/// Premise: each of these connections sends the beginning of a request and never its end (slowloris).
#[tokio::test(flavor = "multi_thread")]
async fn connections_without_a_request_do_not_keep_others_out() {
    let page = Page::start(no_tokens()).await;
    let mut idle: Vec<TcpStream> = Vec::new();
    for _ in 0..MANY {
        let mut stream = page.connect().await;
        try_send(&mut stream, b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ").await;
        idle.push(stream);
    }
    let began = tokio::time::Instant::now();
    assert_eq!(page.send("GET /api/v1/openapi.json", &[]).await.status, 200);
    assert!(began.elapsed() < Duration::from_secs(10), "it waited for the slow ones to be given up");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_statement_ends_in_time() {
    let limit = Duration::from_millis(300).into();
    let page = Page::start(HttpConfig { statement_timeout: limit, ..no_tokens() }).await;
    let mut lock = page.database.pool.begin().await.unwrap();
    sqlx::query("lock table audit in access exclusive mode").execute(&mut *lock).await.unwrap();
    let answer = page.send("GET /api/v1/audit", &[]).await;
    assert_eq!(answer.status, 503);
    let problem = answer.problem();
    assert_eq!(problem["title"], "The ledger is unavailable");
    assert!(problem["detail"].as_str().unwrap().contains("statement timeout"), "{problem}");
    lock.rollback().await.unwrap();
    assert_eq!(page.send("GET /api/v1/audit", &[]).await.status, 200);
}
