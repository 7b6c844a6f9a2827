//! The Helm chart: strict about its values, true to its promises on a real API server. Pods are
//! simulated, so what the programs do inside of them is not shown here.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::too_many_lines,
    reason = "helpers of tests are tests, too"
)]

mod autoscaling;
mod cert_manager;
mod release;
mod upgrade;

use std::{collections::BTreeSet, time::Duration};

use langop_dashboards::{alerts, boards, promql};
use langop_desired::settings::Settings;
use langop_integration_tests::{Helm, Page, manifests, workspace_root};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_mins(1);

fn defaults() -> Value {
    let text = std::fs::read_to_string(
        workspace_root()
            .unwrap()
            .join("charts/language-operator/values.yaml"),
    );
    serde_saphyr::from_str(&text.unwrap()).unwrap()
}

/// `{"a": {"b": value}}` for the path `a.b`.
fn at(path: &str, value: Value) -> Value {
    path.rsplit('.')
        .fold(value, |value, key| json!({ key: value }))
}

fn merge(into: &mut Value, other: Value) {
    match (into, other) {
        (Value::Object(into), Value::Object(other)) => {
            for (key, value) in other {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, other) => *into = other,
    }
}

/// Paths of all objects of the values, the root as the empty path, and of all leaves: whatever is
/// no object with keys of its own.
fn paths(value: &Value, path: &str, objects: &mut Vec<String>, leaves: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            objects.push(path.to_owned());
            for (key, value) in fields {
                let path = format!("{path}{}{key}", if path.is_empty() { "" } else { "." });
                // Kubernetes' own words, which no schema of ours can know.
                if key == "requests" || key == "limits" {
                    leaves.insert(path);
                } else {
                    paths(value, &path, objects, leaves);
                }
            }
        }
        _ => {
            leaves.insert(path.to_owned());
        }
    }
}

#[tokio::test]
async fn an_unknown_key_is_refused_at_every_depth() {
    let helm = Helm::offline().await;
    let (mut objects, mut leaves) = (Vec::new(), BTreeSet::new());
    paths(&defaults(), "", &mut objects, &mut leaves);
    assert!(objects.len() > 15, "a poor reading: {objects:?}");
    for object in objects {
        let path = [object.as_str(), "misspelt"]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join(".");
        let complaint = helm.refused(&at(&path, json!(1)));
        assert!(complaint.contains("misspelt"), "{path}: {complaint}");
    }
}

/// Of the form that the values' schema asks for.
const PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";

