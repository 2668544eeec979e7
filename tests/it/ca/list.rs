//! `muster ca list` and `muster ca code`.

use std::collections::BTreeMap;

use muster_core::job::RegisterCaCertificate;
use muster_core::outcome::Code;
use muster_sandbox::specimen::Ca;
use muster_sandbox::{ApiOperation, Effect, Fault};
use serde_json::json;

use super::Setup;
use crate::factory::{Factory, Program};

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_ledger_lists_no_cas() {
    let setup = Setup::new().await;
    let (code, stdout, _) = setup.ca("list").await;
    assert_eq!((code, stdout.as_str()), (Some(0), "The ledger has no registered CA.\n"));
    let nothing = json!({ "registered": [], "waited_for": [], "failed_cas": [], "not_in": [] });
    assert_eq!(setup.listed("list --json").await, nothing);
}

/// Premise: CAs registered from the queue and by hand are listed alike.
#[tokio::test(flavor = "multi_thread")]
async fn the_list_shows_registered_awaited_and_failed_cas() {
    let mut setup = Setup::new().await;
    // A probe would remove a job from the count.
    setup.factory.config.breakers.issuer_probe = std::time::Duration::from_hours(1).into();
    let factory = &setup.factory;
    factory.enqueue(&[setup.ca.leaf("1"), setup.ca.leaf("2")]).await;
    let request = RegisterCaCertificate { ca_certificate: factory.ca.pem(), ..RegisterCaCertificate::default() };
    factory.send(&[Factory::job_of(request).to_body()]).await;
    let serving = factory.serve().await;
    let outcomes = BTreeMap::from([(Code::VerificationMissing, 1), (Code::IssuerInactive, 2)]);
    factory.until("all are recorded", async |factory| factory.outcomes().await == outcomes).await;
    serving.stop().await;
    let (code, report) = setup.register("ca.pem --mode sni-only").await;
    assert_eq!(code, Some(0), "{report}");

    let (code, stdout, stderr) = setup.ca("list").await;
    assert_eq!(code, Some(0), "{stderr}");
    let (id, other) = (setup.ca.certificate().id(), factory.ca.certificate().id());
    let listed = setup.listed("list --json").await;
    let since = listed["registered"][0]["since"].as_str().unwrap();
    let known = format!(
        "Registered CAs:
CN=Line CA
    {id}
    default (000000000000 in us-east-1)
    status INACTIVE
    mode SNI_ONLY, valid until 9999-12-31T23:59:59Z, in the ledger since {since}
    2 jobs wait for it

CAs that jobs wait for, not registered or not active:
CN=Line CA
    CA \"CN=Line CA\" is not registered or not active (target default)
    2 jobs wait for it
    fix: muster ca register CA.pem --key CA.key --activate

CAs that could not be registered:
CN=Plant CA
    {other}
    target default, batch batch, "
    );
    assert!(stdout.starts_with(&known), "{stdout}");
    assert!(stdout.contains("\n    rejected verification_missing: "), "{stdout}");
    let (registered, not_in) = (&listed["registered"][0], &listed["not_in"][0]);
    assert_eq!((&registered["certificate_id"], &registered["n_waiting"]), (&json!(id.to_string()), &json!(2)));
    assert_eq!((&registered["certificate_status"], &registered["targets"]), (&json!("INACTIVE"), &json!(["default"])));
    assert_eq!((&not_in["subject"], &not_in["code"]), (&json!("CN=Plant CA"), &json!("verification_missing")));
    assert_eq!((listed["registered"].as_array().unwrap().len(), listed["not_in"].as_array().unwrap().len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_shows_the_current_status_at_aws() {
    let setup = Setup::new().await;
    let (code, report) = setup.register("ca.pem --key ca.key --activate").await;
    assert_eq!(code, Some(0), "{report}");
    setup.set_active(false);
    let offline = setup.listed("list --json --offline").await["registered"][0].clone();
    assert_eq!((&offline["certificate_status"], &offline["status_source"]), (&json!("ACTIVE"), &json!("ledger")));
    assert_eq!((&offline["is_at_aws"], setup.n_calls(ApiOperation::DescribeCACertificate)), (&json!(null), 0));

    let asked = setup.listed("list --json").await["registered"][0].clone();
    assert_eq!((&asked["certificate_status"], &asked["status_source"]), (&json!("INACTIVE"), &json!("aws")));
    let (_, stdout, _) = setup.ca("list --offline").await;
    let expected = "status unknown: AWS was not asked (--offline); it was INACTIVE when Muster last set or read it\n";
    assert!(stdout.contains(expected), "{stdout}");
}

#[tokio::test(flavor = "multi_thread")]
async fn listing_a_ca_activated_elsewhere_releases_its_devices() {
    let mut setup = Setup::new().await;
    setup.factory.config.breakers.issuer_probe = std::time::Duration::from_hours(1).into();
    let (code, report) = setup.register("ca.pem --key ca.key").await;
    assert_eq!(code, Some(0), "{report}");
    setup.factory.enqueue(&[setup.ca.leaf("1"), setup.ca.leaf("2")]).await;
    let serving = setup.factory.serve().await;
    let parked = [(Code::IssuerInactive, 2)];
    setup.factory.until("both are parked", async |f| f.outcomes().await.into_iter().eq(parked)).await;
    setup.set_active(true);
    let listed = setup.listed("list --json").await;
    assert_eq!((&listed["registered"][0]["certificate_status"], &listed["waited_for"]), (&json!("ACTIVE"), &json!([])));
    setup.factory.until("both are registered", async |f| f.outcomes().await.into_iter().eq([(Code::Ok, 2)])).await;
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ca_deleted_elsewhere_is_listed_as_not_registered() {
    let setup = Setup::new().await;
    setup.register("ca.pem --key ca.key --activate").await;
    setup.factory.sandbox.faults().set(error("ResourceNotFoundException", 404)).unwrap();
    let (code, stdout, stderr) = setup.ca("list").await;
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("    status not registered: AWS no longer has it\n"), "{stdout}");
    let ca = setup.listed("list --json").await["registered"][0].clone();
    assert_eq!((&ca["is_at_aws"], &ca["certificate_status"]), (&json!(false), &json!(null)));
}

/// Two CAs in one account: the second request would fail just like the first.
#[tokio::test(flavor = "multi_thread")]
async fn the_list_works_when_aws_does_not_return_the_status() {
    let mut setup = Setup::new().await;
    setup.register("ca.pem --key ca.key --activate").await;
    setup.write("other.pem", &Ca::new("Other CA").pem());
    setup.register("other.pem --mode sni-only").await;
    setup.factory.sandbox.faults().set(error("AccessDeniedException", 403)).unwrap();
    let (code, stdout, stderr) = setup.ca("list").await;
    assert_eq!((code, setup.n_calls(ApiOperation::DescribeCACertificate)), (Some(0), 1), "{stderr}");
    let unknown =
        "    status unknown: DescribeCACertificate: AccessDeniedException: as ordered; it was ACTIVE when Muster";
    assert!(stdout.contains(unknown) && stdout.matches("status unknown: ").count() == 2, "{stdout}");

    setup.factory.config.targets.get_mut("default").unwrap().endpoint_url = Some("http://127.0.0.1:1".to_owned());
    let (code, stdout, stderr) = setup.ca("list").await;
    assert!(code == Some(0) && stdout.contains("status unknown: cannot ask AWS who we are"), "{stdout}{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_credentials_the_list_shows_what_the_ledger_knows() {
    let setup = Setup::new().await;
    setup.register("ca.pem --key ca.key --activate").await;
    let mut command = setup.factory.command(&["ca", "list"]);
    command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    command.env("AWS_EC2_METADATA_DISABLED", "true").env("HOME", setup.factory.folder());
    let (code, stdout, stderr) = Program(command.spawn().unwrap()).wait().await;
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("    status unknown: ") && stdout.contains("; it was ACTIVE when Muster"), "{stdout}");
    assert_eq!(setup.n_calls(ApiOperation::DescribeCACertificate), 0);
}

fn error(code: &str, status: u16) -> Fault {
    let effect = Effect::Error { status, code: code.to_owned(), message: "as ordered".to_owned(), executed: false };
    Fault::new(ApiOperation::DescribeCACertificate, effect)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_registration_code_is_one_line_for_scripts() {
    let setup = Setup::new().await;
    let (code, stdout, stderr) = setup.ca("code").await;
    assert_eq!((code, stdout), (Some(0), format!("{}\n", setup.factory.sandbox.registration_code())), "{stderr}");
    assert_eq!(stderr.matches("\n  openssl ").count(), 3, "{stderr}");
    assert_eq!(setup.n_rows("targets").await, 0, "the command needs no ledger");
}
