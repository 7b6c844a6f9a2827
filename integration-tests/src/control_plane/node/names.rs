//! What a real node and its parts are called, and at which addresses they are.

/// Name of the Node object, and of its subtree of each cgroup hierarchy.
pub(crate) const NAME: &str = "langop-node";
/// This machine's end of the link: the API server listens there, and tests may too.
pub const MACHINE: &str = "10.254.99.1";
/// Where a registry of tests listens, and containerd pulls from without TLS.
pub const REGISTRY: &str = "10.254.99.1:5000";
/// The node's end of the link.
pub(crate) const ADDRESS: &str = "10.254.99.2";
/// Addresses of pods.
pub(super) const PODS: &str = "10.244.0.0/24";
/// Addresses of Services; the API server allots them.
pub(crate) const SERVICES: &str = "10.0.0.0/16";
/// Address of the Service `kube-dns`, as in integration-tests/node/cluster.yaml.
pub(super) const DNS: &str = "10.0.0.10";

/// The pause container of every pod, and what tests run; see integration-tests/node/probe.
pub const PROBE_IMAGE: &str = "localhost/probe:1";
pub(super) const DNS_IMAGE: &str = "localhost/coredns:1";
