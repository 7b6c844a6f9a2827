//! What a request may cost: kept to over all attempts, and told in words where it does not suffice.

use langop_proto::v1::{SynthesisOutcome, SynthesizeOptions, SynthesizeRequest};
use tonic::Code;

use crate::{
    fake_llm::{Act, BAD, COST, FakeLlm, GOOD, Recorded},
    harness::{TestServer, reason, request, settings},
};

/// Tokens that a provider may add to a prompt by itself.
const OVERHEAD: u64 = 4096;

fn bounded(max_tokens: u64) -> SynthesizeRequest {
    let options = SynthesizeOptions {
        max_tokens: Some(max_tokens),
        ..SynthesizeOptions::default()
    };
    SynthesizeRequest {
        options: Some(options),
        ..request("a", "watch the door")
    }
}

fn sent(request: &Recorded) -> u64 {
    request.body.to_string().len() as u64
}

fn limit(request: &Recorded) -> u64 {
    request.body["max_tokens"].as_u64().unwrap()
}

/// A server, and what its first prompt may cost at most, by a request without a bound.
async fn measured(script: impl IntoIterator<Item = Act>) -> (TestServer, FakeLlm, u64) {
    let probe = FakeLlm::start([Act::Say(GOOD)]).await;
    let server = TestServer::start(settings("openai", &probe)).await;
    let mut client = server.client().await;
    client
        .synthesize(request("a", "watch the door"))
        .await
        .unwrap();
    let prompt = sent(&probe.requests()[0]) + OVERHEAD;
    let llm = FakeLlm::start(script).await;
    let server = TestServer::start(settings("openai", &llm)).await;
    (server, llm, prompt)
}

#[tokio::test]
async fn an_answer_is_asked_for_that_fits_and_none_where_none_does() {
    let (server, llm, prompt) = measured([Act::Say(GOOD)]).await;
    let mut client = server.client().await;
    let refused = client.synthesize(bounded(prompt)).await.unwrap_err();
    let told = (refused.code(), reason(&refused));
    assert_eq!(told, (Code::ResourceExhausted, "TOO_FEW_TOKENS".to_owned()));
    assert!(refused.message().contains("max_tokens"), "{refused}");
    assert_eq!(llm.calls(), 0, "nothing is asked");
    let answer = client.synthesize(bounded(prompt + 1000)).await.unwrap();
    assert_eq!(answer.into_inner().usage.unwrap().input_tokens, COST.0);
    let asked = limit(&llm.requests()[0]);
    assert!((990..=1010).contains(&asked), "{asked}");
}

#[tokio::test]
async fn a_repair_that_does_not_fit_is_left_out_and_told() {
    let (server, llm, prompt) = measured([Act::Say(BAD)]).await;
    let mut client = server.client().await;
    // The second prompt is longer than the first, and the first answer has cost something.
    let answer = client.synthesize(bounded(prompt + 300)).await.unwrap();
    let answer = answer.into_inner();
    assert_eq!(answer.outcome(), SynthesisOutcome::Rejected);
    assert_eq!((answer.attempts, llm.calls()), (1, 1));
    assert_eq!(answer.diagnostics[0].code, "too-few-tokens");
    assert_eq!(answer.diagnostics[1].line, 4, "and what is wrong with it");
}

#[tokio::test]
async fn an_answer_of_unknown_price_counts_as_the_most_that_it_can_have_cost() {
    let (server, llm, prompt) = measured([Act::BreakOff]).await;
    let mut client = server.client().await;
    let most = prompt + 1000;
    let failed = client.synthesize(bounded(most)).await.unwrap_err();
    let details = tonic_types::StatusExt::get_error_details(&failed);
    let spent = &details.error_info().unwrap().metadata;
    let spent = |key: &str| spent[key].parse::<u64>().unwrap();
    let all = spent("input_tokens") + spent("output_tokens");
    assert!((most - 300..=most).contains(&all), "{all} of {most}");
    assert_eq!(llm.calls(), 1, "no second try fits");
}

#[tokio::test]
async fn where_answers_cannot_be_limited_nothing_is_asked() {
    fn refuse(request: &Recorded) -> crate::fake_llm::Reply {
        for name in ["max_tokens", "max_completion_tokens"] {
            if request.body.get(name).is_some() {
                let error = serde_json::json!({"error": {"param": name, "message": "no"}});
                return (400, None, error);
            }
        }
        panic!("asked without a limit")
    }
    let (server, _llm, prompt) = measured([Act::Behave(refuse)]).await;
    let mut client = server.client().await;
    let refused = client.synthesize(bounded(prompt * 3)).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    assert!(refused.message().contains("takes no limit"), "{refused}");
}
