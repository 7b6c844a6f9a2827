//! Reads manifests. Asks no cluster.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use jiff::Timestamp;
use serde_json::Value;

use super::{
    document::{Document, Severity},
    judge::judge,
    text,
};
use crate::{
    answer::Answer,
    failure::{Exit, Failure},
    ui::format::{Output, structured},
};

/// Endings of files with manifests.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// What `lint` takes.
#[derive(Clone, Debug, Args)]
pub(crate) struct LintArgs {
    /// A file, or a folder with all below it; several by repeating the flag
    #[arg(short = 'f', long = "filename", required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// What the answer looks like
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: Output,
}

/// Reads and judges. `namespace` is that of documents which name none.
pub(crate) fn run(args: &LintArgs, namespace: &str) -> Result<Answer, Failure> {
    let mut documents = Vec::new();
    for path in &args.paths {
        let mut files = Vec::new();
        collect(path, true, &mut files)?;
        files.sort();
        for file in files {
            documents.extend(read(&file)?);
        }
    }
    let judged = judge(&documents, namespace, Timestamp::now());
    let structured = structured(args.output, &judged)?;
    let mut answer = Answer::fine(structured.unwrap_or_else(|| text::render(&judged)));
    let mut remarks = judged.iter().flat_map(|one| &one.remarks);
    if remarks.any(|remark| remark.severity == Severity::Error) {
        answer.exit = Exit::Wrong;
    }
    Ok(answer)
}

fn collect(path: &Path, is_named: bool, files: &mut Vec<PathBuf>) -> Result<(), Failure> {
    if path.is_dir() {
        let entries = fs::read_dir(path).map_err(|error| unreadable(path, &error))?;
        for entry in entries {
            let entry = entry.map_err(|error| unreadable(path, &error))?;
            collect(&entry.path(), false, files)?;
        }
    } else {
        let ending = path.extension().and_then(|ending| ending.to_str());
        if is_named || ending.is_some_and(|ending| ENDINGS.contains(&ending)) {
            files.push(path.to_owned());
        }
    }
    Ok(())
}

fn read(file: &Path) -> Result<Vec<Document>, Failure> {
    let text = fs::read_to_string(file).map_err(|error| unreadable(file, &error))?;
    let values: Vec<Value> =
        serde_saphyr::from_multiple(&text).map_err(|error| unreadable(file, &error))?;
    let documents = values.into_iter().filter(|value| !value.is_null());
    Ok(documents
        .map(|value| Document {
            file: file.display().to_string(),
            value,
        })
        .collect())
}

fn unreadable(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::told(
        format!(
            "{} cannot be read: {}",
            path.display(),
            langop_dsl::clean(&error.to_string())
        ),
        "name files of YAML or JSON, or folders with such files",
    )
}
