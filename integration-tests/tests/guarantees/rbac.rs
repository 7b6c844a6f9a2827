//! Least privilege, proven from both sides: in a life with everything in it the operator is refused
//! nothing, and deploy/rbac.yaml grants it nothing that this life does not use, but for what is
//! listed here with its reason.
//!
//! It works everywhere, so it has a control plane of its own.

use std::collections::BTreeSet;

use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::Deployment,
        batch::v1::CronJob,
        core::v1::{ConfigMap, LimitRange, ResourceQuota, Service},
        networking::v1::NetworkPolicy,
        rbac::v1::{PolicyRule, RoleBinding},
    },
};
use kube::{
    Api, Client, Resource,
    api::{DynamicObject, ListParams, Patch, PatchParams},
    core::{ApiResource, GroupVersionKind},
};
use langop_api::{LanguageAgent, names::labels};
use langop_integration_tests::{
    AuditLog, ControlPlane, FaultProxy, Filter, Operator, Synthesizer, audit,
    env::{SOON, mounted_code},
    fault_proxy::LOOPBACK,
    manifests,
    programs::LeaderElection,
    run_dir, wait, workspace_root,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::admission;

const NAMESPACE: &str = "office";
/// The roles that deploy/rbac.yaml binds to the operator.
const ROLES: [&str; 2] = ["langop-operator", "langop-operator-cluster"];

/// Right: (API group, resource or resource/subresource, verb).
type Right = (String, String, String);

/// Granted, and never to be seen in an audit log: the API server asks for them on the way of
/// another request.
///
/// - A server-side apply of what does not exist is a `patch` to the audit log, and needs `create`
///   beside it.
/// - An owner reference with blockOwnerDeletion needs `update` of the owner's finalizers, where
///   `OwnerReferencesPermissionEnforcement` is on, as it is on the harness's API servers. There, an
///   owner reference that is given to what exists needs `delete` of that.
/// - A binding to a role with rights that the binder lacks needs `bind` of the role.
const NEVER_SEEN: &[(&str, &str, &str)] = &[
    ("", "services", "create"),
    ("", "persistentvolumeclaims", "create"),
    ("", "persistentvolumeclaims", "delete"),
    ("", "namespaces", "create"),
    ("", "resourcequotas", "create"),
    ("", "limitranges", "create"),
    ("apps", "deployments", "create"),
    ("batch", "cronjobs", "create"),
    ("networking.k8s.io", "networkpolicies", "create"),
    ("rbac.authorization.k8s.io", "rolebindings", "create"),
    ("langop.io", "languageagents/finalizers", "update"),
    ("langop.io", "languageclients/finalizers", "update"),
    ("langop.io", "languageclusters/finalizers", "update"),
    ("langop.io", "languagemodels/finalizers", "update"),
    ("langop.io", "languagetools/finalizers", "update"),
    ("rbac.authorization.k8s.io", "clusterroles", "bind"),
];

/// Used only where something is wrong that this life has not: objects that cannot be decoded are
/// read again, to say what is wrong with them. The tests of `cluster.rs` make such objects. A run
/// that never started is ended when its template changes (tests of the status in langop-desired say
/// when).
const RARE: &[(&str, &str, &str)] = &[
    ("batch", "jobs", "delete"),
    ("langop.io", "languageagents", "get"),
    ("langop.io", "languageclients", "get"),
    ("langop.io", "languageclusters", "get"),
    ("langop.io", "languagemodels", "get"),
    ("langop.io", "languagepersonas", "get"),
    ("langop.io", "languagetools", "get"),
];

#[tokio::test]
async fn the_operator_is_granted_what_it_uses_and_nothing_else() {
    let life = Life::begin().await;
    life.frame().await;
    life.everything().await;
    life.changes().await;
    life.removals().await;
    let (seen, log) = life.end().await;
    let refused: Vec<_> = seen
        .iter()
        .filter(|event| event.code == 403)
        .cloned()
        .collect();
    assert!(refused.is_empty(), "{}", audit::pretty(&refused));

    // What names no resource (`/version`) is open to every account.
    let used: BTreeSet<Right> = seen
        .iter()
        .filter(|event| !event.resource.is_empty())
        .map(|event| {
            let resource = match event.subresource.as_str() {
                "" => event.resource.clone(),
                subresource => format!("{}/{subresource}", event.resource),
            };
            (event.group.clone(), resource, event.verb.clone())
        })
        .collect();
    let granted: BTreeSet<Right> = rules().iter().flat_map(rights).collect();
    let owned = |right: &(&str, &str, &str)| {
        let (group, resource, verb) = *right;
        (group.to_owned(), resource.to_owned(), verb.to_owned())
    };
    let never_seen: BTreeSet<Right> = NEVER_SEEN.iter().chain(RARE).map(owned).collect();
    let minus =
        |a: &BTreeSet<Right>, b: &BTreeSet<Right>| a.difference(b).cloned().collect::<Vec<_>>();
    let none: Vec<Right> = Vec::new();
    assert_eq!(
        minus(&used, &granted),
        none,
        "used and not granted; log {log}"
    );
    let excused: BTreeSet<Right> = used.union(&never_seen).cloned().collect();
    assert_eq!(
        minus(&granted, &excused),
        none,
        "granted and not used; log {log}"
    );
    assert_eq!(
        minus(&never_seen, &granted),
        none,
        "excused and not granted"
    );
    let wrongly_excused: Vec<_> = used.intersection(&never_seen).collect();
    assert!(
        wrongly_excused.is_empty(),
        "excused and used: {wrongly_excused:?}"
    );
}

#[test]
fn no_rule_of_the_operator_is_wider_than_its_names() {
    let rules = rules();
    assert!(rules.len() > 10, "a poor reading of the file: {rules:?}");
    for (group, resource, verb) in rules.iter().flat_map(rights) {
        let right = format!("{verb} {group}/{resource}");
        assert!(!right.contains('*'), "a wildcard: {right}");
        assert!(!resource.starts_with("secrets"), "{right}");
        assert!(
            !["escalate", "impersonate", "deletecollection"].contains(&verb.as_str()),
            "{right}"
        );
    }
    let binds: Vec<_> = rules
        .iter()
        .filter(|rule| rule.verbs.iter().any(|verb| verb == "bind"))
        .collect();
    assert_eq!(binds.len(), 1);
    let named = binds[0].resource_names.clone().unwrap_or_default();
    let members = [
        "langop-view",
        "langop-edit",
        "langop-admin",
        "langop-approve",
    ];
    assert_eq!(named, members);
    assert_eq!(binds[0].resources.clone().unwrap(), ["clusterroles"]);
}

/// All rules of the operator's account, cluster-scoped and in its own namespace.
fn rules() -> Vec<PolicyRule> {
    let file = workspace_root().unwrap().join("deploy/rbac.yaml");
    let documents = manifests::read(&file).unwrap();
    let is_ours = |object: &&DynamicObject| {
        let kind = object.types.as_ref().unwrap().kind.as_str();
        let name = object.metadata.name.as_deref().unwrap();
        ["ClusterRole", "Role"].contains(&kind) && ROLES.contains(&name)
    };
    let rules = documents
        .iter()
        .filter(is_ours)
        .map(|object| &object.data["rules"]);
    let rules =
        rules.map(|rules| serde_json::from_value::<Vec<PolicyRule>>(rules.clone()).unwrap());
    rules.flatten().collect()
}

fn rights(rule: &PolicyRule) -> Vec<Right> {
    assert!(rule.non_resource_urls.is_none(), "{rule:?}");
    let mut rights = Vec::new();
    for group in rule.api_groups.iter().flatten() {
        for resource in rule.resources.iter().flatten() {
            let right = |verb: &String| (group.clone(), resource.clone(), verb.clone());
            rights.extend(rule.verbs.iter().map(right));
        }
    }
    rights
}

/// One life of an operator with everything in it.
struct Life {
    cp: ControlPlane,
    client: Client,
    synthesizer: Synthesizer,
    operator: Operator,
    _proxy: FaultProxy,
}

impl Life {
    /// A leader among none, before a synthesizer that is a Service.
    async fn begin() -> Self {
        let state = run_dir().unwrap().join("control-plane-of-rbac");
        let cp = ControlPlane::start(&state).await.unwrap();
        cp.install_crds().await.unwrap();
        // Refusals of admission are 403 too: what the operator does passes these policies.
        admission::enforce(&cp).await;
        let synthesizer = Synthesizer::template().start().await.unwrap();
        let proxy = FaultProxy::start(&cp, "via-proxy", 1).await.unwrap();
        let operator = Operator::builder(&cp)
            .cluster_wide()
            .leader_election(LeaderElection::On)
            .synthesizer("http://synthesizer.langop-system.svc:50051")
            .through(&proxy)
            .start()
            .await
            .unwrap();
        let life = Self {
            client: cp.client().await.unwrap(),
            cp,
            synthesizer,
            operator,
            _proxy: proxy,
        };
        life.endpoint().await;
        life
    }

    /// As Kubernetes' own controller would write it.
    async fn endpoint(&self) {
        let (_, port) = self.synthesizer.grpc_url().rsplit_once(':').unwrap();
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": "one", "namespace": "langop-system", "labels": {"kubernetes.io/service-name": "synthesizer"}},
            "ports": [{"name": "grpc", "port": port.parse::<i32>().unwrap()}],
            "endpoints": [{"addresses": [LOOPBACK], "conditions": {"ready": true}}],
        });
        self.apply(slice).await;
    }

    async fn apply(&self, object: Value) {
        let object = serde_json::from_value(object).unwrap();
        manifests::apply(&self.client, &object, NAMESPACE)
            .await
            .unwrap();
    }

    /// An object of ours.
    async fn make(&self, kind: &str, name: &str, spec: Value) {
        self.apply(json!({"apiVersion": "langop.io/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}))
            .await;
    }

    fn ours(&self, kind: &str) -> Api<DynamicObject> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("langop.io", "v1alpha1", kind));
        match kind {
            "LanguageCluster" => Api::all_with(self.client.clone(), &resource),
            _ => Api::namespaced_with(self.client.clone(), NAMESPACE, &resource),
        }
    }

    fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    async fn patch(&self, kind: &str, name: &str, spec: Value) {
        let patch = Patch::Merge(json!({"spec": spec}));
        self.ours(kind)
            .patch(name, &PatchParams::default(), &patch)
            .await
            .unwrap();
    }

    /// Waits until an object of ours is Ready for its present spec.
    async fn until_ready(&self, kind: &str, name: &str) {
        let ready = |object: &DynamicObject| {
            let status = &object.data["status"];
            let conditions = status["conditions"].as_array();
            let mut conditions = conditions.into_iter().flatten();
            status["observedGeneration"].as_i64() == object.metadata.generation
                && conditions.any(|c| c["type"] == "Ready" && c["status"] == "True")
        };
        let found = wait::object(self.ours(kind), name, SOON, ready).await;
        if let Err(error) = found {
            panic!("{error:#}\noperator log: {}", self.operator.log().display());
        }
    }

    async fn until<K>(&self, name: &str)
    where
        K: Child,
    {
        wait::object(self.api::<K>(), name, SOON, |_| true)
            .await
            .unwrap();
    }

    async fn until_gone<K>(&self, name: &str)
    where
        K: Child,
    {
        wait::gone(self.api::<K>(), name, SOON).await.unwrap();
    }

    /// A namespace with all that a LanguageCluster puts into it.
    async fn frame(&self) {
        let spec = json!({
            "agentEgress": "Allow",
            "resourceQuotas": {"requests.cpu": "40", "limits.memory": "80Gi", "pods": "50"},
            "members": [
                {"subject": {"kind": "User", "name": "ada"}, "role": "edit"},
                {"subject": {"kind": "Group", "name": "readers"}, "role": "view"},
                {"subject": {"kind": "User", "name": "root"}, "role": "admin"},
            ],
        });
        self.make("LanguageCluster", NAMESPACE, spec).await;
        self.until_ready("LanguageCluster", NAMESPACE).await;
    }

    /// All other kinds, and agents of both modes.
    async fn everything(&self) {
        let egress = json!([{"cidr": "203.0.113.25/32", "ports": [{"port": 587}]}]);
        self.make(
            "LanguageTool",
            "mail",
            json!({"image": "registry.example/mail:1", "egress": egress}),
        )
        .await;
        self.make(
            "LanguageTool",
            "files",
            json!({"image": "registry.example/files:1", "port": 8081}),
        )
        .await;
        let model = json!({"provider": "anthropic", "model": "claude-sonnet-4-5", "apiKeySecretRef": {"name": "key"}});
        self.make("LanguageModel", "brain", model).await;
        self.make(
            "LanguagePersona",
            "analyst",
            json!({"description": "Calm", "systemPrompt": "You are calm."}),
        )
        .await;
        let refs = json!({"toolRefs": [{"name": "mail"}, {"name": "files"}], "modelRefs": [{"name": "brain"}]});
        let with_refs = |mut spec: Value| {
            spec.as_object_mut()
                .unwrap()
                .extend(refs.as_object().unwrap().clone());
            spec
        };
        self.make(
            "LanguageClient",
            "chat",
            with_refs(json!({"image": "registry.example/chat:1"})),
        )
        .await;
        let worker = json!({
            "instructions": "Send a mail when something happens",
            "personaRef": {"name": "analyst"},
            "workspace": {"storage": "1Gi"},
            "synthesis": {"revisionHistoryLimit": 1},
        });
        self.make("LanguageAgent", "worker", with_refs(worker))
            .await;
        let clock = json!({"instructions": "Say what time it is", "schedule": "0 9 * * *"});
        self.make("LanguageAgent", "clock", clock).await;
        for (kind, name) in [
            ("LanguageTool", "mail"),
            ("LanguageTool", "files"),
            ("LanguageModel", "brain"),
            ("LanguagePersona", "analyst"),
            ("LanguageClient", "chat"),
            ("LanguageAgent", "worker"),
            ("LanguageAgent", "clock"),
        ] {
            self.until_ready(kind, name).await;
        }
    }

    /// New code and no more history, the other mode and back, a tool that moves into its agents.
    async fn changes(&self) {
        let old = mounted_code(&self.api::<Deployment>().get("worker").await.unwrap()).unwrap();
        self.patch(
            "LanguageAgent",
            "worker",
            json!({"instructions": "Send two mails when something happens"}),
        )
        .await;
        self.until_gone::<ConfigMap>(&old).await;
        self.until_ready("LanguageAgent", "worker").await;
        let of_worker = ListParams::default().labels(&format!("{}=worker", labels::AGENT));
        assert_eq!(
            self.api::<ConfigMap>()
                .list(&of_worker)
                .await
                .unwrap()
                .items
                .len(),
            1
        );

        self.patch(
            "LanguageAgent",
            "clock",
            json!({"schedule": null, "executionMode": "autonomous"}),
        )
        .await;
        self.until::<Deployment>("clock").await;
        self.until_gone::<CronJob>("clock").await;
        self.until_ready("LanguageAgent", "clock").await;
        self.patch(
            "LanguageAgent",
            "clock",
            json!({"schedule": "0 8 * * *", "executionMode": "scheduled"}),
        )
        .await;
        self.until::<CronJob>("clock").await;
        self.until_gone::<Deployment>("clock").await;

        self.patch(
            "LanguageTool",
            "files",
            json!({"deploymentMode": "sidecar"}),
        )
        .await;
        self.until_gone::<Deployment>("files").await;
        self.until_gone::<Service>("files").await;
        // Last, when its pods are gone.
        self.until_gone::<NetworkPolicy>("files").await;
        self.until_ready("LanguageAgent", "worker").await;
    }

    /// What nobody names any more goes.
    async fn removals(&self) {
        self.patch(
            "LanguageCluster",
            NAMESPACE,
            json!({"members": null, "resourceQuotas": null}),
        )
        .await;
        self.until_gone::<ResourceQuota>("langop-quota").await;
        self.until_gone::<LimitRange>("langop-defaults").await;
        for role in [
            "langop-view",
            "langop-edit",
            "langop-admin",
            "langop-approve",
        ] {
            let empty = |binding: &RoleBinding| binding.subjects.iter().flatten().next().is_none();
            wait::object(self.api(), role, SOON, empty).await.unwrap();
        }
        let agents = self.api::<LanguageAgent>();
        agents
            .delete("worker", &kube::api::DeleteParams::default())
            .await
            .unwrap();
        self.until_gone::<Deployment>("worker").await;
    }

    /// All requests of the operator: a watch is among them when it has ended.
    async fn end(mut self) -> (Vec<audit::AuditEvent>, String) {
        self.operator.stop().await.unwrap();
        let all = Filter::all().user(self.operator.user());
        let audit = self.cp.audit().unwrap();
        let settled = audit.settle(AuditLog::BEGINNING, &all, std::time::Duration::from_secs(2));
        let seen = settled.await.unwrap();
        let log = audit.path().display().to_string();
        self.cp.stop().await.unwrap();
        (seen, log)
    }
}

/// What may be waited for.
trait Child:
    Resource<Scope = NamespaceResourceScope, DynamicType = ()>
    + Clone
    + std::fmt::Debug
    + Send
    + Serialize
    + DeserializeOwned
    + 'static
{
}

impl<K> Child for K where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + Send
        + Serialize
        + DeserializeOwned
        + 'static
{
}
