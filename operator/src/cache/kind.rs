//! The six kinds, as values (for queues, metrics and messages) and as a trait (for generic stores,
//! status writes and runners).

use std::fmt::{Debug, Write as _};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{
    Resource,
    api::ObjectMeta,
    core::object::{HasSpec, HasStatus},
};
use langop_api::{
    LanguageAgent, LanguageClient, LanguageCluster, LanguageModel, LanguagePersona, LanguageTool,
    names::labels, pod::NameRef,
};
use langop_desired::cluster;
use prometheus_client::encoding::{EncodeLabelValue, LabelValueEncoder};
use serde::{Serialize, de::DeserializeOwned};

use crate::cache::tally::{Sum, Tally};

/// One of the six kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    Agent,
    Client,
    Cluster,
    Model,
    Persona,
    Tool,
}

impl Kind {
    pub(crate) const ALL: [Self; 6] = [
        Self::Agent,
        Self::Client,
        Self::Cluster,
        Self::Model,
        Self::Persona,
        Self::Tool,
    ];

    /// The name in manifests.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "LanguageAgent",
            Self::Client => "LanguageClient",
            Self::Cluster => "LanguageCluster",
            Self::Model => "LanguageModel",
            Self::Persona => "LanguagePersona",
            Self::Tool => "LanguageTool",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// The label on children that names their resource of this kind; personas have no children.
    pub(crate) const fn label(self) -> Option<&'static str> {
        match self {
            Self::Agent => Some(labels::AGENT),
            Self::Client => Some(labels::CLIENT),
            Self::Cluster => Some(labels::CLUSTER),
            Self::Model => Some(labels::MODEL),
            Self::Persona => None,
            Self::Tool => Some(labels::TOOL),
        }
    }
}

impl EncodeLabelValue for Kind {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        encoder.write_str(self.as_str())
    }
}

/// What an object says it uses, in its namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Reference {
    kind: Kind,
    name: Box<str>,
}

impl Reference {
    pub(crate) fn new(kind: Kind, name: &str) -> Self {
        Self {
            kind,
            name: name.into(),
        }
    }

    /// Those by name.
    fn all(kind: Kind, names: &[NameRef]) -> impl Iterator<Item = Self> {
        names.iter().map(move |named| Self::new(kind, &named.name))
    }
}

/// A type of one of the six kinds.
pub(crate) trait LangopKind:
    Resource<DynamicType = ()>
    + HasSpec<Spec: DeserializeOwned>
    + HasStatus<
        Status: Serialize + DeserializeOwned + PartialEq + Clone + Default + Debug + Send + Sync,
    > + Clone
    + Debug
    + Serialize
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
    const KIND: Kind;
    /// Whether there may be a hundred thousand of them, between two looks at each.
    const IS_NUMEROUS: bool = false;
    /// What is counted of all of them together.
    type Sum: Sum<Self>;

    /// The object that these make.
    fn of_parts(metadata: ObjectMeta, spec: Self::Spec, status: Option<Self::Status>) -> Self;

    /// The conditions in its status.
    fn conditions(status: &Self::Status) -> &[Condition];

    /// Whether that part of the status that other objects read is equal.
    fn is_same_for_others(&self, _other: &Self) -> bool {
        true
    }

    /// What it uses of its namespace, and is looked at again for when that changes.
    fn references(&self) -> Vec<Reference> {
        Vec::new()
    }

    /// The namespace that a LanguageCluster frames.
    fn managed_namespace(&self) -> Option<String> {
        None
    }
}

macro_rules! langop_kind {
    ($type:ty => $kind:ident, $sum:ty { $($more:item)* }) => {
        impl LangopKind for $type {
            const KIND: Kind = Kind::$kind;
            type Sum = $sum;

            fn of_parts(metadata: ObjectMeta, spec: Self::Spec, status: Option<Self::Status>) -> Self {
                Self { metadata, spec, status }
            }

            fn conditions(status: &Self::Status) -> &[Condition] {
                &status.conditions
            }

            $($more)*
        }
    };
}

langop_kind!(LanguageAgent => Agent, Tally {
    const IS_NUMEROUS: bool = true;

    // A LanguageCluster counts them.
    fn is_same_for_others(&self, other: &Self) -> bool {
        self.status.as_ref().map(|status| status.phase) == other.status.as_ref().map(|status| status.phase)
    }

    fn references(&self) -> Vec<Reference> {
        let persona = self.spec.persona_ref.iter();
        Reference::all(Kind::Tool, &self.spec.tool_refs)
            .chain(Reference::all(Kind::Model, &self.spec.model_refs))
            .chain(persona.map(|persona| Reference::new(Kind::Persona, &persona.name)))
            .collect()
    }
});
langop_kind!(LanguageClient => Client, () {
    fn references(&self) -> Vec<Reference> {
        Reference::all(Kind::Tool, &self.spec.tool_refs)
            .chain(Reference::all(Kind::Model, &self.spec.model_refs))
            .collect()
    }
});
langop_kind!(LanguageCluster => Cluster, () {
    // One that may not use its namespace says nothing to the agents in it.
    fn is_same_for_others(&self, other: &Self) -> bool {
        cluster::is_namespace_denied(self) == cluster::is_namespace_denied(other)
    }

    fn managed_namespace(&self) -> Option<String> {
        self.spec.namespace.clone().or_else(|| self.metadata.name.clone())
    }
});
langop_kind!(LanguageModel => Model, () {});
langop_kind!(LanguagePersona => Persona, () {
    // Agents read the snapshot.
    fn is_same_for_others(&self, other: &Self) -> bool {
        self.status.as_ref().map(|status| &status.distilled) == other.status.as_ref().map(|status| &status.distilled)
    }
});
langop_kind!(LanguageTool => Tool, () {});
