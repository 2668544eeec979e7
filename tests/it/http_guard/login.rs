//! Logging in and out: sessions, their end, cookies, wrong tokens.

use muster::config::http::HttpConfig;

use super::{OPERATOR, Page, VIEWER, bearer, tokens};
use crate::database::Database;

/// Returns the same database for another process.
fn shared(page: &Page) -> Database {
    Database { url: page.database.url.clone(), pool: page.database.pool.clone() }
}

fn wrong(i: u32) -> String {
    format!("wrong-token-number-{i:020}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_holds_for_every_process_and_ends_with_the_logout() {
    let page = Page::start(tokens()).await;
    let other = Page::at(shared(&page), tokens()).await;
    let answer = page.form("/login", &format!("token=+{OPERATOR}%0A&next=%2Fholds"), &[]).await;
    assert_eq!((answer.status, answer.header("location")), (303, Some("/holds")));
    let cookie = answer.header("set-cookie").unwrap();
    let (id, attributes) = cookie.split_once(';').unwrap();
    assert_eq!(attributes, " Path=/; Max-Age=43200; HttpOnly; SameSite=Strict");
    assert!(id.starts_with("muster=") && !cookie.contains(OPERATOR), "{cookie}");
    let cookie = format!("Cookie: {id}");
    for page in [&page, &other] {
        let holds = page.send("GET /holds", &[&cookie]).await;
        assert_eq!(holds.status, 200);
        assert!(holds.body.contains("eva (operator)") && holds.body.contains("action=\"/logout\""), "{}", holds.body);
    }
    let own = format!("Origin: http://{}", other.address);
    let gone = other.form("/logout", "", &[&cookie, &own]).await;
    assert_eq!((gone.status, gone.header("location")), (303, Some("/login")));
    assert_eq!(gone.header("set-cookie"), Some("muster=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict"));
    assert_eq!(page.send("GET /holds", &[&cookie]).await.status, 401, "the cookie is worth nothing");
    let audited = page.audited().await;
    assert_eq!(audited, [("eva", "login"), ("eva", "logout")].map(|(who, what)| (who.to_owned(), what.to_owned())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_with_its_time_its_token_or_its_role() {
    let page = Page::start(tokens()).await;
    let cookie = page.log_in(OPERATOR).await;
    let renamed = format!("operator ann {OPERATOR}");
    let replaced = format!("operator eva {}", OPERATOR.to_uppercase());
    let demoted = format!("viewer eva {OPERATOR}");
    for lines in [renamed, replaced, demoted] {
        let other = Page::at(shared(&page), HttpConfig { tokens: lines.as_str().into(), ..tokens() }).await;
        assert_eq!(other.send("GET /holds", &[&cookie]).await.status, 401, "{lines}");
    }
    assert_eq!(page.send("GET /holds", &[&cookie]).await.status, 200);
    let end = "update sessions set expires_at = now()";
    sqlx::query(end).execute(&page.database.pool).await.unwrap();
    assert_eq!(page.send("GET /holds", &[&cookie]).await.status, 401);
    page.log_in(VIEWER).await;
    let n: i64 = sqlx::query_scalar("select count(*) from sessions").fetch_one(&page.database.pool).await.unwrap();
    assert_eq!(n, 1, "a login deletes the expired sessions");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_stored() {
    let page = Page::start(tokens()).await;
    let cookie = page.log_in(OPERATOR).await;
    let id = cookie.split_once('=').unwrap().1;
    let rows: Vec<String> = sqlx::query_scalar("select s::text from sessions s union all select a::text from audit a")
        .fetch_all(&page.database.pool)
        .await
        .unwrap();
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().all(|row| !row.contains(id) && !row.contains(OPERATOR)), "{rows:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_one_well_formed_cookie_is_a_session() {
    let page = Page::start(tokens()).await;
    let cookie = page.log_in(VIEWER).await;
    let id = cookie.split_once('=').unwrap().1.to_owned();
    let planted = "0".repeat(64);
    for value in [
        format!("muster={planted}"),
        format!("muster={planted}; muster={id}"),
        format!("muster={id}\r\nCookie: muster={planted}"),
        format!("muster=\"{id}\""),
        format!("muster={}", id.to_uppercase()),
        format!("muster={id}0"),
        format!("muster={}", &id[1..]),
        format!("__Host-muster={id}"),
        format!("Muster={id}"),
        format!("muster%3d{id}"),
        "muster".to_owned(),
        "=; ;;= ; muster==".to_owned(),
        "muster=' or 1=1 --".to_owned(),
        format!("muster={}", "\u{ff10}".repeat(64)),
        format!("muster={}", "a".repeat(20_000)),
    ] {
        assert_eq!(page.send("GET /holds", &[&format!("Cookie: {value}")]).await.status, 401, "{value}");
    }
    let line = |cookie: &[u8]| {
        let head = format!("GET /holds HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nCookie: ", page.address);
        [head.as_bytes(), cookie, b"\r\n\r\n"].concat()
    };
    assert_eq!(page.raw(line(b"muster=\xff\xfe\xc0\xaf")).await.status, 401);
    assert_eq!(page.raw(line(format!("a=b; muster={id} ;c").as_bytes())).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_guesses_must_wait_and_nobody_else() {
    let page = Page::start(tokens()).await;
    let cookie = page.log_in(VIEWER).await;
    for i in 0..5 {
        assert_eq!(page.form("/login", &format!("token={}", wrong(i)), &[]).await.status, 401);
    }
    let refused = page.form("/login", &format!("token={}", wrong(5)), &[]).await;
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert_eq!(refused.status, 429);
    assert!((1..=2).contains(&seconds), "{seconds}");
    assert_eq!(page.send("GET /api/v1/overview", &[&bearer(&wrong(6))]).await.status, 429, "the API counts too");
    assert_eq!(page.send("GET /holds", &[&cookie]).await.status, 200, "who is logged in stays so");
    let failures: Vec<_> = page.audited().await.into_iter().filter(|(_, action)| action == "login failed").collect();
    assert_eq!(failures.len(), 1, "{failures:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_with_an_outdated_token_does_not_lock_out_its_neighbours() {
    let page = Page::start(tokens()).await;
    let outdated = bearer(&wrong(0));
    let mut statuses = Vec::new();
    for _ in 0..8 {
        statuses.push(page.send("GET /api/v1/overview", &[&outdated]).await.status);
    }
    assert_eq!(statuses, [401, 401, 401, 401, 401, 429, 429, 429]);
    assert_eq!(page.send("GET /api/v1/overview", &[&bearer(VIEWER)]).await.status, 200);
    page.log_in(OPERATOR).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_tokens_are_wrong_tokens() {
    let page = Page::start(tokens()).await;
    for (token, status) in [
        ("", 401),
        ("%00", 401),
        ("%F0%9F%94%91", 401),
        ("%0D%0ASet-Cookie%3A%20a%3Db", 401),
        ("%3Cscript%3Ealert(1)%3C%2Fscript%3E", 401),
    ] {
        let answer = page.form("/login", &format!("token={token}&next=%22%3E%3Cscript%3E"), &[]).await;
        assert_eq!((answer.status, answer.header("set-cookie")), (status, None), "{token}");
        assert!(!answer.body.contains("<script>") && !answer.body.contains("alert(1)"), "{}", answer.body);
    }
    for fields in ["", "name=eva", "token=%FF%FE", "token=a&token=b", "token[]=a"] {
        let answer = page.form("/login", fields, &[]).await;
        assert!(matches!(answer.status, 400 | 401 | 422 | 429), "{fields}: {}", answer.status);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_leads_only_to_pages_of_this_site() {
    let page = Page::start(tokens()).await;
    for (next, location) in [
        ("%2Fbatches%3Fname%3Da", "/batches?name=a"),
        ("https%3A%2F%2Fevil.example", "/"),
        ("%2F%2Fevil.example", "/"),
        ("%2F%5Cevil.example", "/"),
        ("%5C%5Cevil.example", "/"),
        ("%2F%09%2Fevil.example", "/"),
        ("%2F%0D%0ASet-Cookie:%20a%3Db", "/"),
        ("%2F%E2%81%84evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("", "/"),
    ] {
        let answer = page.form("/login", &format!("token={VIEWER}&next={next}"), &[]).await;
        assert_eq!((answer.status, answer.header("location")), (303, Some(location)), "{next}");
    }
}

/// Premise: a session that cannot be checked is neither valid nor over.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_ledger_nobody_is_let_in_or_logged_out() {
    let page = Page::start(tokens()).await;
    let cookie = page.log_in(OPERATOR).await;
    sqlx::query("alter table sessions rename to away").execute(&page.database.pool).await.unwrap();
    let html = "Accept: text/html";
    for answer in [
        page.send("GET /holds", &[&cookie, html]).await,
        page.send("GET /api/v1/openapi.json", &[&cookie]).await,
        page.form("/login", &format!("token={OPERATOR}"), &[]).await,
        page.form("/logout", "", &[&cookie, &format!("Origin: http://{}", page.address)]).await,
    ] {
        assert_eq!((answer.status, answer.header("set-cookie")), (503, None), "{}", answer.body);
        assert!(answer.body.contains("The ledger is unavailable"), "{}", answer.body);
    }
    assert_eq!(page.send("GET /api/v1/openapi.json", &[&bearer(VIEWER)]).await.status, 200, "tokens need no ledger");
    assert_eq!(page.send("GET /login", &[&cookie]).await.status, 200);
    assert_eq!(page.send("GET /assets/style.css", &[&cookie]).await.status, 200);
    sqlx::query("alter table away rename to sessions").execute(&page.database.pool).await.unwrap();
    assert_eq!(page.send("GET /holds", &[&cookie]).await.status, 200);
}
