//! `muster ca` as its users see it, against the sandbox.

mod activate;
mod list;
mod openssl;
mod refused;
mod register;
mod waiting;

use muster_sandbox::specimen::Ca;
use muster_sandbox::{self, ApiOperation};
use serde_json::Value;

use crate::factory::{Factory, Program, count_only};

/// A factory, and a folder with the files of a CA that is not registered.
struct Setup {
    factory: Factory,
    ca: Ca,
}

impl Setup {
    async fn new() -> Self {
        Self::with(count_only()).await
    }

    async fn with(settings: muster_sandbox::SandboxSettings) -> Self {
        let setup = Self { factory: Factory::with(settings, 100.0).await, ca: Ca::new("Line CA") };
        setup.write("ca.pem", &setup.ca.pem());
        setup.write("ca.key", &setup.ca.key_pem());
        setup
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.factory.folder().join(name), text).unwrap();
    }

    /// Runs `muster ca`; returns exit code, standard output and standard error.
    async fn ca(&self, words: &str) -> (Option<i32>, String, String) {
        let mut arguments = vec!["ca"];
        arguments.extend(words.split(' '));
        let mut command = self.factory.command(&arguments);
        for wait in ["FIRST_WAIT", "MAX_WAIT", "LIMITED_FIRST_WAIT"] {
            command.env(format!("MUSTER__RETRY__{wait}"), "1ms");
        }
        Program(command.spawn().unwrap()).wait().await
    }

    /// Returns the JSON printed by a command.
    async fn listed(&self, words: &str) -> Value {
        let (code, stdout, stderr) = self.ca(words).await;
        assert_eq!(code, Some(0), "{stderr}");
        serde_json::from_str(&stdout).unwrap()
    }

    /// Runs `register` with JSON output.
    async fn register(&self, words: &str) -> (Option<i32>, Value) {
        let (code, stdout, stderr) = self.ca(&format!("register --json {words}")).await;
        (code, serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("no JSON: {stdout}\n{stderr}")))
    }

    /// Registers the CA in AWS without Muster.
    fn plant(&self, is_active: bool) {
        self.factory.sandbox.plant_ca(&self.ca.pem()).unwrap();
        self.set_active(is_active);
    }

    /// Activates or deactivates the CA in AWS without Muster.
    fn set_active(&self, is_active: bool) {
        assert!(self.factory.sandbox.set_ca_active(self.ca.certificate().id(), is_active));
    }

    /// Returns the CA as registered in the sandbox.
    fn registered(&self) -> Option<muster_sandbox::RegisteredAuthority> {
        self.factory.sandbox.ledger().authority(self.ca.certificate().id())
    }

    fn n_calls(&self, operation: ApiOperation) -> usize {
        self.factory.sandbox.ledger().summary(operation).calls
    }

    async fn n_rows(&self, table: &str) -> i64 {
        let count = sqlx::AssertSqlSafe(format!("select count(*) from {table}"));
        sqlx::query_scalar(count).fetch_one(&self.factory.database.pool).await.unwrap()
    }
}
