//! Somebody who puts their hands on children of the operator: edits a field by force, as another
//! field manager, or deletes the object. Only where the operator owns the field, or has to make the
//! object again, so that the end state is known.

use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::Deployment,
        batch::v1::CronJob,
        core::v1::{ConfigMap, Service},
        networking::v1::NetworkPolicy,
    },
};
use kube::{
    Api, Resource,
    api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams},
};
use langop_integration_tests::fault_proxy::faults::Random;
use serde_json::{Value, json};

use crate::{fault_env::FaultEnv, invariants::FOREIGN_WRITER};

/// A kind of child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Deployment,
    CronJob,
    NetworkPolicy,
    Service,
    ConfigMap,
}

/// How they do it.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// As `kubectl apply --server-side --force-conflicts`.
    Apply,
    /// As `kubectl edit` or `kubectl set`.
    Patch,
    /// As `kubectl delete`.
    Delete,
}

/// One write: to which child, what and how.
#[derive(Debug)]
pub(crate) struct ForeignWrite {
    kind: Kind,
    name: String,
    way: Way,
    edit: Value,
}

impl ForeignWrite {
    /// At a child of an agent, tool, model (`x-proxy`) or client; the last two words are the label
    /// and the container of its pods.
    pub(crate) fn random(
        random: &mut Random,
        kinds: &[Kind],
        name: &str,
        label: &str,
        container: &str,
    ) -> Self {
        let kind = *random.pick(kinds).unwrap();
        let image = format!("registry.example/{FOREIGN_WRITER}:1");
        let (spec, template) = (
            json!({"containers": [{"name": container, "image": image}]}),
            |spec| json!({"template": {"spec": spec}}),
        );
        let edit = match (kind, random.below(2)) {
            (Kind::Deployment, _) => json!({"spec": template(spec)}),
            (Kind::CronJob, 0) => json!({"spec": {"jobTemplate": {"spec": template(spec)}}}),
            (Kind::CronJob, _) => json!({"spec": {"schedule": "1 1 1 1 *"}}),
            (Kind::NetworkPolicy, 0) => json!({"spec": {"egress": [{}]}}),
            (Kind::NetworkPolicy, _) => {
                json!({"spec": {"egress": [{"to": [{"ipBlock": {"cidr": "198.51.100.0/24"}}]}]}})
            }
            (Kind::Service, _) => json!({"spec": {"selector": {label: FOREIGN_WRITER}}}),
            (Kind::ConfigMap, _) => json!({"data": {"config.yaml": FOREIGN_WRITER}}),
        };
        let way = *random.pick(&[Way::Apply, Way::Patch, Way::Delete]).unwrap();
        Self {
            kind,
            name: name.to_owned(),
            way,
            edit,
        }
    }

    /// Does it, if there is such a child.
    pub(crate) async fn commit(&self, env: &FaultEnv) {
        let (api, resource) = match self.kind {
            Kind::Deployment => api::<Deployment>(env),
            Kind::CronJob => api::<CronJob>(env),
            Kind::NetworkPolicy => api::<NetworkPolicy>(env),
            Kind::Service => api::<Service>(env),
            Kind::ConfigMap => api::<ConfigMap>(env),
        };
        let Some(live) = api.get_opt(&self.name).await.unwrap() else {
            return;
        };
        let outcome = match self.way {
            Way::Delete => {
                let deleted = api.delete(&self.name, &DeleteParams::default()).await;
                deleted.map(|_| ())
            }
            Way::Patch => {
                let patch = Patch::Strategic(&self.edit);
                let params = PatchParams::default();
                api.patch(&self.name, &params, &patch).await.map(|_| ())
            }
            Way::Apply => {
                let mut edit = self.edit.clone();
                edit["apiVersion"] = resource.api_version.into();
                edit["kind"] = resource.kind.into();
                // An object of their own would be another matter.
                edit["metadata"] = json!({"uid": live.metadata.uid});
                let params = PatchParams::apply(FOREIGN_WRITER).force();
                let edited = api.patch(&self.name, &params, &Patch::Apply(&edit)).await;
                edited.map(|_| ())
            }
        };
        match outcome {
            Ok(()) => {}
            // It was just deleted, or is another one by now.
            Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => {}
            Err(error) => panic!("{self:?}: {error}"),
        }
    }
}

fn api<K>(env: &FaultEnv) -> (Api<DynamicObject>, ApiResource)
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
{
    let resource = ApiResource::erase::<K>(&());
    let api = Api::namespaced_with(env.ns.client(), env.ns.name(), &resource);
    (api, resource)
}
