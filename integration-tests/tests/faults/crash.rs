//! kill -9 at any step, and resume: the same end state, and nothing is paid for twice.

use k8s_openapi::api::{apps::v1::Deployment, core::v1::ConfigMap};
use kube::ResourceExt as _;
use langop_api::{LanguageAgent, names::CODE_KEY};
use langop_integration_tests::{Reply, Weather, wait};
use serde_json::json;

use crate::world::{End, SOON, World};

#[tokio::test]
async fn killed_while_the_llm_thinks_it_gets_the_answer_it_has_paid_for() {
    let mut world = World::new("thinks", 1).await;
    world.llm.reply(Reply::Hang);
    world.agent("walker", "walk the dog").await;
    world.until_asked(1).await;
    world.kill_operator().await;
    world.operator.start_again().await.unwrap();
    // Its second question waits for the answer to the first.
    wait::until("the question again", SOON, async || {
        (world.synthesizer.calls("Synthesize").await.ok()? >= 1).then_some(())
    })
    .await
    .unwrap();
    world.llm.release();
    wait::until("code", SOON, async || {
        (!world.codes("walker").await.is_empty()).then_some(())
    })
    .await
    .unwrap();
    assert_eq!(
        world.llm.count(),
        1,
        "the replica that was asked lives, so the second question costs nothing"
    );
    world
        .patch::<LanguageAgent>("walker", json!({"spec": {"instructions": "walk the cat"}}))
        .await;
    world.until_settled().await;
    assert_eq!(world.llm.count(), 2);
}

#[tokio::test]
async fn killed_right_after_the_code_is_stored_it_uses_the_code() {
    let mut world = World::new("stored", 2).await;
    // Nothing after the creation of the code gets through: the status does not say that the attempt has ended.
    world.agent("walker", "walk the dog").await;
    wait::until("code", SOON, async || {
        (!world.codes("walker").await.is_empty()).then_some(())
    })
    .await
    .unwrap();
    world.kill_operator().await;
    let before = world.codes("walker").await;
    world.operator.start_again().await.unwrap();
    world.until_settled().await;
    let after = world.codes("walker").await;
    let versions = |codes: &[ConfigMap]| {
        codes
            .iter()
            .map(|map| (map.uid(), map.data.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        versions(&before),
        versions(&after),
        "the stored code is the one that runs"
    );
    world.account.audit(1);
}

#[tokio::test]
async fn killed_after_any_number_of_writes_it_comes_to_the_same_end() {
    let mut world = World::new("steps", 3).await;
    world.agent("first", "be the first").await;
    world.until_settled().await;
    let mut demands = 1;
    let mut step = 0;
    loop {
        world.proxy.set(Weather::Writes(step));
        let name = format!("agent-{step}");
        world.agent(&name, &format!("be number {step}")).await;
        demands += 1;
        // Either the write after that many is cut, or the operator needs no more.
        let is_cut = wait::until("a cut, or the end of its work", SOON, async || match world
            .proxy
            .weather()
        {
            Weather::Cut(_) => Some(true),
            _ => is_ready(&world, &name).await.then_some(false),
        });
        let is_cut = is_cut.await.unwrap();
        world.kill_operator().await;
        world.calm();
        world.operator.start_again().await.unwrap();
        world.until_converged().await;
        world.account.audit(demands);
        assert_eq!(
            world.account.total(),
            demands,
            "the synthesizer lives, so each agent costs one call"
        );
        assert_eq!(world.codes(&name).await.len(), 1, "{name}");
        if !is_cut {
            break;
        }
        step += 1;
    }
    assert!(step > 5, "an agent needs more writes than {step}");
    world.until_settled().await;
}

#[tokio::test]
async fn killed_after_any_number_of_writes_of_an_edit_it_comes_to_the_same_end() {
    let mut world = World::new("edits", 4).await;
    world.agent("walker", "walk dog 0").await;
    world.until_settled().await;
    let mut step = 0;
    loop {
        world.proxy.set(Weather::Writes(step));
        let instructions = format!("walk dog {}", step + 1);
        let agent: LanguageAgent = world
            .patch("walker", json!({"spec": {"instructions": instructions}}))
            .await;
        let is_cut = wait::until("a cut, or the end of its work", SOON, async || match world
            .proxy
            .weather()
        {
            Weather::Cut(_) => Some(true),
            _ => is_observed(&world, &agent).await.then_some(false),
        });
        let is_cut = is_cut.await.unwrap();
        assert!(runs_some_code(&world).await, "what runs keeps running");
        world.kill_operator().await;
        world.calm();
        world.operator.start_again().await.unwrap();
        world.until_converged().await;
        world.account.audit(step + 2);
        assert_eq!(
            world.account.total(),
            step + 2,
            "the synthesizer lives, so each edit costs one call"
        );
        if !is_cut {
            break;
        }
        step += 1;
    }
    assert!(step > 3, "an edit needs more writes than {step}");
    world.until_settled().await;
}

#[tokio::test]
async fn a_synthesizer_killed_while_the_llm_thinks_costs_one_call_more() {
    let mut world = World::new("dies", 5).await;
    world.llm.reply(Reply::Hang);
    world.agent("walker", "walk the dog").await;
    world.until_asked(1).await;
    world.end_synthesizer(End::Kill).await;
    world.start_synthesizer().await;
    world.until_settled().await;
    assert_eq!(
        world.llm.count(),
        2,
        "one for each interrupted attempt, and one for the answer"
    );
}

async fn is_ready(world: &World, name: &str) -> bool {
    let agent = world.ns.api::<LanguageAgent>().get(name).await.unwrap();
    is_observed(world, &agent).await
}

/// Ready for its present generation.
async fn is_observed(world: &World, agent: &LanguageAgent) -> bool {
    let now = world
        .ns
        .api::<LanguageAgent>()
        .get(&agent.name_any())
        .await
        .unwrap();
    let generation = now.metadata.generation;
    now.status.is_some_and(|status| {
        status.observed_generation == generation
            && status
                .conditions
                .iter()
                .any(|c| c.type_ == "Ready" && c.status == "True")
    })
}

/// The Deployment mounts code that exists.
async fn runs_some_code(world: &World) -> bool {
    let deployment = world.ns.api::<Deployment>().get("walker").await.unwrap();
    let pod = deployment.spec.unwrap().template.spec.unwrap();
    let mounted = pod
        .volumes
        .unwrap_or_default()
        .into_iter()
        .find_map(|volume| Some(volume.config_map?.name));
    let codes = world.codes("walker").await;
    codes.iter().any(|map| {
        map.metadata.name == mounted
            && map
                .data
                .as_ref()
                .is_some_and(|data| data.contains_key(CODE_KEY))
    })
}
