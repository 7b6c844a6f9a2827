//! A real cert-manager beside the API server: it makes Secrets of Certificates. It must not know
//! whose.

use std::fs::{self, File};
use std::process::Stdio;

use anyhow::{Context as _, Result};
use tokio::process::Child;

use crate::control_plane::ControlPlane;
use crate::control_plane::extra::{self, Extra};
use crate::{manifests, peers, run_dir};

/// The module that it is made of, which also has its kinds.
const MODULE: &str = "github.com/cert-manager/cert-manager";
const CRDS: &str = "deploy/crds";

/// The controller. It ends when this value is dropped, or this process ends in whatever way.
pub struct CertManager {
    _process: Child,
}

impl CertManager {
    /// Installs its kinds and starts it.
    ///
    /// # Errors
    /// If it cannot be built, or the API server does not take its kinds.
    pub async fn start(cp: &ControlPlane) -> Result<Self> {
        let program = extra::locate(Extra::CertManager).await?;
        install_kinds(cp).await?;
        let log = run_dir()?.join("cert-manager.log");
        let process = peers::guarded(&program)?
            .arg(format!("--kubeconfig={}", cp.ready().kubeconfig.display()))
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()
            .context("cannot run control-plane")?;
        Ok(Self { _process: process })
    }
}

async fn install_kinds(cp: &ControlPlane) -> Result<()> {
    let source = extra::source(Extra::CertManager, MODULE).await?;
    let client = cp.client().await?;
    let files = fs::read_dir(source.join(CRDS))?;
    for file in files {
        let file = file?.path();
        if file.extension().is_some_and(|kind| kind == "yaml") {
            for kind in manifests::read(&file)? {
                manifests::apply(&client, &kind, "").await?;
            }
        }
    }
    Ok(())
}
