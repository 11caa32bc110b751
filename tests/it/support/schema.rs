//! A check of a document against the schema that is shipped for it: as much of JSON Schema as these use.

use std::path::Path;

use serde_json::Value;

/// Fails the test when `document` is not what `schemas/json/<name>` describes, or has a field that it does not name.
#[track_caller]
pub(crate) fn assert_follows(document: &Value, name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/json").join(name);
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    if let Err(why) = follows(document, &schema, &schema) {
        panic!("not as `{name}` says: {why}\n{document:#}");
    }
}

fn follows(value: &Value, schema: &Value, root: &Value) -> Result<(), String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.strip_prefix("#/$defs/").ok_or_else(|| format!("the reference {reference}"))?;
        return follows(value, &root["$defs"][name], root).map_err(|why| format!("{name}: {why}"));
    }
    for alternatives in ["anyOf", "oneOf"].iter().filter_map(|key| schema[*key].as_array()) {
        if !alternatives.iter().any(|schema| follows(value, schema, root).is_ok()) {
            return Err(format!("{value} is none of {alternatives:?}"));
        }
    }
    if schema.get("const").is_some_and(|only| only != value) {
        return Err(format!("{value} is not {}", schema["const"]));
    }
    if schema["enum"].as_array().is_some_and(|words| !words.contains(value)) {
        return Err(format!("{value} is none of {}", schema["enum"]));
    }
    is_of_type(value, &schema["type"])?;
    for (at, item) in value.as_array().into_iter().flatten().enumerate() {
        follows(item, &schema["items"], root).map_err(|why| format!("[{at}]: {why}"))?;
    }
    let (Some(fields), Some(known)) = (value.as_object(), schema["properties"].as_object()) else { return Ok(()) };
    for required in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        fields.get(required).ok_or_else(|| format!("`{required}` is missing"))?;
    }
    for (name, field) in fields {
        let schema = known.get(name).ok_or_else(|| format!("`{name}` is not described"))?;
        follows(field, schema, root).map_err(|why| format!("{name}: {why}"))?;
    }
    Ok(())
}

fn is_of_type(value: &Value, types: &Value) -> Result<(), String> {
    let types: Vec<&str> = match types {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => return Ok(()),
    };
    let fits = |name: &&str| match *name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    };
    if types.iter().any(fits) { Ok(()) } else { Err(format!("{value} is not {types:?}")) }
}
