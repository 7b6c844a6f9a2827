//! Whether another build makes the same images: the sources are copied to another folder and built there,
//! with cargo's folders under other paths, and the digests are compared.

use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use tokio::process::Command;

use crate::components::{Component, Components, Profile};

/// The digest of each image under its name here, built from a copy of `sources` in a new folder.
///
/// # Errors
/// If the copy cannot be made, or its build fails.
pub async fn build_elsewhere(
    sources: &Path,
    name: impl Fn(Component) -> String,
) -> Result<Vec<(Component, String)>> {
    let elsewhere = tempfile::tempdir().context("cannot make a folder")?;
    let copy = elsewhere.path().join("copied-sources");
    copy_tracked(sources, &copy).await?;
    let packages = elsewhere.path().join("packages");
    link_packages(&packages)?;
    let target = elsewhere.path().join("built");
    let env = [("CARGO_HOME", packages.as_path())];
    let built = Components::build_of(&copy.join("images"), &target, Profile::Release, &env).await?;
    let layouts = elsewhere.path().join("layouts");
    let digest = |component: Component| {
        let image = built.image(component, &name(component));
        let digest = image.write_layout(&layouts.join(component.name()))?;
        Ok((component, digest))
    };
    Component::ALL.into_iter().map(digest).collect()
}

/// Copies what git knows or would add, as it is in the folder now.
async fn copy_tracked(sources: &Path, copy: &Path) -> Result<()> {
    let listed = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(sources)
        .output()
        .await
        .context("cannot run git")?;
    ensure!(
        listed.status.success(),
        "{} is no clone of git: {}",
        sources.display(),
        String::from_utf8_lossy(&listed.stderr)
    );
    let names = listed.stdout.split(|byte| *byte == 0);
    for name in names.filter(|name| !name.is_empty()) {
        let name = PathBuf::from(OsString::from_vec(name.to_vec()));
        let (from, to) = (sources.join(&name), copy.join(&name));
        // One that is deleted and not yet committed is still listed.
        if fs::symlink_metadata(&from).is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            continue;
        }
        fs::create_dir_all(to.parent().unwrap_or(copy))?;
        let copied = match fs::read_link(&from) {
            Ok(target) => symlink(target, &to),
            Err(_) => fs::copy(&from, &to).map(drop),
        };
        copied.with_context(|| format!("cannot copy {}", from.display()))?;
    }
    Ok(())
}

/// Makes a folder of cargo's with the packages that this machine has already.
fn link_packages(folder: &Path) -> Result<()> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let home = home.context("neither CARGO_HOME nor HOME is set")?;
    fs::create_dir_all(folder)?;
    for entry in fs::read_dir(&home).with_context(|| format!("cannot read {}", home.display()))? {
        let entry = entry?;
        symlink(entry.path(), folder.join(entry.file_name()))?;
    }
    Ok(())
}
