//! JSON Schemas of what this program writes, and of what it reads in Nickel. The files under `schemas/json/` are made from these, and a test compares.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;

use crate::events::CloudEvent;
use crate::inputs::directives::DirectivesFile;
use crate::inputs::policy::Policy;
use crate::inputs::serve_config::ServeConfig;
use crate::inputs::spec::BuildSpec;
use crate::report::check::Check;
use crate::report::init::Init;
use crate::report::runners::{RunnersGc, RunnersImage, RunnersList, RunnersRelease};
use crate::report::schema_export::SchemaExport;
use crate::report::serve_token::ServeToken;
use crate::report::{CommandDocument, Envelope, PlanDocument};

/// A schema that is shipped: its file name, and its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShippedSchema {
    /// Below `schemas/json/`.
    pub file_name: &'static str,
    /// JSON, indented, with a line break at its end.
    pub text: String,
}

/// The schemas of the result, of plans, of events, of what the other commands say, and of what callers and operators say.
pub fn all() -> Vec<ShippedSchema> {
    vec![
        ShippedSchema { file_name: "result.v1.json", text: text::<Envelope>() },
        ShippedSchema { file_name: "plan.v1.json", text: text::<PlanDocument>() },
        ShippedSchema { file_name: "event.v1.json", text: text::<CloudEvent>() },
        ShippedSchema { file_name: "runners-list.v1.json", text: text::<CommandDocument<RunnersList>>() },
        ShippedSchema { file_name: "runners-gc.v1.json", text: text::<CommandDocument<RunnersGc>>() },
        ShippedSchema { file_name: "runners-release.v1.json", text: text::<CommandDocument<RunnersRelease>>() },
        ShippedSchema { file_name: "runners-image.v1.json", text: text::<CommandDocument<RunnersImage>>() },
        ShippedSchema { file_name: "check.v1.json", text: text::<CommandDocument<Check>>() },
        ShippedSchema { file_name: "init.v1.json", text: text::<CommandDocument<Init>>() },
        ShippedSchema { file_name: "schema-export.v1.json", text: text::<CommandDocument<SchemaExport>>() },
        ShippedSchema { file_name: "serve-token.v1.json", text: text::<CommandDocument<ServeToken>>() },
        ShippedSchema { file_name: "directives.v1.json", text: input_text::<DirectivesFile>() },
        ShippedSchema { file_name: "policy.v1.json", text: input_text::<Policy>() },
        ShippedSchema { file_name: "build-spec.v1.json", text: input_text::<BuildSpec>() },
        ShippedSchema { file_name: "serve.v1.json", text: input_text::<ServeConfig>() },
        ShippedSchema { file_name: "vm-pool.openapi.v1.json", text: format!("{:#}\n", crate::pool_api::openapi()) },
    ]
}

/// Describes what is written, so fields that may be `null` are required to be there.
fn text<T: JsonSchema>() -> String {
    let schema = SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<T>();
    format!("{:#}\n", schema.to_value())
}

/// Describes what a Nickel file comes to under its contract: bare tags are strings by then, and what may be one or
/// several is several.
fn input_text<T: JsonSchema>() -> String {
    format!("{:#}\n", input::<T>())
}

/// As [`input_text`], as a value.
pub(crate) fn input<T: JsonSchema>() -> serde_json::Value {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>().to_value()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::env_vars::Environment;

    #[test]
    fn shipped_schemas_are_those_of_the_types() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/json");
        let update = Environment::from_process().os("UPDATE_SCHEMAS").is_some();
        for schema in all() {
            let path = directory.join(schema.file_name);
            if update {
                std::fs::create_dir_all(&directory).unwrap();
                std::fs::write(&path, &schema.text).unwrap();
            }
            let shipped = std::fs::read_to_string(&path).unwrap_or_default();
            assert_eq!(shipped, schema.text, "run the test with UPDATE_SCHEMAS=1 to write {}", path.display());
        }
    }
}
