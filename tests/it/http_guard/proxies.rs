//! Reverse proxies: named ones are believed, strangers are not.

use muster::config::http::{AccessRole, HttpConfig};

use super::{OPERATOR, Page, VIEWER, bearer, no_tokens, tokens};

/// Settings that name this machine as a proxy.
fn behind_proxy(http: HttpConfig) -> HttpConfig {
    HttpConfig { proxies: Some("127.0.0.1".to_owned().try_into().unwrap()), ..http }
}

fn with_users(http: HttpConfig) -> HttpConfig {
    HttpConfig { identity_header: Some("X-Forwarded-User".to_owned()), ..behind_proxy(http) }
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_of_strangers_change_nothing() {
    let page = Page::start(tokens()).await;
    let forged =
        ["X-Forwarded-Proto: https", "X-Forwarded-For: 203.0.113.9", "X-Forwarded-User: eva", "X-Real-IP: ::1"];
    assert_eq!(page.send("GET /holds", &forged).await.status, 401);
    let own = format!("Origin: http://{}", page.address);
    let answer = page.form("/login", &format!("token={VIEWER}"), &[&forged[..], &[&own]].concat()).await;
    assert!(answer.header("set-cookie").unwrap().starts_with("muster="), "the connection is still plain");
    let client: String = sqlx::query_scalar("select what from audit").fetch_one(&page.database.pool).await.unwrap();
    assert_eq!(client, "127.0.0.1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_named_proxy_reports_client_and_scheme() {
    let page = Page::start(behind_proxy(tokens())).await;
    let own = format!("Origin: https://{}", page.address);
    let client = "X-Forwarded-For: 127.0.0.1, 203.0.113.9";
    let fields = format!("token={OPERATOR}");
    let answer = page.form("/login", &fields, &["X-Forwarded-Proto: https", client, &own]).await;
    let cookie = answer.header("set-cookie").unwrap();
    assert!(
        cookie.starts_with("__Host-muster=") && cookie.ends_with("; HttpOnly; SameSite=Strict; Secure"),
        "{cookie}"
    );
    let cookie = format!("Cookie: {}", cookie.split(';').next().unwrap());
    assert_eq!(page.send("GET /holds", &["X-Forwarded-Proto: https", &cookie]).await.status, 200);
    assert_eq!(page.send("GET /holds", &["X-Forwarded-Proto: http", &cookie]).await.status, 401, "another cookie");
    let audited: String = sqlx::query_scalar("select what from audit").fetch_one(&page.database.pool).await.unwrap();
    assert_eq!(audited, "203.0.113.9");

    let plain_origin = format!("Origin: http://{}", page.address);
    let plain = page.form("/login", &fields, &["X-Forwarded-Proto: http", client, &plain_origin]).await;
    assert_eq!((plain.status, plain.header("set-cookie")), (403, None), "the token could be read on the way");
    let form = page.send("GET /login", &["X-Forwarded-Proto: http", client]).await;
    assert!(form.body.contains("A login needs TLS") && !form.body.contains("<form"), "{}", form.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_client_of_a_proxy_does_not_lock_out_the_others() {
    let page = Page::start(behind_proxy(tokens())).await;
    let mut statuses = Vec::new();
    for i in 0..7 {
        // What the client itself claims stands before the address that the proxy saw.
        let client = format!("X-Forwarded-For: 198.51.100.{i}, 203.0.113.9");
        let token = bearer(&format!("wrong-token-number-{i:020}"));
        statuses.push(page.send("GET /api/v1/overview", &[&client, &token]).await.status);
    }
    assert_eq!(statuses, [401, 401, 401, 401, 401, 429, 429]);
    let other = "X-Forwarded-For: 203.0.113.9, 203.0.113.10";
    assert_eq!(page.send("GET /api/v1/overview", &[other, &bearer(VIEWER)]).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_named_proxy_passes_the_user() {
    let page = Page::start(HttpConfig { identity_role: AccessRole::Operator, ..with_users(tokens()) }).await;
    let own = format!("Origin: http://{}", page.address);
    let holds = page.send("GET /holds", &["X-Forwarded-User: ann@example.com"]).await;
    assert_eq!(holds.status, 200);
    assert!(holds.body.contains("ann@example.com (operator)") && !holds.body.contains("/logout"), "{}", holds.body);
    let paused = page.form("/pause", "scope=all", &["X-Forwarded-User: ann@example.com", &own]).await;
    assert_eq!(paused.status, 303);
    assert_eq!(page.audited().await, [("ann@example.com".to_owned(), "pause".to_owned())]);

    let forged = ["X-Forwarded-User: ann@example.com", "Sec-Fetch-Site: cross-site"];
    assert_eq!(page.form("/resume", "scope=all", &forged).await.status, 403);
    for headers in [
        &["X-Forwarded-User: ann", "X-Forwarded-User: eva"][..],
        &["X-Forwarded-User:"],
        &["X-Forwarded-User: a\u{e9}b"],
        &["X-Forwarded-User: a\tb"],
        &[&*format!("X-Forwarded-User: {}", "a".repeat(201))],
    ] {
        assert_eq!(page.send("GET /holds", headers).await.status, 400, "{headers:?}");
    }
    assert_eq!(page.send("GET /holds", &["X-Forwarded_User: ann"]).await.status, 401);
    // A token is stronger than the proxy's word, and a wrong one is not replaced by it.
    assert_eq!(page.send("GET /holds", &["X-Forwarded-User: ann", &bearer("wrong")]).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn users_of_a_proxy_are_viewers_by_default() {
    let page = Page::start(with_users(no_tokens())).await;
    let own = format!("Origin: http://{}", page.address);
    assert_eq!(page.send("GET /holds", &["X-Forwarded-User: ann"]).await.status, 200);
    assert_eq!(page.form("/pause", "scope=all", &["X-Forwarded-User: ann", &own]).await.status, 403);
}

/// Premise: without tokens, this machine may read. A proxy on this machine speaks for the whole world.
#[tokio::test(flavor = "multi_thread")]
async fn who_comes_through_a_proxy_is_not_on_this_machine() {
    for http in [behind_proxy(no_tokens()), with_users(no_tokens())] {
        let page = Page::start(http).await;
        assert_eq!(page.send("GET /holds", &["X-Forwarded-For: 203.0.113.9"]).await.status, 401);
        assert_eq!(page.send("GET /holds", &[]).await.status, 401);
    }
}
