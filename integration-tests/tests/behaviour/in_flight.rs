//! Users who change their mind while an answer is awaited: what nobody asks any more is paid for
//! and goes no further.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt as _;
use langop_api::{LanguageAgent, agent::Tokens, names::INSTRUCTIONS_KEY};
use langop_integration_tests::{
    Mark, Reply,
    env::{SOON, TestEnv, code, is, is_current, mounted_code, rollouts},
    fake_llm::{INPUT_TOKENS, OUTPUT_TOKENS},
    wait,
};

/// An agent that walks the dog, and of which nothing is still to be written or told.
async fn with_walker(env: &TestEnv) -> Mark {
    env.llm.reply(code("dog"));
    env.with_agent("walker", "walk the dog").await;
    let mark = env.settled().await;
    env.new_events("walker").await;
    mark
}

/// Asks for other instructions, whose answer does not come until it is released.
async fn instruct_in_vain(env: &TestEnv, instructions: &str) {
    env.llm.reply(Reply::Hang);
    let asked = env.llm.count() + 1;
    env.instruct("walker", instructions).await;
    wait::until("the call of the LLM", SOON, async || {
        (env.llm.count() == asked).then_some(())
    })
    .await
    .unwrap();
}

/// Asks for other instructions while an answer is awaited, and waits until the operator has seen
/// that.
async fn instruct_meanwhile(env: &TestEnv, instructions: &str) {
    env.instruct("walker", instructions).await;
    let seen = |agent: &LanguageAgent| is_current(agent) && is(agent, "Ready", "False");
    env.until("walker", seen).await;
    env.settled().await;
}

/// What each stored revision was made from, oldest first.
async fn stored(env: &TestEnv) -> Vec<String> {
    let text = |map: &ConfigMap| map.data.as_ref().unwrap()[INSTRUCTIONS_KEY].clone();
    env.revisions("walker").await.iter().map(text).collect()
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
    let env = TestEnv::new("outdated").await;
    let mark = with_walker(&env).await;
    let before = env.deployment("walker").await;

    instruct_in_vain(&env, "walk the cat").await;
    env.llm.reply(code("cow"));
    instruct_meanwhile(&env, "walk the cow").await;
    assert_eq!(env.llm.count(), 2, "one question at a time");
    env.summary_since(mark).await.assert_children(&[]);
    env.llm.release();
    let agent = env.until_ready("walker").await;

    let did = env.summary_since(mark).await;
    did.assert_children(&[
        "create configmaps walker-code-*",
        "patch deployments walker",
    ]);
    let after = env.deployment("walker").await;
    assert_eq!(stored(&env).await, ["walk the dog", "walk the cow"]);
    let newest = env.revisions("walker").await.pop().unwrap();
    assert_eq!(mounted_code(&after), Some(newest.name_any()));
    assert_eq!(
        (rollouts(&before), rollouts(&after)),
        ("1".into(), "2".into()),
        "what ran goes on until there is code of the new instructions"
    );
    assert_eq!(env.new_events("walker").await, ["SynthesisSucceeded"]);
    assert_eq!((env.calls().await, env.llm.count()), ((3, 0), 3));
    assert_paid(&agent, 3);
}

#[tokio::test]
async fn instructions_that_come_back_are_answered_by_the_call_that_is_under_way() {
    let env = TestEnv::new("back").await;
    let mark = with_walker(&env).await;

    instruct_in_vain(&env, "walk the cat").await;
    instruct_meanwhile(&env, "walk the cow").await;
    instruct_meanwhile(&env, "walk the cat").await;
    env.llm.release();
    let agent = env.until_ready("walker").await;

    let did = env.summary_since(mark).await;
    did.assert_children(&[
        "create configmaps walker-code-*",
        "patch deployments walker",
    ]);
    assert_eq!(stored(&env).await, ["walk the dog", "walk the cat"]);
    assert_eq!((env.calls().await, env.llm.count()), ((2, 0), 2));
    assert_paid(&agent, 2);
}

#[tokio::test]
async fn who_returns_to_what_runs_pays_for_the_answer_and_keeps_the_pods() {
    let env = TestEnv::new("return").await;
    let mark = with_walker(&env).await;

    instruct_in_vain(&env, "walk the cat").await;
    instruct_meanwhile(&env, "walk the dog").await;
    env.llm.release();
    let agent = env.until_ready("walker").await;

    env.summary_since(mark).await.assert_children(&[]);
    assert!(env.new_events("walker").await.is_empty());
    assert_eq!(stored(&env).await, ["walk the dog"]);
    assert!(is(&agent, "Synthesized", "True"), "{:?}", agent.status);
    assert_eq!((env.calls().await, env.llm.count()), ((2, 0), 2));
    assert_paid(&agent, 2);
}
