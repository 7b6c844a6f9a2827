//! What syntheses cost: per agent in its status, at no extra write, and by namespace in the
//! metrics.

use kube::api::DeleteParams;
use langop_api::{LanguageAgent, LanguageAgentStatus, agent::Tokens};
use langop_integration_tests::{
    env::{SOON, TestEnv, agent_yaml, code},
    fake_llm::{INPUT_TOKENS, OUTPUT_TOKENS},
    metrics::metric_value,
    wait,
};

use crate::history;

fn spent(syntheses: u64) -> Tokens {
    let times = |tokens: u64| i64::try_from(tokens * syntheses).unwrap();
    Tokens {
        input: times(INPUT_TOKENS),
        output: times(OUTPUT_TOKENS),
    }
}

fn tokens(agent: &LanguageAgent) -> Option<Tokens> {
    agent.status.as_ref()?.synthesis_info.as_ref()?.tokens
}

/// The status as it would be if tokens cost nothing.
fn without_tokens(agent: &LanguageAgent) -> LanguageAgentStatus {
    let mut status = agent.status.clone().unwrap_or_default();
    if let Some(info) = &mut status.synthesis_info {
        info.tokens = None;
    }
    status
}

#[tokio::test]
async fn tokens_add_up_in_writes_that_happen_anyway() {
    let env = TestEnv::new("tokens").await;
    env.llm.reply(code("first")).reply(code("second"));
    let first = env.with_agent("spender", "spend").await;
    assert_eq!(tokens(&first), Some(spent(1)));
    env.instruct("spender", "spend more").await;
    let second = env.until_ready("spender").await;
    assert_eq!(tokens(&second), Some(spent(2)));
    env.settled().await;

    let states = history::since(&env, &first).await;
    let rises: Vec<_> = states
        .windows(2)
        .filter(|pair| tokens(&pair[0]) != tokens(&pair[1]))
        .collect();
    assert_eq!(rises.len(), 1, "one synthesis, one rise");
    for pair in rises {
        assert_ne!(
            without_tokens(&pair[0]),
            without_tokens(&pair[1]),
            "a write for the tokens alone"
        );
    }
}

#[tokio::test]
async fn metrics_sum_the_tokens_of_a_namespaces_agents() {
    let env = TestEnv::new("sums").await;
    env.with_agent("one", "do one").await;
    env.apply(&agent_yaml("two", "do two")).await;
    env.until_ready("two").await;
    until_summed(&env, 2).await;
    env.instruct("one", "do one differently").await;
    env.until_ready("one").await;
    until_summed(&env, 3).await;

    // Only what exists is summed: the numbers are those of the statuses.
    let agents = env.ns.api::<LanguageAgent>();
    for agent in ["one", "two"] {
        agents
            .delete(agent, &DeleteParams::default())
            .await
            .unwrap();
    }
    wait::until("no sum of nothing", SOON, async || {
        let text = env.operator.metrics().await.unwrap();
        match metric_value(&text, "langop_agent_synthesis_tokens", &[]) {
            None => Ok(()),
            Some(sum) => Err(sum),
        }
    })
    .await
    .unwrap();
}

async fn until_summed(env: &TestEnv, syntheses: u64) {
    let Tokens { input, output } = spent(syntheses);
    wait::until("the sums", SOON, async || {
        let text = env.operator.metrics().await.unwrap();
        let sum = |type_| {
            let labels = [("namespace", env.ns.name()), ("type", type_)];
            metric_value(&text, "langop_agent_synthesis_tokens", &labels)
        };
        let sums = [sum("input"), sum("output")];
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let wanted = [Some(input as f64), Some(output as f64)];
        if sums == wanted {
            Ok(())
        } else {
            Err(format!("{sums:?}"))
        }
    })
    .await
    .unwrap();
}
