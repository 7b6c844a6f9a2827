//! A registry of container images and charts beside the real node, for tests of what is pulled: crane
//! both serves and fills it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use langop_images::Image;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::control_plane::ControlPlane;
use crate::control_plane::node::REGISTRY;
use crate::run_dir::run_dir;
use crate::{peers, wait};

/// Until it listens.
const START: Duration = Duration::from_secs(20);

/// A registry at [`REGISTRY`], in the clear and in memory. It ends when this is dropped, or this process
/// ends in whatever way.
pub struct Registry {
    crane: PathBuf,
    _process: Child,
}

impl Registry {
    /// Starts an empty one.
    ///
    /// # Errors
    /// If the nodes are simulated, or it cannot be started.
    pub async fn start(cp: &ControlPlane) -> Result<Self> {
        let crane = cp.real_node()?.crane.clone();
        let log = run_dir()?.join("registry.log");
        let process = peers::guarded(&crane)?
            .args(["registry", "serve", "--address", REGISTRY])
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()
            .context("cannot run control-plane")?;
        let what = format!("the registry (see {})", log.display());
        wait::until(&what, START, async || TcpStream::connect(REGISTRY).await).await?;
        Ok(Self {
            crane,
            _process: process,
        })
    }

    /// Pushes an image under its own name, and asserts that the registry knows it by the digest that we
    /// computed.
    ///
    /// # Errors
    /// If it cannot be written or pushed, or its digest is another one.
    pub async fn push(&self, image: &Image) -> Result<()> {
        let folder = tempfile::tempdir_in(run_dir()?)?;
        let (written, to) = (image.clone(), folder.path().to_path_buf());
        let digest = tokio::task::spawn_blocking(move || written.write_layout(&to)).await??;
        self.crane(&["push"], &[folder.path(), Path::new(image.name())])
            .await?;
        let known = self.crane(&["digest"], &[Path::new(image.name())]).await?;
        ensure!(
            known.trim() == digest,
            "the registry knows {} by {known}, not by {digest}",
            image.name()
        );
        Ok(())
    }

    /// `crane` for a person's shell, as a function of bash: it takes this registry without TLS.
    pub fn crane_function(&self) -> String {
        let crane = self.crane.display();
        format!("crane() {{ '{crane}' \"$@\" --insecure; }}")
    }

    async fn crane(&self, words: &[&str], names: &[&Path]) -> Result<String> {
        let output = Command::new(&self.crane)
            .args(words)
            .arg("--insecure")
            .args(names)
            .output()
            .await
            .context("cannot run crane")?;
        ensure!(
            output.status.success(),
            "crane {words:?} {names:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8(output.stdout)?)
    }
}
