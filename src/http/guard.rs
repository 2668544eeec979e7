//! Who may do what: tokens, sessions, roles, and the checks that every request passes before a handler sees it.
//!
//! In order: the host is one of ours, the sender is known by a token, a session or a trusted proxy, and what changes
//! something comes from our own pages. A handler takes [`Viewer`] or [`Operator`]; without the role it is not called.
//! Without any token in the settings, whoever reaches the loopback listener may read and nobody may change anything.

mod attempts;
mod extract;
mod headers;
mod hosts;
mod login;
mod peer;
mod same_origin;
mod session;
mod tokens;

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, DefaultBodyLimit, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use axum::{Router, routing};

use crate::config::http::{AccessRole, HttpConfig};
use crate::http::problem::Problem;
use crate::ledger::Ledger;
use muster_core::advice::{Advice, Exit};

use attempts::Attempts;
use hosts::Hosts;
use session::cookie;

pub use extract::{Operator, Viewer};
pub use peer::Peer;
pub use tokens::{Token, Tokens, TokensError};

/// Longest time of a request, its body included.
const REQUEST_MAX: Duration = Duration::from_secs(30);

/// Largest body of a request, in bytes, unless a route allows more.
const BODY_MAX: usize = 256 << 10;

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

#[derive(Debug)]
struct Rules {
    tokens: Tokens,
    ledger: Ledger,
    hosts: Hosts,
    proxies: Vec<IpAddr>,
    identity_header: Option<HeaderName>,
    identity_role: AccessRole,
    session: Duration,
    is_tls: bool,
    is_loopback: bool,
    attempts: Attempts,
}

/// What the checks found out about a request.
#[derive(Clone, Debug)]
struct Admitted {
    peer: Peer,
    identity: Option<Identity>,
}

/// The listener would be open to strangers, or its settings do not fit each other.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The tokens are not valid.
    #[error(transparent)]
    Tokens(#[from] TokensError),
    /// Beyond loopback without tokens.
    #[error("`http.listen` is {0}, which others can reach, and there is no token")]
    Open(SocketAddr),
    /// Beyond loopback without TLS.
    #[error("`http.listen` is {0}, which others can reach, without TLS: tokens could be read on the way")]
    Plain(SocketAddr),
    /// Only one of certificate and key.
    #[error("`http.certificate` and `http.key` belong together, but only one is set")]
    HalfTls,
    /// An identity header without a proxy.
    #[error("`http.identity_header` is set without `http.proxies`: anybody could send it")]
    StrangersIdentity,
    /// Not the name of a header.
    #[error("`http.identity_header` is `{0}`, which is not the name of a header")]
    Header(String),
}

impl Advice for AccessError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        Some(match self {
            Self::Tokens(error) => return error.hint(),
            Self::Open(_) => {
                "`muster token NAME --role operator` prints a token for `http.tokens_file`; or listen on 127.0.0.1"
                    .into()
            }
            Self::Plain(_) => {
                "set `http.certificate` and `http.key`, or name the reverse proxy in `http.proxies`".into()
            }
            Self::HalfTls => "set both or none".into(),
            Self::StrangersIdentity => "name the proxy's IP address in `http.proxies`".into(),
            Self::Header(_) => "for example `X-Forwarded-User`".into(),
        })
    }

    fn exit(&self) -> Exit {
        Exit::Usage
    }
}

impl Gate {
    /// Creates the rules for a listener at `listen`.
    ///
    /// # Errors
    /// The settings are not valid, or would let strangers in.
    pub fn new(config: &HttpConfig, listen: SocketAddr, ledger: Ledger) -> Result<Self, AccessError> {
        let tokens = Tokens::read(config)?;
        let proxies = config.proxies.as_ref().map_or_else(Vec::new, |proxies| proxies.0.clone());
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
        let header = |name: &String| name.parse().map_err(|_| AccessError::Header(name.clone()));
        Ok(Self(Arc::new(Rules {
            tokens,
            ledger,
            hosts: Hosts::new(config.hosts.as_ref().map_or(&[], |hosts| &hosts.0), listen),
            proxies,
            identity_header: config.identity_header.as_ref().map(header).transpose()?,
            identity_role: config.identity_role,
            session: config.session.into(),
            is_tls,
            is_loopback,
            attempts: Attempts::default(),
        })))
    }

