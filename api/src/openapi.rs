//! The table of routes as an OpenAPI 3.1 document.

use crate::problem::ProblemBody;
use crate::routes::{Does, Endpoint, Route};
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

/// The document. The same table gives the same document.
#[must_use]
pub fn document() -> Value {
    let settings = SchemaSettings::draft2020_12()
        .with(|s| "/components/schemas".clone_into(s.definitions_path.to_mut()));
    let mut generator = SchemaGenerator::new(settings);
    let problem = generator.subschema_for::<ProblemBody>().to_value();
    let mut paths = Map::new();
    macro_rules! operations {
        ($( #[doc = $doc:literal] $name:ident $method:ident $path:literal for [$($role:tt)*] does $does:ident on $on:ident $req:ty => $res:ty, $event:literal; )*) => { $({
            use $crate::types::*;
            let route = <$crate::routes::call::$name as Endpoint>::ROUTE;
            let request = generator.subschema_for::<$req>().to_value();
            let response = generator.subschema_for::<$res>().to_value();
            let at = paths.entry(route.path).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(at) = at {
                at.insert(route.method.to_lowercase(), operation(route, stringify!($req), &request, &response, &problem));
            }
        })* };
    }
    crate::for_each_route!(operations);
    json!({
        "openapi": "3.1.0",
        "info": { "title": "Assay nexus", "version": env!("CARGO_PKG_VERSION"), "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" } },
        "paths": paths,
        "components": {
            "schemas": generator.take_definitions(true),
            "securitySchemes": { "dpop": { "type": "apiKey", "in": "header", "name": "DPoP", "description": "RFC 9449 proof by a registered key (kid) or a new one (jwk); changes carry assay_dig" } },
        },
    })
}

fn operation(
    route: &Route,
    request_name: &str,
    request: &Value,
    response: &Value,
    problem: &Value,
) -> Value {
    let mut op = json!({
        "operationId": route.name,
        "summary": route.doc.trim(),
        "responses": {
            "200": { "description": "done", "content": { "application/json": { "schema": response } } },
            "default": { "description": "refused", "content": { "application/problem+json": { "schema": problem } } },
        },
    });
    if let Value::Object(op) = &mut op {
        let mut parameters = Vec::new();
        if route.path.contains("{id}") {
            parameters.push(json!({ "name": "id", "in": "path", "required": true, "schema": { "type": "string" } }));
        }
        if route.does == Does::Release {
            parameters.push(json!({ "name": "X-Force-Bypass", "in": "header", "required": false, "schema": { "type": "string", "minLength": 10, "maxLength": 512 } }));
        }
        if request_name != "Empty" {
            if route.method == "GET" {
                parameters.push(json!({ "name": "query", "in": "query", "required": false, "style": "form", "explode": true, "schema": request }));
            } else {
                op.insert("requestBody".into(), json!({ "required": true, "content": { "application/json": { "schema": request } } }));
            }
        }
        if !parameters.is_empty() {
            op.insert("parameters".into(), Value::Array(parameters));
        }
        if !route.is_open() {
            op.insert("security".into(), json!([{ "dpop": [] }]));
        }
    }
    op
}

#[cfg(test)]
mod tests {
    use crate::routes::ROUTES;

    #[test]
    fn every_row_is_an_operation() {
        let doc = super::document();
        for r in ROUTES {
            assert_eq!(
                doc["paths"][r.path][r.method.to_lowercase()]["operationId"],
                r.name
            );
        }
        let text = doc.to_string();
        let refs: Vec<&str> = text
            .split("#/components/schemas/")
            .skip(1)
            .filter_map(|s| s.split('"').next())
            .collect();
        assert!(!refs.is_empty());
        for r in refs {
            assert!(
                doc["components"]["schemas"].get(r).is_some(),
                "dangling reference to {r}"
            );
        }
    }
}
