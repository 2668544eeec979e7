//! Checks Postgres: reachability, version, TLS, schema, write access, free connections and clock.

use super::{Check, Finding, PATIENCE};
use crate::config::Config;
use crate::config::database_settings::DatabaseSettings;
use crate::health::clock::describe_skew;
use crate::ledger::server::{Server, ServerClock, ServerRoute};
use crate::ledger::{Ledger, LedgerError};
use muster_core::format::span;

/// The oldest major version of Postgres that still gets fixes from its developers.
const MAJOR_MIN: i32 = 14;

/// Largest accepted clock difference, in seconds.
const SKEW_MAX: f64 = 2.0;

/// Connections that the doctor itself opens.
const CONNECTIONS: u32 = 2;

/// The findings, and the connection to the ledger.
pub(super) struct ExaminedLedger {
    pub(super) findings: Vec<Finding>,
    /// The ledger, if its schema is that of this version.
    pub(super) ledger: Option<Ledger>,
}

impl ExaminedLedger {
    /// Connects and runs every check.
    pub(super) async fn reach(config: &Config) -> Self {
        let timeout = PATIENCE.min(config.database.timeout.into());
        let settings = DatabaseSettings { max_connections: CONNECTIONS, timeout, ..config.database.settings() };
        let reached = async { Ok::<_, LedgerError>((settings.route().await?, Ledger::connect(&settings).await?)) };
        match reached.await {
            Ok((route, ledger)) => Self::examine(config, route, ledger).await,
            Err(error) => Self { findings: unreachable(&error), ledger: None },
        }
    }

    async fn examine(config: &Config, route: ServerRoute, ledger: Ledger) -> Self {
        let mut findings = vec![];
        let (server, clock, schema) = (ledger.server().await, ledger.clock().await, ledger.check_schema().await);
        match &clock {
            Ok(clock) => {
                let found = format!("reachable, a round trip takes {}", span(clock.round_trip));
                findings.push(Finding::ok(Check::Postgres, "", found));
            }
            Err(error) => findings.push(problem(Check::Postgres, error)),
        }
        match &server {
            Ok(server) => {
                findings.extend([version(server), tls(server, route)]);
                findings.push(of_schema(&schema, &server.broken_indexes));
                findings.extend([rights(server), connections(server, config.database.max_connections)]);
            }
            Err(error) => findings.extend([problem(Check::PostgresVersion, error), of_schema(&schema, &[])]),
        }
        findings.extend(clock.ok().map(of_clock));
        Self { findings, ledger: schema.is_ok().then_some(ledger) }
    }
}

/// Returns the findings for an unreachable server.
fn unreachable(error: &LedgerError) -> Vec<Finding> {
    let skipped = [
        Check::PostgresVersion,
        Check::PostgresTls,
        Check::PostgresSchema,
        Check::PostgresRights,
        Check::PostgresConnections,
        Check::PostgresClock,
    ];
    let skipped = skipped.map(|check| Finding::skipped(check, "", "Postgres cannot be reached"));
    [problem(Check::Postgres, error)].into_iter().chain(skipped).collect()
}

fn problem(check: Check, error: &LedgerError) -> Finding {
    Finding::problem(check, "", error.to_string(), error.hint().unwrap_or("run `muster migrate`"))
}

fn version(server: &Server) -> Finding {
    let found = format!("Postgres {}", server.version);
    if server.version_number / 10_000 < MAJOR_MIN {
        let fix = format!("update the server: versions before {MAJOR_MIN} no longer get fixes");
        return Finding::warning(Check::PostgresVersion, "", found, fix);
    }
    Finding::ok(Check::PostgresVersion, "", found)
}

fn tls(server: &Server, route: ServerRoute) -> Finding {
    let check = Check::PostgresTls;
    match &server.tls {
        None if route.is_local => Finding::ok(check, "", "none; the server is on this machine"),
        None => {
            let fix =
                "turn TLS on at the server and leave `sslmode` out of `database.url`; its certificate is then verified";
            Finding::problem(check, "", "the server is remote and the connection is not encrypted", fix)
        }
        Some((protocol, cipher)) if route.is_verified || route.is_local => {
            Finding::ok(check, "", format!("{protocol}, {cipher}"))
        }
        Some((protocol, cipher)) => {
            let found = format!("{protocol}, {cipher}, but the server's certificate is not verified");
            let fix = "leave `sslmode` out of `database.url` and set `database.root_certificate` to the CA's file";
            Finding::warning(check, "", found, fix)
        }
    }
}

fn of_schema(checked: &Result<(), LedgerError>, broken_indexes: &[String]) -> Finding {
    match checked {
        Ok(()) if !broken_indexes.is_empty() => {
            let found = format!("unusable or missing indexes: {}", broken_indexes.join(", "));
            let fix =
                "run `muster migrate`, which rebuilds its own indexes; drop any that `reindex` left behind (`_ccnew`)";
            Finding::problem(Check::PostgresSchema, "", found, fix)
        }
        Ok(()) => Finding::ok(Check::PostgresSchema, "", "up to date with this version"),
        Err(error) => problem(Check::PostgresSchema, error),
    }
}

