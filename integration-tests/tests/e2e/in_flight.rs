//! Users who change their mind while an answer is awaited: what nobody asks any more is paid for and goes no further.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt as _;
use langop_api::{LanguageAgent, agent::Tokens, names::INSTRUCTIONS_KEY};
use langop_integration_tests::{
    Mark, Reply,
    fake_llm::{INPUT_TOKENS, OUTPUT_TOKENS},
    wait,
};

use crate::world::{SOON, World, code, is, is_current, mounted_code, rollouts};

impl World {
    /// An agent that walks the dog, and of which nothing is still to be written or told.
    async fn with_walker(&self) -> Mark {
        self.llm.reply(code("dog"));
        self.with_agent("walker", "walk the dog").await;
        let mark = self.settled().await;
        self.news("walker").await;
        mark
    }

    /// Asks for other instructions, whose answer does not come until it is released.
    async fn instruct_in_vain(&self, instructions: &str) {
        self.llm.reply(Reply::Hang);
        let asked = self.llm.count() + 1;
        self.instruct("walker", instructions).await;
        wait::until("the call of the LLM", SOON, async || {
            (self.llm.count() == asked).then_some(())
        })
        .await
        .unwrap();
    }

    /// Asks for other instructions while an answer is awaited, and waits until the operator has seen that.
    async fn instruct_meanwhile(&self, instructions: &str) {
        self.instruct("walker", instructions).await;
        let seen = |agent: &LanguageAgent| is_current(agent) && is(agent, "Ready", "False");
        self.until("walker", seen).await;
        self.settled().await;
    }

    /// What each stored revision was made from, oldest first.
    async fn stored(&self) -> Vec<String> {
        let text = |map: &ConfigMap| map.data.as_ref().unwrap()[INSTRUCTIONS_KEY].clone();
        self.revisions("walker").await.iter().map(text).collect()
    }
}

/// So many answers are in the bill.
#[track_caller]
fn assert_paid(agent: &LanguageAgent, answers: u64) {
    let times = |tokens: u64| i64::try_from(tokens * answers).unwrap();
    let paid = Tokens {
        input: times(INPUT_TOKENS),
        output: times(OUTPUT_TOKENS),
    };
    let info = agent.status.clone().unwrap().synthesis_info.unwrap();
    assert_eq!(info.tokens, Some(paid), "{info:?}");
}

#[tokio::test]
async fn an_answer_to_former_instructions_is_paid_for_and_not_stored() {
    let world = World::new("outdated").await;
    let mark = world.with_walker().await;
    let before = world.deployment("walker").await;

    world.instruct_in_vain("walk the cat").await;
    world.llm.reply(code("cow"));
    world.instruct_meanwhile("walk the cow").await;
    assert_eq!(world.llm.count(), 2, "one question at a time");
    world.done_since(mark).await.assert_children(&[]);
    world.llm.release();
    let agent = world.until_ready("walker").await;

    let did = world.done_since(mark).await;
    did.assert_children(&[
        "create configmaps walker-code-*",
        "patch deployments walker",
    ]);
    let after = world.deployment("walker").await;
    assert_eq!(world.stored().await, ["walk the dog", "walk the cow"]);
    let newest = world.revisions("walker").await.pop().unwrap();
    assert_eq!(mounted_code(&after), Some(newest.name_any()));
    assert_eq!(
        (rollouts(&before), rollouts(&after)),
        ("1".into(), "2".into()),
        "what ran goes on until there is code of the new instructions"
    );
    assert_eq!(
        world.news("walker").await,
        [
            "DeploymentUpdated",
            "SynthesisStarted",
            "SynthesisStarted",
            "SynthesisSucceeded"
        ]
    );
    assert_eq!((world.calls().await, world.llm.count()), ((3, 0), 3));
    assert_paid(&agent, 3);
}

#[tokio::test]
async fn instructions_that_come_back_are_answered_by_the_call_that_is_under_way() {
    let world = World::new("back").await;
    let mark = world.with_walker().await;

    world.instruct_in_vain("walk the cat").await;
    world.instruct_meanwhile("walk the cow").await;
    world.instruct_meanwhile("walk the cat").await;
    world.llm.release();
    let agent = world.until_ready("walker").await;

    let did = world.done_since(mark).await;
    did.assert_children(&[
        "create configmaps walker-code-*",
        "patch deployments walker",
    ]);
    assert_eq!(world.stored().await, ["walk the dog", "walk the cat"]);
    assert_eq!((world.calls().await, world.llm.count()), ((2, 0), 2));
    assert_paid(&agent, 2);
}

#[tokio::test]
async fn who_returns_to_what_runs_pays_for_the_answer_and_keeps_the_pods() {
    let world = World::new("return").await;
    let mark = world.with_walker().await;

    world.instruct_in_vain("walk the cat").await;
    world.instruct_meanwhile("walk the dog").await;
    world.llm.release();
    let agent = world.until_ready("walker").await;

    world.done_since(mark).await.assert_children(&[]);
    assert_eq!(world.news("walker").await, ["SynthesisStarted"]);
    assert_eq!(world.stored().await, ["walk the dog"]);
    assert!(is(&agent, "Synthesized", "True"), "{:?}", agent.status);
    assert_eq!((world.calls().await, world.llm.count()), ((2, 0), 2));
    assert_paid(&agent, 2);
}
