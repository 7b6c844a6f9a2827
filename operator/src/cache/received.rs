//! Objects as the API server sends them. Their name, uid and version are read at once, and the rest
//! only where it is news: much of what a watch shows is what the answer to our own write has said
//! before.
//!
//! Must not decide what is news. Says which part of our own kinds' metadata is held.

use std::{borrow::Cow, collections::BTreeMap, fmt, marker::PhantomData};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::{
    Resource,
    api::{DynamicObject, PartialObjectMeta},
    core::{DeserializeGuard, error_boundary::InvalidObject},
};
use langop_api::names::annotations;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::{Value, value::RawValue};

use crate::cache::{kind::LangopKind, version::parse_version};

/// An object, of which only the identity is read. In a watch event its text is there only after the
/// event's type (findings/kube-raw-object-wants-its-type-first.sh), as API servers write it:
/// `metav1.WatchEvent` has its fields in that order.
pub(crate) struct Received<K> {
    /// Name, namespace, uid and version; nothing else.
    identity: ObjectMeta,
    json: Box<RawValue>,
    of: PhantomData<fn() -> K>,
}

/// An object of a kind that the type does not say.
pub(crate) type ReceivedAny = Received<DynamicObject>;

impl<K> Received<K> {
    pub(crate) fn namespace(&self) -> &str {
        self.identity.namespace.as_deref().unwrap_or_default()
    }

    pub(crate) fn name(&self) -> &str {
        self.identity.name.as_deref().unwrap_or_default()
    }

    pub(crate) fn uid(&self) -> &str {
        self.identity.uid.as_deref().unwrap_or_default()
    }

    pub(crate) fn version(&self) -> Option<&str> {
        self.identity.resource_version.as_deref()
    }

    /// The version as a number, if it is one.
    pub(crate) fn number(&self) -> Option<u64> {
        self.version().and_then(parse_version)
    }

    /// The same, where the kind is known.
    pub(crate) fn of_kind<T>(self) -> Received<T> {
        Received {
            identity: self.identity,
            json: self.json,
            of: PhantomData,
        }
    }

    /// All of it.
    pub(crate) fn value(&self) -> serde_json::Result<Value> {
        serde_json::from_str(self.json.get())
    }
}

impl<K: LangopKind> Received<K> {
    /// What is held of it, or why it cannot be read.
    pub(crate) fn read(&self) -> DeserializeGuard<K> {
        let json = self.json.get();
        let parts = serde_json::from_str::<Parts<K::Spec, K::Status>>(json);
        DeserializeGuard(match parts {
            Ok(parts) => Ok(K::of_parts(parts.metadata.into(), parts.spec, parts.status)),
            Err(error) => Err(InvalidObject {
                error: error.to_string(),
                metadata: serde_json::from_str::<PartialObjectMeta<K>>(json)
                    .map_or_else(|_| self.identity.clone(), |partial| held(partial.metadata)),
            }),
        })
    }
}

impl<'de, K> Deserialize<'de> for Received<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Box::<RawValue>::deserialize(deserializer)?;
        let Head { metadata } = serde_json::from_str(json.get()).map_err(D::Error::custom)?;
        let owned = |text: Option<Cow<'_, str>>| text.map(Cow::into_owned);
        let identity = ObjectMeta {
            name: owned(metadata.name),
            namespace: owned(metadata.namespace),
            uid: owned(metadata.uid),
            resource_version: owned(metadata.resource_version),
            ..ObjectMeta::default()
        };
        Ok(Self {
            identity,
            json,
            of: PhantomData,
        })
    }
}

/// As it was received.
impl<K> Serialize for Received<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.json.serialize(serializer)
    }
}

impl<K> Clone for Received<K> {
    fn clone(&self) -> Self {
        Self {
            identity: self.identity.clone(),
            json: self.json.clone(),
            of: PhantomData,
        }
    }
}

/// Without its content, which may be anything.
impl<K> fmt::Debug for Received<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace(), self.name())
    }
}

impl<K: Resource> Resource for Received<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(of: &K::DynamicType) -> Cow<'_, str> {
        K::kind(of)
    }

    fn group(of: &K::DynamicType) -> Cow<'_, str> {
        K::group(of)
    }

    fn version(of: &K::DynamicType) -> Cow<'_, str> {
        K::version(of)
    }

    fn plural(of: &K::DynamicType) -> Cow<'_, str> {
        K::plural(of)
    }

    fn meta(&self) -> &ObjectMeta {
        &self.identity
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.identity
    }
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    metadata: Identity<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Identity<'a> {
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    namespace: Option<Cow<'a, str>>,
    #[serde(borrow)]
    uid: Option<Cow<'a, str>>,
    #[serde(borrow)]
    resource_version: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Parts<Spec, Status> {
    metadata: HeldMeta,
    spec: Spec,
    status: Option<Status>,
}

