//! Pod-level fields that several kinds share: references, environment, resources, tolerations.
//! Small types of our own, because the embedded Kubernetes ones have unbounded lists, which exceed
//! the CEL budget.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::quantity::Quantity;

/// What an image reference must at least be; the container runtime knows the rest.
pub(crate) const IMAGE_RULE: &str = r"self.matches('^\\S+$')";
/// Message of the rule for images.
pub(crate) const IMAGE_MESSAGE: &str =
    "image must be an image reference without white space, for example ghcr.io/acme/server:1.2.0";

/// What the name of a cluster-scoped object of Kubernetes is made of (a DNS-1123 subdomain).
pub(crate) const RUNTIME_CLASS_RULE: &str =
    "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')";
/// Message of the rule.
pub(crate) const RUNTIME_CLASS_MESSAGE: &str = "runtimeClassName is the name of a RuntimeClass: lower-case letters, digits, '-' and '.', beginning and ending with a letter or digit; for example gvisor";

/// Names an object of a known kind in the same namespace.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq, Hash)]
#[serde(rename_all = "camelCase")]
pub struct NameRef {
    /// The object's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// Names a key of a Secret in the same namespace.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// The Secret's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key; `api-key` when absent.
    #[serde(default = "default_key")]
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

fn default_key() -> String {
    "api-key".into()
}

/// Authorities that a container trusts, in a ConfigMap of the same namespace.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct CaBundle {
    /// The ConfigMap's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key with PEM certificates; `ca.crt` when absent.
    #[serde(default = "default_ca_key")]
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

fn default_ca_key() -> String {
    "ca.crt".into()
}

/// Refuses paths that are no place for a volume.
pub(crate) const WRITABLE_PATH_RULE: &str = r"self.all(p, p.matches('^(/[A-Za-z0-9._-]*[A-Za-z0-9_-])+$') && p != '/tmp' && p != '/etc' && p != '/etc/agent' && !p.startsWith('/etc/agent/'))";
/// Message of the rule.
pub(crate) const WRITABLE_PATH_MESSAGE: &str = "a writable path is an absolute path of letters, digits, '.', '_' and '-', other than /tmp (which is writable), /etc and /etc/agent; \
     for example /var/cache/server";

/// One environment variable: a value, or a key of a Secret or ConfigMap.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(has(self.value) && has(self.valueFrom))").message("set either value or valueFrom, not both"))]
pub struct EnvVar {
    /// The variable's name: a C identifier.
    #[schemars(length(max = 128))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z_][A-Za-z0-9_]*$')").message("the name of an environment variable must be letters, digits and '_', not beginning with a digit; for example LOG_LEVEL"))]
    pub name: String,
    /// The value; `$(NAME)` is expanded by Kubernetes as in any pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16384))]
    pub value: Option<String>,
    /// Where the value comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<EnvVarSource>,
}

/// Where an environment variable's value comes from: exactly one.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.secretKeyRef) != has(self.configMapKeyRef)").message("set exactly one of secretKeyRef and configMapKeyRef"))]
pub struct EnvVarSource {
    /// A key of a Secret in the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<KeySelector>,
    /// A key of a ConfigMap in the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<KeySelector>,
}

/// A key of a named object.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct KeySelector {
    /// The object's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
    /// Whether the pod may start without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optional: Option<bool>,
}

/// Kubernetes refuses any other name in a container.
pub(crate) const RESOURCE_RULE: &str = "self.all(k, k in ['cpu', 'memory', 'ephemeral-storage'] || k.startsWith('hugepages-') || k.contains('/'))";
/// Message of the rule for other names.
pub(crate) const RESOURCE_MESSAGE: &str = "a resource is cpu, memory, ephemeral-storage, hugepages-<size>, or a vendor's such as example.com/gpu";
/// Unreadable quantities are refused by a rule of their own.
const REQUEST_RULE: &str = "!has(self.requests) || !has(self.limits) || self.requests.all(k, !(k in self.limits) \
     || !isQuantity(string(self.requests[k])) || !isQuantity(string(self.limits[k])) \
     || quantity(string(self.requests[k])).compareTo(quantity(string(self.limits[k]))) <= 0)";

/// What a container asks for and may use at most. Values left out are filled in: requests and
/// limits are always set.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(REQUEST_RULE).message("a request must not be larger than the limit of the same resource: raise the limit, lower the request, or leave one out"))]
pub struct Resources {
    /// Asked for, by resource name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 8))]
    #[x_kube(validation = Rule::new(RESOURCE_RULE).message(RESOURCE_MESSAGE))]
    pub requests: BTreeMap<String, Quantity>,
    /// At most, by resource name. Absent where a request is larger than the default: the request.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 8))]
    #[x_kube(validation = Rule::new(RESOURCE_RULE).message(RESOURCE_MESSAGE))]
    pub limits: BTreeMap<String, Quantity>,
}

/// A taint that the agent's pods tolerate, as in a pod.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("(has(self.key) && self.key != '') || (has(self.operator) && self.operator == 'Exists')").message("a toleration without key needs operator Exists"),
    validation = Rule::new("!has(self.value) || self.value == '' || !has(self.operator) || self.operator == 'Equal'").message("a toleration with operator Exists has no value: leave value out, or use operator Equal"),
    validation = Rule::new("!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')").message("tolerationSeconds needs effect NoExecute")
)]
pub struct Toleration {
    /// The taint's key; absent with operator Exists: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 317))]
    pub key: Option<String>,
    /// How key and value are compared; Equal when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<TolerationOperator>,
    /// The taint's value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub value: Option<String>,
    /// The taint's effect; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<TaintEffect>,
    /// Seconds after which a `NoExecute` taint evicts; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub toleration_seconds: Option<i64>,
}

/// How a toleration compares.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum TolerationOperator {
    /// The key exists.
    Exists,
    /// Key and value are equal.
    Equal,
}

/// What a taint does.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaintEffect {
    /// New pods stay away.
    NoSchedule,
    /// New pods rather stay away.
    PreferNoSchedule,
    /// Running pods are evicted.
    NoExecute,
}
