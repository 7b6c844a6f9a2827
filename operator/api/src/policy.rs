//! What may be reached and who may come in: the peers of NetworkPolicies, in bounded types that
//! cannot say "everything" by omission.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The look of a range, as a CEL string; CEL's own `cidr()` is younger than Kubernetes 1.29. The
/// operator parses it.
const CIDR: &str = "'^([0-9]{1,3}([.][0-9]{1,3}){3}/([0-9]|[12][0-9]|3[0-2])|[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*/([0-9]|[1-9][0-9]|1[01][0-9]|12[0-8]))$'";
const CIDR_MESSAGE: &str = "an address range is an address and a prefix length, for example 203.0.113.0/24 or 2001:db8::/32";

/// Syntax of the keys of a map of labels (Kubernetes: Labels and Selectors, "Syntax and character
/// set").
pub(crate) const LABEL_KEYS_RULE: &str = "self.all(k, k.matches('^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))";
/// Message of the rule for keys.
pub(crate) const LABEL_KEYS_MESSAGE: &str = "the key of a label is at most 63 letters, digits, '-', '_' and '.', beginning and ending with a letter or digit, \
     with or without a DNS name and '/' before it; for example example.com/team";
const LABEL_VALUE_RULE: &str = "self.matches('^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$')";
const LABEL_VALUE_MESSAGE: &str = "the value of a label is empty, or letters, digits, '-', '_' and '.', beginning and ending with a letter or digit";

/// One thing that may be reached: an address range, or pods by labels; always with ports.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.cidr) != (has(self.namespaceLabels) || has(self.podLabels))").message("name exactly one peer: either cidr (for example 203.0.113.0/24), or namespaceLabels and/or podLabels"),
    validation = Rule::new("!has(self.except) || has(self.cidr)").message("except takes ranges out of cidr: set cidr, or leave except out"),
    validation = Rule::new("has(self.ports) && self.ports.size() > 0").message("an egress rule must name its ports, for example ports: [{port: 443}]")
)]
pub struct EgressRule {
    /// An address range, for example `203.0.113.0/24` or `2001:db8::/32`. A `/0` never includes
    /// link-local addresses, the metadata services of clouds, or the cluster's own ranges (all
    /// private ones where the operator's settings do not name them).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 43))]
    #[x_kube(validation = Rule::new(format!("self.matches({CIDR})")).message(CIDR_MESSAGE))]
    pub cidr: Option<String>,
    /// Ranges within `cidr` that may not be reached.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 43)))]
    #[x_kube(validation = Rule::new(format!("self.all(e, e.matches({CIDR}))")).message(CIDR_MESSAGE))]
    pub except: Vec<String>,
    /// Namespaces by their labels; without it, the agent's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minProperties" = 1, "maxProperties" = 8))]
    #[x_kube(validation = Rule::new(LABEL_KEYS_RULE).message(LABEL_KEYS_MESSAGE))]
    pub namespace_labels: Option<BTreeMap<String, LabelValue>>,
    /// Pods by their labels; without it, all pods of the namespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minProperties" = 1, "maxProperties" = 8))]
    #[x_kube(validation = Rule::new(LABEL_KEYS_RULE).message(LABEL_KEYS_MESSAGE))]
    pub pod_labels: Option<BTreeMap<String, LabelValue>>,
    /// The ports; at least one.
    // Not required by the schema, whose "Required value" says less than the rule above.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub ports: Vec<Port>,
}

/// The value of a label, at most 63 characters.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[serde(transparent)]
#[schemars(inline, extend("x-kubernetes-validations" = [{"rule": LABEL_VALUE_RULE, "message": LABEL_VALUE_MESSAGE}]))]
pub struct LabelValue(#[schemars(length(max = 63))] pub String);

/// A port and its protocol.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Port {
    /// 1 to 65535.
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// TCP when absent.
    // Not a default of the schema: one below `items` is added to the stored object and to nobody's
    // manifest, so that tools which compare the two see a difference for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
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
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct IngressPeer {
    /// All of these labels.
    #[schemars(extend("minProperties" = 1, "maxProperties" = 8))]
    #[x_kube(validation = Rule::new(LABEL_KEYS_RULE).message(LABEL_KEYS_MESSAGE))]
    pub namespace_labels: BTreeMap<String, LabelValue>,
}
