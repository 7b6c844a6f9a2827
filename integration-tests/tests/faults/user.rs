//! A user who does at random what users do, and who speaks to the API server directly: what they wrote is written. Also counts how often
//! they wanted something made, which is how often it may be paid for.

use std::collections::BTreeMap;

use kube::api::{DeleteParams, Patch, PatchParams};
use langop_integration_tests::fault_proxy::faults::Random;
use serde_json::{Value, json};

use crate::world::World;

const AGENTS: [&str; 4] = ["anna", "ben", "cleo", "dan"];
const TOOLS: [(&str, u64); 2] = [("mail", 9000), ("web", 9500)];
const MODEL: &str = "brain";
const PERSONA: &str = "ada";

/// What they did, and the specs they last wrote.
pub(crate) struct User {
    random: Random,
    agents: BTreeMap<&'static str, Value>,
    /// Numbers everything that must differ.
    count: u32,
    pub(crate) demands: u32,
    pub(crate) log: Vec<String>,
}

impl User {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            agents: BTreeMap::new(),
            count: 0,
            demands: 0,
            log: Vec::new(),
        }
    }

    /// Something to begin with.
    pub(crate) async fn begin(&mut self, world: &World) {
        self.put_tool(world, 0).await;
        self.put_model(world).await;
        self.put_persona(world).await;
        for name in &AGENTS[..2] {
            self.create(world, name).await;
        }
    }

    /// One thing or another.
    pub(crate) async fn act(&mut self, world: &World) {
        match self.random.below(20) {
            0..=9 => self.change_an_agent(world).await,
            10 | 11 => self.delete_an_agent(world).await,
            12 | 13 => {
                let nth = self.random.below(2);
                self.put_tool(world, usize::try_from(nth).unwrap()).await;
            }
            14 => {
                let (tool, _) = *self.random.pick(&TOOLS).unwrap();
                self.delete(world, "LanguageTool", tool).await;
            }
            15 => self.put_model(world).await,
            16 => self.delete(world, "LanguageModel", MODEL).await,
            17 | 18 => self.put_persona(world).await,
            _ => self.delete(world, "LanguagePersona", PERSONA).await,
        }
    }

    async fn change_an_agent(&mut self, world: &World) {
        let name = *self.random.pick(&AGENTS).unwrap();
        let Some(mut spec) = self.agents.get(name).cloned() else {
            return self.create(world, name).await;
        };
        match self.random.below(8) {
            0..=2 => {
                spec["instructions"] = self.instructions().into();
                self.demands += 1;
            }
            3 => self.set_mode(&mut spec),
            4 => spec["suspend"] = (spec["suspend"] != true).into(),
            5 => self.set_references(&mut spec),
            6 => return self.annotate(world, name, "somebody/else").await,
            _ => {
                self.demands += 1;
                return self.annotate(world, name, "langop.io/resynthesize").await;
            }
        }
        self.apply(world, "LanguageAgent", name, &spec).await;
        self.agents.insert(name, spec);
    }

    async fn create(&mut self, world: &World, name: &'static str) {
        let limit = 1 + self.random.below(3);
        let mut spec = json!({"instructions": self.instructions(), "suspend": false, "synthesis": {"revisionHistoryLimit": limit}});
        self.set_mode(&mut spec);
        self.set_references(&mut spec);
        if self.random.chance(250) {
            spec["workspace"] = json!({"storage": "1Gi", "deletionPolicy": "Delete"});
        }
        self.demands += 1;
        self.apply(world, "LanguageAgent", name, &spec).await;
        self.agents.insert(name, spec);
    }

    async fn delete_an_agent(&mut self, world: &World) {
        let names: Vec<_> = self.agents.keys().copied().collect();
        if let Some(name) = self.random.pick(&names) {
            self.agents.remove(name);
            self.delete(world, "LanguageAgent", name).await;
        }
    }

    /// A few old ones come back, so that stored code is activated and equal questions are asked by several.
    fn instructions(&mut self) -> String {
        if self.random.chance(400) {
            return format!("Do the usual, way {}", self.random.below(3));
        }
        format!("Do as number {} says", self.next())
    }

    fn set_mode(&mut self, spec: &mut Value) {
        let spec = spec.as_object_mut().unwrap();
        spec.retain(|key, _| key != "executionMode" && key != "schedule");
        match self.random.below(3) {
            0 => {}
            1 => drop(spec.insert("executionMode".into(), "autonomous".into())),
            _ => {
                spec.insert("executionMode".into(), "scheduled".into());
                // Fires while no test runs.
                spec.insert("schedule".into(), "0 0 1 1 *".into());
            }
        }
    }

    fn set_references(&mut self, spec: &mut Value) {
        let mut some = |names: &[&str], per_mille| -> Vec<Value> {
            let names = names.iter().filter(|_| self.random.chance(per_mille));
            names.map(|name| json!({"name": name})).collect()
        };
        spec["toolRefs"] = some(&["mail", "web"], 500).into();
        spec["modelRefs"] = some(&[MODEL], 800).into();
        match some(&[PERSONA], 300).pop() {
            Some(persona) => spec["personaRef"] = persona,
            None => drop(spec.as_object_mut().unwrap().remove("personaRef")),
        }
    }

    async fn put_tool(&mut self, world: &World, nth: usize) {
        let (name, port) = TOOLS[nth];
        let mode = *self
            .random
            .pick(&["service", "service", "sidecar"])
            .unwrap();
        let mut spec = json!({"image": "registry.example/tool:1", "port": port + self.random.below(100), "deploymentMode": mode});
        if self.random.chance(300) {
            spec["egress"] = json!([{"cidr": "192.0.2.0/24", "ports": [{"port": 443}]}]);
        }
        self.apply(world, "LanguageTool", name, &spec).await;
    }

    async fn put_model(&mut self, world: &World) {
        let model = format!("model-{}", self.random.below(3));
        let spec =
            json!({"provider": "anthropic", "model": model, "apiKeySecretRef": {"name": "key"}});
        self.apply(world, "LanguageModel", MODEL, &spec).await;
    }

    async fn put_persona(&mut self, world: &World) {
        let spec = json!({"description": format!("Ada, version {}", self.next()), "tone": "dry"});
        self.demands += 1;
        self.apply(world, "LanguagePersona", PERSONA, &spec).await;
    }

    fn next(&mut self) -> u32 {
        self.count += 1;
        self.count
    }

    async fn apply(&mut self, world: &World, kind: &str, name: &str, spec: &Value) {
        self.log.push(format!("apply {kind} {name} {spec}"));
        world.apply(kind, name, spec).await;
    }

    async fn annotate(&mut self, world: &World, name: &str, key: &str) {
        let value = format!("value {}", self.next());
        self.log.push(format!("annotate {name} {key}={value}"));
        let patch = json!({"metadata": {"annotations": {key: value}}});
        world
            .untyped("LanguageAgent")
            .patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .unwrap();
    }

    /// Whether or not it exists.
    async fn delete(&mut self, world: &World, kind: &str, name: &str) {
        self.log.push(format!("delete {kind} {name}"));
        match world
            .untyped(kind)
            .delete(name, &DeleteParams::default())
            .await
        {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            Err(error) => panic!("{error}"),
        }
    }
}
