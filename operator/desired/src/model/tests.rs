use k8s_openapi::api::core::v1::PodSpec;
use langop_api::{condition::Reason, model::ServicePhase};
use serde_json::{Value, json};

use super::*;
use crate::{
    conditions,
    observed::{ChildKind, CompactMap, DeploymentState, Observed, ObservedState},
    property::admission::Admission,
    settings::IpFamily,
};

fn model(spec: &Value) -> LanguageModel {
    serde_json::from_value(json!({
        "apiVersion": "langop.io/v1alpha1", "kind": "LanguageModel",
        "metadata": {"name": "claude", "namespace": "demo", "uid": "uid-claude", "generation": 3},
        "spec": spec,
    }))
    .unwrap()
}

fn children(spec: &Value) -> Children<Prepared> {
    let settings = Settings::default();
    build(&validate(&model(spec), None, &settings).unwrap(), &settings)
}

/// Without the text of the door, which is a file of its own.
fn yaml_of(children: &Children<Prepared>) -> Value {
    let mut all = json!({"configMaps": children.config_maps, "deployments": children.deployments, "services": children.services});
    if let Some(text) = all.pointer_mut("/configMaps/0/data/guard.py") {
        *text = json!("(guard.py)");
    }
    all
}

fn pod_of(children: &Children<Prepared>) -> PodSpec {
    let deployment = children.deployments[0].spec.clone().unwrap();
    deployment.template.spec.unwrap()
}

#[test]
fn the_default_proxy() {
    let spec = json!({
        "provider": "anthropic", "model": "claude-sonnet-4-5", "apiKeySecretRef": {"name": "anthropic"},
        "configuration": {"temperature": 0.2, "maxTokens": 4096, "topP": 0.9, "timeoutSeconds": 60, "requestsPerMinute": 30},
        "env": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
    });
    insta::assert_yaml_snapshot!("default_proxy", yaml_of(&children(&spec)));
}

#[test]
fn a_proxy_of_ones_own_gets_environment_and_its_arguments_only() {
    let spec = json!({
        "provider": "custom", "model": "in-house", "image": "registry.example.com/proxy:1", "args": ["serve"], "replicas": 2,
        "apiKeySecretRef": {"name": "k", "key": "token"}, "endpoint": "https://llm.example.com",
    });
    let children = children(&spec);
    assert!(children.config_maps.is_empty());
    insta::assert_yaml_snapshot!("own_proxy", yaml_of(&children));
}

fn file(spec: &Value, name: &str) -> Value {
    let children = children(spec);
    serde_saphyr::from_str(&children.config_maps[0].data.as_ref().unwrap()[name]).unwrap()
}

#[test]
fn what_litellm_is_told() {
    let entry = |spec: &Value| file(spec, "config.yaml")["model_list"][0]["litellm_params"].clone();
    for (spec, told) in [
        (
            json!({"provider": "openai", "model": "gpt-5", "apiKeySecretRef": {"name": "k"}}),
            json!({"model": "openai/gpt-5", "api_key": "os.environ/PROVIDER_API_KEY"}),
        ),
        (
            json!({"provider": "ollama", "model": "qwen3", "endpoint": "http://ollama:11434"}),
            json!({"model": "ollama_chat/qwen3", "api_base": "http://ollama:11434"}),
        ),
        (
            json!({"provider": "openai-compatible", "model": "m", "endpoint": "http://vllm"}),
            json!({"model": "openai/m", "api_base": "http://vllm/v1", "api_key": "none"}),
        ),
        (
            json!({"provider": "anthropic", "model": "m", "endpoint": "http://gateway/v1/"}),
            json!({"model": "anthropic/m", "api_base": "http://gateway", "api_key": "none"}),
        ),
    ] {
        assert_eq!(entry(&spec), told);
    }
}