/// Leaf, another value for it, what else must be set for it to matter.
fn effects() -> Vec<(&'static str, Value, Value)> {
    let none = || json!({});
    let openai = || json!({"synthesizer": {"provider": "openai", "model": "m", "apiKey": {"existingSecret": "llm"}}});
    let cert_manager =
        || json!({"tls": {"mode": "cert-manager", "certManager": {"issuerRef": {"name": "ca"}}}});
    let own =
        || json!({"tls": {"mode": "existingSecret", "serverSecret": "s", "clientSecret": "c"}});
    let signing = || json!({"provenance": {"signingKey": {"existingSecret": "signing"}}});
    let scaled = || json!({"synthesizer": {"autoscaling": {"enabled": true}}});
    let monitored = || json!({"metrics": {"podMonitor": {"enabled": true}}});
    let alerting = || json!({"metrics": {"prometheusRule": {"enabled": true}}});
    let boards = || json!({"metrics": {"dashboards": {"enabled": true}}});
    let traced = || json!({"telemetry": {"endpoint": "http://collector.example.com:4317"}});
    let extra_ca = || json!({"extraCA": {"configMap": "authorities"}});
    let node_local = || json!({"dns": {"preset": "node-local"}});
    let datasource = || json!({"metrics": {"datasource": {"enabled": true, "url": "http://prometheus.example.com"}}});
    let mut all = vec![
        (
            "imageRegistry",
            json!("registry.example.com/mirror"),
            none(),
        ),
        ("imagePullPolicy", json!("Always"), none()),
        ("imagePullSecrets", json!(["pull"]), none()),
        ("extraCA.configMap", json!("authorities"), none()),
        ("extraCA.key", json!("other.crt"), extra_ca()),
        ("ipFamily", json!("ipv6"), none()),
        ("crds.enabled", json!(false), none()),
        ("namespaces", json!(["team-a", "team-b"]), none()),
        ("aggregateRoles", json!(true), none()),
        ("admissionPolicies.enabled", json!(false), none()),
        ("operator.replicas", json!(3), none()),
        ("synthesizer.replicas", json!(3), none()),
        (
            "synthesizer.provider",
            json!("ollama"),
            json!({"synthesizer": {"model": "m"}}),
        ),
        ("synthesizer.model", json!("other"), openai()),
        (
            "synthesizer.endpoint",
            json!("https://llm.example.com"),
            openai(),
        ),
        (
            "synthesizer.apiKey.existingSecret",
            json!("other"),
            openai(),
        ),
        ("synthesizer.apiKey.key", json!("other"), openai()),
        ("synthesizer.autoscaling.enabled", json!(true), none()),
        ("synthesizer.autoscaling.minReplicas", json!(3), scaled()),
        ("synthesizer.autoscaling.maxReplicas", json!(20), scaled()),
        ("synthesizer.autoscaling.targetInFlight", json!(5), scaled()),
        (
            "synthesizer.autoscaling.behavior.scaleDown.stabilizationWindowSeconds",
            json!(60),
            scaled(),
        ),
        (
            "synthesizer.autoscaling.behavior.scaleDown.policies",
            json!([{"type": "Percent", "value": 50, "periodSeconds": 60}]),
            scaled(),
        ),
        (
            "synthesizer.ingressFrom",
            json!([{"namespaceSelector": {"matchLabels": {"a": "b"}}}]),
            own(),
        ),
        (
            "tls.mode",
            json!("cert-manager"),
            json!({"tls": {"certManager": {"issuerRef": {"name": "ca"}}}}),
        ),
        ("tls.serverSecret", json!("other"), own()),
        ("tls.clientSecret", json!("other"), own()),
        (
            "tls.certManager.issuerRef.name",
            json!("other"),
            cert_manager(),
        ),
        (
            "tls.certManager.issuerRef.kind",
            json!("ClusterIssuer"),
            cert_manager(),
        ),
        (
            "tls.certManager.issuerRef.group",
            json!("example.com"),
            cert_manager(),
        ),
        ("tls.certManager.duration", json!("48h"), cert_manager()),
        ("tls.certManager.renewBefore", json!("12h"), cert_manager()),
        (
            "provenance.signingKey.existingSecret",
            json!("signing"),
            none(),
        ),
        ("provenance.signingKey.key", json!("other"), signing()),
        ("provenance.publicKeys", json!(PUBLIC_KEY), signing()),
        ("dns.preset", json!("openshift"), none()),
        ("dns.addresses", json!(["10.0.0.10"]), node_local()),
        ("networkPolicy.enabled", json!(false), own()),
        (
            "networkPolicy.metricsFrom",
            json!([{"podSelector": {"matchLabels": {"a": "b"}}}]),
            none(),
        ),
        ("metrics.podMonitor.enabled", json!(true), none()),
        (
            "metrics.podMonitor.labels",
            json!({"release": "prometheus"}),
            monitored(),
        ),
        ("metrics.podMonitor.interval", json!("10s"), monitored()),
        (
            "telemetry.endpoint",
            json!("http://collector.example.com:4317"),
            none(),
        ),
        ("telemetry.protocol", json!("http/protobuf"), traced()),
    ];
    let digest = format!("sha256:{}", "0".repeat(64));
    for image in [
        "agentImage",
        "toolAdapterImage",
        "modelProxyImage",
        "operator.image",
        "synthesizer.image",
        "tls.generated.image",
    ] {
        for (leaf, value) in [
            ("repository", json!("example.com/other")),
            ("tag", json!("9.9.9")),
            ("digest", json!(digest)),
        ] {
            all.push((format!("{image}.{leaf}").leak(), value, none()));
        }
    }
    for (leaf, value, needs) in [
        ("prometheusRule.enabled", json!(true), none()),
        (
            "prometheusRule.labels",
            json!({"release": "prometheus"}),
            alerting(),
        ),
        (
            "prometheusRule.runbookUrl",
            json!("https://example.com/runbook"),
            alerting(),
        ),
        ("dashboards.enabled", json!(true), none()),
        ("dashboards.label", json!("board"), boards()),
        ("dashboards.labelValue", json!("yes"), boards()),
        ("dashboards.folder", json!("Agents"), boards()),
        ("dashboards.namespace", json!("monitoring"), boards()),
        (
            "datasource.enabled",
            json!(true),
            json!({"metrics": {"datasource": {"url": "http://prometheus.example.com"}}}),
        ),
        ("datasource.label", json!("source"), datasource()),
        ("datasource.labelValue", json!("yes"), datasource()),
        ("datasource.namespace", json!("monitoring"), datasource()),
        ("datasource.name", json!("Other"), datasource()),
        ("datasource.uid", json!("other"), datasource()),
        (
            "datasource.url",
            json!("http://other.example.com"),
            datasource(),
        ),
        ("datasource.tempoUid", json!("other"), datasource()),
    ] {
        all.push((format!("metrics.{leaf}").leak(), value, needs));
    }
    all.push(("tls.generated.days", json!(30), none()));
    all.push(("tls.generated.schedule", json!("0 0 * * *"), none()));
    for (program, settings) in [
        (
            "operator",
            json!({"LANGOP_CLUSTER_DOMAIN": "example.local"}),
        ),
        ("synthesizer", json!({"LANGOP_CACHE_TTL": "1h"})),
    ] {
        for (leaf, value) in [
            ("resources.requests", json!({"cpu": "1"})),
            ("resources.limits", json!({"memory": "1Gi"})),
            ("settings", settings),
            ("logFormat", json!("text")),
            ("podAnnotations", json!({"example.com/a": "b"})),
            ("nodeSelector", json!({"disk": "fast"})),
            ("tolerations", json!([{"key": "a", "operator": "Exists"}])),
            ("affinity", json!({"podAntiAffinity": {}})),
            ("priorityClassName", json!("high")),
            ("runtimeClassName", json!("gvisor")),
            (
                "extraEnv",
                json!([{"name": "HTTPS_PROXY", "value": "http://proxy.example.com"}]),
            ),
            ("extraVolumes", json!([{"name": "a", "emptyDir": {}}])),
            (
                "extraVolumeMounts",
                json!([{"name": "a", "mountPath": "/a"}]),
            ),
        ] {
            all.push((format!("{program}.{leaf}").leak(), value, none()));
        }
    }
    all
}

