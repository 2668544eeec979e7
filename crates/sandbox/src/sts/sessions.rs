//! The sessions of assumed roles: which credentials were issued, for whom, and until when.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;

/// The identity behind issued credentials.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Session {
    /// The role's name.
    pub(super) role: String,
    /// The name that the caller gave the session.
    pub(super) name: String,
}

/// Issued credentials.
#[derive(Clone)]
pub(super) struct AccessKeys {
    pub(super) access_key_id: String,
    pub(super) secret_access_key: String,
    pub(super) session_token: String,
}

/// The validity of credentials.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum CredentialStanding {
    /// Issued for this session, which is still valid.
    Valid(Session),
    /// Issued, but the session has expired.
    Expired,
    /// Not issued by this sandbox.
    Unknown,
}

/// Every session, by its access key id.
#[derive(Default)]
pub(super) struct Sessions(Mutex<HashMap<String, IssuedCredentials>>);

struct IssuedCredentials {
    session: Session,
    token: String,
    expires: Instant,
}

impl Session {
    pub(super) fn arn(&self, account: &str) -> String {
        format!("arn:aws:sts::{account}:assumed-role/{}/{}", self.role, self.name)
    }

    pub(super) fn user_id(&self) -> String {
        format!("AROASANDBOX:{}", self.name)
    }
}

impl Sessions {
    /// Begins a session and issues its credentials.
    pub(super) fn begin(&self, session: Session, expires: Instant) -> AccessKeys {
        let keys = AccessKeys {
            access_key_id: format!("ASIA{}", random(16).to_ascii_uppercase()),
            secret_access_key: random(40),
            session_token: random(120),
        };
        let issued = IssuedCredentials { session, token: keys.session_token.clone(), expires };
        self.lock().insert(keys.access_key_id.clone(), issued);
        keys
    }

    /// Makes every session expire at `at` at the latest.
    pub(super) fn expire(&self, at: Instant) {
        self.lock().values_mut().for_each(|issued| issued.expires = issued.expires.min(at));
    }

    /// Returns the validity of a request's credentials.
    pub(super) fn standing(&self, head: &Parts, now: Instant) -> CredentialStanding {
        let token = head.headers.get("x-amz-security-token").and_then(|token| token.to_str().ok());
        let sessions = self.lock();
        let issued = access_key_id(head).and_then(|id| sessions.get(id)).filter(|issued| token == Some(&issued.token));
        match issued {
            None => CredentialStanding::Unknown,
            Some(issued) if issued.expires <= now => CredentialStanding::Expired,
            Some(issued) => CredentialStanding::Valid(issued.session.clone()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, IssuedCredentials>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the access key id in `AWS4-HMAC-SHA256 Credential=AKID/20261122/us-east-1/iot/aws4_request, ...`.
fn access_key_id(head: &Parts) -> Option<&str> {
    let (_, scope) = head.headers.get(AUTHORIZATION)?.to_str().ok()?.split_once("Credential=")?;
    scope.split('/').next()
}

fn random(n: usize) -> String {
    std::iter::repeat_with(fastrand::alphanumeric).take(n).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::http::Request;

    use super::*;

    fn request(id: &str, token: &str) -> Parts {
        let authorization = format!("AWS4-HMAC-SHA256 Credential={id}/20261122/us-east-1/iot/aws4_request, x=y");
        let request = Request::builder().header(AUTHORIZATION, authorization).header("x-amz-security-token", token);
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_session_is_valid_until_it_expires_with_its_own_token() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let session = Session { role: "muster".to_owned(), name: "me".to_owned() };
        let keys = sessions.begin(session.clone(), now + Duration::from_mins(15));
        let valid = request(&keys.access_key_id, &keys.session_token);
        assert_eq!(sessions.standing(&valid, now), CredentialStanding::Valid(session.clone()));
        assert_eq!(sessions.standing(&valid, now + Duration::from_mins(15)), CredentialStanding::Expired);
        assert_eq!(sessions.standing(&request(&keys.access_key_id, "other"), now), CredentialStanding::Unknown);
        assert_eq!(sessions.standing(&request("ASIAOTHER", &keys.session_token), now), CredentialStanding::Unknown);
        sessions.expire(now);
        assert_eq!(sessions.standing(&valid, now), CredentialStanding::Expired);
        let later = sessions.begin(session.clone(), now + Duration::from_mins(15));
        let later = request(&later.access_key_id, &later.session_token);
        assert_eq!(sessions.standing(&later, now), CredentialStanding::Valid(session));
    }
}
