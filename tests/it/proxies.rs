//! Proxies named in the environment: used for AWS, and never for this machine or the sources of its credentials.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

use crate::factory::{Factory, Program};

/// A proxy that refuses everything, and records what was requested.
#[derive(Clone, Default)]
struct Refusing(Arc<Mutex<Vec<String>>>);

impl Refusing {
    /// Starts it; returns the proxy and its URL.
    async fn start() -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let proxy = Self::default();
        let recording = proxy.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let mut stream = BufReader::new(stream);
                let mut line = String::new();
                let _ = stream.read_line(&mut line).await;
                recording.0.lock().unwrap().push(line);
                let _ =
                    stream.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
            }
        });
        (proxy, url)
    }

    fn requested(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_to_aws_use_the_proxy() {
    let factory = Factory::new(10.0).await;
    let (proxy, url) = Refusing::start().await;
    let mut command = factory.command(&["serve", "--set=aws.endpoint_url=http://aws.invalid"]);
    let (code, _, log) = Program(command.env("HTTP_PROXY", url).spawn().unwrap()).wait().await;
    assert_ne!(code, Some(0), "{log}");
    let requested = proxy.requested();
    assert!(requested.iter().any(|line| line.contains(" http://aws.invalid/")), "{requested:?}\n{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn localhost_is_reached_without_the_proxy() {
    let factory = Factory::new(100.0).await;
    let (proxy, url) = Refusing::start().await;
    factory.enqueue(&factory.leaves(2)).await;
    let mut command = factory.command(&["serve", "--until-empty"]);
    command.env("HTTP_PROXY", &url).env("ALL_PROXY", &url).env("NO_PROXY", "");
    let (code, _, log) = Program(command.spawn().unwrap()).wait().await;
    assert_eq!((code, proxy.requested(), factory.n_calls()), (Some(0), vec![], 2), "{log}");
}

/// Premise: the SDK applies `NO_PROXY=*` to names only. On Linux, 0.0.0.0 leads to this machine, but is not a loopback
/// address.
#[tokio::test(flavor = "multi_thread")]
async fn no_proxy_for_all_hosts_covers_addresses() {
    let factory = Factory::new(100.0).await;
    let (proxy, url) = Refusing::start().await;
    factory.enqueue(&factory.leaves(2)).await;
    let endpoint = factory.sandbox.url().replace("127.0.0.1", "0.0.0.0");
    let mut command = factory.command(&["serve", "--until-empty"]);
    command.arg(format!("--set=aws.endpoint_url={endpoint}")).env("HTTP_PROXY", &url).env("NO_PROXY", "*");
    let (code, _, log) = Program(command.spawn().unwrap()).wait().await;
    assert_eq!((code, proxy.requested(), factory.n_calls()), (Some(0), vec![], 2), "{log}");
}

/// Premise: the proxy would return the credentials of its own machine.
#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_never_requested_through_the_proxy() {
    let factory = Factory::new(10.0).await;
    let (proxy, url) = Refusing::start().await;
    for uri in [None, Some("http://169.254.170.2/credentials")] {
        let mut command = factory.command(&["serve"]);
        command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY").env_remove("AWS_PROFILE");
        command.env("AWS_CONFIG_FILE", "/dev/null").env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
        command.env("HTTP_PROXY", &url);
        if let Some(uri) = uri {
            command.env("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri);
        }
        let (code, _, log) = Program(command.spawn().unwrap()).wait().await;
        assert_ne!(code, Some(0), "{log}");
        assert_eq!(proxy.requested(), Vec::<String>::new(), "{log}");
    }
}