    /// Puts the checks in front of routes, and adds the routes to log in and out.
    pub fn protect(&self, routes: Router) -> Router {
        let login = Router::new()
            .route("/login", routing::get(login::form).post(login::log_in))
            .route("/logout", routing::post(login::log_out))
            .with_state(self.clone());
        routes
            .merge(login)
            .layer(DefaultBodyLimit::max(BODY_MAX))
            .layer(from_fn_with_state(self.clone(), admit))
            .layer(from_fn(limit_time))
            .layer(from_fn_with_state(self.0.is_tls, headers::add))
    }
}

/// Checks a request and finds out who sends it.
async fn admit(
    State(Gate(rules)): State<Gate>,
    ConnectInfo(tcp): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let headers = request.headers();
    let Some(host) = rules.hosts.allowed(request.uri(), headers) else {
        let detail = "the request names no host, several, or one that is not ours";
        return Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, detail).with_hint("list the name in `http.hosts`"));
    };
    let peer = Peer::of(tcp.ip(), headers, &rules.proxies, rules.is_tls);
    let bearer = headers.contains_key(AUTHORIZATION);
    if !bearer && !same_origin::is_safe(request.method()) && !same_origin::is_same_origin(headers, &host, peer.is_https)
    {
        let detail = "a change must come from a page of this site";
        return Err(Problem::new(StatusCode::FORBIDDEN, detail).with_hint("scripts send `Authorization: Bearer TOKEN`"));
    }
    let identity = rules.identify(headers, peer).await?;
    request.extensions_mut().insert(Admitted { peer, identity });
    Ok(next.run(request).await)
}

async fn limit_time(request: Request, next: Next) -> Result<Response, Problem> {
    let timed_out = || Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the request took longer than 30 s");
    tokio::time::timeout(REQUEST_MAX, next.run(request)).await.map_err(|_| timed_out())
}

impl Rules {
    /// Finds out who sends a request; `None`: nobody we know.
    async fn identify(&self, headers: &HeaderMap, peer: Peer) -> Result<Option<Identity>, Problem> {
        if headers.contains_key(AUTHORIZATION) {
            return self.by_bearer(headers, peer).map(Some);
        }
        if let Some(identity) = self.by_proxy(headers, peer) {
            return Ok(Some(identity));
        }
        if self.tokens.is_empty() {
            let who = "local".to_owned();
            return Ok(Some(Identity { who, role: AccessRole::Viewer, is_logged_in: false }));
        }
        self.by_session(headers, peer).await
    }

    fn by_bearer(&self, headers: &HeaderMap, peer: Peer) -> Result<Identity, Problem> {
        if let Some(wait) = self.attempts.wait(peer.address) {
            return Err(login::too_many(wait));
        }
        let mut values = headers.get_all(AUTHORIZATION).into_iter();
        let value = values.next().filter(|_| values.next().is_none()).and_then(|value| value.to_str().ok());
        let token =
            value.and_then(|value| value.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let found = token.and_then(|(_, token)| self.tokens.find(token.trim()));
        let Some(token) = found else {
            self.attempts.failed(peer.address);
            return Err(extract::unauthorized("the token is not one of this site's"));
        };
        Ok(Identity { who: token.who.clone(), role: token.role, is_logged_in: false })
    }

    /// Takes the user from the identity header, if a proxy of the settings sent it.
    fn by_proxy(&self, headers: &HeaderMap, peer: Peer) -> Option<Identity> {
        let name = self.identity_header.as_ref().filter(|_| peer.is_proxy)?;
        let mut values = headers.get_all(name).into_iter();
        let who = values.next().filter(|_| values.next().is_none())?.to_str().ok()?.trim();
        let is_name = !who.is_empty() && who.len() <= 200;
        is_name.then(|| Identity { who: who.to_owned(), role: self.identity_role, is_logged_in: false })
    }

    async fn by_session(&self, headers: &HeaderMap, peer: Peer) -> Result<Option<Identity>, Problem> {
        let Some(key) = cookie(headers, peer.is_https) else { return Ok(None) };
        let Some(session) = self.ledger.session(&key).await? else { return Ok(None) };
        // A token that was removed from the settings, or changed its role, ends its sessions.
        let token = self.tokens.with_fingerprint(&session.who, &session.token);
        let token = token.filter(|token| token.role.to_string() == session.role);
        Ok(token.map(|token| Identity { who: token.who.clone(), role: token.role, is_logged_in: true }))
    }
}
