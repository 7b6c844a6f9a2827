//! `langop-operator run` as a child process, under its own service account and nothing more.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::locate::locate;
use super::process::{Launch, Program, READY, log_file};
use super::rbac::{self, NAME, Scope};
use super::synthesizer::otlp_env;
use crate::audit::Filter;
use crate::cluster::Cluster;
use crate::control_plane::ports;
use crate::fault_proxy::FaultProxy;
use crate::{kubeconfig, run_dir};

/// Namespace of an operator that is limited to none.
const SYSTEM: &str = "langop-system";

/// Whether several operators are to agree on one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaderElection {
    /// `LANGOP_LEADER_ELECT=true`
    On,
    /// `LANGOP_LEADER_ELECT=false`
    Off,
}

/// Settings of an operator to be started.
#[derive(Clone, Debug)]
pub struct OperatorBuilder {
    cluster: Cluster,
    scope: Scope,
    own_namespace: Option<String>,
    leader_election: LeaderElection,
    through: Option<String>,
    by_way_of: Option<String>,
    program: Option<PathBuf>,
    rights: Option<PathBuf>,
    ready_within: Duration,
    env: Vec<(String, OsString)>,
}

impl OperatorBuilder {
    /// Limits it to these namespaces, by `RoleBinding`s and `LANGOP_NAMESPACES`. It lives in the
    /// first.
    #[must_use]
    pub fn namespaces(mut self, names: &[&str]) -> Self {
        self.scope = Scope::Namespaces(names.iter().map(|name| (*name).to_owned()).collect());
        self
    }

    /// Lets it work everywhere, by a `ClusterRoleBinding`. It lives in `langop-system` unless told
    /// otherwise. Only one at a time may do so on a shared control plane.
    #[must_use]
    pub fn cluster_wide(mut self) -> Self {
        self.scope = Scope::Cluster;
        self
    }

    /// Its service account in `langop-system` and the rights of that are there: by a release of the
    /// chart. It works everywhere.
    #[must_use]
    pub fn released(mut self) -> Self {
        self.scope = Scope::Released;
        self
    }

    /// Namespace of its service account and Lease (`LANGOP_NAMESPACE`), made if missing.
    #[must_use]
    pub fn own_namespace(mut self, name: &str) -> Self {
        self.own_namespace = Some(name.to_owned());
        self
    }

    /// `LANGOP_SYNTHESIZER_ENDPOINT`, e.g. [`crate::Synthesizer::grpc_url`].
    #[must_use]
    pub fn synthesizer(self, url: &str) -> Self {
        self.env("LANGOP_SYNTHESIZER_ENDPOINT", url)
    }

    /// First and longest pause after failed syntheses, e.g. `1s` and `4s`.
    #[must_use]
    pub fn synthesis_backoff(self, initial: &str, max: &str) -> Self {
        self.env("LANGOP_SYNTHESIS_BACKOFF_INITIAL", initial)
            .env("LANGOP_SYNTHESIS_BACKOFF_MAX", max)
    }

    /// Off unless asked for.
    #[must_use]
    pub fn leader_election(mut self, leader_election: LeaderElection) -> Self {
        self.leader_election = leader_election;
        self
    }

    /// It reaches the API server only through this proxy.
    #[must_use]
    pub fn through(mut self, proxy: &FaultProxy) -> Self {
        self.through = Some(proxy.url().to_owned());
        self
    }

    /// It reaches the API server at this URL, where something passes on the bytes of its TLS
    /// connections as they are.
    #[must_use]
    pub fn by_way_of(mut self, url: &str) -> Self {
        self.by_way_of = Some(url.to_owned());
        self
    }

    /// Another build of it, and the rights (deploy/rbac.yaml) that are that build's.
    #[must_use]
    pub fn other_build(mut self, program: &Path, rights: &Path) -> Self {
        self.program = Some(program.to_path_buf());
        self.rights = Some(rights.to_path_buf());
        self
    }

    /// Until it is ready after each start, for one that has much to list.
    #[must_use]
    pub fn ready_within(mut self, within: Duration) -> Self {
        self.ready_within = within;
        self
    }

    /// Sends traces there, soon, e.g. to [`crate::OtlpReceiver::endpoint`].
    #[must_use]
    pub fn otlp(mut self, endpoint: &str) -> Self {
        self.env.extend(otlp_env(endpoint));
        self
    }

    /// Agents send their traces there over gRPC, and may reach it at this address.
    #[must_use]
    pub fn agent_otlp(self, endpoint: &str, address: &str) -> Self {
        self.env("LANGOP_AGENT_OTLP_ENDPOINT", endpoint)
            .env("LANGOP_AGENT_OTLP_PROTOCOL", "grpc")
            .env("LANGOP_AGENT_OTLP_CIDRS", &format!("{address}/32"))
    }

    /// Any environment variable; wins over the harness's own.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }

