//! What deploy/admission.yaml makes the API server refuse, whoever else allowed it: users here hold
//! every right, so only admission is left to say no. That the operator itself is never refused is
//! shown by the tests of its rights, which run with these policies.

use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        batch::v1::{CronJob, Job},
        core::v1::{ConfigMap, Namespace, Pod},
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, Config, Resource,
    api::{DeleteParams, Patch, PatchParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use langop_integration_tests::{
    ControlPlane, TestNamespace, env::SOON, manifests, run_dir, wait, workspace_root,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

const OPERATOR: &str = "system:serviceaccount:langop-system:langop-operator";

/// Applies the policies and waits until they refuse something.
pub(crate) async fn enforce(cp: &ControlPlane) {
    let client = cp.client().await.unwrap();
    for object in manifests::read(&workspace_root().unwrap().join("deploy/admission.yaml")).unwrap()
    {
        manifests::apply(&client, &object, "default").await.unwrap();
    }
    // Policies come into force one after the other, in the order of their bindings: this is one of
    // the last.
    let nobody = everywhere(cp, "nobody").await;
    let labels = json!({"langop.io/agent": "probe"});
    let template = json!({"metadata": {"labels": labels}, "spec": pod_spec(&json!({"restartPolicy": "Never"}))});
    wait::until("the policies to be enforced", SOON, async || {
        let cron: CronJob = from(json!({
            "metadata": {"name": "probe"},
            "spec": {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"template": template}}},
        }));
        let dry = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        let crons: Api<CronJob> = Api::namespaced(nobody.clone(), "default");
        let created = crons.create(&dry, &cron).await;
        created.err().filter(is_forbidden).map(|_| ())
    })
    .await
    .unwrap();
}

/// A client of this user, who holds every right.
async fn everywhere(cp: &ControlPlane, user: &str) -> Client {
    let file = Kubeconfig::read_from(cp.kubeconfig().unwrap()).unwrap();
    let mut config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
        .await
        .unwrap();
    config.auth_info.impersonate = Some(user.to_owned());
    config.auth_info.impersonate_groups = Some(vec!["system:masters".to_owned()]);
    Client::try_from(config).unwrap()
}

fn from<K: DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).unwrap()
}

fn is_forbidden(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 403)
}

/// The API server's sentence where it refuses, or nothing.
async fn refusal<K>(api: Api<K>, object: Value) -> Option<String>
where
    K: Resource + Clone + std::fmt::Debug + Serialize + DeserializeOwned,
{
    match api.create(&PostParams::default(), &from(object)).await {
        Ok(_) => None,
        Err(error) if is_forbidden(&error) => Some(error.to_string()),
        Err(error) => panic!("neither taken nor forbidden: {error}"),
    }
}

/// What Pod Security `restricted` takes.
fn container(name: &str) -> Value {
    json!({
        "name": name, "image": "example.org/none:1",
        "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
    })
}

fn pod_spec(change: &Value) -> Value {
    let mut spec = json!({
        "automountServiceAccountToken": false,
        "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container("c")],
    });
    merge(&mut spec, change);
    spec
}

fn merge(into: &mut Value, change: &Value) {
    for (key, value) in change.as_object().unwrap().clone() {
        into[key] = value;
    }
}

fn deployment(name: &str, labels: &Value, template: &Value, spec: &Value) -> Value {
    json!({
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": template}, "spec": spec},
        },
    })
}

