//! A real control plane for tests: etcd, kube-apiserver, controller-manager and scheduler, with a
//! CA of its own; and kwok in place of a kubelet, on loopback, or a real node ([`node`]).
//!
//! It is owned by a process of its own, `control-plane serve`, which tears it down when the
//! process that asked for it goes away, in whatever way: see [`supervisor`]. This file owns the
//! asking side.

pub mod binaries;
mod certificates;
pub mod extra;
mod go;
mod launch;
pub mod node;
pub mod ports;
mod process;
mod startup;
mod storage;
pub mod supervisor;

use std::io::{BufRead as _, BufReader};
use std::ops::Deref;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use clap::ValueEnum as _;
use kube::Client;
use tokio::sync::OnceCell;

pub use startup::{Options, Ready, ReadyNode, report};

use self::certificates::{Authority, Pair};
use crate::audit::AuditLog;
use crate::cluster::{Cluster, Nodes};
use crate::kubeconfig::{self, Credentials};
use crate::{crds, metrics, processes, programs, run_dir, wait};
use startup::Report;

/// A control plane that lives as long as this value, and no longer than this process.
///
/// Holds nothing that is bound to an async runtime, so it may serve many tests of one process.
#[derive(Debug)]
pub struct ControlPlane {
    cluster: Cluster,
    ready: Ready,
    supervisor: Supervisor,
    crds: OnceCell<()>,
}

impl ControlPlane {
    /// The one that all tests of this process share; started by the first that asks.
    ///
    /// # Panics
    /// If it cannot be started: no test can go on without.
    #[expect(
        clippy::panic,
        reason = "no test can go on without its control plane, and the reason is said once here"
    )]
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<Result<ControlPlane, String>> = OnceCell::const_new();
        let shared = SHARED.get_or_init(|| async {
            Self::start_default()
                .await
                .map_err(|error| format!("{error:#}"))
        });
        match shared.await {
            Ok(control_plane) => control_plane,
            Err(error) => panic!("no control plane: {error}"),
        }
    }

    async fn start_default() -> Result<Self> {
        Self::start(&run_dir::run_dir()?.join("control-plane")).await
    }

    /// Starts one with its files in `state` (certificates, logs, audit log), and waits until all
    /// of it is Ready. The first start on a machine may build the binaries, which takes minutes and
    /// is shown on stderr.
    ///
    /// # Errors
    /// If a part does not come up, with the end of its log.
    pub async fn start(state: &Path) -> Result<Self> {
        Self::start_with(state, Options::default()).await
    }

    /// As [`Self::start`], with other than the usual options.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_with(state: &Path, options: Options) -> Result<Self> {
        let program = programs::locate("control-plane")?;
        let state = state.to_path_buf();
        let nodes = options.nodes;
        let start = move || Supervisor::start(&program, &state, &options);
        let (supervisor, ready) = tokio::task::spawn_blocking(start).await??;
        let audit = AuditLog::at(&ready.audit_log);
        let cluster = Cluster::started(ready.kubeconfig.clone(), nodes, audit)?;
        Ok(Self {
            cluster,
            ready,
            supervisor,
            crds: OnceCell::new(),
        })
    }

    /// The one with a real node that all tests of this process share; `None` if this machine cannot
    /// run one, which is said on stderr.
    ///
    /// # Panics
    /// If it cannot be started; and if this machine cannot run one although `CI` is set.
    #[expect(
        clippy::panic,
        reason = "no test can go on without its control plane, and the reason is said once here"
    )]
    pub async fn shared_with_real_node() -> Option<&'static Self> {
        static SHARED: OnceCell<Result<Option<ControlPlane>, String>> = OnceCell::const_new();
        let shared = SHARED.get_or_init(|| async {
            Self::start_with_real_node()
                .await
                .map_err(|error| format!("{error:#}"))
        });
        match shared.await {
            Ok(control_plane) => control_plane.as_ref(),
            Err(error) => panic!("no control plane with a real node: {error}"),
        }
    }

    async fn start_with_real_node() -> Result<Option<Self>> {
        if !node::is_available().await {
            return Ok(None);
        }
        let options = Options {
            nodes: Nodes::Real,
            ..Options::default()
        };
        let state = run_dir::run_dir()?.join("control-plane");
        Self::start_with(&state, options).await.map(Some)
    }

    /// Where its parts are.
    pub fn ready(&self) -> &Ready {
        &self.ready
    }

    /// Process that owns it.
    pub fn supervisor_pid(&self) -> u32 {
        self.supervisor.child.id()
    }

    /// A kubeconfig of this user, who has no group and no rights but those that are granted, and is known by a
    /// certificate. Written once.
    ///
    /// # Errors
    /// If the certificate cannot be made or the file not be written.
    pub fn kubeconfig_of(&self, user: &str) -> Result<PathBuf> {
        let state = self.ready.kubeconfig.parent();
        let state = state.context("the control plane has no folder")?;
        let file = state.join(format!("user-{}.kubeconfig", user.replace([':', '@'], "-")));
        if file.exists() {
            return Ok(file);
        }
        let key = std::fs::read_to_string(state.join("ca.key"))?;
        let Pair { certificate, key } = Authority::of_key(&key)?.client(user, None)?;
        let (server, ca) = self.cluster.server()?;
        let credentials = Credentials::Certificate {
            certificate: &certificate,
            key: &key,
        };
        kubeconfig::write(&file, &kubeconfig::cluster(&server, &ca), &credentials)?;
        Ok(file)
    }

    /// A client of this user; see [`Self::kubeconfig_of`].
    ///
    /// # Errors
    /// As there.
    pub async fn client_of(&self, user: &str) -> Result<Client> {
        let file = self.kubeconfig_of(user)?;
        Cluster::existing(Some(file), None)?.client().await
    }

    /// Installs deploy/crds.yaml, once however often it is called.
    ///
    /// # Errors
    /// If the file is missing, or the API server refuses a definition.
    pub async fn install_crds(&self) -> Result<()> {
        let install = || async { crds::install(&self.cluster.client().await?).await };
        self.crds.get_or_try_init(install).await?;
        Ok(())
    }

    /// As [`Self::install_crds`], from another file: that of another revision, say. Whichever of the
    /// two is called first decides.
    ///
    /// # Errors
    /// As there.
    pub async fn install_crds_of(&self, file: &Path) -> Result<()> {
        let install = || async { crds::install_of(&self.cluster.client().await?, file).await };
        self.crds.get_or_try_init(install).await?;
        Ok(())
    }

    /// Text of its etcd's `/metrics`; see [`metrics::metric_value`].
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn etcd_metrics(&self) -> Result<String> {
        programs::get(&format!("{}/metrics", self.ready.etcd)).await
    }

    /// Restarts the API server, and waits until the new one is Ready. Nobody else may need it
    /// meanwhile.
    ///
    /// # Errors
    /// If it does not come back.
    pub async fn restart_apiserver(&self) -> Result<()> {
        let before = self.apiserver_started().await?;
        processes::signal(self.supervisor_pid(), supervisor::RESTART)?;
        wait::until("a new API server", Duration::from_mins(1), async || {
            let now = self.apiserver_started().await?;
            if now > before {
                Ok(())
            } else {
                Err(anyhow!("it is still the old one"))
            }
        })
        .await
    }

    /// When the process of the API server began, in seconds since 1970.
    async fn apiserver_started(&self) -> Result<f64> {
        let client = self.cluster.client().await?;
        let request = http::Request::get("/metrics").body(Vec::new())?;
        let text = client.request_text(request).await?;
        metrics::metric_value(&text, "process_start_time_seconds", &[])
            .context("the API server does not say when it started")
    }

    /// Ends all of it and waits until it is gone.
    ///
    /// # Errors
    /// If it has not ended within 30 s.
    pub async fn stop(self) -> Result<()> {
        let Supervisor { mut child, stdin } = self.supervisor;
        drop(stdin);
        let status = wait::until(
            "the control plane's end",
            Duration::from_secs(30),
            async || child.try_wait().ok().flatten(),
        );
        let status = status.await?;
        if !status.success() {
            bail!(
                "the control plane ended with {status}; see {}",
                self.ready.logs.display()
            );
        }
        Ok(())
    }
}