#[test]
fn what_the_door_goes_by() {
    let rules = |model: &str, configuration: &Value| {
        let spec = json!({"provider": "openai", "model": model, "endpoint": "http://x", "configuration": configuration});
        file(&spec, "guard.json")
    };
    let none = json!({"model": "claude", "names": ["claude", "gpt-5"], "max_tokens": null, "requests_per_minute": null, "timeout_seconds": null});
    assert_eq!(rules("gpt-5", &json!({})), none);
    let said = json!({"maxTokens": 7, "requestsPerMinute": 8, "timeoutSeconds": 9});
    let all = json!({"model": "claude", "names": ["claude"], "max_tokens": 7, "requests_per_minute": 8, "timeout_seconds": 9});
    assert_eq!(rules("claude", &said), all);
}

/// A user's variables come last, so one of these names would win over ours.
#[test]
fn no_user_sets_a_variable_of_ours() {
    let admission = Admission::of("LanguageModel");
    let key = json!({"name": "k"});
    for spec in [
        json!({"provider": "openai", "model": "m", "apiKeySecretRef": key}),
        json!({"provider": "custom", "model": "m", "apiKeySecretRef": key, "image": "x"}),
    ] {
        let pod = pod_of(&children(&spec));
        let names: Vec<_> = pod.containers[0].env.iter().flatten().collect();
        assert!(names.len() > 4, "{names:?}");
        let admitted = |env: Value| {
            let mut object = serde_json::to_value(model(&spec)).unwrap();
            object["spec"]["env"] = env;
            admission.admit(&object).is_some()
        };
        assert!(admitted(json!([{"name": "LITELLM_LOG", "value": "x"}])));
        for name in names.into_iter().map(|variable| &variable.name) {
            let env = json!([{"name": name, "value": "x"}]);
            assert!(!admitted(env), "{name} is not reserved");
        }
    }
}

#[test]
fn the_proxy_listens_on_the_pods_family() {
    let host = |pod_ip_family| {
        let settings = Settings {
            pod_ip_family,
            ..Settings::default()
        };
        let spec = json!({"provider": "openai", "model": "m", "endpoint": "http://x"});
        let valid = validate(&model(&spec), None, &settings).unwrap();
        let children = build(&valid, &settings);
        let args = pod_of(&children).containers[0].args.clone().unwrap();
        let at = args.iter().position(|arg| arg == "--host").unwrap();
        args[at + 1].clone()
    };
    assert_eq!([IpFamily::V4, IpFamily::V6].map(host), ["0.0.0.0", "::"]);
}

#[test]
fn what_a_provider_may_refuse_is_a_condition() {
    let doubt = |provider: &str, configuration: Value| {
        let spec = json!({"provider": provider, "model": "m", "endpoint": "http://x", "configuration": configuration});
        let status = status(
            &model(&spec),
            Ok(&children(&spec).into_applied()),
            None,
            Rollout::default(),
            &Settings::default(),
            Timestamp::UNIX_EPOCH,
        );
        conditions::find(&status.conditions, "ConfigurationDoubtful").cloned()
    };
    let both = json!({"temperature": 0.2, "topP": 0.9});
    let said = doubt("anthropic", both.clone()).unwrap();
    assert_eq!(
        (said.status.as_str(), said.reason.as_str()),
        ("True", "TemperatureBesideTopP")
    );
    assert!(said.message.contains("leave one of them out"), "{said:?}");
    assert_eq!(doubt("openai", both), None);
    assert_eq!(doubt("anthropic", json!({"topP": 0.9})), None);
}

#[test]
fn a_change_of_the_configuration_rolls_the_pods_and_a_secret_is_never_in_it() {
    let hash = |temperature: f64| {
        let spec = json!({"provider": "openai", "model": "m", "apiKeySecretRef": {"name": "k"}, "configuration": {"temperature": temperature}});
        let template = children(&spec).deployments[0]
            .spec
            .clone()
            .unwrap()
            .template;
        template.metadata.unwrap().annotations.unwrap()["langop.io/config-hash"].clone()
    };
    assert_eq!(hash(0.1), hash(0.1));
    assert_ne!(hash(0.1), hash(0.2));
}

