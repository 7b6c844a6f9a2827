//! Where a test process keeps its files: `target/harness/<name of the executable>/`.
//!
//! The folder stays after the run, so that the logs of a failed test can be read, and the next run
//! of the same executable uses it again. Two concurrent runs get two folders.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow};

/// Root of the workspace's source tree.
///
/// # Errors
/// If the crate was moved out of the workspace.
pub fn workspace_root() -> Result<&'static Path> {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("integration-tests lies in no workspace")
}

/// The folder with the programs cargo built beside this one (`target/<profile>`).
pub(crate) fn programs_dir() -> Result<PathBuf> {
    let exe = std::env::current_exe().context("the running executable has no path")?;
    let dir = exe
        .parent()
        .context("the running executable has no folder")?;
    // Test executables lie one folder deeper than programs.
    let dir = if dir.ends_with("deps") {
        dir.parent().unwrap_or(dir)
    } else {
        dir
    };
    Ok(dir.to_path_buf())
}

/// This process's own folder, locked as long as it lives.
///
/// # Errors
/// If the folder cannot be made.
pub fn run_dir() -> Result<&'static Path> {
    static DIR: OnceLock<Result<(PathBuf, File), String>> = OnceLock::new();
    match DIR.get_or_init(|| acquire().map_err(|error| format!("{error:#}"))) {
        Ok((dir, _lock)) => Ok(dir),
        Err(error) => Err(anyhow!("{error}")),
    }
}

fn acquire() -> Result<(PathBuf, File)> {
    let programs = programs_dir()?;
    let target = programs.parent().unwrap_or(&programs);
    let exe = std::env::current_exe()?;
    let stem = exe
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let name = without_hash(&stem);
    for nth in 1..=64 {
        let folder = if nth == 1 {
            name.to_owned()
        } else {
            format!("{name}-{nth}")
        };
        let dir = target.join("harness").join(folder);
        fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let lock = File::create(dir.join("lock"))?;
        if lock.try_lock().is_ok() {
            return Ok((dir, lock));
        }
    }
    Err(anyhow!("64 runs of {name} are going on; end some of them"))
}

/// Cargo names test executables `<name>-<16 hex digits>`, new ones after each change of features.
fn without_hash(stem: &str) -> &str {
    match stem.rsplit_once('-') {
        Some((name, hash)) if hash.len() == 16 && hash.bytes().all(|b| b.is_ascii_hexdigit()) => {
            name
        }
        _ => stem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_test_executables_is_cut_off() {
        assert_eq!(without_hash("harness-0123456789abcdef"), "harness");
        assert_eq!(without_hash("end-to-end"), "end-to-end");
    }
}
