//! `lint`: manifests checked without a cluster. `schema` and `rules` say what the API server would,
//! `references` and `times` what the operator would; all four are pure, `command` reads files.

pub(crate) mod command;
pub(crate) mod document;
pub(crate) mod judge;
mod references;
mod rules;
mod schema;
mod text;
mod times;

#[cfg(test)]
mod tests;