fn rights(server: &Server) -> Finding {
    let check = Check::PostgresRights;
    if server.is_read_only {
        let fix = "set `database.url` to the primary";
        return Finding::problem(check, "", "the server does not accept writes: it is a standby or read-only", fix);
    }
    if !server.forbidden.is_empty() {
        let tables = server.forbidden.join(", ");
        let fix = format!("grant select, insert, update, delete on {tables} to the user of `database.url`");
        return Finding::problem(check, "", format!("no permission to write {tables}"), fix);
    }
    Finding::ok(check, "", "the ledger's tables are writable")
}

fn connections(server: &Server, wanted: u32) -> Finding {
    let usable = server.max_connections.saturating_sub(server.reserved_connections);
    let left = usable.saturating_sub(server.used_connections);
    let found = format!("{left} of {usable} are free; one worker uses up to {wanted}");
    if left < wanted {
        let fix = "raise max_connections at the server, or lower `database.max_connections`";
        return Finding::warning(Check::PostgresConnections, "", found, fix);
    }
    Finding::ok(Check::PostgresConnections, "", found)
}

fn of_clock(clock: ServerClock) -> Finding {
    let (off, behind_or_ahead) = describe_skew(clock.ahead);
    let found = format!("the server is {off} {behind_or_ahead} this machine");
    // The server read its clock at an unknown instant of the round trip.
    if clock.ahead.abs() - clock.round_trip.as_secs_f64() / 2.0 > SKEW_MAX {
        let fix = "synchronize both clocks with NTP: times in the ledger are shifted; the call rate is not affected";
        return Finding::warning(Check::PostgresClock, "", found, fix);
    }
    Finding::ok(Check::PostgresClock, "", found)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::CheckResult;
    use super::*;

    fn server() -> Server {
        Server {
            version_number: 150_004,
            version: "15.4".into(),
            tls: Some(("TLSv1.3".into(), "TLS_AES_256_GCM_SHA384".into())),
            is_read_only: false,
            max_connections: 100,
            reserved_connections: 3,
            used_connections: 10,
            forbidden: vec![],
            broken_indexes: vec![],
        }
    }

    #[test]
    fn a_remote_server_must_be_encrypted_and_should_be_verified() {
        let route = |is_local, is_verified| ServerRoute { is_local, is_verified };
        let plain = Server { tls: None, ..server() };
        for (server, route, verdict) in [
            (&server(), route(false, true), CheckResult::Ok),
            (&server(), route(false, false), CheckResult::Warning),
            (&plain, route(false, false), CheckResult::Problem),
            (&plain, route(true, false), CheckResult::Ok),
        ] {
            assert_eq!(tls(server, route).verdict, verdict, "{route:?}");
        }
    }

    #[test]
    fn an_old_version_is_a_warning() {
        assert_eq!(version(&server()).verdict, CheckResult::Ok);
        assert_eq!(version(&Server { version_number: 130_012, ..server() }).verdict, CheckResult::Warning);
    }

    #[test]
    fn a_server_without_write_access_is_a_problem() {
        assert_eq!(rights(&server()).verdict, CheckResult::Ok);
        assert_eq!(rights(&Server { is_read_only: true, ..server() }).verdict, CheckResult::Problem);
        let forbidden = rights(&Server { forbidden: vec!["registrations".into()], ..server() });
        assert_eq!(
            (forbidden.verdict, forbidden.found.as_str()),
            (CheckResult::Problem, "no permission to write registrations")
        );
    }

    #[test]
    fn an_unusable_index_is_a_problem() {
        assert_eq!(of_schema(&Ok(()), &[]).verdict, CheckResult::Ok);
        let broken = of_schema(&Ok(()), &["certificates_by_serial".into()]);
        let found = "unusable or missing indexes: certificates_by_serial";
        assert_eq!((broken.verdict, broken.found.as_str()), (CheckResult::Problem, found));
    }

    #[test]
    fn too_few_free_connections_are_a_warning() {
        assert_eq!(connections(&server(), 87).verdict, CheckResult::Ok);
        assert_eq!(connections(&server(), 88).verdict, CheckResult::Warning);
    }

    #[test]
    fn a_slow_answer_widens_the_clock_tolerance() {
        let clock = |ahead, ms| of_clock(ServerClock { ahead, round_trip: Duration::from_millis(ms) }).verdict;
        assert_eq!(clock(1.9, 1), CheckResult::Ok);
        assert_eq!(clock(-2.1, 1), CheckResult::Warning);
        assert_eq!(clock(-2.1, 1000), CheckResult::Ok);
    }
}
