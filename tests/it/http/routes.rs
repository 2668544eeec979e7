//! Every route of the site, with values for the parameters of its path.

use muster::config::http::AccessRole;
use muster::http::api;
use muster::http::site::Site;
use serde_json::json;

use super::harness::Ask;
use crate::factory::BATCH;

/// A route with values for the parameters of its path.
#[derive(Clone, Debug)]
pub(super) struct Route {
    pub(super) method: String,
    pub(super) path: String,
    /// `None`: everybody may use it.
    pub(super) role: Option<AccessRole>,
}

/// Returns every route of the site, except those to log in and out.
pub(super) fn routes() -> Vec<Route> {
    let routes = Site::routes();
    let filled = routes.list().iter().map(|route| Route {
        method: route.method.to_string(),
        path: with_values(&route.path),
        role: route.needs,
    });
    filled.collect()
}

/// Replaces the parameters of a path. A list of failures also needs a code.
fn with_values(path: &str) -> String {
    let values = [
        ("{batch}", BATCH),
        ("{certificate}", "SN-1"),
        ("{number}", "1"),
        ("{change}", "00112233445566778899aabbccddeeff"),
        ("{plan}", "00112233445566778899aabbccddeeff"),
    ];
    let path = values.into_iter().fold(path.to_owned(), |path, (name, value)| path.replace(name, value));
    assert!(!path.contains('{'), "no value is known for a parameter of {path}");
    if path.ends_with(&format!("{BATCH}/failures")) { path + "?code=expired" } else { path }
}

impl Route {
    pub(super) fn ask(&self) -> Ask {
        let ask = Ask::new(&self.method, &self.path);
        match self.method.as_str() {
            "GET" => ask,
            _ if self.is_api() => ask.json(&json!({})),
            _ => ask.form(&[]),
        }
    }

    fn is_api(&self) -> bool {
        self.path.starts_with(api::PREFIX)
    }
}