#[tokio::test]
async fn the_operators_account_makes_nothing_that_makes_more_of_it() {
    let cp = ControlPlane::start(&run_dir().unwrap().join("admission-operator"))
        .await
        .unwrap();
    enforce(&cp).await;
    let ns = TestNamespace::create(&cp, "admission").await.unwrap();
    let operator = everywhere(&cp, OPERATOR).await;
    let deployments = || Api::<Deployment>::namespaced(operator.clone(), ns.name());
    let ours = json!({"app.kubernetes.io/managed-by": "langop-operator"});
    let escalating = json!([{"name": "c", "image": "example.org/none:1", "securityContext": {"allowPrivilegeEscalation": true}}]);
    let unsaid = json!([{"name": "c", "image": "example.org/none:1"}]);
    let unsaid_init = json!([{"name": "i", "image": "example.org/none:1"}]);
    let host_path = json!([{"name": "v", "hostPath": {"path": "/"}}]);
    for (name, labels, change, sentence) in [
        (
            "foreign",
            json!({}),
            json!({}),
            Some("labelled app.kubernetes.io/managed-by"),
        ),
        (
            "token",
            ours.clone(),
            json!({"automountServiceAccountToken": true}),
            Some("service account's token"),
        ),
        (
            "account",
            ours.clone(),
            json!({"serviceAccountName": "admin"}),
            Some("service account's token"),
        ),
        (
            "network",
            ours.clone(),
            json!({"hostNetwork": true}),
            Some("host's namespaces"),
        ),
        (
            "path",
            ours.clone(),
            json!({"volumes": host_path}),
            Some("hostPath"),
        ),
        (
            "escalating",
            ours.clone(),
            json!({"containers": escalating}),
            Some("gain privileges"),
        ),
        (
            "unsaid",
            ours.clone(),
            json!({"containers": unsaid}),
            Some("gain privileges"),
        ),
        (
            "init",
            ours.clone(),
            json!({"initContainers": unsaid_init}),
            Some("gain privileges"),
        ),
        ("right", ours.clone(), json!({}), None),
    ] {
        let object = deployment(name, &labels, &json!({"app": name}), &pod_spec(&change));
        let said = refusal(deployments(), object).await;
        match (&said, sentence) {
            (Some(said), Some(sentence)) => assert!(said.contains(sentence), "{name}: {said}"),
            (None, None) => {}
            _ => panic!("{name}: {said:?}"),
        }
    }
    let cron = |spec: Value| {
        json!({
            "metadata": {"name": "run", "labels": ours},
            "spec": {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"template": {"spec": spec}}}},
        })
    };
    let never = json!({"restartPolicy": "Never"});
    let crons = || Api::<CronJob>::namespaced(operator.clone(), ns.name());
    let mut on_host = pod_spec(&never);
    on_host["hostPID"] = true.into();
    let said = refusal(crons(), cron(on_host)).await.unwrap();
    assert!(said.contains("host's namespaces"), "{said}");
    assert_eq!(refusal(crons(), cron(pod_spec(&never))).await, None);

    // Namespaces only of LanguageClusters, and adopted only where their owner said so.
    let namespaces: Api<Namespace> = Api::all(operator.clone());
    let said = refusal(namespaces.clone(), json!({"metadata": {"name": "plain"}}))
        .await
        .unwrap();
    assert!(said.contains("labelled langop.io/cluster"), "{said}");
    let adopt = Patch::Merge(json!({"metadata": {"labels": {"langop.io/cluster": "mine"}}}));
    let adopted = namespaces
        .patch(ns.name(), &PatchParams::default(), &adopt)
        .await;
    assert!(
        adopted
            .unwrap_err()
            .to_string()
            .contains("its owner has not labelled")
    );

    // What is not ours is not deleted either.
    let maps = || Api::<ConfigMap>::namespaced(operator.clone(), ns.name());
    ns.api::<ConfigMap>()
        .create(
            &PostParams::default(),
            &from(json!({"metadata": {"name": "theirs"}})),
        )
        .await
        .unwrap();
    let deleted = maps().delete("theirs", &DeleteParams::default()).await;
    assert!(is_forbidden(&deleted.unwrap_err()));
    cp.stop().await.unwrap();
}

