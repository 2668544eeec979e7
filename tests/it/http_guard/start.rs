//! Settings with which the page does not start, and the command that creates tokens.

use std::os::unix::fs::PermissionsExt;

use muster::config::http::HttpConfig;
use muster::http::guard::{AccessError, Tokens};
use muster::http::site::Site;
use muster_core::advice::Advice;

use super::{Page, VIEWER, bearer, config, no_tokens, tokens};
use crate::database::Database;

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_strangers_reach_does_not_start_open() {
    let database = Database::fresh().await;
    let everywhere = Some(([0, 0, 0, 0], 0).into());
    let mapped = Some("[::ffff:192.0.2.1]:0".parse().unwrap());
    let file = || Some("/nowhere/file.pem".into());
    let header = |name: &str| Some(name.to_owned());
    let proxies = || Some("192.0.2.1".to_owned().try_into().unwrap());
    for (http, error, hint) in [
        (HttpConfig { listen: everywhere, ..no_tokens() }, "others can reach, and there is no token", "muster token"),
        (HttpConfig { listen: mapped, ..no_tokens() }, "others can reach, and there is no token", "muster token"),
        (HttpConfig { listen: everywhere, proxies: proxies(), ..no_tokens() }, "there is no token", "muster token"),
        (HttpConfig { listen: everywhere, ..tokens() }, "without TLS", "set `http.certificate` and `http.key`"),
        (HttpConfig { key: file(), ..tokens() }, "belong together", "set both or none"),
        (HttpConfig { identity_header: header("X-User"), ..tokens() }, "without `http.proxies`", "name the proxy's"),
        (
            HttpConfig { identity_header: header("Cookie"), proxies: proxies(), ..tokens() },
            "is `Cookie`, which cannot carry",
            "X-Forwarded-User",
        ),
        (
            HttpConfig { identity_header: header("a b"), proxies: proxies(), ..tokens() },
            "is `a b`, which cannot carry",
            "X-Forwarded-User",
        ),
        (HttpConfig { tokens: "viewer ben short".into(), ..tokens() }, "fewer than 32 characters", "muster token NAME"),
    ] {
        let refused = Site::listen(&config(&database, http)).await.unwrap_err();
        let refused = refused.downcast_ref::<AccessError>().unwrap_or_else(|| panic!("{refused:#}"));
        assert!(refused.to_string().contains(error), "{refused}");
        assert!(refused.hint().unwrap().contains(hint), "{refused}: {:?}", refused.hint());
    }
    let off = HttpConfig { listen: None, ..no_tokens() };
    assert!(Site::listen(&config(&database, off)).await.unwrap().is_none());
    let with_proxy = HttpConfig { listen: everywhere, proxies: proxies(), ..tokens() };
    assert!(Site::listen(&config(&database, with_proxy)).await.unwrap().is_some());
}

/// Premise: the proxy is another machine, and nothing keeps others on the network from the listener behind it.
#[tokio::test(flavor = "multi_thread")]
async fn behind_a_proxy_a_token_without_tls_is_refused() {
    let proxies = Some("192.0.2.1".to_owned().try_into().unwrap());
    let http = HttpConfig { listen: Some(([0, 0, 0, 0], 0).into()), proxies, ..tokens() };
    let page = Page::start(http).await;
    let send = async |line: &str, headers: &str| {
        let host = format!("Host: localhost:{}\r\nConnection: close", page.address.port());
        page.raw(format!("{line} HTTP/1.1\r\n{host}\r\n{headers}\r\n\r\n")).await
    };
    let refused = send("GET /holds", &bearer(VIEWER)).await;
    assert_eq!(refused.status, 403);
    assert!(refused.problem()["detail"].as_str().unwrap().contains("without TLS"));
    assert!(send("GET /login", "Accept: text/html").await.body.contains("A login needs TLS"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_token_logs_in() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens");
    let run = async |arguments: &[&str]| {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_muster"));
        let output = command.arg("token").args(arguments).env_clear().output().await.unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, json, _) = run(&["eva", "--role", "operator", "--json"]).await;
    let created: serde_json::Value = serde_json::from_str(&json).unwrap();
    let (token, line) = (created["token"].as_str().unwrap(), created["line"].as_str().unwrap());
    assert_eq!((code, token.len()), (Some(0), 64), "256 bits");
    assert!(line.starts_with("operator eva sha256:") && !line.contains(token), "{line}");
    let (_, text, notice) = run(&["ben"]).await;
    let file_line = text.lines().find_map(|line| line.strip_prefix("line for http.tokens_file: ")).unwrap();
    assert!(file_line.starts_with("viewer ben sha256:") && notice.contains("not stored"), "{text}{notice}");
    std::fs::write(&path, format!("# the night shift\n\n{line}\n{file_line}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();

    let page = Page::start(HttpConfig { tokens_file: Some(path), ..no_tokens() }).await;
    assert_eq!(page.send("GET /holds", &[&bearer(token)]).await.status, 200);
    let hash = line.rsplit(' ').next().unwrap();
    for stolen in [hash, hash.trim_start_matches("sha256:")] {
        assert_eq!(page.send("GET /holds", &[&bearer(stolen)]).await.status, 401, "the line is not a token");
    }
    let (code, _, error) = run(&["eva mallory"]).await;
    assert!(code != Some(0) && error.contains("expected 3 words, found 4"), "{error}");
}

#[test]
fn no_view_of_the_settings_shows_a_token() {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_muster"));
    let lines = format!("viewer ben {VIEWER}");
    command.env_clear().env("MUSTER__HTTP__TOKENS", &lines);
    for arguments in [&["config", "show"][..], &["config", "show", "--json"]] {
        let output = command.args(arguments).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(text.contains("http.tokens") && !text.contains(VIEWER), "{text}");
        command = std::process::Command::new(env!("CARGO_BIN_EXE_muster"));
        command.env_clear().env("MUSTER__HTTP__TOKENS", &lines);
    }
    let http = HttpConfig { tokens: lines.as_str().into(), ..no_tokens() };
    assert!(!format!("{:?} {:?}", http, Tokens::read(&http)).contains(VIEWER));
}
