//! STUB
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
/// x
#[derive(Debug, Clone)]
pub struct Identity {
    /// x
    pub who: String,
    /// x
    pub role: Role,
    /// x
    pub is_logged_in: bool,
}
/// x
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// x
    Viewer,
    /// x
    Operator,
}
impl maud::Render for Role {
    fn render(&self) -> maud::Markup {
        maud::html! { "operator" }
    }
}
/// x
#[derive(Debug, Clone)]
pub struct Viewer(pub Identity);
/// x
#[derive(Debug, Clone)]
pub struct Operator(pub Identity);
impl<S: Sync> FromRequestParts<S> for Viewer {
    type Rejection = std::convert::Infallible;
    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(Identity { who: "x".into(), role: Role::Operator, is_logged_in: true }))
    }
}
impl<S: Sync> FromRequestParts<S> for Operator {
    type Rejection = std::convert::Infallible;
    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(Identity { who: "x".into(), role: Role::Operator, is_logged_in: true }))
    }
}
