//! What is asked of `control-plane serve`, and what it says once all of it is Ready: the words
//! between the process that asks and the one that owns the control plane.

use std::path::PathBuf;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::cluster::Nodes;

/// In what one control plane differs from another.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Options {
    /// Log the writes of this user with their bodies (default: nobody's).
    #[arg(long, value_name = "USER")]
    pub audit_bodies_of: Vec<String>,
    /// Log bodies of requests in this namespace only (default: in all), where all would be more than
    /// a disk should hold.
    #[arg(long, value_name = "NAMESPACE")]
    pub audit_bodies_in: Vec<String>,
    /// From which size of its heap on each part collects as often as it has to, in GiB (default:
    /// what GOMEMLIMIT says, else none). Not too little for what it holds: it would do nothing else.
    #[arg(skip)]
    pub heap_limit: Option<u16>,
    /// What pods run on; a real node needs Linux and root, and there is one at a time on a machine.
    #[arg(long, value_enum, default_value_t)]
    pub nodes: Nodes,
}

/// What a started control plane says of itself, once all of it is Ready.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ready {
    /// Kubeconfig of its administrator.
    pub kubeconfig: PathBuf,
    /// The API server's audit log: level Metadata, but for [`Options::audit_bodies_of`].
    pub audit_log: PathBuf,
    /// Address of the API server.
    pub server: String,
    /// Address of its etcd, without credentials.
    pub etcd: String,
    /// The folder's kubectl fits the server.
    pub kubectl: PathBuf,
    /// Logs of the parts, one file each.
    pub logs: PathBuf,
    /// The processes of its parts by name.
    pub pids: Vec<(String, u32)>,
    /// The real node, if there is one.
    pub node: Option<ReadyNode>,
}

/// How to enter a real node.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReadyNode {
    /// Its first process, whose namespaces are the node's.
    pub init: u32,
    /// The client of its containerd.
    pub ctr: PathBuf,
    /// The program that tests run in pods; see integration-tests/node/probe.
    pub probe: PathBuf,
    /// Serves and fills a registry; see [`crate::registry`].
    pub crane: PathBuf,
}

/// The one line that `control-plane serve` prints.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Report {
    Ready(Box<Ready>),
    Failed(String),
}

/// The one line that `control-plane serve` prints, without its newline.
///
/// # Errors
/// If a path is no UTF-8.
pub fn report(outcome: Result<&Ready, &anyhow::Error>) -> Result<String> {
    let report = match outcome {
        Ok(ready) => Report::Ready(Box::new(ready.clone())),
        Err(error) => Report::Failed(format!("{error:#}")),
    };
    Ok(serde_json::to_string(&report)?)
}