/// What is read of the metadata of our own kinds. The rest is more than all of most specs: at ten
/// thousand objects it was most of the memory.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HeldMeta {
    annotations: Option<BTreeMap<String, String>>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
    finalizers: Option<Vec<String>>,
    generation: Option<i64>,
    name: Option<String>,
    namespace: Option<String>,
    resource_version: Option<String>,
    uid: Option<String>,
}

impl From<HeldMeta> for ObjectMeta {
    fn from(read: HeldMeta) -> Self {
        held(Self {
            annotations: read.annotations,
            creation_timestamp: read.creation_timestamp,
            deletion_timestamp: read.deletion_timestamp,
            finalizers: read.finalizers,
            generation: read.generation,
            name: read.name,
            namespace: read.namespace,
            resource_version: read.resource_version,
            uid: read.uid,
            ..Self::default()
        })
    }
}

/// Most bytes kept of an annotation's value: more than any of those that are read may have.
const MAX_ANNOTATION: usize = 1024;

fn held(mut metadata: ObjectMeta) -> ObjectMeta {
    metadata.managed_fields = None;
    metadata.labels = None;
    if let Some(annotations) = &mut metadata.annotations {
        annotations.retain(|key, _| annotations::READ.contains(&key.as_str()));
        // So much that it can be seen to be too long.
        for value in annotations.values_mut() {
            value.truncate(value.floor_char_boundary(MAX_ANNOTATION));
        }
    }
    metadata
        .annotations
        .take_if(|annotations| annotations.is_empty());
    metadata
}

#[cfg(test)]
mod tests {
    use kube::{api::ObjectList, core::WatchEvent};
    use langop_api::LanguageTool;
    use serde_json::json;

    use super::*;

    fn tool(spec: &Value) -> String {
        json!({
            "apiVersion": "langop.io/v1alpha1", "kind": "LanguageTool",
            "metadata": {
                "name": "t", "namespace": "n", "uid": "u", "resourceVersion": "5", "generation": 2,
                "finalizers": ["example.com/f"],
                "labels": {"team": "a"},
                "managedFields": [{"manager": "someone", "fieldsV1": {"f:spec": {}}}]
            },
            "spec": spec
        })
        .to_string()
    }

    #[test]
    fn lists_and_watches_give_it_unread() {
        let tool = tool(&json!({"image": 42}));
        let event = format!(r#"{{"type":"MODIFIED","object":{tool}}}"#);
        let list = format!(r#"{{"metadata":{{"resourceVersion":"9"}},"items":[{tool}]}}"#);
        let event: WatchEvent<Received<LanguageTool>> = serde_json::from_str(&event).unwrap();
        let list: ObjectList<Received<LanguageTool>> = serde_json::from_str(&list).unwrap();
        let WatchEvent::Modified(watched) = event else {
            panic!("{event:?}")
        };
        for received in [watched, list.items[0].clone()] {
            let who = [received.namespace(), received.name(), received.uid()];
            assert_eq!((who, received.number()), (["n", "t", "u"], Some(5)));
            assert_eq!(serde_json::to_string(&received).unwrap(), tool);
            assert_eq!(format!("{received:?}"), "n/t");
        }
    }

    #[test]
    fn what_is_read_of_it_is_the_object_without_its_bulk() {
        let received: Received<LanguageTool> =
            serde_json::from_str(&tool(&json!({"image": "i"}))).unwrap();
        let mut whole: LanguageTool = serde_json::from_value(received.value().unwrap()).unwrap();
        whole.metadata = held(whole.metadata);
        let read = serde_json::to_value(received.read().0.unwrap()).unwrap();
        assert_eq!(read, serde_json::to_value(whole).unwrap());
        assert!(read["metadata"].get("labels").is_none());
        assert_eq!(read["metadata"]["finalizers"], json!(["example.com/f"]));
    }

    #[test]
    fn one_that_cannot_be_read_says_why_and_is_still_somebody() {
        let received: Received<LanguageTool> =
            serde_json::from_str(&tool(&json!({"image": 42}))).unwrap();
        let invalid = received.read().0.unwrap_err();
        assert!(invalid.error.contains("invalid type"), "{}", invalid.error);
        let metadata = invalid.metadata;
        assert_eq!(
            (metadata.name.as_deref(), metadata.generation),
            (Some("t"), Some(2))
        );
        assert!(metadata.managed_fields.is_none() && metadata.finalizers.is_some());
    }
}
