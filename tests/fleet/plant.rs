//! Everything a run needs besides the workers: accounts, ledger, queue, settings.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use muster::aws::queue::{CALL_MAX, OutgoingMessage, Queue};
use muster::ledger::Ledger;
use muster_sandbox::specimen::Ca;

use crate::arguments::Arguments;
use crate::server::Server;
use crate::site::{Plan, Site};

/// Maximum number of messages that one worker holds.
pub(crate) const SLOTS: usize = 1024;

/// The visibility timeout of received messages: what a killed worker held becomes visible again within the run.
pub(crate) const VISIBILITY: Duration = Duration::from_secs(30);

/// The name of the queue, which belongs to the first account.
pub(crate) const QUEUE: &str = "jobs";

/// Connections of all workers together; the server has a hundred, some of them reserved for superusers.
const CONNECTIONS: u16 = 90;

pub(crate) struct Plant {
    pub(crate) sites: Vec<Site>,
    pub(crate) ca: Arc<Ca>,
    folder: PathBuf,
    queue: Queue,
    /// Kept running until the end.
    _server: Server,
}

impl Plant {
    /// Builds everything; the queue is empty and belongs to the first account.
    pub(crate) async fn build(plans: Vec<Plan>, arguments: &Arguments) -> Self {
        let ca = Arc::new(Ca::new("Fleet CA"));
        let mut sites = Vec::new();
        for plan in plans {
            let site = Site::start(plan).await;
            site.sandbox.plant_ca(&ca.pem()).unwrap();
            sites.push(site);
        }
        let server = Server::start().await;
        let url = server.url("fleet");
        let database = muster::config::DatabaseConfig { url: url.as_str().into(), ..Default::default() };
        let ledger = Ledger::connect(&database.settings()).await.unwrap();
        ledger.migrate().await.unwrap();
        ledger.close().await;
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("fleet");
        write_settings(&folder, &settings(&folder, &sites, &url, arguments), &ca);
        let queue = crate::queue::create(&sites[0].sandbox, QUEUE, VISIBILITY).await;
        Self { sites, ca, folder, queue, _server: server }
    }

    /// Sends messages, in this order.
    pub(crate) async fn send(&self, messages: &[OutgoingMessage]) {
        for ten in messages.chunks(CALL_MAX) {
            let results = self.queue.send(ten).await.unwrap();
            assert!(results.iter().all(Result::is_ok), "{results:?}");
        }
    }

    /// Returns the folder with the settings and the logs of the workers.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
}

fn write_settings(folder: &Path, settings: &str, ca: &Ca) {
    let _ = std::fs::remove_dir_all(folder);
    std::fs::create_dir_all(folder.join("cas")).unwrap();
    std::fs::write(folder.join("cas/fleet.pem"), ca.pem()).unwrap();
    std::fs::write(folder.join("muster.toml"), settings).unwrap();
}

fn settings(folder: &Path, sites: &[Site], database: &str, arguments: &Arguments) -> String {
    let connections = (CONNECTIONS / arguments.workers).min(8);
    let mut settings = format!(
        "aws = {{ endpoint_url = '{}', region = 'us-east-1' }}\n\
         queue = {{ name = '{QUEUE}', wait = '1s' }}\n\
         database = {{ url = '{database}', max_connections = {connections} }}\n\
         admin = {{ listen = '127.0.0.1:0' }}\n\
         http = {{ listen = 'off' }}\n\
         worker = {{ slots = {SLOTS} }}\n\
         precheck = {{ ca_folder = '{}' }}\n",
        sites[0].sandbox.url(),
        folder.join("cas").display(),
    );
    for site in sites {
        write!(
            settings,
            "\n[targets.{}]\nendpoint_url = '{}'\nrates.register_certificate = {:?}\n",
            site.plan.target,
            site.sandbox.url(),
            arguments.rate.per_second(),
        )
        .unwrap();
    }
    settings
}