#[tokio::test]
async fn every_value_has_an_effect() {
    let helm = Helm::offline().await;
    let (mut objects, mut leaves) = (Vec::new(), BTreeSet::new());
    paths(&defaults(), "", &mut objects, &mut leaves);
    let effects = effects();
    let tried: BTreeSet<String> = effects
        .iter()
        .map(|(leaf, ..)| (*leaf).to_owned())
        .collect();
    assert_eq!(tried, leaves, "the table and values.yaml differ");
    for (leaf, value, needs) in effects {
        let before = helm.render(&needs);
        let mut values = needs;
        merge(&mut values, at(leaf, value));
        assert_ne!(helm.render(&values), before, "{leaf} changes nothing");
    }
}

/// Byte for byte, for values that bring every template and every branch of them.
#[tokio::test]
async fn helm_3_renders_the_same() {
    let Some(three) = Helm::three_if_wanted().await else {
        return;
    };
    let four = Helm::offline().await;
    let mut everything = json!({});
    for (leaf, value, needs) in effects() {
        // Contradictions; the modes of TLS come below.
        if !leaf.starts_with("tls.") && !leaf.starts_with("networkPolicy.enabled") {
            merge(&mut everything, needs);
            merge(&mut everything, at(leaf, value));
        }
    }
    everything["tls"] = json!({"mode": "generated"});
    let issuer =
        json!({"tls": {"mode": "cert-manager", "certManager": {"issuerRef": {"name": "ca"}}}});
    let own = json!({"tls": {"mode": "existingSecret", "serverSecret": "s", "clientSecret": "c"}});
    for values in [
        json!({}),
        everything,
        issuer,
        own,
        json!({"tls": {"mode": "off"}}),
    ] {
        // They differ in empty lines.
        let [three, four] = [&three, &four].map(|helm| {
            let objects = manifests::parse(&helm.render(&values)).unwrap();
            objects
                .iter()
                .map(|object| json!(object))
                .collect::<Vec<_>>()
        });
        assert_eq!(three, four, "{values}");
    }
}

