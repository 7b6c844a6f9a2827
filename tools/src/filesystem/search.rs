//! Finds lines in text files below a folder. Bounded in files, bytes, depth and matches; links are
//! not followed.

use std::{io::Read as _, path::Path};

use cap_std::fs::Dir;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::{Filesystem, MAX_TEXT, failed, path};
use crate::toolbox::{Output, ToolError};

const MAX_MATCHES: usize = 200;
const MAX_FILES: usize = 10_000;
const MAX_DEPTH: usize = 16;
const MAX_LINE: usize = 300;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Search {
    path: String,
    query: String,
}

struct Found {
    file: String,
    line: usize,
    text: String,
}

struct Walk {
    query: String,
    files: usize,
    found: Vec<Found>,
}

impl Walk {
    fn is_over(&self) -> bool {
        self.files >= MAX_FILES || self.found.len() >= MAX_MATCHES
    }

    fn folder(&mut self, folder: &Dir, at: &Path, depth: usize) -> Result<(), ToolError> {
        let mut entries = Vec::new();
        for entry in folder.entries().map_err(failed)? {
            entries.push(entry.map_err(failed)?);
        }
        entries.sort_by_key(cap_std::fs::DirEntry::file_name);
        for entry in entries {
            let at = at.join(entry.file_name());
            if self.is_over() {
                break;
            }
            // What vanishes meanwhile, or may not be read, is passed over.
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            if path::is_hidden(&at) {
                continue;
            }
            if kind.is_dir() && depth < MAX_DEPTH {
                if let Ok(inner) = folder.open_dir(entry.file_name()) {
                    self.folder(&inner, &at, depth + 1)?;
                }
            } else if kind.is_file()
                && let Ok(file) = entry.open()
            {
                self.files += 1;
                let mut text = String::new();
                if file.take(MAX_TEXT).read_to_string(&mut text).is_ok() {
                    self.text(&text, &at);
                }
            }
        }
        Ok(())
    }

    fn text(&mut self, text: &str, at: &Path) {
        for (number, line) in text.lines().enumerate() {
            if self.is_over() {
                return;
            }
            if line.to_lowercase().contains(&self.query) {
                let end = line.floor_char_boundary(MAX_LINE);
                self.found.push(Found {
                    file: at.display().to_string(),
                    line: number + 1,
                    text: line[..end].to_owned(),
                });
            }
        }
    }
}

impl Filesystem {
    pub(super) fn search_files(&self, arguments: &Search) -> Result<Output, ToolError> {
        if arguments.query.trim().is_empty() {
            return Err(ToolError::new("'query' is empty"));
        }
        let path = self.below(&arguments.path)?;
        let mut walk = Walk {
            query: arguments.query.to_lowercase(),
            files: 0,
            found: Vec::new(),
        };
        walk.folder(&self.dir(&path)?, &path, 0)?;
        let is_cut = walk.is_over();
        let mut lines: Vec<String> = walk
            .found
            .iter()
            .map(|found| format!("{}:{}: {}", found.file, found.line, found.text))
            .collect();
        if is_cut {
            lines.push("[there may be more]".to_owned());
        }
        let matches: Json = walk
            .found
            .iter()
            .map(|found| json!({"file": found.file, "line": found.line, "text": found.text}))
            .collect();
        Ok(Output::structured(
            lines.join("\n"),
            json!({"matches": matches, "complete": !is_cut}),
        ))
    }
}