impl Deref for ControlPlane {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        &self.cluster
    }
}

/// The owning process. It ends when `stdin` is closed, which the kernel does at the latest when
/// this process is gone.
#[derive(Debug)]
struct Supervisor {
    child: Child,
    stdin: ChildStdin,
}

impl Supervisor {
    /// Blocks until the control plane is Ready.
    fn start(program: &Path, state: &Path, options: &Options) -> Result<(Self, Ready)> {
        let bodies = options
            .audit_bodies_of
            .iter()
            .flat_map(|user| ["--audit-bodies-of", user]);
        let bodies_in = options
            .audit_bodies_in
            .iter()
            .flat_map(|namespace| ["--audit-bodies-in", namespace]);
        let nodes = options.nodes.to_possible_value();
        let nodes = nodes.context("nodes without a name")?;
        let limit = options.heap_limit.map(|gib| format!("{gib}GiB"));
        let mut child = Command::new(program)
            .envs(limit.map(|limit| ("GOMEMLIMIT", limit)))
            .arg("serve")
            .arg("--state")
            .arg(state)
            .args(["--nodes", nodes.get_name()])
            .args(bodies)
            .args(bodies_in)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C goes to the whole foreground group; the supervisor tears down by itself.
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot run {}", program.display()))?;
        let stdin = child.stdin.take().context("no pipe to the supervisor")?;
        let stdout = child.stdout.take().context("no pipe from the supervisor")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        match serde_json::from_str(&line) {
            Ok(Report::Ready(ready)) => Ok((Self { child, stdin }, *ready)),
            Ok(Report::Failed(error)) => Err(anyhow!(error)),
            Err(_) => bail!(
                "{} ended with {} and said {line:?}",
                program.display(),
                child.wait()?
            ),
        }
    }
}
