//! docker-compose.yml, checked against the Dockerfile and the program. No container is started.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;
use std::time::Duration;

use muster::config::{Config, Sources};
use serde::Deserialize;
use sqlx::postgres::PgConnectOptions;

#[derive(Deserialize)]
struct Compose {
    services: BTreeMap<String, Service>,
    volumes: BTreeMap<String, Option<()>>,
}

/// A service; an unknown key is treated as a typo.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Service {
    image: String,
    build: Option<String>,
    #[serde(default)]
    entrypoint: Vec<String>,
    #[serde(default)]
    command: Vec<String>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    #[serde(default)]
    ports: Vec<String>,
    #[serde(default)]
    volumes: Vec<String>,
    healthcheck: Option<Healthcheck>,
    #[serde(default)]
    depends_on: BTreeMap<String, Dependency>,
    restart: Option<String>,
    stop_grace_period: Option<String>,
    #[serde(default)]
    read_only: bool,
    #[serde(default)]
    cap_drop: Vec<String>,
    #[serde(default)]
    security_opt: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Healthcheck {
    test: Vec<String>,
    interval: String,
    timeout: String,
    retries: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Dependency {
    condition: Condition,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Condition {
    ServiceHealthy,
    ServiceCompletedSuccessfully,
}

impl Compose {
    fn read() -> Self {
        serde_saphyr::from_str(&read("docker-compose.yml")).unwrap()
    }

    /// Returns the services that run our own image.
    fn ours(&self) -> impl Iterator<Item = (&str, &Service)> {
        self.services.iter().filter(|(_, service)| service.build.is_some()).map(|(name, service)| (&**name, service))
    }
}

impl Service {
    fn check(&self) -> String {
        self.healthcheck.as_ref().unwrap().test.join(" ")
    }
}

/// Returns the instructions of the Dockerfile's last stage, with their arguments.
fn last_stage() -> Vec<(String, String)> {
    let text = read("Dockerfile").replace("\\\n", "");
    let instructions: Vec<(String, String)> = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split_once(' ').map(|(name, rest)| (name.to_owned(), rest.trim().to_owned())).unwrap())
        .collect();
    let from = instructions.iter().rposition(|(name, _)| name == "FROM").unwrap();
    instructions[from..].to_vec()
}

fn instruction(name: &str) -> String {
    last_stage().into_iter().find(|(found, _)| found == name).unwrap_or_else(|| panic!("no {name}")).1
}

fn read(file: &str) -> String {
    fs::read_to_string(format!("{}/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn seconds(text: &str) -> Duration {
    Duration::from_secs(text.strip_suffix('s').unwrap().parse().unwrap())
}

#[test]
fn every_image_is_ours_or_pins_its_version() {
    let compose = Compose::read();
    let ours: BTreeSet<&str> = compose.ours().map(|(_, service)| &*service.image).collect();
    assert_eq!(ours.len(), 1, "one build, one image: {ours:?}");
    for (name, service) in &compose.services {
        assert!(service.build.as_ref().is_none_or(|folder| folder == "."), "{name}");
        let (_, tag) = service.image.split_once(':').unwrap_or_else(|| panic!("{name}: no version"));
        assert_ne!(tag, "latest", "{name}");
    }
}

#[test]
fn our_services_run_unprivileged() {
    for (name, service) in Compose::read().ours() {
        assert!(service.read_only, "{name}");
        assert_eq!(service.cap_drop, ["ALL"], "{name}");
        assert_eq!(service.security_opt, ["no-new-privileges:true"], "{name}");
    }
    let user = instruction("USER");
    let uid =
        user.split(':').next().unwrap().parse::<u32>().expect("a numeric user id: Kubernetes cannot check a name");
    assert_ne!(uid, 0);
}

#[test]
fn the_image_runs_the_binary_copied_into_it() {
    let entrypoint: Vec<String> = serde_json::from_str(&instruction("ENTRYPOINT")).unwrap();
    assert!(instruction("COPY").ends_with(&format!(" {}", entrypoint[0])));
    // A binary linked against a newer glibc would not start.
    let dockerfile = read("Dockerfile");
    for from in dockerfile.lines().filter(|line| line.starts_with("FROM ")) {
        assert!(from.contains("bookworm"), "{from}");
    }
}

#[test]
fn every_command_exists_in_the_program() {
    let default: Vec<String> = serde_json::from_str(&instruction("CMD")).unwrap();
    let compose = Compose::read();
    for command in compose.ours().map(|(_, service)| &service.command).chain([&default]) {
        assert!(!command.is_empty());
        let output = Command::new(env!("CARGO_BIN_EXE_muster")).args(command).arg("--help").output().unwrap();
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    for (_, service) in compose.ours() {
        assert!(service.entrypoint.is_empty(), "the image's entrypoint is the program");
    }
}

#[test]
fn every_variable_is_a_setting_with_a_valid_value() {
    for (name, service) in Compose::read().ours() {
        let sources = Sources { environment: service.environment.clone(), file: None, flags: vec![] };
        // An unknown MUSTER variable is an error.
        if let Err(error) = sources.merge() {
            panic!("{name}: {error}");
        }
    }
}

#[test]
fn ports_are_published_on_loopback_and_exposed_by_the_image() {
    let exposed = instruction("EXPOSE");
    let exposed: BTreeSet<&str> = exposed.split(' ').collect();
    let compose = Compose::read();
    let mut published = BTreeSet::new();
    for port in compose.services.values().flat_map(|service| &service.ports) {
        let [address, outside, inside] = port.split(':').collect::<Vec<_>>().try_into().expect(port);
        assert_eq!((address, outside), ("127.0.0.1", inside));
        published.insert(inside);
    }
    assert_eq!(published, exposed);
}

#[test]
fn dependencies_can_reach_the_awaited_state() {
    let compose = Compose::read();
    for (name, service) in &compose.services {
        for (other, dependency) in &service.depends_on {
            let other = compose.services.get(other).unwrap_or_else(|| panic!("{name} waits for {other}"));
            match dependency.condition {
                Condition::ServiceHealthy => assert!(other.healthcheck.is_some(), "{name}"),
                Condition::ServiceCompletedSuccessfully => {
                    assert_eq!(other.restart, None, "{name} would wait forever");
                }
            }
        }
        for volume in &service.volumes {
            assert!(compose.volumes.contains_key(volume.split(':').next().unwrap()), "{name}: {volume}");
        }
        if let Some(check) = &service.healthcheck {
            assert!(seconds(&check.timeout) < seconds(&check.interval) * check.retries, "{name}");
        }
    }
}

#[test]
fn the_ledger_is_the_postgres_service() {
    let compose = Compose::read();
    let postgres = &compose.services["postgres"];
    let (user, database) = (&postgres.environment["POSTGRES_USER"], &postgres.environment["POSTGRES_DB"]);
    let url = format!("postgres://{user}:{}@postgres:5432/{database}", postgres.environment["POSTGRES_PASSWORD"]);
    for name in ["migrate", "worker"] {
        let found = &compose.services[name].environment["MUSTER__DATABASE__URL"];
        // Without an sslmode the worker would require a certificate, and this server has none.
        assert_eq!(*found, format!("{url}?sslmode=disable"), "{name}");
        found.parse::<PgConnectOptions>().unwrap();
    }
    let check = postgres.check();
    assert!(check.contains("pg_isready") && check.contains(&format!("--username={user} --dbname={database} ")));
}

#[test]
fn the_account_is_the_sandbox_service() {
    let compose = Compose::read();
    let service = &compose.services["sandbox"];
    let listen = service.command.iter().skip_while(|argument| *argument != "--listen").nth(1).unwrap();
    let port = listen.strip_prefix("0.0.0.0:").expect("listens for other containers");
    assert_eq!(service.ports, [format!("127.0.0.1:{port}:{port}")]);
    assert!(service.check().contains(&format!("/dev/tcp/127.0.0.1/{port}")));
    let aws = muster_sandbox::SandboxSettings::default();
    for name in ["queues", "worker"] {
        let environment = &compose.services[name].environment;
        assert_eq!(environment["AWS_ENDPOINT_URL"], format!("http://sandbox:{port}"), "{name}");
        assert_eq!(environment["AWS_REGION"], aws.region, "{name}");
    }
    let queues = &compose.services["queues"].command[0];
    assert!(queues.contains(&format!("arn:aws:sqs:{}:{}:muster-jobs-dead", aws.region, aws.account)), "{queues}");
    let queue = &compose.services["worker"].environment["MUSTER__QUEUE__NAME"];
    assert!(queues.contains(&format!("--queue-name {queue} ")), "{queues}");
}

#[test]
fn the_worker_shows_its_health_and_has_time_to_stop() {
    let compose = Compose::read();
    let worker = &compose.services["worker"];
    let listen = &worker.environment["MUSTER__ADMIN__LISTEN"];
    let port = listen.strip_prefix("0.0.0.0:").expect("the port is published, so it must listen on all addresses");
    assert_eq!(worker.ports, [format!("127.0.0.1:{port}:{port}")]);
    assert!(worker.check().contains(&format!("/dev/tcp/127.0.0.1/{port}; printf 'GET /livez ")), "{}", worker.check());
    let grace = seconds(worker.stop_grace_period.as_ref().unwrap());
    let drain: Duration = Config::default().worker.drain_deadline.into();
    assert!(grace > drain, "{grace:?} for a drain of {drain:?}");
    assert_eq!(worker.restart.as_deref(), Some("on-failure"));
}
