//! TLS by certificate and key files.

use std::sync::Arc;

use muster::config::http::HttpConfig;
use rcgen::generate_simple_self_signed;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::{Answer, OPERATOR, PATIENCE, Page, config, read, tokens};
use crate::database::Database;
use muster::http::site::Site;

/// A page with TLS, and a client that trusts it.
struct Secure {
    page: Page,
    client: TlsConnector,
    _folder: tempfile::TempDir,
}

impl Secure {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = (folder.path().join("page.pem"), folder.path().join("page.key"));
        let made = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let page = Page::start(HttpConfig { certificate: Some(certificate), key: Some(key), ..tokens() }).await;
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let client = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut client = client.with_no_client_auth();
        client.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Self { page, client: Arc::new(client).into(), _folder: folder }
    }

    async fn send(&self, head: &str, body: &str) -> Answer {
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = self.client.connect(name, self.page.connect().await).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        let host = format!("Host: localhost:{}\r\nConnection: close", self.page.address.port());
        stream.write_all(format!("{head}\r\n{host}\r\n\r\n{body}").as_bytes()).await.unwrap();
        read(stream).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_over_tls_gets_a_host_cookie() {
    let secure = Secure::start().await;
    let form = format!("token={OPERATOR}");
    let head = |origin: &str| {
        let length = form.len();
        let kind = "Content-Type: application/x-www-form-urlencoded";
        format!("POST /login HTTP/1.1\r\nOrigin: {origin}\r\n{kind}\r\nContent-Length: {length}")
    };
    let port = secure.page.address.port();
    let answer = secure.send(&head(&format!("https://localhost:{port}")), &form).await;
    assert_eq!(answer.status, 303, "{}", answer.body);
    let cookie = answer.header("set-cookie").unwrap();
    assert!(cookie.starts_with("__Host-muster=") && cookie.contains("; Path=/; "), "{cookie}");
    assert!(cookie.ends_with("; HttpOnly; SameSite=Strict; Secure") && !cookie.contains("Domain"), "{cookie}");
    assert_eq!(answer.header("strict-transport-security"), Some("max-age=31536000"));
    let id = cookie.split(';').next().unwrap();
    assert_eq!(secure.send(&format!("GET /holds HTTP/1.1\r\nCookie: {id}"), "").await.status, 200);
    let plain_name = id.trim_start_matches("__Host-");
    let planted = secure.send(&format!("GET /holds HTTP/1.1\r\nCookie: {plain_name}"), "").await;
    assert_eq!(planted.status, 401, "a name that a page over plain HTTP could set");
    let from_plain = secure.send(&head(&format!("http://localhost:{port}")), &form).await;
    assert_eq!(from_plain.status, 403, "a page over plain HTTP is another origin");
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_http_gets_no_answer_on_a_tls_port() {
    let secure = Secure::start().await;
    let mut stream = secure.page.connect().await;
    stream.write_all(b"GET /login HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut bytes = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("the connection stays open");
    assert!(!bytes.starts_with(b"HTTP"), "{bytes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn unusable_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let made = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let other = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(path("page.pem"), made.cert.pem()).unwrap();
    std::fs::write(path("other.key"), other.signing_key.serialize_pem()).unwrap();
    std::fs::write(path("empty"), "").unwrap();
    let database = Database::fresh().await;
    for (certificate, key, named) in [
        ("page.pem", "nowhere", "nowhere: "),
        ("nowhere", "other.key", "nowhere: "),
        ("empty", "other.key", "empty: it contains no certificate"),
        ("page.pem", "empty", "empty: "),
        ("page.pem", "other.key", "page.pem: "),
    ] {
        let http = HttpConfig { certificate: Some(path(certificate)), key: Some(path(key)), ..tokens() };
        let error = format!("{:#}", Site::listen(&config(&database, http)).await.unwrap_err());
        assert!(error.contains(named) && !error.contains("PRIVATE"), "{certificate} {key}: {error}");
    }
}
