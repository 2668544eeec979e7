//! The `OpenAPI` document: complete, checked in, and true.

use std::process::Stdio;

use muster::config::http::AccessRole;
use muster::http::api;
use muster_core::outcome::Code;
use serde_json::{Map, Value};

use super::api::worked_off;
use super::harness::{OPERATOR, Running, factory};
use crate::ledger::{record, row};
use crate::python::python_with;

fn document() -> Value {
    serde_json::to_value(api::routes().1).unwrap()
}

fn fields(value: &Value) -> &Map<String, Value> {
    value.as_object().unwrap_or_else(|| panic!("not an object: {value}"))
}

/// Returns all operations as (`get /path`, operation).
fn operations(document: &Value) -> Vec<(String, &Value)> {
    let paths = fields(&document["paths"]).iter();
    paths
        .flat_map(|(path, item)| fields(item).iter().map(move |(method, one)| (format!("{method} {path}"), one)))
        .collect()
}

fn is_described(value: &Value) -> bool {
    let parts = value["oneOf"].as_array().into_iter().flatten().chain([value]);
    parts.into_iter().any(|part| part["description"].as_str().is_some_and(|text| text.len() > 5))
}

/// `UPDATE=1 cargo test openapi` rewrites the file.
#[test]
fn the_openapi_document_matches_the_published_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");
    let text = serde_json::to_string_pretty(&document()).unwrap() + "\n";
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    let published = std::fs::read_to_string(path).unwrap_or_default();
    assert!(published == text, "docs/openapi.json is outdated: `UPDATE=1 cargo test openapi` rewrites it");
}

#[test]
fn every_operation_parameter_and_property_of_the_openapi_document_is_described() {
    let document = document();
    for (name, operation) in operations(&document) {
        let is_summary = operation["summary"].as_str().is_some_and(|text| text.len() > 5);
        assert!(is_summary || is_described(operation), "{name}");
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            assert!(is_described(parameter), "{name}: {parameter}");
        }
    }
    for (name, schema) in fields(&document["components"]["schemas"]) {
        assert!(is_described(schema), "{name}");
        for (property, its) in schema["properties"].as_object().into_iter().flatten() {
            assert!(is_described(its), "{name}.{property}: {its}");
        }
    }
}

#[test]
fn every_operation_of_the_openapi_document_declares_its_role_and_its_problems() {
    let document = document();
    let schemes = fields(&document["components"]["securitySchemes"]);
    for (name, operation) in operations(&document) {
        let security = operation["security"].as_array().unwrap_or_else(|| panic!("{name}"));
        let roles: Vec<_> = security.iter().flat_map(|one| fields(one).keys()).collect();
        assert!(roles.len() == 1 && schemes.contains_key(roles[0]), "{name}: {roles:?}");
        roles[0].parse::<AccessRole>().unwrap_or_else(|_| panic!("{name}: {roles:?}"));
        assert!(operation["operationId"].is_string() && operation["tags"].is_array(), "{name}");
        let problem = &operation["responses"]["default"]["$ref"];
        assert_eq!(problem, "#/components/responses/Problem", "{name}");
    }
    let problem = &document["components"]["responses"]["Problem"];
    let schema = &problem["content"]["application/problem+json"]["schema"]["$ref"];
    assert!(schema == "#/components/schemas/Problem" && is_described(problem), "{problem}");
    let ids: std::collections::BTreeSet<_> =
        operations(&document).iter().map(|(_, one)| one["operationId"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), operations(&document).len(), "operation ids are unique");
}

#[test]
fn every_reference_of_the_openapi_document_leads_somewhere() {
    fn check(value: &Value, document: &Value) {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(to)) = fields.get("$ref") {
                    let found = to.strip_prefix('#').and_then(|path| document.pointer(path));
                    assert!(found.is_some(), "{to} leads nowhere");
                }
                fields.values().for_each(|value| check(value, document));
            }
            Value::Array(values) => values.iter().for_each(|value| check(value, document)),
            _ => {}
        }
    }
    let document = document();
    check(&document, &document);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_openapi_document_is_served() {
    let factory = factory().await;
    let site = Running::start(&factory.config).await;
    assert_eq!(site.get("/openapi.json").await, document());
}

/// Random requests from the document: no answer is a fault of the server, and each is as the document says.
#[tokio::test(flavor = "multi_thread")]
async fn the_openapi_document_is_true() {
    let Some(mut schemathesis) = python_with("schemathesis", "schemathesis>=4.1,<5") else { return };
    let (factory, _) = worked_off().await;
    record(&factory.ledger, (100..120).map(|n| row(n, Code::Timeout)).collect()).await;
    let site = Running::start(&factory.config).await;
    let url = format!("http://{}", site.address);
    let checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";
    schemathesis.args(["-m", "schemathesis.cli", "run"]).arg(format!("{url}/api/v1/openapi.json"));
    schemathesis.args(["--url", &url, "--checks", checks, "--phases", "examples,coverage,fuzzing"]);
    schemathesis.args(["--max-examples", "15", "--generation-deterministic", "--no-color"]);
    schemathesis.args(["--header", &format!("Authorization: Bearer {OPERATOR}")]);
    let folder = tempfile::tempdir().unwrap();
    schemathesis.current_dir(folder.path()).stdin(Stdio::null());
    let output = tokio::process::Command::from(schemathesis).output().await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    let all = format!("{} passed", operations(&document()).len());
    assert!(text.matches(&all).count() >= 2, "not every operation was tested: {text}");
    assert!(!text.contains("unresolvable reference"), "{text}");
    // Whatever was changed, the ledger still adds up.
    crate::ledger::assert_counters_equal_the_rows(&factory.database).await;
}