#[tokio::test]
async fn nobody_else_puts_the_labels_of_an_agent_on_a_pod() {
    let cp = ControlPlane::start(&run_dir().unwrap().join("admission-labels"))
        .await
        .unwrap();
    cp.install_crds().await.unwrap();
    enforce(&cp).await;
    let ns = TestNamespace::create(&cp, "labels").await.unwrap();
    let mallory = everywhere(&cp, "mallory").await;
    let pod = |name: &str, labels: Value| json!({"metadata": {"name": name, "labels": labels}, "spec": pod_spec(&json!({}))});
    let pods = || Api::<Pod>::namespaced(mallory.clone(), ns.name());
    let deployments = || Api::<Deployment>::namespaced(mallory.clone(), ns.name());
    for key in ["agent", "tool", "model", "client"] {
        let labels = json!({"app": key, format!("langop.io/{key}"): "mail"});
        let said = refusal(pods(), pod(key, labels.clone())).await.unwrap();
        assert!(said.contains("use a label of your own"), "{said}");
        let object = deployment(key, &json!({}), &labels, &pod_spec(&json!({})));
        assert!(refusal(deployments(), object).await.is_some(), "{key}");
    }
    assert_eq!(
        refusal(pods(), pod("free", json!({"app": "free"}))).await,
        None
    );
    let object = deployment(
        "free",
        &json!({}),
        &json!({"app": "free"}),
        &pod_spec(&json!({})),
    );
    assert_eq!(refusal(deployments(), object).await, None);
    let label = Patch::Merge(json!({"metadata": {"labels": {"langop.io/tool": "mail"}}}));
    let labelled = pods().patch("free", &PatchParams::default(), &label).await;
    assert!(is_forbidden(&labelled.unwrap_err()));

    // A tool's Deployment of ours: its pods come up, and people may scale and restart it, but not
    // make it another's.
    let operator = everywhere(&cp, OPERATOR).await;
    let ours = json!({"app.kubernetes.io/managed-by": "langop-operator"});
    let template = json!({"app": "mail", "langop.io/tool": "mail"});
    let object = deployment("mail", &ours, &template, &pod_spec(&json!({})));
    let operators = Api::<Deployment>::namespaced(operator, ns.name());
    assert_eq!(refusal(operators, object).await, None);
    wait::object(ns.api::<Deployment>(), "mail", SOON, |found| {
        found
            .status
            .as_ref()
            .and_then(|status| status.ready_replicas)
            == Some(1)
    })
    .await
    .unwrap();
    deployments().restart("mail").await.unwrap();
    let scale = Patch::Merge(json!({"spec": {"replicas": 2}}));
    deployments()
        .patch_scale("mail", &PatchParams::default(), &scale)
        .await
        .unwrap();
    let relabel = json!({"spec": {"template": {"metadata": {"labels": {"langop.io/agent": "x"}}}}});
    let relabelled = deployments()
        .patch("mail", &PatchParams::default(), &Patch::Merge(relabel))
        .await;
    assert!(is_forbidden(&relabelled.unwrap_err()));

    // A run by hand, as `kubectl create job --from` makes it, and what only looks like one.
    let job = |name: &str, labels: Value, owner: Option<Value>| {
        let owners: Vec<Value> = owner.into_iter().collect();
        json!({
            "metadata": {"name": name, "ownerReferences": owners},
            "spec": {"template": {"metadata": {"labels": labels}, "spec": pod_spec(&json!({"restartPolicy": "Never"}))}},
        })
    };
    let cron = json!({"apiVersion": "batch/v1", "kind": "CronJob", "name": "report", "uid": "1"});
    let jobs = || Api::<Job>::namespaced(mallory.clone(), ns.name());
    let agent = json!({"langop.io/agent": "report"});
    let tool = json!({"langop.io/agent": "report", "langop.io/tool": "mail"});
    assert_eq!(
        refusal(jobs(), job("now", agent.clone(), Some(cron.clone()))).await,
        None
    );
    assert!(refusal(jobs(), job("alone", agent, None)).await.is_some());
    assert!(
        refusal(jobs(), job("tool", tool, Some(cron)))
            .await
            .is_some()
    );

    let scheduled = |name: &str, labels: Value| {
        let template = json!({"metadata": {"labels": labels}, "spec": pod_spec(&json!({"restartPolicy": "Never"}))});
        json!({
            "metadata": {"name": name},
            "spec": {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"template": template}}},
        })
    };
    let crons = || Api::<CronJob>::namespaced(mallory.clone(), ns.name());
    let labels = json!({"langop.io/agent": "report"});
    let said = refusal(crons(), scheduled("forged", labels)).await.unwrap();
    assert!(said.contains("use a label of your own"), "{said}");
    let free = scheduled("free", json!({"app": "free"}));
    assert_eq!(refusal(crons(), free).await, None);

    // The kinds stay until somebody says that they may go.
    let crds: Api<CustomResourceDefinition> = Api::all(mallory);
    let name = "languagepersonas.langop.io";
    let deleted = crds.delete(name, &DeleteParams::default()).await;
    assert!(
        deleted
            .unwrap_err()
            .to_string()
            .contains("langop.io/allow-deletion=true")
    );
    let allow =
        Patch::Merge(json!({"metadata": {"annotations": {"langop.io/allow-deletion": "true"}}}));
    crds.patch(name, &PatchParams::default(), &allow)
        .await
        .unwrap();
    crds.delete(name, &DeleteParams::default()).await.unwrap();
    cp.stop().await.unwrap();
}
