//! Namespaces that no LanguageCluster may have, and what stays its owner's in one that it has.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, ResourceExt as _,
    api::{Patch, PatchParams},
};
use langop_api::LanguageCluster;
use langop_integration_tests::{ControlPlane, Filter, Mark, Operator, audit, wait};
use serde_json::json;

use crate::{QUIET, SOON, alone, apply, condition, control_plane, until_ready};

const POD_SECURITY: &str = "pod-security.kubernetes.io/";

/// An operator for all namespaces, and who looks on.
struct ClusterEnv {
    cp: &'static ControlPlane,
    client: Client,
    operator: Operator,
}

impl ClusterEnv {
    async fn new() -> Self {
        let cp = control_plane().await;
        let client = cp.client().await.unwrap();
        let operator = Operator::builder(cp)
            .cluster_wide()
            .env("LANGOP_REFUSED_NAMESPACES", "payroll,vault")
            .start()
            .await
            .unwrap();
        Self {
            cp,
            client,
            operator,
        }
    }

    fn mark(&self) -> Mark {
        self.cp.audit().unwrap().mark().unwrap()
    }

    /// The operator's writes since then that the filter wants too, once it is silent.
    async fn writes_since(&self, mark: Mark, also: impl Fn(&Filter) -> Filter) -> String {
        let audit = self.cp.audit().unwrap();
        let ours = self.operator.writes();
        audit.settle(mark, &ours, QUIET).await.unwrap();
        audit::pretty(&audit.writes_since(mark, &also(&ours)).unwrap())
    }

    async fn pod_security(&self, namespace: &str) -> BTreeMap<String, String> {
        let namespaces = Api::<Namespace>::all(self.client.clone());
        let mut labels = namespaces.get(namespace).await.unwrap().labels().clone();
        labels.retain(|key, _| key.starts_with(POD_SECURITY));
        labels
    }
}

#[tokio::test]
async fn a_namespace_kept_for_the_system_is_refused_although_it_is_offered_and_stays_as_it_is() {
    let _alone = alone().await;
    let env = ClusterEnv::new().await;
    // The operator's own, one that its settings refuse, and one of those that does not exist.
    let refused = [
        ("usurper", "langop-system"),
        ("vault", "vault"),
        ("clerk", "payroll"),
    ];
    for (name, namespace) in &refused[..2] {
        apply(&env.client, &format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {namespace}, labels: {{langop.io/cluster: {name}}}}}}}")).await;
    }
    let mark = env.mark();
    for (name, namespace) in refused {
        apply(&env.client, &format!("{{apiVersion: langop.io/v1alpha1, kind: LanguageCluster, metadata: {{name: {name}}}, spec: {{namespace: {namespace}}}}}")).await;
        let is_refused = |c: &LanguageCluster| {
            condition(c, "Stalled").is_some_and(|(status, reason, message)| {
                status == "True" && reason == "NamespaceRefused" && message.contains(namespace)
            })
        };
        let clusters = Api::<LanguageCluster>::all(env.client.clone());
        let cluster = wait::object(clusters, name, SOON, is_refused).await;
        assert_eq!(cluster.unwrap().status.unwrap().namespace, None);
    }
    for (_, namespace) in refused {
        // A write of a namespace itself counts as one in it.
        let writes = env
            .writes_since(mark, |ours| ours.clone().namespace(namespace))
            .await;
        assert_eq!(writes, "", "in {namespace}");
    }
    let namespaces = Api::<Namespace>::all(env.client.clone());
    assert!(namespaces.get_opt("payroll").await.unwrap().is_none());
    assert_eq!(env.pod_security("vault").await, BTreeMap::new());
}

#[tokio::test]
async fn pod_security_labels_of_a_namespaces_owner_are_left_to_its_owner() {
    let _alone = alone().await;
    let env = ClusterEnv::new().await;
    let enforce = format!("{POD_SECURITY}enforce");
    // From the beginning.
    apply(&env.client, &format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: guarded, labels: {{langop.io/cluster: guarded, {enforce}: baseline}}}}}}")).await;
    apply(
        &env.client,
        "{apiVersion: langop.io/v1alpha1, kind: LanguageCluster, metadata: {name: guarded}, spec: {}}",
    )
    .await;
    until_ready(&env.client, "guarded").await;
    let baseline = BTreeMap::from([(enforce.clone(), "baseline".to_owned())]);
    assert_eq!(env.pod_security("guarded").await, baseline);

    // And from the day on which the owner takes one over.
    apply(
        &env.client,
        "{apiVersion: langop.io/v1alpha1, kind: LanguageCluster, metadata: {name: lent}, spec: {podSecurity: baseline}}",
    )
    .await;
    until_ready(&env.client, "lent").await;
    assert_eq!(env.pod_security("lent").await[&enforce], "baseline");
    let mark = env.mark();
    let privileged = json!({"metadata": {"labels": {(enforce.as_str()): "privileged"}}});
    Api::<Namespace>::all(env.client.clone())
        .patch("lent", &PatchParams::default(), &Patch::Merge(privileged))
        .await
        .unwrap();
    let writes = env.writes_since(mark, Filter::clone).await;
    assert!(
        writes.contains("patch namespaces lent/lent 200"),
        "the operator takes note: {writes}"
    );
    assert_eq!(env.pod_security("lent").await[&enforce], "privileged");
    until_ready(&env.client, "lent").await;
}
