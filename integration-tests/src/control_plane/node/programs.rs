//! Which programs a node consists of, and the pinned Go modules that they are built from.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use tokio::process::Command;

use super::super::binaries;
use super::super::go::{Linking, Module};

const KUBELET: Module = Module {
    name: "kubelet",
    folder: "node/kubernetes",
    packages: &[
        ("k8s.io/kubernetes/cmd/kubelet", "kubelet"),
        ("k8s.io/kubernetes/cmd/kube-proxy", "kube-proxy"),
    ],
    linking: Linking::Default,
    usual: "5 minutes",
};
const CONTAINERD: Module = Module {
    name: "containerd",
    folder: "node/containerd",
    packages: &[
        (
            "github.com/containerd/containerd/v2/cmd/containerd",
            "containerd",
        ),
        (
            "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
            "containerd-shim-runc-v2",
        ),
        ("github.com/containerd/containerd/v2/cmd/ctr", "ctr"),
    ],
    linking: Linking::Pure,
    usual: "a minute",
};
/// Without the tag `seccomp` it could not apply the profile that Pod Security `restricted` demands.
const RUNC: Module = Module {
    name: "runc",
    folder: "node/runc",
    packages: &[("github.com/opencontainers/runc", "runc")],
    linking: Linking::StaticC("seccomp,netgo,osusergo"),
    usual: "15 seconds",
};
const CNI: Module = Module {
    name: "cni",
    folder: "node/cni",
    packages: &[
        (
            "github.com/containernetworking/plugins/plugins/main/ptp",
            "ptp",
        ),
        (
            "github.com/containernetworking/plugins/plugins/main/loopback",
            "loopback",
        ),
        (
            "github.com/containernetworking/plugins/plugins/ipam/host-local",
            "host-local",
        ),
    ],
    linking: Linking::Pure,
    usual: "10 seconds",
};
const NETPOLD: Module = Module {
    name: "netpold",
    folder: "node/netpold",
    packages: &[(".", "netpold")],
    linking: Linking::Default,
    usual: "10 seconds",
};
const COREDNS: Module = Module {
    name: "coredns",
    folder: "node/coredns",
    packages: &[(".", "coredns")],
    linking: Linking::Pure,
    usual: "a minute",
};
const PROBE: Module = Module {
    name: "probe",
    folder: "node/probe",
    packages: &[(".", "probe")],
    linking: Linking::Pure,
    usual: "10 seconds",
};

/// A registry, and what pushes to it.
const CRANE: Module = Module {
    name: "crane",
    folder: "node/crane",
    packages: &[("github.com/google/go-containerregistry/cmd/crane", "crane")],
    linking: Linking::Pure,
    usual: "20 seconds",
};

/// Name of the cache's folder for the programs of a node.
const CACHE: &str = "node";

/// Where the programs are.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Programs {
    pub kubelet: PathBuf,
    pub kube_proxy: PathBuf,
    pub containerd: PathBuf,
    pub ctr: PathBuf,
    pub runc: PathBuf,
    /// Folder of the CNI plugins, but for netpold.
    pub cni: PathBuf,
    pub netpold: PathBuf,
    pub coredns: PathBuf,
    pub probe: PathBuf,
    pub crane: PathBuf,
}

impl Programs {
    /// Finds the programs in the cache, building what is missing (minutes, once; progress on
    /// stderr).
    ///
    /// # Errors
    /// If a build is needed and Go or libseccomp is missing, or the build fails.
    pub(crate) async fn locate() -> Result<Self> {
        if let Some(problem) = cannot_build_runc().await? {
            bail!("{problem}");
        }
        let modules = [
            &KUBELET,
            &CONTAINERD,
            &RUNC,
            &CNI,
            &NETPOLD,
            &COREDNS,
            &PROBE,
            &CRANE,
        ];
        let folders = binaries::folders_of(CACHE, &modules).await?;
        let [
            kubelet,
            containerd,
            runc,
            cni,
            netpold,
            coredns,
            probe,
            crane,
        ] = &folders[..]
        else {
            bail!("{} folders for {} modules", folders.len(), modules.len());
        };
        Ok(Self {
            kubelet: kubelet.join("kubelet"),
            kube_proxy: kubelet.join("kube-proxy"),
            containerd: containerd.join("containerd"),
            ctr: containerd.join("ctr"),
            runc: runc.join("runc"),
            cni: cni.clone(),
            netpold: netpold.join("netpold"),
            coredns: coredns.join("coredns"),
            probe: probe.join("probe"),
            crane: crane.join("crane"),
        })
    }

    /// Where CNI finds netpold, which is a plugin too.
    pub(super) fn netpold_folder(&self) -> &Path {
        self.netpold.parent().unwrap_or(&self.netpold)
    }
}

/// Why runc cannot be built, if it is not built yet.
pub(super) async fn cannot_build_runc() -> Result<Option<String>> {
    if binaries::built(CACHE, &RUNC).await?.is_some() {
        return Ok(None);
    }
    let found = Command::new("pkg-config")
        .args(["--exists", "libseccomp"])
        .status()
        .await;
    Ok((!found.is_ok_and(|status| status.success())).then(|| {
        "runc is built with libseccomp, which is missing: apt-get install libseccomp-dev pkg-config gcc".to_owned()
    }))
}
