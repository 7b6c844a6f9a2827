//! Random specs, and for each choice of one what it opens: by tables written by hand.

use std::collections::BTreeSet;

use langop_api::{LanguageAgent, LanguageModel, LanguageTool, cluster::AgentEgress};
use langop_desired::{
    agent::{
        AgentContext, ObservedAgent,
        validate::{ValidatedAgent, validate},
    },
    references::{ModelView, References, ToolView},
    settings::Settings,
};
use langop_dsl::Constraints;
use langop_integration_tests::fault_proxy::faults::Random;
use serde_json::{Value, json};

use crate::programs::{MODELS, Program, TOOLS};

/// Schedules of code, and the seconds from one run to the next.
const SCHEDULES: [(&str, u64); 6] = [
    ("null", 0),
    (r#"{"every": {"seconds": 600}}"#, 600),
    (r#"{"every": {"seconds": 5400}}"#, 5400),
    (r#"{"cron": {"expression": "0 9 * * *"}}"#, 86_400),
    (
        r#"{"cron": {"expression": "0 9 * * *", "also": ["20 9 * * 1"]}}"#,
        1200,
    ),
    (
        r#"{"cron": {"expression": "0 9 * * *", "only": "last day of month"}}"#,
        28 * 86_400,
    ),
];

/// Rules of egress, and the places that they open: halves of a network by port, the rest of the
/// world, databases of the first tier and others.
const EGRESS: [(&str, &[&str]); 8] = [
    (
        r#"{"cidr": "203.0.113.0/25", "ports": [{"port": 443}]}"#,
        &["low 443"],
    ),
    (
        r#"{"cidr": "203.0.113.128/25", "ports": [{"port": 443}]}"#,
        &["high 443"],
    ),
    (
        r#"{"cidr": "203.0.113.0/24", "ports": [{"port": 443}]}"#,
        &["low 443", "high 443"],
    ),
    (
        r#"{"cidr": "203.0.113.0/24", "except": ["203.0.113.0/25"], "ports": [{"port": 443}, {"port": 25}]}"#,
        &["high 443", "high 25"],
    ),
    (
        r#"{"cidr": "0.0.0.0/0", "ports": [{"port": 443}]}"#,
        &["low 443", "high 443", "world 443"],
    ),
    (
        r#"{"podLabels": {"app": "db"}, "ports": [{"port": 5432}]}"#,
        &["db", "first db"],
    ),
    (
        r#"{"podLabels": {"app": "db", "tier": "1"}, "ports": [{"port": 5432}]}"#,
        &["first db"],
    ),
    (
        r#"{"podLabels": {"app": "db"}, "namespaceLabels": {"team": "b"}, "ports": [{"port": 5432}]}"#,
        &["db of others"],
    ),
];
/// What the sidecar opens for its agent.
const OF_SIDECAR: &str = r#"{"cidr": "198.51.100.0/24", "ports": [{"port": 25}]}"#;

/// Variables, and the Secrets that they show.
const VARIABLES: [(&str, &str, Option<&str>); 4] = [
    ("LOG", r#"{"name": "LOG", "value": "1"}"#, None),
    (
        "USER",
        r#"{"name": "USER", "valueFrom": {"secretKeyRef": {"name": "login", "key": "user"}}}"#,
        Some("user of login"),
    ),
    (
        "PASSWORD",
        r#"{"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "login", "key": "password"}}}"#,
        Some("password of login"),
    ),
    (
        "AGAIN",
        r#"{"name": "AGAIN", "valueFrom": {"secretKeyRef": {"name": "login", "key": "user"}}}"#,
        Some("user of login"),
    ),
];

/// What the sidecar is beside that, and what it is lent.
const SIDECARS: [(&str, &str, &[&str]); 4] = [
    ("{}", "i", &[]),
    (r#"{"image": "j"}"#, "j", &[]),
    (
        r#"{"command": ["serve"], "args": ["/tmp"]}"#,
        "i serve /tmp",
        &[],
    ),
    (
        r#"{"env": [{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "shelf", "key": "token"}}}]}"#,
        "i",
        &["its TOKEN", "its token of shelf"],
    ),
];

const IMAGES: [Option<&str>; 3] = [None, Some("one"), Some("two")];
const ITERATIONS: [Option<u32>; 3] = [None, Some(10), Some(20)];
const TIMEOUTS: [Option<(&str, u64)>; 3] = [None, Some(("10m", 600)), Some(("1h30m", 5400))];

/// Choices of a spec, by their place in the tables.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spec {
    tools: BTreeSet<usize>,
    models: BTreeSet<usize>,
    schedule: bool,
    iterations: usize,
    timeout: usize,
    egress: BTreeSet<usize>,
    variables: BTreeSet<usize>,
    pull_secret: bool,
    pub(crate) image: usize,
    /// What the sidecar is, where there is one.
    sidecar: usize,
}

/// An agent and its code.
#[derive(Clone, Debug)]
pub(crate) struct Agent {
    pub(crate) program: Program,
    /// Of the code.
    schedule: usize,
    iterations: usize,
    timeout: usize,
    pub(crate) spec: Spec,
}

pub(crate) fn settings() -> Settings {
    Settings {
        default_egress: AgentEgress::Allow,
        ..Settings::default()
    }
}

fn below(random: &mut Random, bound: usize) -> usize {
    usize::try_from(random.below(bound as u64)).unwrap()
}

fn some(random: &mut Random, bound: usize) -> BTreeSet<usize> {
    (0..bound).filter(|_| random.chance(300)).collect()
}

fn toggle(all: &mut BTreeSet<usize>, one: usize) {
    if !all.remove(&one) {
        all.insert(one);
    }
}

impl Agent {
    pub(crate) fn any(random: &mut Random) -> Self {
        let agent = Self {
            program: Program::any(random),
            schedule: below(random, SCHEDULES.len()),
            iterations: below(random, 3),
            timeout: below(random, 3),
            spec: Spec {
                tools: some(random, TOOLS.len()),
                models: some(random, MODELS.len()),
                schedule: random.chance(100),
                iterations: below(random, 5).saturating_sub(2),
                timeout: below(random, 5).saturating_sub(2),
                egress: some(random, EGRESS.len()),
                variables: some(random, VARIABLES.len()),
                pull_secret: random.chance(300),
                image: below(random, IMAGES.len()),
                sidecar: below(random, SIDECARS.len()),
            },
        };
        agent.valid()
    }

    /// Another one that is much the same: mostly other code or another spec.
    pub(crate) fn changed(&self, random: &mut Random) -> Self {
        let mut new = self.clone();
        for _ in 0..=below(random, 2) {
            match random.below(17) {
                0 => new.schedule = below(random, SCHEDULES.len()),
                1 => new.iterations = below(random, 3),
                2 => new.timeout = below(random, 3),
                3 => toggle(&mut new.spec.tools, below(random, TOOLS.len())),
                4 => toggle(&mut new.spec.models, below(random, MODELS.len())),
                5 => new.spec.schedule = !new.spec.schedule,
                6 => new.spec.iterations = below(random, 3),
                7 => new.spec.timeout = below(random, 3),
                8 => toggle(&mut new.spec.egress, below(random, EGRESS.len())),
                9 => toggle(&mut new.spec.variables, below(random, VARIABLES.len())),
                10 => new.spec.pull_secret = !new.spec.pull_secret,
                11 => new.spec.image = below(random, IMAGES.len()),
                12 => new.spec.sidecar = below(random, SIDECARS.len()),
                _ => new.program.change(random),
            }
        }
        new.valid()
    }

    /// Code runs only where all that it uses is referred to.
    fn valid(mut self) -> Self {
        self.program.tidy();
        let tool = |name: &str| TOOLS.iter().position(|(known, _)| *known == name).unwrap();
        let model = |name: &str| MODELS.iter().position(|known| *known == name).unwrap();
        self.spec.tools.extend(self.program.tools().map(tool));
        self.spec.models.extend(self.program.models().map(model));
        self.program.schedule = serde_json::from_str(SCHEDULES[self.schedule].0).unwrap();
        self.program.constraints = Constraints {
            max_iterations: ITERATIONS[self.iterations],
            timeout_seconds: TIMEOUTS[self.timeout].map(|(_, seconds)| seconds),
        };
        self
    }

    pub(crate) fn tools(&self) -> Vec<String> {
        self.spec
            .tools
            .iter()
            .map(|index| TOOLS[*index].0.to_owned())
            .collect()
    }

    pub(crate) fn models(&self) -> Vec<String> {
        self.spec
            .models
            .iter()
            .map(|index| MODELS[*index].to_owned())
            .collect()
    }

    /// 0: it runs all the time.
    pub(crate) fn seconds_between_runs(&self) -> u64 {
        if self.spec.schedule {
            300
        } else {
            SCHEDULES[self.schedule].1
        }
    }

    pub(crate) fn iterations(&self) -> u32 {
        let by_spec = ITERATIONS[self.spec.iterations];
        by_spec.or(ITERATIONS[self.iterations]).unwrap_or(u32::MAX)
    }

    pub(crate) fn timeout(&self) -> u64 {
        let by_spec = TIMEOUTS[self.spec.timeout].or(TIMEOUTS[self.timeout]);
        by_spec.map_or(u64::MAX, |(_, seconds)| seconds)
    }

    /// Places in the network.
    pub(crate) fn reaches(&self) -> BTreeSet<String> {
        let rules = self.spec.egress.iter().flat_map(|index| EGRESS[*index].1);
        let tools = self.tools().into_iter().map(|tool| match &*tool {
            "files" => "mail servers".to_owned(),
            _ => format!("tool {tool}"),
        });
        let models = self
            .models()
            .into_iter()
            .map(|model| format!("model {model}"));
        rules
            .map(|place| (*place).to_owned())
            .chain(tools)
            .chain(models)
            .collect()
    }

    pub(crate) fn variables(&self) -> BTreeSet<&'static str> {
        self.spec
            .variables
            .iter()
            .map(|index| VARIABLES[*index].0)
            .collect()
    }

    pub(crate) fn secrets(&self) -> BTreeSet<&'static str> {
        let shown = self
            .spec
            .variables
            .iter()
            .filter_map(|index| VARIABLES[*index].2);
        shown
            .chain(self.spec.pull_secret.then_some("registry"))
            .collect()
    }

    /// What runs beside it, if anything does, and what that is lent.
    pub(crate) fn sidecar(&self) -> Option<(&'static str, &'static [&'static str])> {
        let has_one = self.tools().iter().any(|tool| tool == "files");
        let (_, runs, lent) = SIDECARS[self.spec.sidecar];
        has_one.then_some((runs, lent))
    }

    fn manifest(&self) -> Value {
        let json = |text: &str| -> Value { serde_json::from_str(text).unwrap() };
        let names = |names: Vec<String>| -> Vec<Value> {
            names
                .into_iter()
                .map(|name| json!({"name": name}))
                .collect()
        };
        let spec = &self.spec;
        json!({
            "instructions": "Do it", "toolRefs": names(self.tools()), "modelRefs": names(self.models()),
            "schedule": spec.schedule.then_some("*/5 * * * *"), "image": IMAGES[spec.image],
            "limits": {"maxIterations": ITERATIONS[spec.iterations], "timeout": TIMEOUTS[spec.timeout].map(|(text, _)| text)},
            "egress": spec.egress.iter().map(|index| json(EGRESS[*index].0)).collect::<Vec<_>>(),
            "env": spec.variables.iter().map(|index| json(VARIABLES[*index].1)).collect::<Vec<_>>(),
            "imagePullSecrets": spec.pull_secret.then(|| json!([{"name": "registry"}])).unwrap_or(json!([])),
        })
    }

    /// As the operator validates it, with all that it refers to there.
    pub(crate) fn validated(&self) -> ValidatedAgent {
        let object = |kind: &str, name: &str, spec: &Value| {
            json!({
                "apiVersion": "langop.io/v1alpha1", "kind": kind, "spec": spec,
                "metadata": {"name": name, "namespace": "wood", "uid": "uid", "generation": 1},
            })
        };
        let manifest = object("LanguageAgent", "scout", &self.manifest());
        let agent: LanguageAgent = serde_json::from_value(manifest).unwrap();
        let egress: Value = serde_json::from_str(OF_SIDECAR).unwrap();
        let mut sidecar: Value = serde_json::from_str(SIDECARS[self.spec.sidecar].0).unwrap();
        for (field, value) in [
            ("deploymentMode", json!("sidecar")),
            ("port", json!(9000)),
            ("egress", json!([egress])),
        ] {
            sidecar[field] = value;
        }
        if sidecar["image"].is_null() {
            sidecar["image"] = json!("i");
        }
        let tool = |name: String| {
            let spec = match &*name {
                "files" => sidecar.clone(),
                _ => json!({"image": "i"}),
            };
            let tool: LanguageTool =
                serde_json::from_value(object("LanguageTool", &name, &spec)).unwrap();
            ToolView::new(&tool, &settings())
        };
        let model = |name: String| {
            let spec = json!({"provider": "openai", "model": "m"});
            let model: LanguageModel =
                serde_json::from_value(object("LanguageModel", &name, &spec)).unwrap();
            ModelView::new(&model, &settings())
        };
        let references = References {
            tools: self.tools().into_iter().map(tool).collect(),
            models: self.models().into_iter().map(model).collect(),
            ..References::default()
        };
        let context = AgentContext {
            agent: &agent,
            references,
            cluster: None,
            same_name: Vec::new(),
            observed: ObservedAgent::default(),
        };
        validate(
            &context,
            &settings(),
            "2026-03-01T12:00:00Z".parse().unwrap(),
        )
        .unwrap()
    }
}
