//! What may be reached and who may come in: the peers of NetworkPolicies, in bounded types that cannot say "everything" by omission.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One thing that may be reached: an address range, or pods by labels; always with ports.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.cidr) != (has(self.namespaceLabels) || has(self.podLabels))").message("name exactly one peer: either cidr (for example 203.0.113.0/24), or namespaceLabels and/or podLabels"),
    validation = Rule::new("!has(self.except) || has(self.cidr)").message("except needs cidr")
)]
pub struct EgressRule {
    /// An address range, for example `203.0.113.0/24` or `2001:db8::/32`. A `/0` never includes link-local addresses or the cluster's
    /// own ranges.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 4, max = 43), regex(pattern = r"^[0-9A-Fa-f:.]+/[0-9]{1,3}$"))]
    pub cidr: Option<String>,
    /// Ranges within `cidr` that may not be reached.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 4, max = 43)))]
    pub except: Vec<String>,
    /// Namespaces by their labels; without it, the agent's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minProperties" = 1, "maxProperties" = 8))]
    pub namespace_labels: Option<BTreeMap<String, LabelValue>>,
    /// Pods by their labels; without it, all pods of the namespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minProperties" = 1, "maxProperties" = 8))]
    pub pod_labels: Option<BTreeMap<String, LabelValue>>,
    /// The ports; at least one.
    #[schemars(length(min = 1, max = 16))]
    pub ports: Vec<Port>,
}

/// The value of a label, at most 63 characters.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[serde(transparent)]
#[schemars(inline)]
pub struct LabelValue(#[schemars(length(max = 63))] pub String);

/// A port and its protocol.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Port {
    /// 1 to 65535.
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// TCP when absent.
    #[serde(default)]
    pub protocol: Protocol,
}

/// A transport protocol.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// TCP.
    #[default]
    TCP,
    /// UDP.
    UDP,
}

/// Namespaces that may come in, by their labels.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct IngressPeer {
    /// All of these labels.
    #[schemars(extend("minProperties" = 1, "maxProperties" = 8))]
    pub namespace_labels: BTreeMap<String, LabelValue>,
}
