//! Why a listener does not start: it would let strangers in, or its settings contradict each other.

use std::borrow::Cow;
use std::net::SocketAddr;

use super::tokens::TokensError;
use muster_core::advice::{Advice, Exit};

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
    /// Not the name of a header, or of one that has a meaning of its own.
    #[error("`http.identity_header` is `{0}`, which cannot carry a user's name")]
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
            Self::Header(_) => "use a header of its own, for example `X-Forwarded-User`".into(),
        })
    }

    fn exit(&self) -> Exit {
        Exit::Usage
    }
}
