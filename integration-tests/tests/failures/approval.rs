//! Approval against the clock: an author edits, a person approves what is asked for now and then,
//! and the operator is stopped or killed, in random order. Whatever it writes to a Deployment or a
//! NetworkPolicy grants what was approved before, and nothing else.
//!
//! ```text
//! LANGOP_APPROVAL_SEEDS=200 cargo test --workspace --test failures approval -- --nocapture
//! ```

use std::{collections::BTreeSet, time::Duration};

use k8s_openapi::{
    api::{apps::v1::Deployment, core::v1::ConfigMap},
    jiff::Timestamp,
};
use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams},
};
use langop_api::{LanguageAgent, approval::PowersRequested, names::annotations};
use langop_integration_tests::{
    AuditLog, ControlPlane, Filter, Operator, Synthesizer, TestNamespace,
    control_plane::Options,
    env::{SOON, condition},
    fault_proxy::faults::Random,
    manifests, run_dir, wait,
};
use serde_json::{Value, json};

/// Things that happen in one run.
const STEPS: u32 = 25;
/// With all other tests.
const USUAL: u64 = 2;
/// Longest pause between two of them.
const PAUSE: Duration = Duration::from_millis(300);
const NAMESPACE: &str = "race";
const OPERATOR: &str = "system:serviceaccount:race:langop-operator";

/// What an author may ask for: a variable and an address of each number.
type Grants = BTreeSet<u64>;

/// What was approved, of which agent, and from when on.
struct Approval {
    agent: String,
    grants: Grants,
    from: Timestamp,
}

struct Race {
    cp: ControlPlane,
    ns: TestNamespace,
    operator: Operator,
    approvals: Vec<Approval>,
    _synthesizer: Synthesizer,
}

#[tokio::test]
async fn nothing_is_granted_that_was_not_approved_before() {
    let seeds = std::env::var("LANGOP_APPROVAL_SEEDS");
    let seeds = seeds.map_or(USUAL, |text| text.parse().unwrap());
    let mut race = Race::begin().await;
    for seed in 1..=seeds {
        race.run(seed).await;
    }
    let (writes, granted) = race.judge().await;
    assert!(
        u64::try_from(granted).unwrap() >= seeds && writes > granted,
        "too little happened: {writes} writes, {granted} of them with grants"
    );
}

impl Race {
    async fn begin() -> Self {
        let options = Options {
            audit_bodies_of: vec![OPERATOR.to_owned()],
            ..Options::default()
        };
        let state = run_dir().unwrap().join("control-plane-of-approval");
        let cp = ControlPlane::start_with(&state, options).await.unwrap();
        cp.install_crds().await.unwrap();
        let ns = TestNamespace::create_with(&cp, NAMESPACE, &[])
            .await
            .unwrap();
        let synthesizer = Synthesizer::template().start().await.unwrap();
        let operator = Operator::builder(&cp)
            .namespaces(&[NAMESPACE])
            .synthesizer(synthesizer.grpc_url())
            .start()
            .await
            .unwrap();
        Self {
            cp,
            ns,
            operator,
            approvals: Vec::new(),
            _synthesizer: synthesizer,
        }
    }

    /// One author, one approver, one fate.
    async fn run(&mut self, seed: u64) {
        let agent = format!("clerk-{seed}");
        let mut random = Random::new(seed);
        self.apply(&agent, &Grants::new()).await;
        let asked = wait::object(self.agents(), &agent, SOON, |agent| {
            requested(agent).is_some()
        });
        asked.await.unwrap();
        self.approve(&agent).await;
        for _ in 0..STEPS {
            match random.below(10) {
                0 => self.operator.restart().await.unwrap(),
                1 => {
                    self.operator.kill().await.unwrap();
                    if random.chance(500) {
                        self.edit(&agent, &mut random).await;
                    }
                    self.operator.start_again().await.unwrap();
                }
                2..=5 => self.approve(&agent).await,
                _ => self.edit(&agent, &mut random).await,
            }
            tokio::time::sleep(random.shorter_than(PAUSE)).await;
        }
        // In the end nobody is left waiting who was agreed with.
        let settled = wait::until("an end", SOON, async || {
            self.approve(&agent).await;
            let found = self.agents().get(&agent).await.unwrap();
            let approved = condition(&found, "Approved").cloned();
            let is_current = found
                .status
                .as_ref()
                .and_then(|status| status.observed_generation)
                == found.metadata.generation;
            approved.filter(|approved| approved.status == "True" && is_current)
        });
        settled.await.unwrap();
    }

