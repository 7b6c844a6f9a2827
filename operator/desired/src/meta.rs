//! Metadata of the objects the operator makes: labels, selectors, owner references.
//!
//! Selectors use only the `langop.io/<kind>` label, which never changes; everything else may.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Resource;
use langop_api::names::labels;

/// The resource that a child belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Group and version, `langop.io/v1alpha1`.
    pub api_version: String,
    /// Kind, e.g. `LanguageAgent`.
    pub kind: String,
    /// Name.
    pub name: String,
    /// Uid; a child is ours exactly if its controller has this one.
    pub uid: String,
}

/// The owner that `object` is for its children; `None` if it has no name or uid, that is, if it
/// never was in an API server.
pub fn owner_of<K: Resource<DynamicType = ()>>(object: &K) -> Option<Owner> {
    Some(Owner {
        api_version: K::api_version(&()).into_owned(),
        kind: K::kind(&()).into_owned(),
        name: object.meta().name.clone()?,
        uid: object.meta().uid.clone()?,
    })
}

/// Digits of the content's hash in the name of a code ConfigMap.
const NAME_DIGITS: usize = 12;

/// The end of the name of a code ConfigMap whose content has that hash.
pub(crate) fn code_name_end(content: &str) -> String {
    format!("-code-{}", &content[..NAME_DIGITS])
}

/// Metadata of a child. With an owner it gets the controlling reference, so that the garbage
/// collector removes it with its owner.
pub fn object_meta(
    name: &str,
    namespace: Option<&str>,
    owner: Option<&Owner>,
    labels: BTreeMap<String, String>,
) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: namespace.map(str::to_owned),
        labels: Some(labels),
        owner_references: owner.map(|owner| vec![owner_reference(owner)]),
        ..ObjectMeta::default()
    }
}

fn owner_reference(owner: &Owner) -> OwnerReference {
    OwnerReference {
        api_version: owner.api_version.clone(),
        kind: owner.kind.clone(),
        name: owner.name.clone(),
        uid: owner.uid.clone(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// What an object is to the resource it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Component {
    /// A LanguageAgent's workload and what it needs.
    Agent,
    /// A LanguageModel's proxy.
    ModelProxy,
    /// A LanguageTool's server.
    Tool,
    /// A LanguageClient's front end.
    Client,
    /// What frames a LanguageCluster's namespace.
    Cluster,
}

impl Component {
    /// Value of `app.kubernetes.io/name`.
    const fn app(self) -> &'static str {
        match self {
            Self::Agent => "language-agent",
            Self::ModelProxy => "language-model",
            Self::Tool => "language-tool",
            Self::Client => "language-client",
            Self::Cluster => "language-cluster",
        }
    }

    /// Value of `app.kubernetes.io/component`.
    const fn role(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::ModelProxy => "model-proxy",
            Self::Tool => "tool",
            Self::Client => "client",
            Self::Cluster => "cluster",
        }
    }

    /// The key of the label that selectors use.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Agent => labels::AGENT,
            Self::ModelProxy => labels::MODEL,
            Self::Tool => labels::TOOL,
            Self::Client => labels::CLIENT,
            Self::Cluster => labels::CLUSTER,
        }
    }
}

/// The labels of every object made for the resource `instance_name`: Kubernetes' recommended ones
/// and ours.
pub fn labels(component: Component, instance_name: &str) -> BTreeMap<String, String> {
    [
        (labels::NAME, component.app()),
        (labels::INSTANCE, instance_name),
        (labels::COMPONENT, component.role()),
        (labels::PART_OF, labels::PART_OF_VALUE),
        (labels::MANAGED_BY, labels::MANAGED_BY_VALUE),
        (component.label(), instance_name),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}

/// What selects the pods of the resource `name`.
pub fn selector(component: Component, name: &str) -> BTreeMap<String, String> {
    [(component.label().to_owned(), name.to_owned())].into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use langop_api::{LanguageTool, LanguageToolSpec};

    #[test]
    fn an_object_without_uid_owns_nothing() {
        let mut tool = LanguageTool::new(
            "email",
            serde_json::from_str::<LanguageToolSpec>(r#"{"image": "x"}"#).unwrap(),
        );
        assert_eq!(owner_of(&tool), None);
        tool.metadata.uid = Some("u1".into());
        let owner = owner_of(&tool).unwrap();
        assert_eq!(
            (owner.api_version.as_str(), owner.kind.as_str()),
            ("langop.io/v1alpha1", "LanguageTool")
        );
        let meta = object_meta(
            "email",
            Some("demo"),
            Some(&owner),
            labels(Component::Tool, "email"),
        );
        insta::assert_yaml_snapshot!(meta);
    }

    #[test]
    fn labels_contain_the_selector() {
        for component in [
            Component::Agent,
            Component::ModelProxy,
            Component::Tool,
            Component::Client,
            Component::Cluster,
        ] {
            let labels = labels(component, "x");
            assert!(
                selector(component, "x")
                    .iter()
                    .all(|(key, value)| labels.get(key) == Some(value)),
                "{component:?}"
            );
        }
    }
}
