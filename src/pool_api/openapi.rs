//! [`openapi`]: the API's description, OpenAPI 3.1, made from the types that stand on the wire.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::{
    Accepted, Answer, Code, CreateLease, IDEMPOTENCY_KEY, LEASES, METRICS_PATH, P95, P95_PATH, PoolLease, PostMetrics,
    RenewLease,
};

/// Every code that an answer may have.
const CODES: &[Code] = &[
    Code::Invalid,
    Code::Unauthorized,
    Code::OverPolicy,
    Code::UnknownLease,
    Code::KeyReused,
    Code::Quota,
    Code::Internal,
    Code::NoCapacity,
];

/// The API's description, OpenAPI 3.1.
pub fn openapi() -> Value {
    let settings = || SchemaSettings::draft2020_12().with(|settings| settings.definitions_path = DEFINITIONS.into());
    // A caller may leave out what has a default; an answer has every field.
    let (mut asked, mut answered) =
        (SchemaGenerator::new(settings()), SchemaGenerator::new(settings().for_serialize()));
    let paths = json!({
        LEASES: {
            "post": operation("createLease", "Lease a runner; the same request again is the same lease",
                &[key_header()], Some(body::<CreateLease>(&mut asked)),
                json!({ "200": ok::<PoolLease>(&mut answered, "The lease that an earlier request with this key made"),
                    "201": ok::<PoolLease>(&mut answered, "The lease; its runner is being made") }),
                &[Code::Invalid, Code::OverPolicy, Code::KeyReused, Code::Quota, Code::NoCapacity]),
            "get": operation("listLeases", "The leases that this token holds", &[], None,
                json!({ "200": ok::<Vec<PoolLease>>(&mut answered, "The leases, by name") }), &[]),
        },
        format!("{LEASES}/{{lease_id}}"): {
            "get": operation("getLease", "A lease", &[lease_path()], None,
                json!({ "200": ok::<PoolLease>(&mut answered, "The lease") }), &[Code::UnknownLease]),
            "delete": operation("releaseLease", "Destroy a runner; answered when it is verified gone, or was gone already",
                &[lease_path()], None,
                json!({ "200": ok::<PoolLease>(&mut answered, "It is gone") }), &[Code::UnknownLease]),
        },
        format!("{LEASES}/{{lease_id}}/renew"): {
            "post": operation("renewLease", "Move the end of a lease", &[lease_path()],
                Some(body::<RenewLease>(&mut asked)),
                json!({ "200": ok::<PoolLease>(&mut answered, "The lease") }),
                &[Code::Invalid, Code::OverPolicy, Code::UnknownLease, Code::Quota]),
        },
        P95_PATH: {
            "get": operation("getP95", "What past runs of a workspace say about its size",
                &[query("workspace", true), query("platform", false)], None,
                json!({ "200": ok::<Option<P95>>(&mut answered, "The percentiles; `null` without history") }),
                &[Code::Invalid, Code::OverPolicy]),
        },
        METRICS_PATH: {
            "post": operation("postMetrics", "Keep what an attempt used", &[], Some(body::<PostMetrics>(&mut asked)),
                json!({ "200": ok::<Accepted>(&mut answered, "It is kept") }), &[Code::Invalid, Code::OverPolicy]),
        },
        "/health": { "get": open("getHealth", "Whether the pool answers", "application/json") },
        "/metrics": { "get": open("getMetrics", "Numbers for Prometheus", "text/plain") },
        "/openapi.json": { "get": open("getOpenApi", "This document", "application/json") },
    });
    let refusal = answered.subschema_for::<Answer<()>>().to_value();
    let mut schemas: Map<String, Value> = asked.take_definitions(true);
    schemas.extend(answered.take_definitions(true));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "lian-build vm-pool",
            "version": "1.0.0",
            "description": "Leases machines for builds. Unknown fields are ignored, and fields are only added.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
            "schemas": schemas,
            "responses": { "Refused": { "description": "Why it was not done",
                "content": { "application/json": { "schema": refusal } } } },
        },
    })
}

/// Where the types' schemas are in the document.
const DEFINITIONS: &str = "/components/schemas";

fn operation(
    id: &str,
    summary: &str,
    parameters: &[Value],
    body: Option<Value>,
    done: Value,
    refusals: &[Code],
) -> Value {
    let mut responses = done;
    // Without a token there is no answer to anything, and a fault may be anywhere.
    let always = [Code::Unauthorized, Code::Internal];
    for code in CODES.iter().filter(|code| refusals.contains(code) || always.contains(code)) {
        responses[code.status().to_string()] = json!({ "$ref": "#/components/responses/Refused" });
    }
    if body.is_some() {
        for status in ["400", "408", "413"] {
            responses[status] = json!({ "$ref": "#/components/responses/Refused" });
        }
    }
    let mut operation =
        json!({ "operationId": id, "summary": summary, "parameters": parameters, "responses": responses });
    if let Some(body) = body {
        operation["requestBody"] = body;
    }
    operation
}

fn open(id: &str, summary: &str, kind: &str) -> Value {
    json!({ "operationId": id, "summary": summary, "security": [],
        "responses": { "200": { "description": summary, "content": { kind: {} } } } })
}

fn body<T: JsonSchema>(types: &mut SchemaGenerator) -> Value {
    json!({ "required": true, "content": { "application/json": { "schema": types.subschema_for::<T>().to_value() } } })
}

fn ok<T: JsonSchema>(types: &mut SchemaGenerator, description: &str) -> Value {
    let schema = types.subschema_for::<Answer<T>>().to_value();
    json!({ "description": description, "content": { "application/json": { "schema": schema } } })
}

fn key_header() -> Value {
    json!({ "name": IDEMPOTENCY_KEY, "in": "header", "required": true,
        "description": "A key of the caller's own for this lease; `lb-` and 32 hexadecimal digits name the lease itself",
        "schema": { "type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[!-~]+$" } })
}

fn lease_path() -> Value {
    json!({ "name": "lease_id", "in": "path", "required": true, "schema": { "type": "string" } })
}

fn query(name: &str, required: bool) -> Value {
    json!({ "name": name, "in": "query", "required": required, "schema": { "type": "string" } })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every `$ref` of a value.
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    match value.as_str().filter(|_| name == "$ref") {
                        Some(reference) => found.push(reference.to_owned()),
                        None => references(value, found),
                    }
                }
            }
            Value::Array(values) => values.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_code_is_said() {
        let document = openapi();
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 20, "{found:?}");
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
        let text = document.to_string();
        for code in CODES {
            assert!(text.contains(&format!("\"{}\":", code.status())), "{code:?}");
        }
    }
}
