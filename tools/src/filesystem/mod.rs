//! The filesystem tool: text files below one root. Paths cannot leave it, by `..` or by links,
//! because every one is opened below an open folder and never from the root of the system.

mod path;
mod search;

use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use cap_std::{
    ambient_authority,
    fs::{Dir, DirEntry, Metadata},
};
use rmcp::model::Tool;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::{
    arguments,
    toolbox::{Call, Effect, Output, ToolError, Toolbox, operation},
};

/// Largest text.
pub const MAX_TEXT: u64 = 1024 * 1024;
/// Most entries of a list.
const MAX_ENTRIES: usize = 1_000;

/// Files below a root.
#[derive(Debug, Clone)]
pub struct Filesystem {
    root: std::sync::Arc<Dir>,
    /// How callers call the root.
    mount: PathBuf,
}

impl Filesystem {
    /// Below `root`, which must be there.
    pub fn open(root: &Path) -> io::Result<Self> {
        Ok(Self {
            root: Dir::open_ambient_dir(root, ambient_authority())?.into(),
            mount: root.to_owned(),
        })
    }

    fn list_files(&self, arguments: &OnePath) -> Result<Output, ToolError> {
        let path = self.below(&arguments.path)?;
        let mut entries = Vec::new();
        for entry in self.dir(&path)?.entries().map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if !path::is_hidden(&path.join(entry.file_name())) {
                entries.push(describe(&entry)?);
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        let more = entries.len().saturating_sub(MAX_ENTRIES);
        entries.truncate(MAX_ENTRIES);
        let mut lines: Vec<String> = entries.iter().map(Entry::line).collect();
        if more > 0 {
            lines.push(format!("[{more} more]"));
        }
        let files: Json = entries.iter().map(Entry::json).collect();
        Ok(Output::structured(
            lines.join("\n"),
            json!({"files": files, "more": more}),
        ))
    }

    fn read_file(&self, arguments: &OnePath) -> Result<Output, ToolError> {
        let path = self.below(&arguments.path)?;
        parent(&path)?;
        let file = self.root.open(&path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(ToolError::new("'path' is no file"));
        }
        let size = metadata.len();
        if size > MAX_TEXT {
            return Err(ToolError::new(format!(
                "the file has {size} bytes; at most {MAX_TEXT} can be read"
            )));
        }
        let mut bytes = Vec::new();
        file.take(MAX_TEXT + 1)
            .read_to_end(&mut bytes)
            .map_err(failed)?;
        String::from_utf8(bytes).map(Output::text).map_err(|_| {
            ToolError::new(format!(
                "the file has {size} bytes that are no text; only text can be read"
            ))
        })
    }

    fn write_file(&self, arguments: &WriteFile) -> Result<Output, ToolError> {
        let path = self.below(&arguments.path)?;
        let (folder, name) = parent(&path)?;
        let bytes = arguments.content.len();
        if bytes as u64 > MAX_TEXT {
            return Err(ToolError::new(format!(
                "'content' has {bytes} bytes; at most {MAX_TEXT} can be written"
            )));
        }
        self.root.create_dir_all(folder).map_err(failed)?;
        let folder = self.dir(folder)?;
        if folder.metadata(name).is_ok_and(|found| found.is_dir()) {
            return Err(ToolError::new("'path' is a folder"));
        }
        // Whoever reads meanwhile sees the old file or the new one.
        let temporary = format!(".{}.new-{}", name.display(), std::process::id());
        let written = folder
            .create(&temporary)
            .and_then(|mut file| {
                file.write_all(arguments.content.as_bytes())?;
                file.sync_all()
            })
            .and_then(|()| folder.rename(&temporary, &folder, name));
        if let Err(error) = written {
            // It may not be there.
            let _ = folder.remove_file(&temporary);
            return Err(failed(error));
        }
        Ok(Output::text(format!("{bytes} bytes written")))
    }

    fn delete_file(&self, arguments: &OnePath) -> Result<Output, ToolError> {
        let path = self.below(&arguments.path)?;
        parent(&path)?;
        match self.root.remove_file(&path) {
            Ok(()) => Ok(Output::text("deleted")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Ok(Output::text("there was no such file"))
            }
            Err(error) => Err(failed(error)),
        }
    }

    fn below(&self, path: &str) -> Result<PathBuf, ToolError> {
        path::below(&self.mount, path)
    }

    fn dir(&self, path: &Path) -> Result<Dir, ToolError> {
        if path.as_os_str().is_empty() {
            return self.root.try_clone().map_err(failed);
        }
        self.root.open_dir(path).map_err(failed)
    }
}

impl Toolbox for Filesystem {
    fn name(&self) -> &'static str {
        "langop-tool-filesystem"
    }