#[tokio::test]
async fn the_images_are_the_operators_own_defaults() {
    let rendered = Helm::offline().await.render(&json!({}));
    let defaults = Settings::default();
    for image in [defaults.agent_image, defaults.model_proxy_image] {
        assert!(rendered.contains(&image), "{image} is not in the chart");
    }
}

#[tokio::test]
async fn contradictions_end_in_a_sentence_that_says_what_to_write() {
    let helm = Helm::offline().await;
    for (values, advice) in [
        (
            json!({"synthesizer": {"provider": "ollama"}}),
            "--set synthesizer.model=",
        ),
        (
            json!({"synthesizer": {"provider": "anthropic", "model": "m"}}),
            "--set synthesizer.apiKey.existingSecret=",
        ),
        (
            json!({"synthesizer": {"provider": "openai", "model": "m"}}),
            "set synthesizer.endpoint",
        ),
        (
            json!({"synthesizer": {"provider": "openai", "model": "m", "endpoint": "http://10.0.0.1:8000", "apiKey": {"existingSecret": "llm"}}}),
            "write https://",
        ),
        (
            json!({"tls": {"mode": "existingSecret", "serverSecret": "s"}}),
            "set tls.serverSecret and tls.clientSecret",
        ),
        (
            json!({"tls": {"mode": "cert-manager"}}),
            "set tls.certManager.issuerRef.name",
        ),
        (
            json!({"tls": {"mode": "off"}, "networkPolicy": {"enabled": false}}),
            "Set tls.mode",
        ),
        (
            json!({"tls": {"mode": "off"}, "synthesizer": {"ingressFrom": [{"podSelector": {}}]}}),
            "set tls.mode",
        ),
        (
            json!({"synthesizer": {"autoscaling": {"minReplicas": 11}}}),
            "larger than maxReplicas",
        ),
        (
            json!({"metrics": {"datasource": {"enabled": true}}}),
            "--set metrics.datasource.url=",
        ),
    ] {
        let complaint = helm.refused(&values);
        assert!(complaint.contains(advice), "{values}: {complaint}");
    }
}

/// The environment of the only container of a Deployment.
fn environment(rendered: &str, deployment: &str) -> Vec<(String, Value)> {
    let deployments = objects(rendered, "Deployment");
    let named = |object: &&Value| object["metadata"]["name"] == deployment;
    let found = deployments.iter().find(named).unwrap();
    let entries = &found["spec"]["template"]["spec"]["containers"][0]["env"];
    let entries = entries.as_array().unwrap().iter();
    entries
        .map(|entry| {
            let name = entry["name"].as_str().unwrap().to_owned();
            (name, entry["value"].clone())
        })
        .collect()
}

