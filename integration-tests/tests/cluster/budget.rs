//! Budgets of synthesis on a real control plane: many agents at once against a budget for ten calls,
//! with operators that die and take over in between. Never a token more, and never a call lost.
//!
//! A few seeds run with the other tests; many by one command:
//!
//! ```sh
//! LANGOP_BUDGET_SEEDS=100 cargo test --workspace --test cluster budget
//! ```

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use k8s_openapi::jiff::{Timestamp, tz::TimeZone};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use langop_api::{LanguageAgent, LanguageCluster, LanguagePersona, condition::types};
use langop_integration_tests::{
    FakeLlm, Operator, Reply, Synthesizer,
    env::{condition, is, is_current},
    programs::LeaderElection,
    wait,
};
use serde_json::{Value, json};

use crate::{SOON, alone, apply, control_plane, until_ready};

const AGENTS: usize = 64;
/// The most that a call may cost; with the longest answer, a prompt just fits.
const CALL: i64 = 40_000;
const LONGEST_ANSWER: &str = "1000";
/// Ten calls of what the meter below makes of a prompt.
const BUDGET: i64 = 60_000;

/// `SplitMix64`, so that a seed is a whole test.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

fn seeds() -> u64 {
    std::env::var("LANGOP_BUDGET_SEEDS").map_or(2, |text| text.parse().unwrap())
}

/// What the provider bills, by its own count.
#[derive(Clone, Default)]
struct Meter(Arc<AtomicI64>);

impl Meter {
    /// An LLM that bills each answer as its text has it: about three bytes to a token, and an answer
    /// of any length within the limit that was asked for. One of eight answers is no code.
    fn attach(&self, llm: &FakeLlm, seed: u64) {
        let (meter, random) = (self.0.clone(), std::sync::Mutex::new(Random(seed)));
        llm.reply_with(move |request| {
            let mut random = random.lock().unwrap();
            let sent = request.body.to_string().len();
            let limit = ["max_tokens", "max_completion_tokens"]
                .iter()
                .find_map(|name| request.body[*name].as_u64())
                .expect("a limit on the answer");
            let (input, output) = (sent / 3, 1 + random.below(limit));
            let cost = i64::try_from(input).unwrap() + i64::try_from(output).unwrap();
            meter.fetch_add(cost, Ordering::SeqCst);
            let text = match random.below(8) {
                0 => "I would rather not.".to_owned(),
                _ => format!("```ruby\n{}```\n", langop_integration_tests::fake_llm::AGENT),
            };
            Reply::Json {
                code: 200,
                retry_after: None,
                body: json!({
                    "id": "1", "object": "chat.completion", "created": 1, "model": "fake-model",
                    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
                    "usage": {"prompt_tokens": input, "completion_tokens": output, "total_tokens": cost},
                }),
            }
        });
    }

