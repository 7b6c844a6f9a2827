//! A connection to a cluster, wherever it comes from. It owns no process: see
//! [`crate::ControlPlane`] for one that is started.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use http::HeaderValue;
use http::header::USER_AGENT;
use k8s_openapi::ByteString;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::Value;

use crate::audit::AuditLog;
use crate::kubeconfig::{self, Credentials};

/// Flags that name an existing cluster, for programs of this crate.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ClusterArgs {
    /// Kubeconfig of an existing cluster to use, in place of starting one.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig (default: its current one).
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
}

impl ClusterArgs {
    /// The cluster that is named, if one is.
    ///
    /// # Errors
    /// If the kubeconfig cannot be read or lacks the context.
    pub fn cluster(&self) -> Result<Option<Cluster>> {
        if self.kubeconfig.is_none() && self.context.is_none() {
            return Ok(None);
        }
        Cluster::existing(self.kubeconfig.clone(), self.context.clone()).map(Some)
    }
}

/// What pods of the cluster run on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Nodes {
    /// kwok plays the kubelet: pods become Ready and Jobs complete, but no container runs.
    #[default]
    Simulated,
    /// A real kubelet, or at least nobody says otherwise.
    Real,
}

/// How to reach a cluster as its administrator. Holds nothing that is bound to an async runtime.
#[derive(Clone, Debug)]
pub struct Cluster {
    kubeconfig: Kubeconfig,
    path: Option<PathBuf>,
    context: Option<String>,
    nodes: Nodes,
    audit: Option<AuditLog>,
}

impl Cluster {
    /// An existing cluster: `path`, or what `KUBECONFIG` and `~/.kube/config` say.
    ///
    /// # Errors
    /// If the kubeconfig cannot be read or lacks the context.
    pub fn existing(path: Option<PathBuf>, context: Option<String>) -> Result<Self> {
        let kubeconfig = match &path {
            Some(path) => Kubeconfig::read_from(path)
                .with_context(|| format!("cannot read kubeconfig {}", path.display()))?,
            None => Kubeconfig::read()
                .context("cannot read the default kubeconfig; name one by --kubeconfig")?,
        };
        let this = Self {
            kubeconfig,
            path,
            context,
            nodes: Nodes::Real,
            audit: None,
        };
        this.cluster_entry()?;
        Ok(this)
    }

    /// One that the harness started.
    pub(crate) fn started(kubeconfig: PathBuf, nodes: Nodes, audit: AuditLog) -> Result<Self> {
        Ok(Self {
            nodes,
            audit: Some(audit),
            ..Self::existing(Some(kubeconfig), None)?
        })
    }

    /// A fresh admin client of the current async runtime, as user agent [`crate::USER_AGENT`].
    ///
    /// # Errors
    /// If the kubeconfig's credentials cannot be used.
    pub async fn client(&self) -> Result<Client> {
        self.client_as(kubeconfig::USER_AGENT).await
    }

    /// As [`Self::client`], with a user agent of the caller's choice.
    ///
    /// # Errors
    /// If the kubeconfig's credentials cannot be used.
    pub async fn client_as(&self, user_agent: &str) -> Result<Client> {
        install_crypto_provider();
        let options = KubeConfigOptions {
            context: self.context.clone(),
            ..Default::default()
        };
        let mut config = Config::from_custom_kubeconfig(self.kubeconfig.clone(), &options).await?;
        config
            .headers
            .push((USER_AGENT, HeaderValue::from_str(user_agent)?));
        Ok(Client::try_from(config)?)
    }

    /// The kubeconfig file, if the cluster was named by one.
    pub fn kubeconfig(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// What pods run on.
    pub fn nodes(&self) -> Nodes {
        self.nodes
    }

    /// The API server's audit log.
    ///
    /// # Errors
    /// For an existing cluster, whose audit log the harness cannot read.
    pub fn audit(&self) -> Result<&AuditLog> {
        self.audit
            .as_ref()
            .context("an existing cluster's audit log cannot be read; let the harness start one")
    }

    /// Writes a kubeconfig in which `token` is the only credential, for the same cluster; reached as
    /// `entry` says, if not as this one is.
    pub(crate) fn write_token_kubeconfig(
        &self,
        path: &Path,
        token: &str,
        entry: Option<Value>,
    ) -> Result<()> {
        let cluster = match entry {
            Some(entry) => entry,
            None => self.cluster_entry()?,
        };
        kubeconfig::write(path, &cluster, &Credentials::Token(token))
    }

    /// The API server's URL, and the PEM of its CA.
    pub(crate) fn server(&self) -> Result<(String, String)> {
        let entry = self.cluster_entry()?;
        let server = entry["server"]
            .as_str()
            .context("the kubeconfig names no server")?;
        let ca: ByteString = serde_json::from_value(entry["certificate-authority-data"].clone())
            .context("the kubeconfig holds no certificate-authority-data")?;
        Ok((
            server.trim_end_matches('/').to_owned(),
            String::from_utf8(ca.0)?,
        ))
    }

    fn cluster_entry(&self) -> Result<Value> {
        let context = self
            .context
            .as_ref()
            .or(self.kubeconfig.current_context.as_ref())
            .context("the kubeconfig has no current context; name one by --context")?;
        let cluster = self
            .kubeconfig
            .contexts
            .iter()
            .find(|named| named.name == *context)
            .and_then(|named| named.context.as_ref())
            .map(|found| &found.cluster)
            .with_context(|| format!("the kubeconfig has no context {context}"))?;
        let entry = self
            .kubeconfig
            .clusters
            .iter()
            .find(|named| named.name == *cluster)
            .and_then(|named| named.cluster.as_ref());
        let entry = entry.ok_or_else(|| {
            anyhow!("the kubeconfig has no cluster {cluster}, which context {context} names")
        })?;
        Ok(serde_json::to_value(entry)?)
    }
}

/// Chooses the one TLS implementation, which several crates would else guess by their features.
pub fn install_crypto_provider() {
    // An error says that somebody has chosen already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