/// Server-side apply refuses a list with two entries of one name.
#[tokio::test]
async fn a_setting_that_is_given_twice_has_the_value_that_was_given_last() {
    let values = json!({
        "telemetry": {"endpoint": "http://collector.example.com:4317"},
        "operator": {
            "settings": {"LANGOP_LOG_FORMAT": "text", "LANGOP_TIME_ZONE": "UTC"},
            "extraEnv": [{"name": "LANGOP_TIME_ZONE", "value": "Europe/Berlin"}],
        },
        "synthesizer": {"extraEnv": [{"name": "LANGOP_ADMIN_LISTEN", "value": "127.0.0.1:1"}]},
    });
    let rendered = Helm::offline().await.render(&values);
    for (program, name, value) in [
        ("langop-operator", "LANGOP_LOG_FORMAT", "text"),
        ("langop-operator", "LANGOP_TIME_ZONE", "Europe/Berlin"),
        ("langop-synthesizer", "LANGOP_ADMIN_LISTEN", "127.0.0.1:1"),
    ] {
        let all = environment(&rendered, program);
        let names: BTreeSet<&String> = all.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), all.len(), "{program} has a name twice");
        let given: Vec<_> = all.iter().filter(|(key, _)| key == name).collect();
        assert_eq!(given, [&(name.to_owned(), json!(value))], "{program}");
    }
}

#[tokio::test]
async fn dns_by_address_is_given_as_ranges() {
    let values =
        json!({"dns": {"preset": "node-local", "addresses": ["169.254.20.10", "fd00::a"]}});
    let rendered = Helm::offline().await.render(&values);
    let ranges = (
        "LANGOP_DNS_CIDRS".to_owned(),
        json!("169.254.20.10/32,fd00::a/128"),
    );
    assert!(environment(&rendered, "langop-operator").contains(&ranges));
}

/// Values that pages of the book show, each with what else a provider needs.
#[tokio::test]
async fn the_chart_takes_the_values_that_pages_show() {
    let helm = Helm::offline().await;
    for (path, least) in [("docs/providers.md", 1), ("docs/clusters.md", 6)] {
        let page = Page::read(path).unwrap();
        let blocks = page.blocks.iter().filter(|block| block.language == "yaml");
        let values = blocks.map(|block| serde_saphyr::from_str(&block.text).unwrap());
        let values: Vec<Value> = values
            .filter(|block: &Value| block.get("apiVersion").is_none())
            .collect();
        assert!(values.len() >= least, "{path}: {values:?}");
        for values in values {
            helm.render(&values);
        }
    }
}