#[test]
fn what_cannot_be_carried_out_is_said() {
    let refused = |spec: &Value| validate(&model(spec), None, &Settings::default()).unwrap_err();
    let ollama = refused(&json!({"provider": "ollama", "model": "qwen3"}));
    assert!(
        ollama.reason == Reason::InvalidSpec && ollama.message.contains("endpoint"),
        "{ollama}"
    );
    let query = json!({"provider": "openai", "model": "m", "endpoint": "http://x/v1?a=b"});
    let query = refused(&query);
    assert!(
        query.reason == Reason::InvalidSpec && query.message.contains("query"),
        "{query}"
    );
    let crossed = json!({"provider": "openai", "model": "m", "endpoint": "http://x", "resources": {"requests": {"cpu": "x"}}});
    assert_eq!(refused(&crossed).reason, Reason::InvalidSpec);
}

#[test]
fn memory_is_enough_for_the_proxy() {
    let limit = |resources: Value| {
        let spec = json!({"provider": "openai", "model": "m", "endpoint": "http://x", "resources": resources});
        let pod = pod_of(&children(&spec));
        pod.containers[0].resources.clone().unwrap().limits.unwrap()["memory"]
            .0
            .clone()
    };
    assert_eq!(limit(json!({})), "768Mi");
    assert_eq!(limit(json!({"requests": {"memory": "2Gi"}})), "2Gi");
}

#[test]
fn the_status_follows_the_rollout() {
    let spec = json!({"provider": "openai", "model": "m", "endpoint": "http://x"});
    let settings = Settings::default();
    let applied = children(&spec).into_applied();
    let deployment = |state: DeploymentState| Observed {
        kind: ChildKind::Deployment,
        name: "claude-proxy".into(),
        namespace: "demo".into(),
        uid: "d".into(),
        controller: None,
        labels: CompactMap::default(),
        annotations: CompactMap::default(),
        created: String::new(),
        deleting: false,
        owned_digest: String::new(),
        state: ObservedState::Deployment(state),
    };
    let done = DeploymentState {
        desired: 1,
        replicas: 1,
        updated: 1,
        ready: 1,
        ..DeploymentState::default()
    };
    let refused = DeploymentState {
        replica_failure: Some("exceeded quota".into()),
        desired: 1,
        ..DeploymentState::default()
    };
    for (state, phase) in [
        (Some(done.clone()), ServicePhase::Running),
        (
            Some(DeploymentState { ready: 0, ..done }),
            ServicePhase::Pending,
        ),
        (Some(refused), ServicePhase::Failed),
        (None, ServicePhase::Pending),
    ] {
        let live = state.map(deployment);
        let rollout = Rollout {
            deployment: live.as_ref(),
            pods: &[],
        };
        let status = status(
            &model(&spec),
            Ok(&applied),
            None,
            rollout,
            &settings,
            Timestamp::UNIX_EPOCH,
        );
        assert_eq!(status.phase, Some(phase));
        assert_eq!(
            status.endpoint.as_deref(),
            Some("http://claude-proxy.demo.svc.cluster.local:8000")
        );
    }
    let problem = Summary::Failed(Reason::ApplyFailed, "denied".into());
    let failed = status(
        &model(&spec),
        Err(problem),
        None,
        Rollout::default(),
        &settings,
        Timestamp::UNIX_EPOCH,
    );
    insta::assert_yaml_snapshot!("status_apply_failed", failed);
}

