//! What the node's programs read, as text. Pure: paths are those inside the node's mount namespace,
//! where they do not depend on where the state folder lies.

use serde_json::{Value, json};

use super::names::{ADDRESS, DNS, NAME, PODS, PROBE_IMAGE, REGISTRY};
use super::programs::Programs;

/// The file in the state folder that says where the programs are.
pub(super) const SPEC: &str = "node.json";
/// The images that are there from the beginning, below the state folder.
pub(crate) const IMAGES: &str = "node/images";
/// A folder of the node's own, in memory.
pub(super) const OWN: &str = "/run/langop";
/// The state folder, as seen inside.
pub(super) const STATE: &str = "/run/langop/state";
pub(super) const CONTAINERD_SOCKET: &str = "/run/langop/containerd.sock";
pub(super) const NETPOLD_SOCKET: &str = "/run/langop/netpold.sock";

/// A path in the state folder, as seen inside the node.
pub(crate) fn home(path: &str) -> String {
    format!("{STATE}/{path}")
}

/// The files below [`OWN`] and their content.
pub(super) fn files(programs: &Programs) -> Vec<(String, String)> {
    let files = [
        ("containerd.toml", containerd(programs)),
        ("cni/10-ptp.conflist", cni().to_string()),
        ("kubelet.yaml", kubelet().to_string()),
        ("kube-proxy.yaml", kube_proxy().to_string()),
        (&format!("registries/{REGISTRY}/hosts.toml"), registry()),
        // Pods ask the cluster's DNS, which has nobody else to ask.
        ("resolv.conf", String::new()),
    ];
    files
        .map(|(name, content)| (name.to_owned(), content))
        .into()
}

fn containerd(programs: &Programs) -> String {
    let disabled = json!([
        "io.containerd.nri.v1.nri",
        "io.containerd.tracing.processor.v1.otlp",
        "io.containerd.internal.v1.tracing",
        "io.containerd.snapshotter.v1.btrfs",
        "io.containerd.snapshotter.v1.zfs",
        "io.containerd.snapshotter.v1.devmapper",
        "io.containerd.snapshotter.v1.erofs",
        "io.containerd.snapshotter.v1.blockfile",
    ]);
    let cni_folders = json!([programs.cni, programs.netpold_folder()]);
    let runc = json!(programs.runc);
    // Without CAP_SYS_RESOURCE no process may be made less likely to be killed for lack of memory,
    // hence restrict_oom_score_adj.
    format!(
        "version = 3
root = '{STATE}/node/containerd'
state = '{OWN}/containerd'
disabled_plugins = {disabled}
[grpc]
  address = '{CONTAINERD_SOCKET}'
[plugins.'io.containerd.cri.v1.images']
  snapshotter = 'overlayfs'
[plugins.'io.containerd.cri.v1.images'.registry]
  config_path = '{OWN}/registries'
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = '{PROBE_IMAGE}'
[plugins.'io.containerd.cri.v1.runtime']
  disable_apparmor = true
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = 'io.containerd.runc.v2'
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
  BinaryName = {runc}
  SystemdCgroup = false
[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = {cni_folders}
  conf_dir = '{OWN}/cni'
"
    )
}

/// Without it, containerd would speak TLS to a registry that is not on loopback.
fn registry() -> String {
    format!(
        "[host.'http://{REGISTRY}']
  capabilities = ['pull', 'resolve']
"
    )
}

/// Every pod is routed (one veth and one route each), so that the node's packet filter sees all
/// that passes between pods. netpold is the last in the chain: a pod starts under its policies.
fn cni() -> Value {
    let ipam = json!({
        "type": "host-local",
        "dataDir": format!("{OWN}/cni-addresses"),
        "ranges": [[{"subnet": PODS}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    });
    json!({
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [
            {"type": "ptp", "ipMasq": false, "mtu": 1500, "ipam": ipam},
            {"type": "netpold", "socket": NETPOLD_SOCKET},
        ],
    })
}

fn kubelet() -> Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{NAME}"),
        "failCgroupV1": false,
        "failSwapOn": false,
        "makeIPTablesUtilChains": false,
        "containerRuntimeEndpoint": format!("unix://{CONTAINERD_SOCKET}"),
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": home("ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": home("kubelet.crt"),
        "tlsPrivateKeyFile": home("kubelet.key"),
        "clusterDNS": [DNS],
        "clusterDomain": "cluster.local",
        "resolvConf": format!("{OWN}/resolv.conf"),
        "volumePluginDir": home("node/kubelet/plugins-exec"),
        // How full the machine's disk is, is none of the tests' concern.
        "evictionHard": {
            "imagefs.available": "0%",
            "imagefs.inodesFree": "0%",
            "nodefs.available": "0%",
            "nodefs.inodesFree": "0%",
            "memory.available": "0%",
        },
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "syncFrequency": "10s",
        "configMapAndSecretChangeDetectionStrategy": "Watch",
    })
}

fn kube_proxy() -> Value {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "hostnameOverride": NAME,
        "clusterCIDR": PODS,
        "clientConnection": {"kubeconfig": home("kube-proxy.kubeconfig")},
        // These limits are the machine's, not the namespace's.
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
        "metricsBindAddress": "127.0.0.1:10249",
        "healthzBindAddress": "127.0.0.1:10256",
        "nftables": {"minSyncPeriod": "100ms"},
    })
}

/// Arguments of the kubelet.
pub(super) fn kubelet_flags() -> Vec<String> {
    vec![
        format!("--config={OWN}/kubelet.yaml"),
        format!("--kubeconfig={}", home("kubelet.kubeconfig")),
        format!("--node-ip={ADDRESS}"),
        format!("--hostname-override={NAME}"),
        format!("--root-dir={}", home("node/kubelet")),
        format!("--cert-dir={}", home("node/kubelet/pki")),
        "--v=1".to_owned(),
    ]
}

/// Arguments of netpold.
pub(super) fn netpold_flags() -> Vec<String> {
    vec![
        format!("--kubeconfig={}", home("netpold.kubeconfig")),
        format!("--pod-cidr={PODS}"),
        format!("--cni-socket={NETPOLD_SOCKET}"),
    ]
}