/// Whoever mirrors images reads them from the chart without rendering it.
#[tokio::test]
async fn the_chart_names_every_image_that_it_leads_to() {
    let helm = Helm::offline().await;
    let rendered = helm.render(&json!({}));
    let mut used = BTreeSet::new();
    for (_, value) in environment(&rendered, "langop-operator") {
        let text = value.as_str().unwrap_or_default();
        if text.starts_with("ghcr.io/") {
            used.insert(text.to_owned());
        }
    }
    for line in rendered.lines() {
        if let Some(image) = line.trim().strip_prefix("image: ") {
            used.insert(image.to_owned());
        }
    }
    let chart = std::fs::read_to_string(helm.chart.join("Chart.yaml")).unwrap();
    let chart: Value = serde_saphyr::from_str(&chart).unwrap();
    let listed = chart["annotations"]["artifacthub.io/images"].as_str();
    let listed: Vec<Value> = serde_saphyr::from_str(listed.unwrap()).unwrap();
    let listed: BTreeSet<String> = listed
        .iter()
        .map(|image| image["image"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(listed, used);
}

/// The rendered objects of a kind.
fn objects(rendered: &str, kind: &str) -> Vec<Value> {
    let documents = serde_saphyr::from_multiple::<Value>(rendered).unwrap();
    let of_kind = documents
        .into_iter()
        .filter(|object| object["kind"] == kind);
    of_kind.collect()
}

#[tokio::test]
async fn what_is_scraped_has_the_names_that_boards_and_alerts_ask_for() {
    let values = json!({"metrics": {"podMonitor": {"enabled": true}}});
    let rendered = Helm::offline().await.render(&values);
    let monitors = objects(&rendered, "PodMonitor");
    let mut jobs = BTreeSet::new();
    for monitor in &monitors {
        let endpoint = &monitor["spec"]["podMetricsEndpoints"][0];
        // Else the namespaces of agents would be those of the operator.
        assert_eq!(endpoint["honorLabels"], true, "{monitor}");
        let relabeling = &endpoint["relabelings"][0];
        assert_eq!(relabeling["targetLabel"], "job", "{monitor}");
        jobs.insert(relabeling["replacement"].as_str().unwrap());
    }
    assert_eq!(
        jobs,
        BTreeSet::from([promql::OPERATOR, promql::SYNTHESIZER])
    );
}

#[tokio::test]
async fn alerts_come_as_they_were_tested_and_lead_to_the_runbook() {
    let values =
        json!({"metrics": {"prometheusRule": {"enabled": true, "labels": {"release": "p"}}}});
    let rendered = Helm::offline().await.render(&values);
    let rules = objects(&rendered, "PrometheusRule");
    let [rule] = rules.as_slice() else {
        panic!("not one PrometheusRule: {rules:?}");
    };
    assert_eq!(rule["metadata"]["labels"]["release"], "p");
    let mut groups = rule["spec"]["groups"].clone();
    let alerts = groups.as_array_mut().unwrap().iter_mut();
    let alerts = alerts.flat_map(|group| group["rules"].as_array_mut().unwrap());
    for alert in alerts {
        let annotations = alert["annotations"].as_object_mut().unwrap();
        let url = annotations.remove("runbook_url").unwrap();
        let (page, anchor) = url.as_str().unwrap().split_once('#').unwrap();
        assert!(page.ends_with("/docs/runbook.md"), "{page}");
        // How GitHub makes an anchor of a title of one word.
        assert_eq!(anchor, alert["alert"].as_str().unwrap().to_lowercase());
    }
    let tested: Value = serde_saphyr::from_str(&alerts::yaml().unwrap()).unwrap();
    assert_eq!(groups, tested["groups"]);
}

#[tokio::test]
async fn boards_and_the_data_source_come_whole() {
    let metrics = json!({
        "dashboards": {"enabled": true, "folder": "Agents", "namespace": "monitoring"},
        "datasource": {"enabled": true, "url": "http://prometheus.example.com"},
    });
    let rendered = Helm::offline().await.render(&json!({"metrics": metrics}));
    let maps = objects(&rendered, "ConfigMap");
    for board in boards::all() {
        let file = format!("{}.json", board.title.to_lowercase());
        let mut holders = maps.iter().filter(|map| map["data"][&file].is_string());
        let map = holders.next().unwrap_or_else(|| panic!("no {file}"));
        let text = map["data"][&file].as_str().unwrap();
        let shipped: Value = serde_json::from_str(text).unwrap();
        assert_eq!(shipped, serde_json::to_value(&board).unwrap(), "{file}");
        let metadata = &map["metadata"];
        assert_eq!(metadata["namespace"], "monitoring");
        assert_eq!(metadata["labels"]["grafana_dashboard"], "1");
        assert_eq!(metadata["annotations"]["grafana_folder"], "Agents");
    }
    let sources = maps
        .iter()
        .find(|map| map["metadata"]["name"] == "langop-datasource");
    let text = sources.unwrap()["data"]["langop.yaml"].as_str().unwrap();
    let provisioning: Value = serde_saphyr::from_str(text).unwrap();
    let links = &provisioning["datasources"][0]["jsonData"]["exemplarTraceIdDestinations"];
    assert_eq!(
        links,
        &json!([{"name": "trace_id", "datasourceUid": "tempo"}])
    );
}