    fn read(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

struct World {
    client: Client,
    namespace: String,
    meter: Meter,
    /// One leads, the other stands by.
    operators: [Operator; 2],
    _synthesizer: Synthesizer,
    _llm: FakeLlm,
}

impl World {
    async fn new(seed: u64) -> Self {
        let cp = control_plane().await;
        let client = cp.client().await.unwrap();
        let (llm, meter) = (FakeLlm::start().await.unwrap(), Meter::default());
        meter.attach(&llm, seed);
        let synthesizer = Synthesizer::asking(&llm).env("LANGOP_MAX_ANSWER_TOKENS", LONGEST_ANSWER);
        let synthesizer = synthesizer.start().await.unwrap();
        let operator = || {
            Operator::builder(cp)
                .cluster_wide()
                .leader_election(LeaderElection::On)
                .synthesizer(synthesizer.grpc_url())
                .synthesis_backoff("1s", "4s")
                .env("LANGOP_SYNTHESIS_MAX_TOKENS", &CALL.to_string())
                .start()
        };
        let operators = [operator().await.unwrap(), operator().await.unwrap()];
        Self {
            client,
            namespace: format!("thrift-{seed}"),
            meter,
            operators,
            _synthesizer: synthesizer,
            _llm: llm,
        }
    }

    fn agents(&self) -> Api<LanguageAgent> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    fn clusters(&self) -> Api<LanguageCluster> {
        Api::all(self.client.clone())
    }

    async fn budget(&self, tokens: i64) {
        let cluster = json!({
            "apiVersion": "langop.io/v1alpha1", "kind": "LanguageCluster", "metadata": {"name": self.namespace},
            "spec": {"budget": {"synthesisTokensPerDay": tokens}},
        });
        apply(&self.client, &cluster.to_string()).await;
    }

    async fn come(&self) {
        let agents = (0..AGENTS).map(|n| {
            format!(
                "---\n{{apiVersion: langop.io/v1alpha1, kind: LanguageAgent, metadata: {{name: saver-{n}, namespace: {}}}, spec: {{instructions: save number {n}, replicas: 0}}}}\n",
                self.namespace
            )
        });
        apply(&self.client, &agents.collect::<String>()).await;
    }

    /// How many agents are so, and one that is not.
    async fn count(&self, is: impl Fn(&LanguageAgent) -> bool) -> (usize, String) {
        let mut all = self
            .agents()
            .list(&ListParams::default())
            .await
            .unwrap()
            .items;
        all.retain(|agent| !is(agent));
        let other = all
            .first()
            .map(|agent| (agent.name_any(), agent.status.clone()));
        (AGENTS - all.len(), format!("{other:?}"))
    }

    async fn until_all(&self, what: &str, is: impl Fn(&LanguageAgent) -> bool) {
        wait::until(what, SOON * 4, async || match self.count(&is).await {
            (AGENTS, _) => Ok(()),
            (number, other) => Err(format!("{number} of {AGENTS}; not {other}")),
        })
        .await
        .unwrap();
    }

    /// One of the operators dies, or is replaced, while calls are under way.
    async fn strike(&mut self, random: &mut Random) {
        let struck = usize::try_from(random.below(2)).unwrap();
        let operator = &mut self.operators[struck];
        match random.below(3) {
            0 => operator.kill().await.unwrap(),
            _ => operator.stop().await.unwrap(),
        }
        operator.start_again().await.unwrap();
    }

    async fn go(mut self) {
        for operator in &mut self.operators {
            operator.stop().await.unwrap();
        }
        let all = (DeleteParams::default(), ListParams::default());
        self.agents()
            .delete_collection(&all.0, &all.1)
            .await
            .unwrap();
        let clusters = self.clusters();
        clusters.delete(&self.namespace, &all.0).await.unwrap();
    }
}

fn is_served(agent: &LanguageAgent) -> bool {
    is(agent, "Ready", "True") && is_current(agent)
}

fn is_waiting(agent: &LanguageAgent) -> bool {
    is(agent, types::BUDGET_EXHAUSTED, "True")
}

#[tokio::test]
async fn many_at_once_spend_no_token_more_than_the_budget_and_none_is_lost() {
    let _alone = alone().await;
    for seed in 0..seeds() {
        let mut random = Random(seed);
        let mut world = World::new(seed).await;
        world.budget(BUDGET).await;
        until_ready(&world.client, &world.namespace).await;
        world.come().await;
        for strike in 0..3 {
            let so_far = world.meter.read();
            let more = wait::until("another call", SOON, async || {
                let done = world
                    .count(|agent| is_served(agent) || is_waiting(agent))
                    .await
                    .0;
                (world.meter.read() > so_far || done == AGENTS).then_some(())
            });
            more.await.unwrap();
            world.strike(&mut random).await;
            assert!(world.meter.read() <= BUDGET, "seed {seed}, strike {strike}");
        }
        world
            .until_all("served or told to wait", |agent| {
                is_served(agent) || is_waiting(agent)
            })
            .await;
        let (spent, served) = (world.meter.read(), world.count(is_served).await.0);
        assert!(spent <= BUDGET, "seed {seed}: {spent} of {BUDGET}");
        assert!(
            spent > 0 && served < AGENTS,
            "seed {seed}: {served} served for {spent}"
        );
        is_told(&world).await;
        world.budget(BUDGET * 1000).await;
        world.until_all("served", is_served).await;
        world.go().await;
    }
}

/// In words, with the time.
async fn is_told(world: &World) {
    let agents = world.agents().list(&ListParams::default()).await.unwrap();
    let waiting = agents.iter().find(|agent| is_waiting(agent)).unwrap();
    let said = &condition(waiting, types::BUDGET_EXHAUSTED).unwrap().message;
    let (_, time) = said.split_once("opens again at ").unwrap();
    assert!(time.contains("T00:00:00Z"), "{said}");
    assert!(said.contains("spec.budget.synthesisTokensPerDay"), "{said}");
}

#[tokio::test]
async fn an_agents_own_budget_and_another_day() {
    let _alone = alone().await;
    let seed = 1_000_000;
    let mut world = World::new(seed).await;
    world.budget(BUDGET * 1000).await;
    until_ready(&world.client, &world.namespace).await;
    let agent = |instructions: &str| {
        json!({
            "apiVersion": "langop.io/v1alpha1", "kind": "LanguageAgent",
            "metadata": {"name": "saver", "namespace": world.namespace},
            "spec": {"instructions": instructions, "replicas": 0, "synthesis": {"tokensPerDay": 1}},
        })
        .to_string()
    };
    apply(&world.client, &agent("save")).await;
    let agents = world.agents();
    let waits = |agent: &LanguageAgent| is_waiting(agent) && is_current(agent);
    wait::object(agents.clone(), "saver", SOON, waits)
        .await
        .unwrap();
    assert_eq!(world.meter.read(), 0, "one token asks nothing");
    let raise = json!({"spec": {"synthesis": {"tokensPerDay": CALL}}});
    patch(&agents, &raise).await;
    wait::object(agents.clone(), "saver", SOON, is_served)
        .await
        .unwrap();
    let spent = world.meter.read();
    let ledger = |agent: &LanguageAgent| {
        let info = agent.status.as_ref()?.synthesis_info.clone()?;
        info.budget
    };
    let counted = ledger(&agents.get("saver").await.unwrap()).unwrap();
    assert_eq!((counted.used, counted.reserved), (spent, vec![]));

    // As if it were spent, and then as if the day were over.
    let day = |date: &str, used: i64| json!({"status": {"synthesisInfo": {"budget": {"date": date, "used": used}}}});
    for operator in &mut world.operators {
        operator.stop().await.unwrap();
    }
    let patched = |patch: Value| {
        let agents = agents.clone();
        async move {
            let patch = Patch::Merge(patch);
            agents
                .patch_status("saver", &PatchParams::default(), &patch)
                .await
                .unwrap();
        }
    };
    patched(day(&counted.date, CALL)).await;
    apply(
        &world.client,
        &agent("save more").replace(":1}", &format!(":{CALL}}}")),
    )
    .await;
    for operator in &mut world.operators {
        operator.start_again().await.unwrap();
    }
    wait::object(agents.clone(), "saver", SOON, waits)
        .await
        .unwrap();
    assert_eq!(world.meter.read(), spent, "it was spent before the restart");
    for operator in &mut world.operators {
        operator.stop().await.unwrap();
    }
    patched(day("2026-01-01", CALL)).await;
    for operator in &mut world.operators {
        operator.start_again().await.unwrap();
    }
    wait::object(agents.clone(), "saver", SOON, is_served)
        .await
        .unwrap();
    world.go().await;
}

#[tokio::test]
async fn a_persona_is_distilled_within_the_budget_of_its_namespace() {
    let _alone = alone().await;
    let world = World::new(2_000_000).await;
    world.budget(1).await;
    until_ready(&world.client, &world.namespace).await;
    let persona = json!({
        "apiVersion": "langop.io/v1alpha1", "kind": "LanguagePersona",
        "metadata": {"name": "miser", "namespace": world.namespace},
        "spec": {"description": "Counts every coin", "tone": "dry"},
    });
    apply(&world.client, &persona.to_string()).await;
    let personas: Api<LanguagePersona> = Api::namespaced(world.client.clone(), &world.namespace);
    let waiting = wait::object(personas.clone(), "miser", SOON, |persona| {
        is_true(persona, types::BUDGET_EXHAUSTED).is_some()
    });
    let waiting = waiting.await.unwrap();
    let told = is_true(&waiting, types::BUDGET_EXHAUSTED).unwrap();
    assert!(told.contains("T00:00:00Z"), "{told}");
    assert_eq!(world.meter.read(), 0, "one token asks nothing");
    world.budget(BUDGET).await;
    let is_distilled = |persona: &LanguagePersona| is_true(persona, "Ready").is_some();
    wait::object(personas, "miser", SOON, is_distilled)
        .await
        .unwrap();
    let spent = world.meter.read();
    assert!(spent > 0);
    let settled = |cluster: &LanguageCluster| {
        let status = cluster
            .status
            .as_ref()
            .and_then(|status| status.budget.as_ref());
        status.is_some_and(|day| (day.used, day.reserved.len()) == (spent, 0))
    };
    wait::object(world.clusters(), &world.namespace, SOON, settled)
        .await
        .unwrap();
    world.go().await;
}

/// What a condition of a persona says, if it is true.
fn is_true<'a>(persona: &'a LanguagePersona, type_: &str) -> Option<&'a str> {
    let mut all = persona.status.as_ref()?.conditions.iter();
    let found = all.find(|condition| condition.type_ == type_ && condition.status == "True")?;
    Some(&found.message)
}