/// Where a proxy with this spec may go, of a few places, and what is told about it.
fn reach_of(spec: &Value, cluster: Option<&ClusterView>) -> (Vec<&'static str>, Option<String>) {
    use crate::policy::evaluate::{address, allows, stranger};
    let settings = Settings::default();
    let model = validate(&model(spec), cluster, &settings).unwrap();
    let policy = build(&model, &settings).network_policies.remove(0);
    let places = [
        ("internet 443", address("198.51.100.7"), 443),
        ("internet 80", address("198.51.100.7"), 80),
        ("v6 443", address("2001:db8::1"), 443),
        ("nat64 443", address("64:ff9b::c633:6407"), 443),
        ("metadata", address("169.254.169.254"), 443),
        ("metadata v6", address("fd00:ec2::254"), 443),
        ("metadata nat64", address("64:ff9b::a9fe:a9fe"), 443),
        ("private", address("10.0.0.1"), 443),
        (
            "ollama",
            stranger(&[("team", "ml")], &[("app", "ollama")]),
            11434,
        ),
        ("named", address("203.0.113.5"), 8443),
    ];
    let open = places
        .iter()
        .filter(|(_, to, port)| allows(&policy, to, "TCP", *port));
    let denied = model.denied().map(|denied| denied.message.clone());
    (open.map(|(name, ..)| *name).collect(), denied)
}

#[test]
fn a_proxy_reaches_the_internet_or_what_is_named() {
    use langop_api::cluster::AgentEgress::{Allow, Deny};

    let view = |egress, upstream: Option<Value>| ClusterView {
        name: "demo".into(),
        agent_egress: egress,
        pods: None,
        allowed_egress: vec![],
        model_egress: upstream.map(|upstream| serde_json::from_value(upstream).unwrap()),
        ingress_from: vec![],
        ..ClusterView::default()
    };
    let (open, deny) = (view(Some(Allow), None), view(Some(Deny), None));
    let named = json!([{"cidr": "203.0.113.0/24", "ports": [{"port": 8443}]}]);
    let some = view(Some(Deny), Some(named.clone()));
    let ollama = json!([{"namespaceLabels": {"team": "ml"}, "podLabels": {"app": "ollama"}, "ports": [{"port": 11434}]}]);
    let claude = json!({"provider": "anthropic", "model": "c"});
    let with = |key: &str, value: Value| {
        let mut spec = claude.clone();
        spec[key] = value;
        spec
    };
    let public = ["internet 443", "v6 443", "nat64 443"];
    for (cluster, spec, expected, told) in [
        (Some(&open), claude.clone(), &public[..], None),
        (None, claude.clone(), &public, None),
        (Some(&deny), claude.clone(), &public, None),
        (
            Some(&open),
            with("endpoint", json!("http://llm.example.com")),
            &["internet 80"],
            None,
        ),
        (
            Some(&deny),
            with("endpoint", json!("http://llm.example.com")),
            &[],
            Some("port 80"),
        ),
        (Some(&open), with("image", json!("own")), &public, None),
        (
            Some(&deny),
            with("image", json!("own")),
            &[],
            Some("operator's own proxy"),
        ),
        (Some(&some), claude.clone(), &["named"], None),
        (Some(&some), with("image", json!("own")), &["named"], None),
        (
            Some(&some),
            with("egress", ollama.clone()),
            &[],
            Some("spec.egress[0]"),
        ),
        (
            Some(&deny),
            with("egress", named),
            &[],
            Some("spec.egress[0]"),
        ),
        (Some(&open), with("egress", ollama), &["ollama"], None),
        (Some(&open), with("egress", json!([])), &[], None),
        (Some(&view(None, None)), claude.clone(), &[], None),
        (
            Some(&open),
            with("endpoint", json!("https://ollama.demo.svc")),
            &public,
            Some("name it in spec.egress"),
        ),
        (
            Some(&deny),
            with("endpoint", json!("https://169.254.169.254/v1")),
            &public,
            Some("'169.254.169.254'"),
        ),
    ] {
        let (reached, denied) = reach_of(&spec, cluster);
        assert_eq!(reached, expected, "{spec}");
        match (told, denied) {
            (None, None) => {}
            (Some(told), Some(denied)) => assert!(denied.contains(told), "{denied}"),
            other => panic!("{spec}: {other:?}"),
        }
    }
}
