//! The roles: what each may reach, on every route.

use axum::http::Method;
use muster::config::http::AccessRole;
use muster::http::guard::Route;
use muster::http::site::Site;

use super::{Answer, OPERATOR, Page, VIEWER, bearer, no_tokens, tokens};

/// Requests a route, with valid values for its parameters and an empty body.
async fn request(page: &Page, route: &Route, headers: &[&str]) -> Answer {
    let path = route.path.replace("{number}", "1").replace(['{', '}'], "");
    let own = format!("Origin: http://{}", page.address);
    let mut headers = headers.to_vec();
    headers.extend(["Sec-Fetch-Site: same-origin", &own]);
    if route.method == Method::POST {
        headers.extend(["Content-Type: application/json", "Content-Length: 2"]);
    }
    let headers: String = headers.iter().flat_map(|header| [*header, "\r\n"]).collect();
    let body = if route.method == Method::POST { "{}" } else { "" };
    let (method, host) = (&route.method, page.address);
    page.raw(format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n{body}")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_needs_its_role() {
    let page = Page::start(tokens()).await;
    let routes = Site::routes();
    let (viewer, operator) = (bearer(VIEWER), bearer(OPERATOR));
    let (cookie_of_viewer, cookie_of_operator) = (page.log_in(VIEWER).await, page.log_in(OPERATOR).await);
    assert!(routes.list().len() > 40, "only {} routes are listed", routes.list().len());
    for route in routes.list() {
        let is_public = route.path.starts_with("/assets/");
        assert_eq!(route.needs.is_none(), is_public, "{route:?}");
        let stranger = request(&page, route, &[]).await.status;
        assert_eq!(stranger, if is_public { 200 } else { 401 }, "{route:?}");
        for headers in [&*viewer, &cookie_of_viewer] {
            let status = request(&page, route, &[headers]).await.status;
            let is_refused = matches!(status, 401 | 403);
            assert_eq!(is_refused, route.needs == Some(AccessRole::Operator), "{route:?} {status}");
        }
        for headers in [&*operator, &cookie_of_operator] {
            let status = request(&page, route, &[headers]).await.status;
            // Nothing is ready for a change here, but nothing forbids one.
            assert!(!matches!(status, 401 | 403 | 405 | 500), "{route:?} {status}");
        }
        let changes = route.method == Method::POST && route.needs == Some(AccessRole::Operator);
        assert!(changes || !["pause", "resume", "release", "cancel"].iter().any(|w| route.path.ends_with(w)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_tokens_this_machine_may_read_and_nobody_may_change() {
    let page = Page::start(no_tokens()).await;
    for route in Site::routes().list() {
        let answer = request(&page, route, &[]).await;
        let is_refused = matches!(answer.status, 401 | 403);
        assert_eq!(is_refused, route.needs == Some(AccessRole::Operator), "{route:?} {}", answer.status);
        if is_refused {
            let problem = answer.problem();
            assert_eq!(problem["detail"], "local is viewer, and this needs the role operator");
            assert!(problem["hint"].as_str().unwrap().contains("muster token NAME --role operator"), "{problem}");
        }
    }
    assert_eq!(request(&page, &Site::routes().list()[0], &[&bearer(VIEWER)]).await.status, 401, "a wrong token");
    assert_eq!(page.form("/login", &format!("token={VIEWER}"), &[]).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_do_not_learn_which_addresses_exist() {
    let page = Page::start(tokens()).await;
    for line in ["GET /nothing", "GET /batches", "POST /nothing", "PUT /batches", "GET /api/v2/overview", "OPTIONS *"] {
        let own = format!("Origin: http://{}", page.address);
        let answer = page.send(line, &["Sec-Fetch-Site: same-origin", &own]).await;
        assert_eq!(answer.status, 401, "{line}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        assert_eq!(answer.problem()["detail"], "a token is needed");
    }
    let known = [bearer(VIEWER)];
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    for (line, status) in [("GET /nothing", 404), ("PUT /batches", 405), ("DELETE /login", 405), ("OPTIONS *", 404)] {
        let answer = page.send(line, &known).await;
        assert_eq!((answer.status, answer.problem()["status"].as_u64()), (status, Some(status.into())), "{line}");
    }
}

/// Premise: what compares paths before the router could see another path than the router.
#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_of_a_path_gets_past_the_login() {
    let page = Page::start(tokens()).await;
    for path in [
        "/assets/../audit",
        "/assets/%2e%2e/audit",
        "/assets/..%2faudit",
        "/assets//audit",
        "//audit",
        "/%61udit",
        "/audit/",
        "/audit%00",
        "/audit;/login",
        "/login/../audit",
        "/login/",
        "/LOGIN",
        "/login%2f..%2faudit",
        "/logout/../audit",
        "/audit?/login",
        "/api/v1/audit#/login",
        "/%c0%afaudit",
    ] {
        let answer = page.send(&format!("GET {path}"), &[]).await;
        assert!(matches!(answer.status, 400 | 401 | 404), "{path}: {}", answer.status);
        assert!(!answer.body.contains("entries"), "{path}: {}", answer.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_sent_to_the_login_and_programs_get_a_problem() {
    let page = Page::start(tokens()).await;
    let html = "Accept: text/html,application/xhtml+xml,*/*;q=0.8";
    let answer = page.send("GET /batches?name=a%26b", &[html]).await;
    assert_eq!(answer.status, 303);
    assert_eq!(answer.header("location"), Some("/login?next=%2Fbatches%3Fname%3Da%2526b"));
    assert_eq!(page.send("GET /api/v1/batches", &[html]).await.status, 401);
    assert_eq!(page.send("GET /batches", &["Accept: */*"]).await.status, 401);
    assert_eq!(page.send("GET /batches", &[html, &bearer("wrong")]).await.status, 401);
    let forbidden = page.form("/pause", "scope=all", &[html, &page.log_in(VIEWER).await]).await;
    assert_eq!((forbidden.status, forbidden.header("content-type")), (403, Some("text/html; charset=utf-8")));
    assert_eq!(page.send("GET /nothing", &[html, &bearer(VIEWER)]).await.problem()["status"], 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_response_has_the_security_headers() {
    let page = Page::start(tokens()).await;
    let (viewer, html) = (bearer(VIEWER), "Accept: text/html");
    let cookie = page.log_in(VIEWER).await;
    let answers = [
        (200, page.send("GET /login", &[html]).await),
        (200, page.send("GET /assets/style.css", &[]).await),
        (200, page.send("HEAD /", &[&viewer]).await),
        (303, page.send("GET /", &[html]).await),
        (303, page.form("/login", &format!("token={VIEWER}"), &[]).await),
        (400, page.send("GET /", &["Host: localhost"]).await),
        (401, page.send("GET /api/v1/overview", &[]).await),
        (403, page.send("POST /pause", &[&cookie]).await),
        (404, page.send("GET /nothing", &[html, &cookie]).await),
        (405, page.send("DELETE /batches", &[&viewer]).await),
        (413, page.form("/login", &format!("token={}", "a".repeat(20_000)), &[]).await),
    ];
    for (status, answer) in answers {
        assert_eq!(answer.status, status, "{}", answer.body);
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "same-origin"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{status} {name}");
        }
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none';") && policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        let is_asset = answer.header("content-type").is_some_and(|kind| kind.starts_with("text/css"));
        assert_eq!(answer.header("cache-control"), Some(if is_asset { "max-age=300" } else { "no-store" }), "{status}");
        assert_eq!(answer.header("strict-transport-security"), None, "without TLS");
        assert!(!answer.body.contains("style=") && !answer.body.contains("<script>"), "{}", answer.body);
    }
}