/// By the operator's own clock, which is set to shortly before midnight. Nobody touches anything, and
/// the operator looks again by itself.
#[tokio::test]
async fn a_call_that_waits_is_made_when_the_day_is_over() {
    /// Enough for one, of which a quarter is then spent, and not for another.
    const ONE_CALL: i64 = 15_000;
    let Some(library) = clock_setter() else {
        return;
    };
    let _alone = alone().await;
    let cp = control_plane().await;
    let client = cp.client().await.unwrap();
    let (llm, meter) = (FakeLlm::start().await.unwrap(), Meter::default());
    meter.attach(&llm, 1);
    let synthesizer = Synthesizer::asking(&llm).env("LANGOP_MAX_ANSWER_TOKENS", LONGEST_ANSWER);
    let synthesizer = synthesizer.start().await.unwrap();
    apply(&client, "{apiVersion: langop.io/v1alpha1, kind: LanguageCluster, metadata: {name: vigil}, spec: {}}").await;
    let tomorrow = Timestamp::now()
        .to_zoned(TimeZone::UTC)
        .date()
        .tomorrow()
        .unwrap();
    let _operator = Operator::builder(cp)
        .cluster_wide()
        .synthesizer(synthesizer.grpc_url())
        .env("LANGOP_SYNTHESIS_MAX_TOKENS", &CALL.to_string())
        .env("LD_PRELOAD", &library)
        .env("TZ", "UTC")
        .env("FAKETIME", &format!("@{tomorrow} 23:59:30"))
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .start()
        .await
        .unwrap();
    until_ready(&client, "vigil").await;
    let agents: Api<LanguageAgent> = Api::namespaced(client.clone(), "vigil");
    let instruct = async |instructions: &str| {
        let agent = json!({
            "apiVersion": "langop.io/v1alpha1", "kind": "LanguageAgent",
            "metadata": {"name": "saver", "namespace": "vigil"},
            "spec": {"instructions": instructions, "replicas": 0, "synthesis": {"tokensPerDay": ONE_CALL}},
        });
        apply(&client, &agent.to_string()).await;
    };
    instruct("save").await;
    let served = wait::object(agents.clone(), "saver", SOON, is_served);
    served.await.unwrap();
    let spent = meter.read();
    instruct("save more").await;
    let waits = |agent: &LanguageAgent| is_waiting(agent) && is_current(agent);
    let waiting = wait::object(agents.clone(), "saver", SOON, waits);
    let waiting = waiting.await.unwrap();
    let told = &condition(&waiting, types::BUDGET_EXHAUSTED)
        .unwrap()
        .message;
    let opens = format!("{}T00:00:00Z", tomorrow.tomorrow().unwrap());
    assert!(told.contains(&opens), "{told}");
    assert_eq!(meter.read(), spent);
    let served = wait::object(agents.clone(), "saver", SOON, is_served);
    served.await.unwrap();
    assert!(meter.read() > spent, "the call was made");
    agents
        .delete("saver", &DeleteParams::default())
        .await
        .unwrap();
}

/// A library by which a program's clock says another time (Debian's libfaketime).
#[expect(clippy::print_stderr, reason = "what is left out has to be seen")]
fn clock_setter() -> Option<String> {
    let folders = std::fs::read_dir("/usr/lib").into_iter().flatten();
    let library = folders
        .filter_map(|folder| Some(folder.ok()?.path().join("faketime/libfaketimeMT.so.1")))
        .find(|library| library.exists());
    if library.is_none() {
        eprintln!("LEFT OUT: no operator comes to midnight here; install Debian's libfaketime");
    }
    Some(library?.to_str()?.to_owned())
}

async fn patch(agents: &Api<LanguageAgent>, patch: &Value) {
    agents
        .patch("saver", &PatchParams::default(), &Patch::Merge(patch))
        .await
        .unwrap();
}
