//! A user who does at random what users do, and who speaks to the API server directly: what they
//! wrote is written. Also counts how often they gave a reason to have something made, which is how
//! often it may be paid for.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim};
use kube::{
    ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams},
};
use langop_api::names::labels;
use langop_integration_tests::fault_proxy::faults::Random;
use serde_json::{Value, json};

use crate::{
    fault_env::FaultEnv,
    foreign_writer::{ForeignWrite, Kind},
};

const AGENTS: [&str; 4] = ["anna", "ben", "cleo", "dan"];
const TOOLS: [(&str, u64); 2] = [("mail", 9000), ("web", 9500)];
const MODEL: &str = "brain";
const PERSONA: &str = "ada";
const CLIENT: &str = "chat";

/// What they did, and the specs they last wrote.
pub(crate) struct User {
    random: Random,
    agents: BTreeMap<&'static str, Value>,
    /// Claims that agents left behind for those that come back by their name: the claims' uids.
    kept: BTreeMap<&'static str, String>,
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
            kept: BTreeMap::new(),
            count: 0,
            demands: 0,
            log: Vec::new(),
        }
    }

    /// Something to begin with.
    pub(crate) async fn begin(&mut self, env: &FaultEnv) {
        self.put_tool(env, 0).await;
        self.put_model(env).await;
        self.put_persona(env).await;
        if env.frame.is_some() {
            self.change_the_frame(env).await;
        }
        for name in &AGENTS[..2] {
            self.create(env, name).await;
        }
    }

    /// One thing or another.
    pub(crate) async fn act(&mut self, env: &FaultEnv) {
        match self.random.below(32) {
            0..=13 => self.change_an_agent(env).await,
            14 | 15 => self.delete_an_agent(env).await,
            16..=18 => {
                let nth = self.random.below(2);
                self.put_tool(env, usize::try_from(nth).unwrap()).await;
            }
            19 => {
                let (tool, _) = *self.random.pick(&TOOLS).unwrap();
                self.delete(env, "LanguageTool", tool).await;
            }
            20 => self.put_model(env).await,
            21 if self.random.chance(500) => self.delete(env, "LanguageModel", MODEL).await,
            21..=23 => self.put_persona(env).await,
            24 => self.delete(env, "LanguagePersona", PERSONA).await,
            25 => self.put_client(env).await,
            26 if self.random.chance(500) => self.delete(env, "LanguageClient", CLIENT).await,
            26 => self.delete_code(env).await,
            27 if env.frame.is_some() => self.change_the_frame(env).await,
            _ => self.write_to_children(env).await,
        }
    }

    /// Most users see in the end that their agents have what they need.
    pub(crate) async fn tidy_up(&mut self, env: &FaultEnv) {
        if self.random.chance(300) {
            return;
        }
        for nth in 0..TOOLS.len() {
            self.put_tool(env, nth).await;
        }
        self.put_model(env).await;
        self.put_persona(env).await;
        for (name, mut spec) in self.agents.clone() {
            if spec["synthesis"]["revision"].is_u64() {
                self.release(&mut spec);
                self.apply(env, "LanguageAgent", name, &spec).await;
                self.agents.insert(name, spec);
            }
        }
    }

    async fn change_an_agent(&mut self, env: &FaultEnv) {
        let name = *self.random.pick(&AGENTS).unwrap();
        let Some(mut spec) = self.agents.get(name).cloned() else {
            return self.create(env, name).await;
        };
        match self.random.below(13) {
            0..=2 => {
                spec["instructions"] = self.instructions().into();
                self.demands += 1;
            }
            3 | 4 => self.set_mode(&mut spec),
            5 => spec["suspend"] = (spec["suspend"] != true).into(),
            6 => self.set_references(&mut spec),
            7 => return self.annotate(env, name, "somebody/else").await,
            8 => {
                self.demands += 1;
                return self.annotate(env, name, "langop.io/resynthesize").await;
            }
            9 | 10 => self.set_pin(&mut spec),
            11 => self.set_workspace(&mut spec),
            _ => self.set_egress(&mut spec),
        }
        self.apply(env, "LanguageAgent", name, &spec).await;
        self.agents.insert(name, spec);
    }

    async fn create(&mut self, env: &FaultEnv, name: &'static str) {
        let limit = 1 + self.random.below(3);
        let mut spec = json!({"instructions": self.instructions(), "suspend": false, "synthesis": {"revisionHistoryLimit": limit}});
        self.set_mode(&mut spec);
        self.set_references(&mut spec);
        if self.random.chance(400) {
            self.set_workspace(&mut spec);
        }
        if self.random.chance(300) {
            self.set_egress(&mut spec);
        }
        self.demands += 1;
        self.apply(env, "LanguageAgent", name, &spec).await;
        self.agents.insert(name, spec);
    }

    async fn delete_an_agent(&mut self, env: &FaultEnv) {
        let names: Vec<_> = self.agents.keys().copied().collect();
        if let Some(name) = self.random.pick(&names) {
            let spec = self.agents.remove(name).unwrap();
            if spec["workspace"]["deletionPolicy"] == "Retain" {
                self.note_what_is_kept(env, name).await;
            }
            self.delete(env, "LanguageAgent", name).await;
        }
    }

    /// The agent's claim, if it has one of its own will: that of a former agent may be on its way
    /// out.
    async fn note_what_is_kept(&mut self, env: &FaultEnv, name: &'static str) {
        let claim = claim(env, name).await;
        if let Some(claim) = claim.filter(|claim| claim.owner_references().is_empty()) {
            self.kept.insert(name, claim.uid().unwrap());
        }
    }

    /// Fails if a claim that was kept for agents who come back is not there any more.
    pub(crate) async fn found_what_was_kept(&self, env: &FaultEnv) {
        for (name, uid) in &self.kept {
            let uid_now = claim(env, name).await.and_then(|claim| claim.uid());
            assert_eq!(uid_now.as_ref(), Some(uid), "the kept workspace of {name}");
        }
    }

    /// A small one of either policy, which stays for the agent's life, and does not take with it
    /// what a former agent kept; one that exists is turned off or on, or gets another size.
    fn set_workspace(&mut self, spec: &mut Value) {
        if spec["workspace"].is_null() {
            let policy = *self.random.pick(&["Retain", "Delete"]).unwrap();
            spec["workspace"] =
                json!({"enabled": true, "storage": "1Gi", "deletionPolicy": policy});
        } else if self.random.chance(500) {
            spec["workspace"]["enabled"] = (spec["workspace"]["enabled"] != true).into();
        } else {
            let size = *self.random.pick(&["1Gi", "2Gi"]).unwrap();
            spec["workspace"]["storage"] = size.into();
        }
    }

    /// Pins a revision, one that may be stored or one that is not; or ends that.
    fn set_pin(&mut self, spec: &mut Value) {
        let unlikely = 1 + self.random.below(4);
        let revision = *self.random.pick(&[1, 1, 2, 2, unlikely, 99]).unwrap();
        if spec["synthesis"]["revision"].is_null() {
            spec["synthesis"]["revision"] = revision.into();
        } else {
            self.release(spec);
        }
    }

    /// What ran before the pin may be pruned by now, which is reason to have it made again.
    fn release(&mut self, spec: &mut Value) {
        let synthesis = spec["synthesis"].as_object_mut().unwrap();
        if synthesis.remove("revision").is_some() {
            self.demands += 1;
        }
    }

    fn set_egress(&mut self, spec: &mut Value) {
        let rules = [
            json!({"cidr": "203.0.113.0/24", "ports": [{"port": 443}]}),
            json!({"cidr": "0.0.0.0/0", "ports": [{"port": 443}, {"port": 53, "protocol": "UDP"}]}),
            json!({"podLabels": {"app": "db"}, "ports": [{"port": 5432}]}),
        ];
        let some = rules.into_iter().filter(|_| self.random.chance(400));
        spec["egress"] = some.collect();
    }

    /// A few old ones come back, so that stored code is activated and equal questions are asked by
    /// several.
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

    async fn put_tool(&mut self, env: &FaultEnv, nth: usize) {
        let (name, port) = TOOLS[nth];
        let mode = *self
            .random
            .pick(&["service", "service", "sidecar"])
            .unwrap();
        let mut spec = json!({"image": "registry.example/tool:1", "port": port + self.random.below(100), "deploymentMode": mode});
        if self.random.chance(300) {
            spec["egress"] = json!([{"cidr": "192.0.2.0/24", "ports": [{"port": 443}]}]);
        }
        self.apply(env, "LanguageTool", name, &spec).await;
    }

    async fn put_client(&mut self, env: &FaultEnv) {
        let mut spec =
            json!({"image": "registry.example/chat:1", "port": 8080 + self.random.below(3)});
        self.set_references(&mut spec);
        spec.as_object_mut().unwrap().remove("personaRef");
        if self.random.chance(500) {
            spec["ingressFrom"] = json!([{"namespaceLabels": {"team": "portal"}}]);
        }
        self.apply(env, "LanguageClient", CLIENT, &spec).await;
    }

    /// Any revision of any agent. If it is the one that runs, that is reason to have it made again.
    async fn delete_code(&mut self, env: &FaultEnv) {
        let name = *self.random.pick(&AGENTS).unwrap();
        let nth = usize::try_from(self.random.below(1000)).unwrap();
        let codes = env.revisions(name).await;
        if let Some(code) = codes.get(nth % codes.len().max(1)) {
            let code = code.name_any();
            self.log.push(format!("delete ConfigMap {code}"));
            self.demands += 1;
            let maps = env.ns.api::<ConfigMap>();
            // It may have been pruned just now.
            let _ = maps.delete(&code, &DeleteParams::default()).await;
        }
    }

    /// Sets up the LanguageCluster, changes it or deletes it.
    async fn change_the_frame(&mut self, env: &FaultEnv) {
        let cluster = &env.frame.as_ref().unwrap().cluster;
        if self.random.chance(300) {
            return self.delete(env, "LanguageCluster", cluster).await;
        }
        let egress = *self.random.pick(&["Deny", "Allow"]).unwrap();
        let mut spec = json!({"namespace": env.ns.name(), "agentEgress": egress, "networkIsolation": self.random.chance(500)});
        if self.random.chance(500) {
            spec["resourceQuotas"] = json!({"requests.cpu": "100"});
        }
        self.apply(env, "LanguageCluster", cluster, &spec).await;
    }

    /// Somebody else puts their hands on what the operator made.
    async fn write_to_children(&mut self, env: &FaultEnv) {
        let random = &mut self.random;
        let write = match random.below(6) {
            0..=2 => {
                let agent = *random.pick(&AGENTS).unwrap();
                let kinds = [Kind::Deployment, Kind::CronJob, Kind::NetworkPolicy];
                ForeignWrite::random(random, &kinds, agent, labels::AGENT, "agent")
            }
            3 => {
                let (tool, _) = *random.pick(&TOOLS).unwrap();
                let kinds = [Kind::Deployment, Kind::Service, Kind::NetworkPolicy];
                ForeignWrite::random(random, &kinds, tool, labels::TOOL, "tool")
            }
            4 => {
                let kinds = [Kind::Deployment, Kind::Service, Kind::ConfigMap];
                let proxy = format!("{MODEL}-proxy");
                ForeignWrite::random(random, &kinds, &proxy, labels::MODEL, "proxy")
            }
            _ => {
                let kinds = [Kind::Deployment, Kind::Service, Kind::NetworkPolicy];
                ForeignWrite::random(random, &kinds, CLIENT, labels::CLIENT, "client")
            }
        };
        self.log.push(format!("{write:?}"));
        write.commit(env).await;
    }

    async fn put_model(&mut self, env: &FaultEnv) {
        let model = format!("model-{}", self.random.below(3));
        let spec =
            json!({"provider": "anthropic", "model": model, "apiKeySecretRef": {"name": "key"}});
        self.apply(env, "LanguageModel", MODEL, &spec).await;
    }

    async fn put_persona(&mut self, env: &FaultEnv) {
        let spec = json!({"description": format!("Ada, version {}", self.next()), "tone": "dry"});
        self.demands += 1;
        self.apply(env, "LanguagePersona", PERSONA, &spec).await;
    }

    fn next(&mut self) -> u32 {
        self.count += 1;
        self.count
    }

    async fn apply(&mut self, env: &FaultEnv, kind: &str, name: &str, spec: &Value) {
        self.log.push(format!("apply {kind} {name} {spec}"));
        env.apply_spec(kind, name, spec).await;
    }

    async fn annotate(&mut self, env: &FaultEnv, name: &str, key: &str) {
        let value = format!("value {}", self.next());
        self.log.push(format!("annotate {name} {key}={value}"));
        let patch = json!({"metadata": {"annotations": {key: value}}});
        env.untyped("LanguageAgent")
            .patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .unwrap();
    }

    /// Whether or not it exists.
    async fn delete(&mut self, env: &FaultEnv, kind: &str, name: &str) {
        self.log.push(format!("delete {kind} {name}"));
        match env
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

async fn claim(env: &FaultEnv, agent: &str) -> Option<PersistentVolumeClaim> {
    let claims = env.ns.api::<PersistentVolumeClaim>();
    claims.get_opt(&format!("{agent}-workspace")).await.unwrap()
}
