//! Forged requests: from other sites, other names, other methods.

use super::{OPERATOR, Page, bearer, no_tokens, tokens};

async fn is_paused(page: &Page) -> bool {
    let query = "select exists (select from holds where released_at is null)";
    sqlx::query_scalar(query).fetch_one(&page.database.pool).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_comes_from_our_own_page_or_with_a_token() {
    let page = Page::start(tokens()).await;
    let cookie = page.log_in(OPERATOR).await;
    let own = format!("Origin: http://{}", page.address);
    let near = format!("Origin: http://{}.evil.example", page.address);
    for forged in [
        &[][..],
        &["Origin: http://evil.example"],
        &["Origin: null"],
        &[&near],
        &["Origin: http://127.0.0.1"],
        &["Sec-Fetch-Site: cross-site"],
        &["Sec-Fetch-Site: none"],
        &["Sec-Fetch-Site: same-site", &own],
        &["Sec-Fetch-Site: cross-site", &own],
        &["Sec-Fetch-Site: same-origin", "Origin: http://evil.example"],
        &["Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: cross-site", &own],
        &[&own, &own],
        &["Authorization: Basic YTpi", "Sec-Fetch-Site: cross-site"],
        &["X-Forwarded-Host: evil.example", "Origin: http://evil.example"],
    ] {
        let headers = [&[&*cookie], forged].concat();
        let answer = page.form("/pause", "scope=all", &headers).await;
        assert_eq!(answer.status, 403, "{forged:?}");
        assert_eq!(answer.problem()["detail"], "a change must come from a page of this site");
        let login = page.form("/login", &format!("token={OPERATOR}"), &headers).await;
        assert_eq!((login.status, login.header("set-cookie")), (403, None), "{forged:?}: a login can be forged too");
        assert_eq!(page.form("/logout", "", &headers).await.status, 403, "{forged:?}");
    }
    assert!(!is_paused(&page).await);
    assert_eq!(page.send("GET /batches", &[&cookie]).await.status, 200, "nobody was logged out");
    let genuine = ["Sec-Fetch-Site: same-origin", &own, &cookie];
    assert_eq!(page.form("/pause", "scope=all", &genuine).await.status, 303);
    assert!(is_paused(&page).await);
    assert_eq!(page.form("/resume", "scope=all", &[&bearer(OPERATOR)]).await.status, 303);
    assert_eq!(page.audited().await.last(), Some(&("eva".to_owned(), "resume".to_owned())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_needs_its_own_method() {
    let page = Page::start(tokens()).await;
    let operator = bearer(OPERATOR);
    for line in ["GET /pause?scope=all", "HEAD /pause", "PUT /pause", "DELETE /pause", "PATCH /pause", "TRACE /pause"] {
        assert_eq!(page.send(line, &[&operator]).await.status, 405, "{line}");
    }
    for header in ["X-HTTP-Method-Override: POST", "X-HTTP-Method: POST", "X-Method-Override: POST"] {
        assert_eq!(page.send("GET /pause?scope=all&_method=POST", &[&operator, header]).await.status, 405, "{header}");
        let put = page.form("/batches", "_method=PUT", &[&operator, "X-HTTP-Method-Override: GET"]).await;
        assert_eq!(put.status, 405, "{header}");
    }
    assert!(!is_paused(&page).await);
}

/// DNS rebinding: a page of evil.example whose name now resolves to this machine.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_names_one_host_and_it_is_ours() {
    let page = Page::start(no_tokens()).await;
    let port = page.address.port();
    for (head, status) in [
        (format!("GET / HTTP/1.1\r\nHost: localhost:{port}\r\n"), 200),
        (format!("GET http://localhost:{port}/ HTTP/1.1\r\nHost: localhost:{port}\r\n"), 200),
        (format!("GET / HTTP/1.1\r\nHost: evil.example:{port}\r\n"), 421),
        ("GET / HTTP/1.1\r\nHost: localhost.evil.example\r\n".to_owned(), 421),
        ("GET / HTTP/1.1\r\nHost: evil.example\r\nX-Forwarded-Host: localhost\r\n".to_owned(), 421),
        ("GET / HTTP/1.1\r\nHost: evil.example\r\nForwarded: host=localhost\r\n".to_owned(), 421),
        ("GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n".to_owned(), 421),
        ("GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n".to_owned(), 400),
        ("GET http://localhost/ HTTP/1.1\r\nHost: evil.example\r\n".to_owned(), 400),
        ("GET http://localhost@evil.example/ HTTP/1.1\r\nHost: localhost@evil.example\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nHost: localhost, evil.example\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nHost:\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\n".to_owned(), 400),
        ("GET / HTTP/1.0\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nHost : localhost\r\n".to_owned(), 400),
        (format!("CONNECT localhost:{port} HTTP/1.1\r\nHost: localhost:{port}\r\n"), 403),
        (format!("OPTIONS * HTTP/1.1\r\nHost: localhost:{port}\r\n"), 403),
    ] {
        let answer = page.raw(format!("{head}Connection: close\r\n\r\n")).await;
        assert_eq!(answer.status, status, "{head}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_the_settings_are_ours_too() {
    let hosts = Some("muster.example.com, ops.example.com".to_owned().try_into().unwrap());
    let page = Page::start(muster::config::http::HttpConfig { hosts, ..no_tokens() }).await;
    for (host, status) in [("muster.example.com", 200), ("OPS.example.com:443", 200), ("example.com", 421)] {
        let answer = page.raw(format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")).await;
        assert_eq!(answer.status, status, "{host}");
    }
}
