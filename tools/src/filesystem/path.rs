//! Which path a caller means. Pure; that it cannot leave the root by links is the business of
//! whoever opens it.

use std::path::{Component, Path, PathBuf};

use crate::toolbox::ToolError;

/// The runtime's own folder in a workspace: its checkpoints are nobody's to read or change.
const OURS: &str = ".langop";

/// `path` relative to the root, which callers may call by its mount path, by `/`, or not at all.
pub(super) fn below(mount: &Path, path: &str) -> Result<PathBuf, ToolError> {
    if path.contains('\0') {
        return Err(ToolError::new("'path' holds a NUL"));
    }
    let given = Path::new(path);
    let relative = match given.strip_prefix(mount) {
        Ok(relative) => relative,
        Err(_) if path.trim_start_matches('/').is_empty() => Path::new(""),
        Err(_) if given.is_absolute() => {
            return Err(ToolError::new(format!(
                "'path' must be relative, or below {}",
                mount.display()
            )));
        }
        Err(_) => given,
    };
    let mut clean = PathBuf::new();
    for component in relative.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::CurDir => {}
            _ => return Err(ToolError::new("'path' must not hold `..`")),
        }
    }
    if is_hidden(&clean) {
        return Err(ToolError::new("'path' is the runtime's own"));
    }
    Ok(clean)
}

/// Whether it is the runtime's own.
pub(super) fn is_hidden(relative: &Path) -> bool {
    relative.components().next() == Some(Component::Normal(OURS.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_below_the_root() {
        let mount = Path::new("/workspace");
        for (path, relative) in [
            ("/workspace", ""),
            ("/workspace/a/b.txt", "a/b.txt"),
            ("a/./b.txt", "a/b.txt"),
            ("/", ""),
            (".", ""),
            ("", ""),
            ("..a", "..a"),
        ] {
            assert_eq!(below(mount, path), Ok(PathBuf::from(relative)), "{path}");
        }
        for path in [
            "..",
            "a/../../b",
            "/etc/passwd",
            "/workspaces/a",
            "/workspace/../etc",
            "a\0b",
            ".langop/a/state.json",
            "/workspace/.langop",
            "./.langop",
        ] {
            assert!(below(mount, path).is_err(), "{path}");
        }
    }
}
