//! JSON Schemas of what this program writes. The files under `schemas/json/` are made from these, and a test compares.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;

use crate::events::CloudEvent;
use crate::report::runners::{RunnersGc, RunnersImage, RunnersList, RunnersRelease};
use crate::report::{Envelope, PlanDocument, RunnersDocument};

/// A schema that is shipped: its file name, and its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShippedSchema {
    /// Below `schemas/json/`.
    pub file_name: &'static str,
    /// JSON, indented, with a line break at its end.
    pub text: String,
}

/// The schemas of the result, of plans, of events and of what the commands on runners say.
pub fn all() -> [ShippedSchema; 7] {
    [
        ShippedSchema { file_name: "result.v1.json", text: text::<Envelope>() },
        ShippedSchema { file_name: "plan.v1.json", text: text::<PlanDocument>() },
        ShippedSchema { file_name: "event.v1.json", text: text::<CloudEvent>() },
        ShippedSchema { file_name: "runners-list.v1.json", text: text::<RunnersDocument<RunnersList>>() },
        ShippedSchema { file_name: "runners-gc.v1.json", text: text::<RunnersDocument<RunnersGc>>() },
        ShippedSchema { file_name: "runners-release.v1.json", text: text::<RunnersDocument<RunnersRelease>>() },
        ShippedSchema { file_name: "runners-image.v1.json", text: text::<RunnersDocument<RunnersImage>>() },
    ]
}

/// Describes what is written, so fields that may be `null` are required to be there.
fn text<T: JsonSchema>() -> String {
    let schema = SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<T>();
    format!("{:#}\n", schema.to_value())
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