    fn agents(&self) -> Api<LanguageAgent> {
        self.ns.api()
    }

    async fn edit(&self, agent: &str, random: &mut Random) {
        let grants = (0..4).filter(|_| random.chance(400)).collect();
        self.apply(agent, &grants).await;
    }

    async fn apply(&self, agent: &str, grants: &Grants) {
        let env = grants
            .iter()
            .map(|n| json!({"name": format!("GRANT_{n}"), "value": "1"}));
        let egress = grants
            .iter()
            .map(|n| json!({"cidr": format!("203.0.113.{n}/32"), "ports": [{"port": 443}]}));
        let object = json!({
            "apiVersion": "langop.io/v1alpha1", "kind": "LanguageAgent", "metadata": {"name": agent},
            "spec": {
                "approval": "OnNewPowers", "instructions": "Say hello",
                "env": env.collect::<Vec<_>>(), "egress": egress.collect::<Vec<_>>(),
            },
        });
        let object = serde_json::from_value(object).unwrap();
        manifests::apply(&self.ns.client(), &object, NAMESPACE)
            .await
            .unwrap();
    }

    /// Agrees to what the stored code says of itself, if the agent asks.
    async fn approve(&mut self, agent: &str) {
        let found = self.agents().get(agent).await.unwrap();
        let Some(asked) = requested(&found) else {
            return;
        };
        let maps: Api<ConfigMap> = self.ns.api();
        let Some(map) = maps.get_opt(&asked.config_map).await.unwrap() else {
            return;
        };
        let note = |key: &str| map.annotations().get(key).cloned();
        let (Some(powers), Some(hash)) =
            (note(annotations::POWERS), note(annotations::POWERS_HASH))
        else {
            return;
        };
        self.approvals.push(Approval {
            agent: agent.to_owned(),
            grants: granted(&serde_json::from_str(&powers).unwrap()),
            from: Timestamp::now(),
        });
        let notes = json!({annotations::APPROVED_POWERS: hash, annotations::APPROVED_BY: "ann"});
        let patch = Patch::Merge(json!({"metadata": {"annotations": notes}}));
        maps.patch(&map.name_any(), &PatchParams::default(), &patch)
            .await
            .unwrap();
    }

    /// Every write of the operator in the order of the log; how many there were, and how many
    /// granted something.
    async fn judge(self) -> (usize, usize) {
        let audit = self.cp.audit().unwrap();
        let (mut writes, mut with_grants) = (0, 0);
        let mut wrong = Vec::new();
        let filter = Filter::writes().user(OPERATOR);
        audit
            .each_recorded(AuditLog::BEGINNING, &filter, |write| {
                let is_judged =
                    ["deployments", "networkpolicies"].contains(&&*write.event.resource);
                if !is_judged || !write.event.name.starts_with("clerk-") {
                    return Ok(());
                }
                assert!(!write.body.is_null(), "the log holds no bodies");
                let grants = granted(&write.body);
                writes += 1;
                with_grants += usize::from(!grants.is_empty());
                let mut before = self.approvals.iter().filter(|approval| {
                    approval.agent == write.event.name && approval.from <= write.event.at
                });
                if !before.any(|approval| approval.grants.is_superset(&grants))
                    && !grants.is_empty()
                {
                    wrong.push(format!("{} grants {grants:?}", write.event));
                }
                Ok(())
            })
            .unwrap();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        let deployments: Api<Deployment> = self.ns.api();
        let all = deployments
            .list(&kube::api::ListParams::default())
            .await
            .unwrap();
        assert!(!all.items.is_empty());
        self.cp.stop().await.unwrap();
        (writes, with_grants)
    }
}

fn requested(agent: &LanguageAgent) -> Option<PowersRequested> {
    agent.status.as_ref()?.approval.as_ref()?.requested.clone()
}

/// The numbers of the grants that a text of ours names, wherever.
fn granted(value: &Value) -> Grants {
    let text = value.to_string();
    let is_named = |n: &u64| {
        text.contains(&format!("GRANT_{n}\"")) || text.contains(&format!("203.0.113.{n}/32"))
    };
    (0..4).filter(is_named).collect()
}
