//! The integration tests: one binary, so that one Postgres serves them all.

mod precheck;
