//! Checks whether a worker could listen on the address of metrics and health.

use std::io::ErrorKind;

use tokio::net::TcpListener;

use super::{Check, Finding};
use crate::config::Config;

pub(super) async fn check(config: &Config) -> Vec<Finding> {
    let check = Check::Admin;
    let Some(address) = config.admin.listen else {
        return vec![Finding::skipped(check, "", "`admin.listen` is off")];
    };
    let found = match TcpListener::bind(address).await {
        Ok(_) => Finding::ok(check, "", format!("{address} is free")),
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            let fix = "nothing, if a worker runs on this machine; otherwise set `admin.listen` to another address";
            Finding::warning(check, "", format!("{address} is in use"), fix)
        }
        Err(error) => {
            let fix = "set `admin.listen` to an address of this machine or to `off`";
            Finding::problem(check, "", format!("cannot listen on {address}: {error}"), fix)
        }
    };
    vec![found]
}