    fn operations(&self) -> Vec<Tool> {
        let path = json!({"type": "string", "description": "Below the workspace."});
        let one = json!({"path": path});
        vec![
            operation(
                "delete_file",
                "Deletes a file.",
                Effect::Idempotent,
                &one,
                &["path"],
            ),
            operation(
                "list_files",
                "Lists the files of a folder, with size and time of the last change.",
                Effect::ReadOnly,
                &one,
                &["path"],
            ),
            operation(
                "read_file",
                "Returns a text file of at most 1 MiB.",
                Effect::ReadOnly,
                &one,
                &["path"],
            ),
            operation(
                "search_files",
                "Finds lines that contain a text, in text files below a folder.",
                Effect::ReadOnly,
                &json!({
                    "path": path,
                    "query": {"type": "string", "description": "The text, upper and lower case alike."},
                }),
                &["path", "query"],
            ),
            operation(
                "write_file",
                "Writes a text file, replacing what was there.",
                Effect::Idempotent,
                &json!({"path": path, "content": {"type": "string"}}),
                &["path", "content"],
            ),
        ]
    }

    async fn call(&self, operation: &str, call: Call) -> Option<Result<Output, ToolError>> {
        let files = self.clone();
        let operation = operation.to_owned();
        // Files block.
        let called = tokio::task::spawn_blocking(move || files.act(&operation, call)).await;
        called.unwrap_or_else(|_| Some(Err(ToolError::new("the operation broke off"))))
    }
}

impl Filesystem {
    fn act(&self, operation: &str, call: Call) -> Option<Result<Output, ToolError>> {
        Some(match operation {
            "delete_file" => arguments::read(call.arguments).and_then(|a| self.delete_file(&a)),
            "list_files" => arguments::read(call.arguments).and_then(|a| self.list_files(&a)),
            "read_file" => arguments::read(call.arguments).and_then(|a| self.read_file(&a)),
            "search_files" => arguments::read(call.arguments).and_then(|a| self.search_files(&a)),
            "write_file" => arguments::read(call.arguments).and_then(|a| self.write_file(&a)),
            _ => return None,
        })
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OnePath {
    path: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WriteFile {
    path: String,
    content: String,
}

struct Entry {
    name: String,
    kind: &'static str,
    bytes: u64,
    /// Seconds since 1970.
    changed: u64,
}

impl Entry {
    fn line(&self) -> String {
        let Self {
            name,
            kind,
            bytes,
            changed,
        } = self;
        match *kind {
            "folder" => format!("{name}/"),
            _ => format!("{name} ({bytes} bytes, changed {changed} s after 1970)"),
        }
    }

    fn json(&self) -> Json {
        json!({"name": self.name, "type": self.kind, "bytes": self.bytes, "changed": self.changed})
    }
}

fn describe(entry: &DirEntry) -> Result<Entry, ToolError> {
    let metadata = entry.metadata().map_err(failed)?;
    let kind = match &metadata {
        found if found.is_dir() => "folder",
        found if found.is_file() => "file",
        _ => "other",
    };
    Ok(Entry {
        name: entry.file_name().to_string_lossy().into_owned(),
        kind,
        bytes: if kind == "file" { metadata.len() } else { 0 },
        changed: changed(&metadata),
    })
}

fn changed(metadata: &Metadata) -> u64 {
    metadata
        .modified()
        .ok()
        .and_then(|time| {
            let time = time.into_std();
            time.duration_since(std::time::UNIX_EPOCH).ok()
        })
        .map_or(0, |since| since.as_secs())
}

fn parent(path: &Path) -> Result<(&Path, &std::ffi::OsStr), ToolError> {
    let name = path
        .file_name()
        .ok_or_else(|| ToolError::new("'path' must name a file"))?;
    Ok((path.parent().unwrap_or(Path::new("")), name))
}

/// In words without a path: the system's own could tell where the root is.
#[expect(
    clippy::needless_pass_by_value,
    reason = "it is what map_err hands over"
)]
fn failed(error: io::Error) -> ToolError {
    ToolError::new(match error.kind() {
        io::ErrorKind::NotFound => "there is nothing at 'path'",
        io::ErrorKind::PermissionDenied => {
            "'path' may not be used: it leads out of the workspace, or its owner forbids it"
        }
        io::ErrorKind::NotADirectory => "'path' is no folder",
        io::ErrorKind::IsADirectory => "'path' is a folder",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "the workspace is full",
        io::ErrorKind::ReadOnlyFilesystem => "the workspace is read-only",
        io::ErrorKind::InvalidFilename => "'path' is no name of a file",
        _ => "the file system failed",
    })
}

#[cfg(test)]
mod tests;
