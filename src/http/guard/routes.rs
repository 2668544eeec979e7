//! Routes that know which role they need.
//!
//! The first parameter of a handler is its role: a handler without one does not compile here. So a list of all routes
//! with their roles exists, and a test can walk it.

use axum::Router;
use axum::handler::Handler;
use axum::http::Method;
use axum::routing::{MethodRouter, get, post};

use super::extract::{Anyone, Operator, Viewer};
use crate::config::http::AccessRole;

/// A route.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Route {
    /// Its method; a route for GET also answers HEAD.
    pub method: Method,
    /// Its path, with the names of parameters in braces.
    pub path: String,
    /// The role it needs; `None`: it is public.
    pub needs: Option<AccessRole>,
}

/// A router and the list of its routes.
#[derive(Debug)]
pub struct Routes<S = ()> {
    router: Router<S>,
    list: Vec<Route>,
}

/// An extractor that lets a request through only for a certain role.
pub trait Access {
    /// The role; `None`: everybody may.
    const NEEDS: Option<AccessRole>;
}

impl Access for Viewer {
    const NEEDS: Option<AccessRole> = Some(AccessRole::Viewer);
}

impl Access for Operator {
    const NEEDS: Option<AccessRole> = Some(AccessRole::Operator);
}

impl Access for Anyone {
    const NEEDS: Option<AccessRole> = None;
}

/// The parameters of a handler, as axum represents them, the first of which is its role.
pub trait Guarded {
    /// The role that the handler needs.
    const NEEDS: Option<AccessRole>;
}

macro_rules! guarded {
    ($($parameter:ident),*) => {
        impl<M, A: Access, $($parameter),*> Guarded for (M, A, $($parameter,)*) {
            const NEEDS: Option<AccessRole> = A::NEEDS;
        }
    };
}

guarded!();
guarded!(P1);
guarded!(P1, P2);
guarded!(P1, P2, P3);
guarded!(P1, P2, P3, P4);
guarded!(P1, P2, P3, P4, P5);

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    /// Creates an empty list.
    pub fn new() -> Self {
        Self { router: Router::new(), list: Vec::new() }
    }

    /// Adds a handler that reads.
    #[must_use]
    pub fn get<H: Handler<T, S>, T: Guarded + 'static>(self, path: &str, handler: H) -> Self {
        self.add(Route { method: Method::GET, path: path.to_owned(), needs: T::NEEDS }, get(handler))
    }

    /// Adds a handler that changes something, or whose parameters must not be in a URL.
    #[must_use]
    pub fn post<H: Handler<T, S>, T: Guarded + 'static>(self, path: &str, handler: H) -> Self {
        self.add(Route { method: Method::POST, path: path.to_owned(), needs: T::NEEDS }, post(handler))
    }

    /// Adds a router whose routes declare their roles elsewhere.
    #[must_use]
    pub fn merge(mut self, router: Router<S>, list: impl IntoIterator<Item = Route>) -> Self {
        self.list.extend(list);
        Self { router: self.router.merge(router), list: self.list }
    }

    /// Adds other routes.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        self.merge(other.router, other.list)
    }

    /// Returns all routes.
    pub fn list(&self) -> &[Route] {
        &self.list
    }

    /// Returns the router.
    pub fn into_router(self) -> Router<S> {
        self.router
    }

    fn add(mut self, route: Route, handler: MethodRouter<S>) -> Self {
        let router = self.router.route(&route.path, handler);
        self.list.push(route);
        Self { router, list: self.list }
    }
}

impl<S: Clone + Send + Sync + 'static> Default for Routes<S> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use axum::extract::{Query, State};

    use super::*;

    #[test]
    fn the_role_of_a_route_is_that_of_its_handler() {
        let routes: Routes = Routes::new()
            .get("/", async |_: Viewer| ())
            .post("/", async |_: Operator, _: State<()>, _: Query<()>, _: String| ())
            .get("/public", async |_: Anyone| "public");
        let needs: Vec<_> = routes.list().iter().map(|route| (&route.method, &*route.path, route.needs)).collect();
        assert_eq!(
            needs,
            [
                (&Method::GET, "/", Some(AccessRole::Viewer)),
                (&Method::POST, "/", Some(AccessRole::Operator)),
                (&Method::GET, "/public", None),
            ]
        );
    }
}