    /// Makes its service account and rights, if no release has, starts it and waits until it is ready.
    ///
    /// # Errors
    /// If it was not built, deploy/rbac.yaml is refused, or it does not become ready (with the end
    /// of its log).
    pub async fn start(self) -> Result<Operator> {
        let own = self.own()?;
        let client = self.cluster.client().await?;
        let rights = match &self.rights {
            Some(file) => file.clone(),
            None => run_dir::workspace_root()?.join("deploy/rbac.yaml"),
        };
        rbac::apply(&client, &rights, &own, &self.scope)
            .await
            .with_context(|| rights.display().to_string())?;
        let token = rbac::token(&client, &own, NAME).await?;
        let log = log_file("operator")?;
        let kubeconfig = kubeconfig_beside(&log);
        let server = self.server()?;
        self.cluster
            .write_token_kubeconfig(&kubeconfig, &token, server)?;
        let [port] = ports::free()?;
        let admin = format!("127.0.0.1:{port}");
        let launch = Launch {
            name: NAME,
            program: match &self.program {
                Some(program) => program.clone(),
                None => locate("langop-operator")?,
            },
            args: vec!["run".into()],
            env: self.environment(&own, &kubeconfig, &admin),
            log,
            ready_within: self.ready_within,
            admin: format!("http://{admin}"),
        };
        let user = format!("system:serviceaccount:{own}:{NAME}");
        let admin_url = launch.admin.clone();
        Ok(Operator {
            program: Program::start(launch).await?,
            user,
            admin_url,
        })
    }

    /// Where it finds the API server, if not at the server's own address.
    fn server(&self) -> Result<Option<Value>> {
        if let Some(proxy) = &self.through {
            return Ok(Some(json!({"server": proxy})));
        }
        let Some(url) = &self.by_way_of else {
            return Ok(None);
        };
        let (_, ca) = self.cluster.server()?;
        Ok(Some(kubeconfig::cluster(url, &ca)))
    }

    fn own(&self) -> Result<String> {
        match (&self.own_namespace, &self.scope) {
            (Some(own), _) => Ok(own.clone()),
            (None, Scope::Cluster | Scope::Released) => Ok(SYSTEM.to_owned()),
            (None, Scope::Namespaces(names)) => names
                .first()
                .cloned()
                .context("an operator of no namespace; name one"),
        }
    }

    fn environment(&self, own: &str, kubeconfig: &Path, admin: &str) -> Vec<(String, OsString)> {
        let set = |name: &str, value: OsString| (name.to_owned(), value);
        let leader_elect = if self.leader_election == LeaderElection::On {
            "true"
        } else {
            "false"
        };
        let mut env = vec![
            set("KUBECONFIG", kubeconfig.into()),
            set("LANGOP_NAMESPACE", own.into()),
            set("LANGOP_ADMIN_LISTEN", admin.into()),
            set("LANGOP_LEADER_ELECT", leader_elect.into()),
            // Rollouts as in production, but sooner.
            set("LANGOP_MIN_READY_SECONDS", "1".into()),
            // Most tests have no LanguageCluster, and say of egress what an administrator would.
            set("LANGOP_DEFAULT_EGRESS", "Allow".into()),
        ];
        if let Scope::Namespaces(names) = &self.scope {
            env.push(set("LANGOP_NAMESPACES", names.join(",").into()));
        }
        env.extend(self.env.iter().cloned());
        env
    }
}

fn kubeconfig_beside(log: &Path) -> PathBuf {
    log.with_extension("kubeconfig")
}

/// A running `langop-operator`.
#[derive(Debug)]
pub struct Operator {
    program: Program,
    user: String,
    admin_url: String,
}

impl Operator {
    /// One for this cluster (a [`crate::ControlPlane`] is one too), cluster-wide unless told
    /// otherwise.
    pub fn builder(cluster: &Cluster) -> OperatorBuilder {
        OperatorBuilder {
            cluster: cluster.clone(),
            scope: Scope::Cluster,
            own_namespace: None,
            leader_election: LeaderElection::Off,
            through: None,
            by_way_of: None,
            program: None,
            rights: None,
            ready_within: READY,
            env: Vec::new(),
        }
    }

    /// Who it is to the API server and in its audit log.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// All its writes but those of Leases, for [`crate::AuditLog`].
    pub fn writes(&self) -> Filter {
        Filter::writes().user(&self.user)
    }

    /// Where it serves health and metrics: `http://127.0.0.1:PORT`.
    pub fn admin_url(&self) -> &str {
        &self.admin_url
    }

    /// Its log, both outputs.
    pub fn log(&self) -> &Path {
        self.program.log()
    }

    /// The kubeconfig by which it acts: whoever uses it is the operator to the API server.
    pub fn kubeconfig(&self) -> PathBuf {
        kubeconfig_beside(self.log())
    }

    /// Its process, e.g. to read its memory from `/proc`.
    pub fn pid(&self) -> u32 {
        self.program.pid()
    }

    /// Text of its `/metrics`; see [`crate::metrics::metric_value`].
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn metrics(&self) -> Result<String> {
        self.program.metrics().await
    }

    /// SIGTERM, and waits for the end.
    ///
    /// # Errors
    /// If it does not end.
    pub async fn stop(&mut self) -> Result<()> {
        self.program.end(Signal::TERM).await?;
        Ok(())
    }

    /// SIGKILL, and waits for the end.
    ///
    /// # Errors
    /// If it does not end.
    pub async fn kill(&mut self) -> Result<()> {
        self.program.end(Signal::KILL).await?;
        Ok(())
    }

    /// Starts it again after [`Self::stop`] or [`Self::kill`], with the same settings.
    ///
    /// # Errors
    /// If it does not become ready.
    pub async fn start_again(&mut self) -> Result<()> {
        self.program.start_again().await
    }

    /// Stops it, and starts it again with the same settings.
    ///
    /// # Errors
    /// If it does not end or does not become ready.
    pub async fn restart(&mut self) -> Result<()> {
        self.stop().await?;
        self.start_again().await
    }
}
