//! Who may do what: tokens, sessions, roles, and the checks that every request passes before a handler sees it.
//!
//! In order: the host is one of ours, what changes something comes from our own pages, and the sender is known by a
//! token, a session or a trusted proxy. Whoever is not known reaches only what is public, whether or not a handler asks.
//! A handler takes [`Viewer`] or [`Operator`]; without the role it is not called.
//!
//! Without any token in the settings, whoever reaches the loopback listener may read and nobody may change anything.

mod access_error;
mod attempts;
mod extract;
mod headers;
mod hosts;
mod login;
mod peer;
mod present;
mod routes;
mod rules;
mod same_origin;
mod session;
mod tokens;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, DefaultBodyLimit, Request, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use axum::{Router, routing};

use crate::config::http::{AccessRole, HttpConfig};
use crate::http::problem::Problem;
use crate::ledger::Ledger;

use attempts::Attempts;
use hosts::Hosts;
use rules::{Bearer, Rules};

pub use access_error::AccessError;
pub use extract::{Anyone, Operator, Viewer};
pub use peer::Peer;
pub use routes::{Access, Guarded, Route, Routes};
pub use tokens::{Token, Tokens, TokensError};

/// Longest time of a request, its body included.
const REQUEST_MAX: Duration = Duration::from_secs(30);

/// Largest body of a request, in bytes, unless a route allows another.
const BODY_MAX: usize = 1 << 20;

/// Largest body of a login, which anybody may send.
const LOGIN_BODY_MAX: usize = 16 << 10;

/// Headers that cannot carry a user's name: they have a meaning of their own, or a client's is passed on unchanged.
const NO_IDENTITY: [HeaderName; 5] =
    [header::AUTHORIZATION, header::COOKIE, header::HOST, header::ORIGIN, header::USER_AGENT];

/// Who sends a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Identity {
    /// Name for the audit: that of the token, or the one that a proxy passed.
    pub who: String,
    /// What they may do.
    pub role: AccessRole,
    /// Whether they can log out.
    pub is_logged_in: bool,
}

/// The access rules of a listener.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Rules>);

/// What the checks found out about a request.
#[derive(Clone, Debug)]
struct Admitted {
    peer: Peer,
    /// `None`: nobody known, or the path is public and nobody asked.
    identity: Option<Identity>,
}

impl Gate {
    /// Creates the rules for a listener at `listen`.
    ///
    /// # Errors
    /// The settings are not valid, or would let strangers in.
    pub fn new(config: &HttpConfig, listen: SocketAddr, ledger: Ledger) -> Result<Self, AccessError> {
        let tokens = Tokens::read(config)?;
        let proxies = config.proxies.as_ref().map_or_else(Vec::new, |proxies| proxies.0.clone());
        let proxies: Vec<_> = proxies.iter().map(std::net::IpAddr::to_canonical).collect();
        let is_loopback = listen.ip().to_canonical().is_loopback();
        let is_tls = match (&config.certificate, &config.key) {
            (Some(_), Some(_)) => true,
            (None, None) => false,
            _ => return Err(AccessError::HalfTls),
        };
        if !is_loopback && tokens.is_empty() {
            return Err(AccessError::Open(listen));
        }
        if !is_loopback && !is_tls && proxies.is_empty() {
            return Err(AccessError::Plain(listen));
        }
        if config.identity_header.is_some() && proxies.is_empty() {
            return Err(AccessError::StrangersIdentity);
        }
        Ok(Self(Arc::new(Rules {
            tokens,
            ledger,
            hosts: Hosts::new(config.hosts.as_ref().map_or(&[], |hosts| &hosts.0), listen),
            proxies,
            identity_header: config.identity_header.as_deref().map(identity_header).transpose()?,
            identity_role: config.identity_role,
            session: config.session.into(),
            is_tls,
            is_loopback,
            attempts: Attempts::default(),
        })))
    }

    /// Puts the checks in front of routes, and adds the routes to log in and out.
    pub fn protect(&self, routes: Router) -> Router {
        let log_in = routing::post(login::log_in).layer(DefaultBodyLimit::max(LOGIN_BODY_MAX));
        let login = Router::new()
            .route("/login", routing::get(login::form).merge(log_in))
            .route("/logout", routing::post(login::log_out))
            .with_state(self.clone());
        routes
            .merge(login)
            .layer(DefaultBodyLimit::max(BODY_MAX))
            .layer(from_fn_with_state(self.clone(), admit))
            .layer(from_fn(limit_time))
            .layer(from_fn(present::present))
            .layer(from_fn_with_state(self.0.is_tls, headers::add))
    }
}

fn identity_header(name: &str) -> Result<HeaderName, AccessError> {
    let header = name.parse().ok().filter(|header| !NO_IDENTITY.contains(header));
    header.ok_or_else(|| AccessError::Header(name.to_owned()))
}

/// Returns whether a path is for everybody. The router compares the same text, so it cannot see another path.
fn is_public(path: &str) -> bool {
    matches!(path, "/login" | "/logout") || path.starts_with("/assets/")
}

/// Checks a request and finds out who sends it.
async fn admit(
    State(Gate(rules)): State<Gate>,
    ConnectInfo(tcp): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let headers = request.headers();
    let host = rules.hosts.check(request.uri(), headers)?;
    let peer = Peer::of(tcp.ip(), headers, &rules.proxies, rules.is_tls);
    let bearer = Bearer::of(headers)?;
    let is_change = !same_origin::is_safe(request.method());
    if is_change && bearer.is_none() && !same_origin::is_same_origin(headers, &host, peer.is_https) {
        return Err(foreign());
    }
    let identity = if is_public(request.uri().path()) {
        None
    } else {
        let identity = rules.identify(headers, bearer, peer).await?;
        Some(identity.ok_or_else(|| extract::unauthorized("a token is needed"))?)
    };
    request.extensions_mut().insert(Admitted { peer, identity });
    Ok(next.run(request).await)
}

fn foreign() -> Problem {
    let hint = "scripts send `Authorization: Bearer TOKEN`; a reverse proxy must be named in `http.proxies` and pass on \
                the headers Host and X-Forwarded-Proto";
    Problem::new(StatusCode::FORBIDDEN, "a change must come from a page of this site").with_hint(hint)
}

async fn limit_time(request: Request, next: Next) -> Result<Response, Problem> {
    let timed_out = || Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the request took longer than 30 s");
    tokio::time::timeout(REQUEST_MAX, next.run(request)).await.map_err(|_| timed_out())
}
