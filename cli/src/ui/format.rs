//! Answers for programs: JSON and YAML of the same value.

use clap::ValueEnum;
use serde::Serialize;

use crate::failure::Failure;

/// What standard output holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// A table or a text, for people.
    #[default]
    Table,
    /// A table with more columns and nothing cut.
    Wide,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
    /// `RESOURCE/NAME`, one a line, as kubectl takes it.
    Name,
}

/// The value in a format for programs; `None` for those for people, and for names.
pub(crate) fn structured(
    output: Output,
    value: &impl Serialize,
) -> Result<Option<String>, Failure> {
    let unwritable = |error: &dyn std::fmt::Display| {
        Failure::told(
            format!("the answer cannot be written: {error}"),
            "ask for another format by -o",
        )
    };
    Ok(match output {
        Output::Json => {
            let text = serde_json::to_string_pretty(value);
            Some(text.map_err(|error| unwritable(&error))? + "\n")
        }
        Output::Yaml => Some(serde_saphyr::to_string(value).map_err(|error| unwritable(&error))?),
        Output::Table | Output::Wide | Output::Name => None,
    })
}

/// Names as kubectl takes and prints them.
pub(crate) fn agent_names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<String> = names
        .map(|name| {
            format!(
                "languageagent.langop.io/{name}
"
            )
        })
        .collect();
    names.concat()
}
