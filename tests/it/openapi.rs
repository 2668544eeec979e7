//! docs/openapi.json is the API's own description, and describes everything.

use std::path::Path;

use muster::http::api;
use serde_json::Value;

const FILE: &str = "docs/openapi.json";

fn document() -> Value {
    serde_json::to_value(api::routes().1).unwrap()
}

fn operations(document: &Value) -> impl Iterator<Item = (String, &Value)> {
    let paths = document["paths"].as_object().unwrap().iter();
    paths.flat_map(|(path, methods)| {
        methods.as_object().unwrap().iter().map(move |(method, operation)| (format!("{method} {path}"), operation))
    })
}

/// An optional field of another schema has its description beside the reference.
fn is_described(value: &Value) -> bool {
    let has_text = |value: &Value| value["description"].as_str().is_some_and(|text| !text.trim().is_empty());
    has_text(value) || value["oneOf"].as_array().is_some_and(|kinds| kinds.iter().any(has_text))
}

/// `UPDATE=1 cargo test openapi` rewrites the file.
#[test]
fn the_openapi_document_is_checked_in() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    let text = serde_json::to_string_pretty(&document()).unwrap() + "\n";
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == text, "{FILE} differs from the API: run `UPDATE=1 cargo test openapi`");
}

#[test]
fn every_operation_parameter_and_field_of_the_api_is_described() {
    let document = document();
    let mut bare = Vec::new();
    for (name, operation) in operations(&document) {
        let has_text = operation["summary"].is_string() || is_described(operation);
        bare.extend((!has_text).then(|| name.clone()));
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        bare.extend(parameters.filter(|it| !is_described(it)).map(|it| format!("{name}: {}", it["name"])));
    }
    for (schema, definition) in document["components"]["schemas"].as_object().unwrap() {
        bare.extend((!is_described(definition)).then(|| schema.clone()));
        let properties = definition["properties"].as_object().into_iter().flatten();
        bare.extend(properties.filter(|(_, it)| !is_described(it)).map(|(name, _)| format!("{schema}.{name}")));
    }
    assert!(bare.is_empty(), "without a description: {bare:#?}");
}

#[test]
fn every_operation_of_the_api_needs_a_role_and_describes_its_errors() {
    let document = document();
    let mut n = 0;
    for (name, operation) in operations(&document) {
        let roles: Vec<&String> = operation["security"][0].as_object().into_iter().flat_map(|it| it.keys()).collect();
        assert!(["viewer", "operator"].contains(&roles[0].as_str()) && roles.len() == 1, "{name}: {roles:?}");
        let schema = &operation["responses"]["default"]["content"]["application/problem+json"]["schema"]["$ref"];
        assert_eq!(schema, "#/components/schemas/Problem", "{name}");
        n += 1;
    }
    assert!(n > 25, "{n} operations");
    let schemes: Vec<&String> = document["components"]["securitySchemes"].as_object().unwrap().keys().collect();
    assert_eq!(schemes, ["operator", "viewer"]);
}
