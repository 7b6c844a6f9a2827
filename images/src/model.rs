//! The image of the model proxy: LiteLLM from its pinned packages, on packages of Debian. It is that of
//! `components/model`, without an engine, and some fifty times the size of the others.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use tokio::process::Command;

use crate::components::{AUTHORITIES, bundle, described, sources};
use crate::debian::{Lock, Package, Unpacked};
use crate::image::Image;

/// What Python needs, and no package whose work is done by a script.
pub const PACKAGES: Lock = Lock::new(
    "model",
    &[
        "libbz2-1.0",
        "libc6",
        "libcrypt1",
        "libdb5.3",
        "libexpat1",
        "libffi8",
        "libgcc-s1",
        "liblzma5",
        "libncursesw6",
        "libpython3.11-minimal",
        "libpython3.11-stdlib",
        "libreadline8",
        "libsqlite3-0",
        "libssl3",
        "libstdc++6",
        "libtinfo6",
        "libuuid1",
        "media-types",
        "python3.11-minimal",
        "tzdata",
        "zlib1g",
    ],
);
/// Last part of the image's repository.
pub const NAME: &str = "model";
/// Where Debian's Python looks for what is no part of it.
const LIBRARIES: &str = "/usr/lib/python3/dist-packages";
/// Of Debian 12, whatever Python this machine has.
const PYTHON: &str = "3.11";
/// Its wheels may need no newer C library than Debian's.
const PLATFORMS: [&str; 3] = [
    "manylinux_2_28_x86_64",
    "manylinux_2_17_x86_64",
    "manylinux2014_x86_64",
];
const START: &str = "from litellm import run_server; run_server()";

/// All that the image is made of.
#[derive(Clone, Debug)]
pub struct Model {
    debian: Unpacked,
    libraries: PathBuf,
    authorities: PathBuf,
}

impl Model {
    /// Fetches and unpacks the packages below cargo's folder `target`.
    ///
    /// # Errors
    /// If that fails, or there is no pip.
    pub async fn build(packages: &[Package], target: &Path) -> Result<Self> {
        let cache = target.join("debian");
        let libraries = target.join("litellm");
        install(
            &sources().join("components/model/requirements.txt"),
            &libraries,
        )
        .await?;
        leave_out(&libraries)?;
        Ok(Self {
            authorities: bundle(&cache)?,
            debian: Unpacked::new(packages, &cache).await?,
            libraries,
        })
    }

    /// The image under this name with a tag.
    ///
    /// # Errors
    /// If a package cannot be read.
    pub fn image(&self, name: &str) -> Result<Image> {
        let image = self
            .debian
            .layer(Image::new(name))
            .file(AUTHORITIES, &self.authorities, 0o644)
            .tree(LIBRARIES, &self.libraries)?
            .layer()
            .env("LANG", "C.UTF-8")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("SSL_CERT_FILE", AUTHORITIES)
            .entrypoint(&["/usr/bin/python3.11", "-c", START]);
        Ok(described(image, NAME))
    }
}

/// Installs wheels into a folder, for the Python of the image. None of them is built here or run.
async fn install(requirements: &Path, folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    let mut pip = Command::new("python3");
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-compile",
    ])
    .args(["--disable-pip-version-check", "--only-binary=:all:"])
    .args(["--python-version", PYTHON])
    .args(
        PLATFORMS
            .iter()
            .flat_map(|platform| ["--platform", platform]),
    )
    .arg("--target")
    .arg(folder)
    .arg("--requirement")
    .arg(requirements);
    let output = pip
        .output()
        .await
        .context("cannot run python3; install it with pip")?;
    ensure!(
        output.status.success(),
        "pip cannot install {}: {}",
        requirements.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// Removes what differs from machine to machine: scripts name the Python that installed them, and the
/// records have their digests.
fn leave_out(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.ends_with("bin") {
            fs::remove_dir_all(&path)?;
        } else if path
            .extension()
            .is_some_and(|extension| extension == "dist-info")
        {
            fs::remove_file(path.join("RECORD"))?;
        }
    }
    Ok(())
}
