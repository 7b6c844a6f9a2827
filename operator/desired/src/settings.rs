//! The operator's settings that shape what it builds. Filled from flags by the operator; defaults
//! here are the documented ones.

use std::collections::BTreeMap;

use langop_api::{cluster::AgentEgress, policy::Protocol};

/// Settings that reach the builders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The namespace the operator runs in.
    pub operator_namespace: String,
    /// The cluster's DNS domain.
    pub cluster_domain: String,
    /// Image of agents that name none.
    pub agent_image: String,
    /// Image with the adapter for tools that speak over their standard input and output.
    pub tool_adapter_image: String,
    /// Image of model proxies that name none.
    pub model_proxy_image: String,
    /// How long an agent's new pod must run before the old one ends, in seconds.
    pub min_ready_seconds: i32,
    /// The time zone of schedules that name none, in namespaces whose LanguageCluster names none;
    /// `None`: kube-controller-manager's.
    pub time_zone: Option<String>,
    /// How long a run of an agent may take where neither its spec nor its code says so, in seconds;
    /// `None`: for ever.
    pub run_timeout: Option<u64>,
    /// User, group and fsGroup of every pod; `None` leaves them to the platform (`OpenShift`).
    pub run_as_user: Option<i64>,
    /// The addresses that a server of ours listens on.
    pub pod_ip_family: IpFamily,
    /// Who answers DNS.
    pub dns: Dns,
    /// Pod, Service and node ranges that a `/0` egress rule must not include; without any, all
    /// private ranges are taken for them.
    pub cluster_cidrs: Vec<String>,
    /// What keys of `podLabels` may be: a prefix that ends in `/`, or a whole key.
    pub pod_label_prefixes: Vec<String>,
    /// Whether pods have a user namespace of their own.
    pub user_namespaces: bool,
    /// Ranges that no tenant's rule means, beside link-local ones and the clouds' metadata
    /// services.
    pub never_cidrs: Vec<String>,
    /// Whether tenants' egress rules count where no LanguageCluster frames their namespace.
    pub default_egress: AgentEgress,
    /// Namespaces that no LanguageCluster may use, beside `default`, `kube-*` and the operator's
    /// own.
    pub refused_namespaces: Vec<String>,
    /// Where agents send their traces; `None`: nowhere.
    pub agent_telemetry: Option<Telemetry>,
}

/// A collector of traces, as agents are told of it and as their policies let them reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telemetry {
    /// Its base URL: the text of `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub endpoint: String,
    /// The text of `OTEL_EXPORTER_OTLP_PROTOCOL`.
    pub protocol: String,
    /// Labels of its namespace; these and those of its pods, or none of both.
    pub namespace_labels: BTreeMap<String, String>,
    /// Labels of its pods.
    pub pod_labels: BTreeMap<String, String>,
    /// Its addresses, where it is no pod.
    pub cidrs: Vec<String>,
    /// The TCP port of its pods or addresses.
    pub port: i32,
}

/// The first family of the cluster's pod addresses: the one that probes and Services use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IpFamily {
    /// IPv4, alone or before IPv6.
    #[default]
    V4,
    /// IPv6, alone or before IPv4.
    V6,
}

impl Settings {
    /// Whether agents may give their pods a label of this key.
    pub fn allows_pod_label(&self, key: &str) -> bool {
        let allows = |allowed: &String| {
            key == allowed || (allowed.ends_with('/') && key.starts_with(allowed.as_str()))
        };
        self.pod_label_prefixes.iter().any(allows)
    }
}

/// Who answers DNS queries of our pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dns {
    /// Labels of the namespace; these and those of the pods, or none of both.
    pub namespace_labels: BTreeMap<String, String>,
    /// Labels of the pods.
    pub pod_labels: BTreeMap<String, String>,
    /// Addresses, where it is no pod that answers (`NodeLocal` `DNSCache`, a cloud's own DNS).
    pub cidrs: Vec<String>,
    /// Ports.
    pub ports: Vec<(i32, Protocol)>,
}

impl Default for Dns {
    fn default() -> Self {
        Self {
            namespace_labels: [("kubernetes.io/metadata.name".into(), "kube-system".into())].into(),
            pod_labels: [("k8s-app".into(), "kube-dns".into())].into(),
            cidrs: Vec::new(),
            ports: vec![(53, Protocol::UDP), (53, Protocol::TCP)],
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            operator_namespace: "langop-system".into(),
            cluster_domain: "cluster.local".into(),
            agent_image: "ghcr.io/language-operator/agent:0.1.0".into(),
            tool_adapter_image: "ghcr.io/language-operator/tool-adapter:0.1.0".into(),
            // The release that the tests start. Newer ones need no more than a setting; older than
            // 1.90.7, none should be.
            model_proxy_image: "ghcr.io/berriai/litellm-non_root:v1.108.7".into(),
            min_ready_seconds: 10,
            time_zone: None,
            run_timeout: Some(6 * 60 * 60),
            run_as_user: Some(65532),
            pod_ip_family: IpFamily::default(),
            dns: Dns::default(),
            cluster_cidrs: Vec::new(),
            pod_label_prefixes: vec!["app.kubernetes.io/version".into()],
            user_namespaces: false,
            never_cidrs: Vec::new(),
            default_egress: AgentEgress::Deny,
            refused_namespaces: Vec::new(),
            agent_telemetry: None,
        }
    }
}
