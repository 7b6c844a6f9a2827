//! Whatever somebody writes where only the operator may is put back, in one go: the other half of a
//! one-of, which server-side apply alone cannot remove, and what is added beside. One table, each
//! row as kubectl or another manager would write it, and for every one-of of what we build an edit
//! that is made from the live object.

use futures::future::join_all;
use kube::{
    Api,
    api::{ApiResource, DynamicObject, Patch, PatchParams},
};
use langop_integration_tests::{
    env::{SOON, TestEnv},
    wait,
};
use serde_json::{Value, json};

/// How somebody edits.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// As `kubectl edit`, `set` or `patch`.
    Patch,
    /// As another manager that applies by force.
    Apply,
}

/// What, and what it is about.
type Edit = (&'static str, Way, Value);

fn template(spec: &Value) -> Value {
    json!({"spec": {"template": {"spec": spec}}})
}

fn container(container: &str, edit: Value) -> Value {
    let mut edit = edit;
    edit["name"] = json!(container);
    template(&json!({"containers": [edit]}))
}

/// Edits of any Deployment of ours whose container has this name.
fn of_deployment(name: &str) -> Vec<Edit> {
    let evil = json!({"name": "added", "image": "registry.example/added:1"});
    let tmp = format!("tmp-{name}");
    let swapped = json!([{"name": tmp, "$retainKeys": ["name", "configMap"], "configMap": {"name": "other"}}]);
    vec![
        (
            "a value's other half",
            Way::Patch,
            container(
                name,
                json!({"env": [
            {"name": "PORT", "value": null, "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]}),
            ),
        ),
        (
            "a variable",
            Way::Patch,
            container(name, json!({"env": [{"name": "ADDED", "value": "x"}]})),
        ),
        (
            "a variable by apply",
            Way::Apply,
            container(name, json!({"env": [{"name": "ADDED", "value": "x"}]})),
        ),
        (
            "a variable we have",
            Way::Patch,
            container(name, json!({"env": [{"name": "PORT", "value": "1"}]})),
        ),
        (
            "an image",
            Way::Patch,
            container(name, json!({"image": "registry.example/added:1"})),
        ),
        (
            "a container",
            Way::Patch,
            template(&json!({"containers": [evil]})),
        ),
        (
            "a container by apply",
            Way::Apply,
            template(&json!({"containers": [evil]})),
        ),
        (
            "an init container",
            Way::Patch,
            template(&json!({"initContainers": [evil]})),
        ),
        (
            "a command",
            Way::Patch,
            container(name, json!({"command": ["sh"]})),
        ),
        (
            "a hook",
            Way::Patch,
            container(
                name,
                json!({"lifecycle": {"preStop": {"exec": {"command": ["true"]}}}}),
            ),
        ),
        (
            "a hook",
            Way::Patch,
            container(
                name,
                json!({"lifecycle": {"preStop": {"exec": {"command": ["true"]}}}}),
            ),
        ),
        (
            "a limit",
            Way::Patch,
            container(
                name,
                json!({"resources": {"limits": {"ephemeral-storage": "3Gi"}}}),
            ),
        ),
        (
            "the host's network",
            Way::Patch,
            template(&json!({"hostNetwork": true})),
        ),
        (
            "a volume",
            Way::Patch,
            template(&json!({"volumes": [{"name": "added", "emptyDir": {}}]})),
        ),
        (
            "a volume's other source",
            Way::Patch,
            template(&json!({"volumes": swapped})),
        ),
        (
            "a service account",
            Way::Patch,
            template(&json!({"serviceAccountName": "default"})),
        ),
        (
            "a place",
            Way::Patch,
            template(&json!({"nodeSelector": {"added": "yes"}})),
        ),
        (
            "a label of pods",
            Way::Patch,
            json!({"spec": {"template": {"metadata": {"labels": {"added": "yes"}}}}}),
        ),
        ("a pause", Way::Patch, json!({"spec": {"paused": true}})),
        (
            "a wait",
            Way::Patch,
            json!({"spec": {"minReadySeconds": 77}}),
        ),
        (
            "a history",
            Way::Patch,
            json!({"spec": {"revisionHistoryLimit": 1}}),
        ),
    ]
}

fn strategies(other: &Value) -> Vec<Edit> {
    let mut whole = other.clone();
    whole["$retainKeys"] = other.as_object().unwrap().keys().cloned().collect();
    vec![
        (
            "a strategy",
            Way::Patch,
            json!({"spec": {"strategy": whole}}),
        ),
        (
            "a strategy by apply",
            Way::Apply,
            json!({"spec": {"strategy": {"type": other["type"]}}}),
        ),
    ]
}

fn of_cron_job() -> Vec<Edit> {
    let run = |spec: Value| json!({"spec": {"jobTemplate": {"spec": spec}}});
    let variable = json!([{"name": "INSTRUCTIONS", "value": "x", "valueFrom": null}]);
    let pod = json!({"containers": [{"name": "agent", "env": variable}]});
    vec![
        (
            "a zone",
            Way::Patch,
            json!({"spec": {"timeZone": "Asia/Tokyo"}}),
        ),
        (
            "a zone by apply",
            Way::Apply,
            json!({"spec": {"timeZone": "Asia/Tokyo"}}),
        ),
        (
            "a suspension",
            Way::Patch,
            json!({"spec": {"suspend": true}}),
        ),
        (
            "a concurrency",
            Way::Patch,
            json!({"spec": {"concurrencyPolicy": "Allow"}}),
        ),
        (
            "an end",
            Way::Patch,
            run(json!({"ttlSecondsAfterFinished": 5})),
        ),
        (
            "a number of runs",
            Way::Patch,
            run(json!({"completions": 3, "parallelism": 3})),
        ),
        (
            "a variable's other half",
            Way::Patch,
            run(template(&pod)["spec"].clone()),
        ),
    ]
}

/// For each one-of in these pods of ours, an edit that writes another half of it.
fn other_halves(pod: &Value) -> Vec<Value> {
    let lists = ["containers", "initContainers"].into_iter();
    let of_containers = lists.flat_map(|list| {
        let all = pod[list].as_array().into_iter().flatten();
        let edits = all.flat_map(|container| {
            let name = &container["name"];
            let halves = variables(container).into_iter().chain(probes(container));
            halves.map(move |mut edit| {
                edit["name"] = name.clone();
                json!({list: [edit]})
            })
        });
        edits.collect::<Vec<_>>()
    });
    of_containers.chain(volumes(pod)).collect()
}

/// A text for what comes from elsewhere, and the other way round; and another elsewhere.
fn variables(container: &Value) -> Vec<Value> {
    let all = container["env"].as_array().into_iter().flatten();
    let edits = all.flat_map(|variable| {
        let edit = |value: Value, from: Value| {
            let name = &variable["name"];
            json!({"env": [{"name": name, "value": value, "valueFrom": from}]})
        };
        let field = json!({"fieldPath": "metadata.name"});
        let Some(from) = variable["valueFrom"].as_object() else {
            return vec![edit(Value::Null, json!({"fieldRef": field}))];
        };
        let mut swapped: Value = from
            .keys()
            .map(|source| (source.clone(), Value::Null))
            .collect();
        let other = if from.contains_key("fieldRef") {
            ("configMapKeyRef", json!({"name": "other", "key": "other"}))
        } else {
            ("fieldRef", field)
        };
        swapped[other.0] = other.1;
        vec![edit(json!("x"), Value::Null), edit(Value::Null, swapped)]
    });
    edits.collect()
}

fn probes(container: &Value) -> Vec<Value> {
    let kinds = ["livenessProbe", "readinessProbe", "startupProbe"].into_iter();
    let edits = kinds.filter_map(|kind| {
        let probe = container[kind].as_object()?;
        let ways = ["exec", "httpGet", "tcpSocket", "grpc"].into_iter();
        let mut edit: Value = ways
            .filter(|way| probe.contains_key(*way))
            .map(|way| (way.to_owned(), Value::Null))
            .collect();
        let other = if probe.contains_key("exec") {
            ("tcpSocket", json!({"port": 1}))
        } else {
            ("exec", json!({"command": ["true"]}))
        };
        edit[other.0] = other.1;
        Some(json!({kind: edit}))
    });
    edits.collect()
}

fn volumes(pod: &Value) -> Vec<Value> {
    let all = pod["volumes"].as_array().into_iter().flatten();
    let edits = all.map(|volume| {
        let (source, is) = if volume["emptyDir"].is_null() {
            ("emptyDir", json!({}))
        } else {
            ("configMap", json!({"name": "other"}))
        };
        json!({"volumes": [{"name": volume["name"], "$retainKeys": ["name", source], source: is}]})
    });
    edits.collect()
}

/// Writes another half of each one-of in the pods of an object.
async fn put_back_halves(env: &TestEnv, kind: &str, name: &str) {
    let live = api(env, kind).get(name).await.unwrap();
    let of_pods = match kind {
        "batch/v1/CronJob" => "/spec/jobTemplate/spec/template/spec",
        _ => "/spec/template/spec",
    };
    let halves = other_halves(live.data.pointer(of_pods).unwrap());
    assert!(halves.len() > 2, "{kind} {name}: {halves:?}");
    let edits = halves.into_iter().map(|half| {
        let edit = match kind {
            "batch/v1/CronJob" => json!({"spec": {"jobTemplate": template(&half)}}),
            _ => template(&half),
        };
        ("another half", Way::Patch, edit)
    });
    put_back(env, kind, name, edits.collect()).await;
}

/// The object at the end of a path such as `apps/v1/Deployment`.
fn api(env: &TestEnv, kind: &str) -> Api<DynamicObject> {
    let (group_version, kind) = kind.rsplit_once('/').unwrap();
    let (group, version) = group_version.split_once('/').unwrap_or(("", group_version));
    let plural = match kind {
        "NetworkPolicy" => "networkpolicies".to_owned(),
        kind => kind.to_lowercase() + "s",
    };
    let resource = ApiResource {
        group: group.into(),
        version: version.into(),
        api_version: group_version.into(),
        kind: kind.into(),
        plural,
    };
    Api::namespaced_with(env.ns.client(), env.ns.name(), &resource)
}

/// What is ours of it.
fn ours(object: &DynamicObject) -> Value {
    json!([
        object.data["spec"],
        object.data["data"],
        object.data["binaryData"]
    ])
}

/// Makes each edit, and waits until nothing is left of it. One write puts all of it back: where the
/// server counts changes of a spec, there are two, the edit and that.
async fn put_back(env: &TestEnv, kind: &str, name: &str, edits: Vec<Edit>) {
    let api = api(env, kind);
    for (what, way, edit) in edits {
        let before = api.get(name).await.unwrap();
        let edited = match way {
            Way::Patch => {
                let patch = Patch::Strategic(&edit);
                api.patch(name, &PatchParams::default(), &patch).await
            }
            Way::Apply => {
                let mut edit = edit.clone();
                edit["apiVersion"] = json!(kind.rsplit_once('/').unwrap().0);
                edit["kind"] = json!(kind.rsplit_once('/').unwrap().1);
                edit["metadata"] = json!({"uid": before.metadata.uid});
                let params = PatchParams::apply("somebody").force();
                api.patch(name, &params, &Patch::Apply(&edit)).await
            }
        };
        let edited = edited.unwrap_or_else(|error| panic!("{kind} {name}, {edit}: {error}"));
        assert_ne!(
            ours(&before),
            ours(&edited),
            "{kind} {name}, {what}: no edit: {edit}"
        );
        let back = wait::until(what, SOON, async || {
            let now = api.get(name).await.unwrap();
            if ours(&now) == ours(&before) {
                Ok(now)
            } else {
                Err(now.data.to_string())
            }
        });
        let back = back
            .await
            .unwrap_or_else(|error| panic!("{kind} {name}, {edit}: {error:#}"));
        let changes = |object: &DynamicObject| object.metadata.generation;
        let once = changes(&edited).map(|count| count + 1);
        assert_eq!(changes(&back), once, "{kind} {name}, {what}: {edit}");
    }
}

#[tokio::test]
async fn every_foreign_edit_where_only_we_write_is_put_back() {
    let env = TestEnv::new("edits").await;
    env.with_agent("loyal", "stay").await;
    env.apply(
        "
apiVersion: langop.io/v1alpha1
kind: LanguageAgent
metadata: {name: keeper}
spec: {instructions: keep, workspace: {storage: 1Gi}, toolRefs: [{name: files}]}
---
apiVersion: langop.io/v1alpha1
kind: LanguageTool
metadata: {name: files}
spec: {image: 'registry.example/files:1', deploymentMode: sidecar, port: 8081}
---
apiVersion: langop.io/v1alpha1
kind: LanguageAgent
metadata: {name: clock}
spec: {instructions: tick, executionMode: scheduled, schedule: '0 0 1 1 *'}
---
apiVersion: langop.io/v1alpha1
kind: LanguageClient
metadata: {name: chat}
spec: {image: 'registry.example/chat:1', toolRefs: [{name: mail}]}
",
    )
    .await;
    for agent in ["keeper", "clock"] {
        env.until_ready(agent).await;
    }
    let deployment = "apps/v1/Deployment";
    wait::until("the client's Deployment", SOON, async || {
        api(&env, deployment).get_opt("chat").await.unwrap()
    })
    .await
    .unwrap();

    let instructions = json!({"env": [{"name": "INSTRUCTIONS", "value": "x", "valueFrom": null}]});
    let half = (
        "instructions' other half",
        Way::Patch,
        container("agent", instructions),
    );
    put_back(&env, deployment, "loyal", of_deployment("agent")).await;
    put_back(&env, deployment, "loyal", vec![half]).await;
    let recreate = json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}});
    let strategy = vec![("a strategy", Way::Patch, recreate)];
    put_back(&env, deployment, "loyal", strategy).await;
    let rolling =
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 3, "maxUnavailable": 0}});
    put_back(&env, deployment, "keeper", strategies(&rolling)).await;
    for (name, container_name) in containers(&env, &["mail", "chat", "brain-proxy"]).await {
        put_back(&env, deployment, &name, of_deployment(&container_name)).await;
    }
    put_back(&env, "batch/v1/CronJob", "clock", of_cron_job()).await;
    let workloads = ["loyal", "keeper", "mail", "chat", "brain-proxy"].into_iter();
    let workloads = workloads.map(|name| (deployment, name));
    let workloads = workloads.chain([("batch/v1/CronJob", "clock")]);
    join_all(workloads.map(|(kind, name)| put_back_halves(&env, kind, name))).await;
    let service = vec![
        (
            "a port",
            Way::Patch,
            json!({"spec": {"ports": [{"name": "added", "port": 1, "protocol": "TCP"}]}}),
        ),
        (
            "an address",
            Way::Patch,
            json!({"spec": {"externalIPs": ["198.51.100.7"]}}),
        ),
        (
            "a selector",
            Way::Patch,
            json!({"spec": {"selector": {"added": "yes"}}}),
        ),
        (
            "an affinity",
            Way::Patch,
            json!({"spec": {"sessionAffinity": "None"}}),
        ),
    ];
    put_back(&env, "v1/Service", "mail", service).await;
    let policy = vec![
        ("more egress", Way::Patch, json!({"spec": {"egress": [{}]}})),
        (
            "ingress",
            Way::Patch,
            json!({"spec": {"ingress": [{}], "policyTypes": ["Egress", "Ingress"]}}),
        ),
    ];
    put_back(&env, "networking.k8s.io/v1/NetworkPolicy", "loyal", policy).await;
    let config = vec![
        ("a file", Way::Patch, json!({"data": {"added.py": "pass"}})),
        (
            "a file by apply",
            Way::Apply,
            json!({"data": {"added.py": "pass"}}),
        ),
        (
            "bytes",
            Way::Patch,
            json!({"binaryData": {"added.bin": "AA=="}}),
        ),
    ];
    let map = config_of_proxy(&env).await;
    put_back(&env, "v1/ConfigMap", &map, config).await;

    // What is others' stays: the time of `kubectl rollout restart`, and how many.
    let restart = json!({"kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z"});
    let others =
        json!({"spec": {"replicas": 2, "template": {"metadata": {"annotations": restart}}}});
    let params = PatchParams::default();
    let deployments = api(&env, deployment);
    deployments
        .patch("loyal", &params, &Patch::Strategic(&others))
        .await
        .unwrap();
    env.settled().await;
    let live = deployments.get("loyal").await.unwrap();
    assert_eq!(live.data["spec"]["replicas"], 2);
    assert_eq!(
        live.data["spec"]["template"]["metadata"]["annotations"],
        restart
    );
    let news = env.new_events("loyal").await;
    assert!(
        !news.iter().any(|reason| reason == "ApplyFailed"),
        "{news:?}"
    );
    for agent in ["loyal", "keeper", "clock"] {
        env.until_ready(agent).await;
    }
}

/// The Deployments with the names of their first containers.
async fn containers(env: &TestEnv, names: &[&str]) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for name in names {
        let live = env.deployment(name).await;
        let pod = live.spec.unwrap().template.spec.unwrap();
        all.push(((*name).to_owned(), pod.containers[0].name.clone()));
    }
    all
}

/// The ConfigMap that the proxy's pods mount.
async fn config_of_proxy(env: &TestEnv) -> String {
    let live = env.deployment("brain-proxy").await;
    let volumes = live.spec.unwrap().template.spec.unwrap().volumes.unwrap();
    let mut maps = volumes.into_iter().filter_map(|volume| volume.config_map);
    maps.next().unwrap().name
}
