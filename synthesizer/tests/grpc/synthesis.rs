//! What requests come to: repair, rejection, sharing, progress, errors.

use std::{sync::Arc, time::Duration};

use langop_dsl::hash::sha256_hex;
use langop_proto::v1::{
    AgentMode, DistillPersonaRequest, Persona, Severity, SynthesisOutcome, SynthesizeOptions,
    SynthesizeRequest, SynthesizeResponse, SynthesizeStreamRequest, Tool, Usage,
    ValidateCodeRequest, synthesize_stream_response::Event,
};
use langop_synthesizer::settings::Settings;
use tokio::sync::Semaphore;
use tonic::{Code, Request};
use tonic_types::StatusExt as _;

use crate::{
    fake_llm::{Act, BAD, COST, FakeLlm, GOOD},
    harness::{TestServer, reason, request, settings},
};

async fn start(acts: impl IntoIterator<Item = Act>) -> (TestServer, FakeLlm) {
    let llm = FakeLlm::start(acts).await;
    (TestServer::start(settings("openai", &llm)).await, llm)
}

async fn synthesize(server: &TestServer, request: SynthesizeRequest) -> SynthesizeResponse {
    server
        .client()
        .await
        .synthesize(request)
        .await
        .unwrap()
        .into_inner()
}

#[tokio::test]
async fn an_answer_has_all_its_fields() {
    let (server, _llm) = start([Act::Say(GOOD)]).await;
    let answer = synthesize(&server, request("mailer", "watch\r\nthe door")).await;
    assert_eq!(answer.code_hash, sha256_hex(answer.code.as_bytes()));
    assert_eq!(answer.instructions_hash, sha256_hex(b"watch\nthe door"));
    assert_eq!(answer.request_hash.len(), 64);
    let definition = answer.definition.unwrap();
    assert_eq!(
        (definition.name.as_str(), definition.mode()),
        ("mailer", AgentMode::Unspecified)
    );
    assert_eq!(definition.objectives, ["Watch the door"]);
    assert_eq!((answer.attempts, answer.diagnostics.len()), (1, 0));
    assert!(answer.duration.is_some());
}

#[tokio::test]
async fn a_secret_in_the_instructions_is_a_finding_and_reaches_nobody() {
    let (server, llm) = start([Act::Say(GOOD), Act::Say(GOOD)]).await;
    // A shape, put together here so that no text of ours looks like a key.
    let key = ["gh", "p_", "Frhl3ZJHTtXPqW8vB2nM5kD7cR4yU6iO1aSs"].concat();
    let instructions = format!("watch the door\nwith {key}\n");
    let answer = synthesize(&server, request("a", &instructions)).await;
    let [finding] = &answer.diagnostics[..] else {
        panic!("{:?}", answer.diagnostics)
    };
    assert_eq!(
        (finding.code.as_str(), finding.severity()),
        ("secret-in-instructions", Severity::Warning)
    );
    assert!(
        finding.message.contains("line 2") && finding.message.contains("a GitHub token"),
        "{}",
        finding.message
    );
    assert!(finding.hint.contains("secretKeyRef"));
    assert_eq!(
        answer.instructions_hash,
        sha256_hex(instructions.as_bytes())
    );
    let asked = llm.requests()[0].body.to_string();
    assert!(!asked.contains(&key) && asked.contains("with [secret removed]"));
    // Without it there is none, and what is cached has it still.
    let other = synthesize(&server, request("a", &instructions.replace(&key, "it"))).await;
    assert!(other.diagnostics.is_empty());
    let again = synthesize(&server, request("a", &instructions)).await;
    assert_eq!(again.outcome(), SynthesisOutcome::Cached);
    assert_eq!(again.diagnostics, answer.diagnostics);
}

#[tokio::test]
async fn an_invalid_answer_goes_back_with_its_findings() {
    let (server, llm) = start([Act::Say(BAD), Act::Say(GOOD)]).await;
    let answer = synthesize(&server, request("a", "x")).await;
    assert_eq!(
        (answer.outcome(), answer.attempts),
        (SynthesisOutcome::Repaired, 2)
    );
    let usage = answer.usage.unwrap();
    assert_eq!(
        (usage.input_tokens, usage.output_tokens),
        (2 * COST.0, 2 * COST.1)
    );
    let messages = llm.requests()[1].body["messages"]
        .as_array()
        .unwrap()
        .clone();
    let roles: Vec<&str> = messages
        .iter()
        .map(|message| message["role"].as_str().unwrap())
        .collect();
    assert_eq!(roles, ["system", "user", "assistant", "user"]);
    assert!(
        messages[2]["content"]
            .as_str()
            .unwrap()
            .contains("system 'ls'")
    );
    assert!(
        messages[3]["content"]
            .as_str()
            .unwrap()
            .contains("line 4, column 3"),
        "{}",
        messages[3]
    );
    server
        .until_metric("langop_synthesis_repairs_total 1")
        .await;
    let again = synthesize(&server, request("b", "x")).await;
    assert_eq!(
        (again.outcome(), again.attempts),
        (SynthesisOutcome::Cached, 2)
    );
}

#[tokio::test]
async fn what_stays_invalid_is_rejected_and_not_kept() {
    let (server, llm) = start([Act::Say(BAD)]).await;
    let answer = synthesize(&server, request("a", "x")).await;
    assert_eq!(
        (answer.outcome(), answer.attempts),
        (SynthesisOutcome::Rejected, 3)
    );
    assert_eq!(
        (
            answer.code.as_str(),
            answer.code_hash.as_str(),
            answer.definition
        ),
        ("", "", None)
    );
    let finding = &answer.diagnostics[0];
    assert_eq!((finding.line, finding.column), (4, 3));
    let line = answer.refused_code.lines().nth(3);
    assert_eq!(line, Some("  system 'ls'"), "what the finding is about");
    assert_eq!(answer.usage.unwrap().input_tokens, 3 * COST.0);
    let options = SynthesizeOptions {
        max_repairs: Some(0),
        ..SynthesizeOptions::default()
    };
    let once = synthesize(
        &server,
        SynthesizeRequest {
            options: Some(options),
            ..request("a", "x")
        },
    )
    .await;
    assert_eq!(once.attempts, 1);
    synthesize(&server, request("a", "x")).await;
    assert_eq!(llm.calls(), 3 + 1 + 3);
}

#[tokio::test]
async fn answers_without_code_and_cut_ones_are_findings_without_a_place() {
    let (server, _llm) = start([
        Act::Say("I would rather not."),
        Act::SayCut("```ruby\nagent 'agent' do\n"),
        Act::Say("No."),
    ])
    .await;
    let mut client = server.client().await;
    let request = SynthesizeStreamRequest {
        request: Some(request("a", "x")),
    };
    let mut stream = client
        .synthesize_stream(request)
        .await
        .unwrap()
        .into_inner();
    let mut findings = Vec::new();
    while let Some(event) = stream.message().await.unwrap() {
        match event.event.unwrap() {
            Event::Repairing(repairing) => findings.push(repairing.diagnostics[0].clone()),
            Event::Result(result) => findings.push(result.diagnostics[0].clone()),
            _ => {}
        }
    }
    let seen: Vec<(&str, u32)> = findings
        .iter()
        .map(|finding| (finding.code.as_str(), finding.line))
        .collect();
    assert_eq!(
        seen,
        [("no-code", 0), ("answer-truncated", 0), ("no-code", 0)]
    );
}

#[tokio::test]
async fn a_tool_that_is_not_offered_is_refused_and_one_that_is_gets_its_name() {
    let code = "```ruby\nrequire 'language_operator'\nagent 'agent' do\n  workflow do\n    step 'Send' do\n      \
                use_tool 'email'\n    end\n  end\nend\n```";
    let (server, _llm) = start([Act::Say(code)]).await;
    let rejected = synthesize(&server, request("a", "x")).await;
    assert_eq!(rejected.diagnostics[0].code, "unknown-tool");
    let tools = vec![Tool {
        name: "email-tool".to_owned(),
        ..Tool::default()
    }];
    let answer = synthesize(
        &server,
        SynthesizeRequest {
            tools,
            ..request("a", "x")
        },
    )
    .await;
    let definition = langop_dsl::AgentDefinition::try_from(answer.definition.unwrap()).unwrap();
    assert_eq!(definition.tools(), ["email-tool".to_owned()].into());
}

#[tokio::test]
async fn equal_requests_under_way_share_one_call_and_each_gets_its_own_name() {
    let gate = Arc::new(Semaphore::new(0));
    let (server, llm) = start([Act::SayAfter(gate.clone(), GOOD)]).await;
    let client = server.client().await;
    let calls: Vec<_> = (0..1000)
        .map(|index| {
            let mut client = client.clone();
            let request = request(&format!("agent-{index}"), "watch the door");
            tokio::spawn(async move { client.synthesize(request).await.unwrap().into_inner() })
        })
        .collect();
    server
        .until_metric(r#"langop_synthesis_cache_requests_total{result="coalesced"} 999"#)
        .await;
    gate.add_permits(1);
    let (mut made, mut shared) = (0, 0);
    for (index, call) in calls.into_iter().enumerate() {
        let answer = call.await.unwrap();
        assert!(answer.code.contains(&format!("agent 'agent-{index}' do")));
        assert_eq!(
            answer.definition.as_ref().unwrap().name,
            format!("agent-{index}")
        );
        assert_eq!(answer.code_hash, sha256_hex(answer.code.as_bytes()));
        match answer.outcome() {
            SynthesisOutcome::Generated => made += 1,
            SynthesisOutcome::Coalesced => {
                shared += 1;
                assert_eq!(answer.usage, Some(Usage::default()));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((made, shared, llm.calls()), (1, 999, 1));
    let again = synthesize(&server, request("late", "watch the door")).await;
    assert_eq!(
        (again.outcome(), again.usage),
        (SynthesisOutcome::Cached, Some(Usage::default()))
    );
    assert_eq!(llm.calls(), 1);
}

#[tokio::test]
async fn a_caller_that_gives_up_leaves_the_answer_to_the_next() {
    let gate = Arc::new(Semaphore::new(0));
    let (server, llm) = start([Act::SayAfter(gate.clone(), GOOD)]).await;
    let mut hasty = Request::new(request("a", "x"));
    hasty.set_timeout(Duration::from_secs(2));
    let status = server.client().await.synthesize(hasty).await.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::DeadlineExceeded, "DEADLINE_EXCEEDED")
    );
    gate.add_permits(1);
    let answer = synthesize(&server, request("b", "x")).await;
    assert!(
        matches!(
            answer.outcome(),
            SynthesisOutcome::Cached | SynthesisOutcome::Coalesced
        ),
        "{:?}",
        answer.outcome()
    );
    assert_eq!(llm.calls(), 1);
}

#[tokio::test]
async fn failures_are_not_kept_and_say_what_they_cost() {
    let (server, llm) = start([Act::Say(BAD), Act::Fail(401, None), Act::Say(GOOD)]).await;
    let status = server
        .client()
        .await
        .synthesize(request("a", "x"))
        .await
        .unwrap_err();
    assert_eq!(reason(&status), "PROVIDER_REFUSED_KEY");
    let details = status.get_error_details();
    let info = details.error_info().unwrap();
    assert_eq!(
        (info.domain.as_str(), info.metadata["input_tokens"].as_str()),
        ("langop.io", "100")
    );
    let answer = synthesize(&server, request("a", "x")).await;
    assert_eq!(
        (answer.outcome(), llm.calls()),
        (SynthesisOutcome::Generated, 3)
    );
}

#[tokio::test]
async fn a_bad_request_names_its_fields() {
    let (server, llm) = start([Act::Say(GOOD)]).await;
    let mut bad = request("Bad Name", "");
    bad.tools = vec![Tool::default()];
    let status = server.client().await.synthesize(bad).await.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::InvalidArgument, "INVALID_REQUEST")
    );
    let details = status.get_error_details();
    let fields: Vec<&str> = details
        .bad_request()
        .unwrap()
        .field_violations
        .iter()
        .map(|v| v.field.as_str())
        .collect();
    assert_eq!(fields, ["agent.name", "instructions", "tools[0].name"]);
    assert!(
        status.message().contains("bad-name"),
        "it says what to write instead: {}",
        status.message()
    );
    assert_eq!(llm.calls(), 0);
}

#[tokio::test]
async fn a_stream_tells_how_it_goes() {
    let (server, _llm) = start([Act::Say(BAD), Act::Say(GOOD)]).await;
    let mut client = server.client().await;
    let asked = SynthesizeStreamRequest {
        request: Some(request("a", "x")),
    };
    for expected in [
        &[
            "prompt",
            "tokens",
            "validating 1",
            "repairing 1",
            "tokens",
            "validating 2",
            "repaired",
        ][..],
        &["cached"],
    ] {
        let mut stream = client
            .synthesize_stream(asked.clone())
            .await
            .unwrap()
            .into_inner();
        let mut seen = Vec::new();
        while let Some(event) = stream.message().await.unwrap() {
            let event = match event.event.unwrap() {
                Event::PromptReady(prompt) => {
                    assert_eq!(
                        (prompt.model.as_str(), prompt.request_hash.len()),
                        ("fake", 64)
                    );
                    "prompt".to_owned()
                }
                Event::TokensReceived(tokens) => {
                    assert!(tokens.bytes > 0);
                    "tokens".to_owned()
                }
                Event::Validating(validating) => format!("validating {}", validating.attempt),
                Event::Repairing(repairing) => {
                    let line = repairing.refused_code.lines().nth(3);
                    assert_eq!(line, Some("  system 'ls'"));
                    format!("repairing {}", repairing.attempt)
                }
                Event::Result(result) if result.outcome() == SynthesisOutcome::Repaired => {
                    "repaired".to_owned()
                }
                Event::Result(result) => {
                    assert_eq!(result.outcome(), SynthesisOutcome::Cached);
                    "cached".to_owned()
                }
            };
            // As many of these as there are pieces.
            if event != "tokens" || seen.last() != Some(&event) {
                seen.push(event);
            }
        }
        assert_eq!(seen, expected);
    }
}

#[tokio::test]
async fn a_stream_ends_with_the_error() {
    let (server, _llm) = start([Act::Fail(401, None)]).await;
    let asked = SynthesizeStreamRequest {
        request: Some(request("a", "x")),
    };
    let mut stream = server
        .client()
        .await
        .synthesize_stream(asked)
        .await
        .unwrap()
        .into_inner();
    let status = loop {
        match stream.message().await {
            Ok(event) => assert!(!matches!(event.unwrap().event, Some(Event::Result(_)))),
            Err(status) => break status,
        }
    };
    assert_eq!(reason(&status), "PROVIDER_REFUSED_KEY");
}

fn persona() -> DistillPersonaRequest {
    let persona = Persona {
        name: "ada".to_owned(),
        system_prompt: "Be dry.".to_owned(),
        ..Persona::default()
    };
    DistillPersonaRequest {
        persona: Some(persona),
        max_tokens: None,
    }
}

#[tokio::test]
async fn a_persona_is_distilled_once() {
    let (server, llm) = start([Act::Say("  You are dry.\n")]).await;
    let mut client = server.client().await;
    let first = client
        .distill_persona(persona())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (first.distilled_prompt.as_str(), first.outcome()),
        ("You are dry.", SynthesisOutcome::Generated)
    );
    assert_eq!(
        (first.hash, first.usage.unwrap().input_tokens),
        (sha256_hex(b"You are dry."), COST.0)
    );
    let second = client
        .distill_persona(persona())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (second.outcome(), second.usage),
        (SynthesisOutcome::Cached, Some(Usage::default()))
    );
    assert_eq!(llm.calls(), 1);
    let empty = client
        .distill_persona(DistillPersonaRequest::default())
        .await
        .unwrap_err();
    assert_eq!(empty.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn without_a_model_only_validation_works() {
    let server = TestServer::start(Settings::from_arguments([""; 0]).unwrap()).await;
    let mut client = server.client().await;
    let synthesize = client.synthesize(request("a", "x")).await.unwrap_err();
    let distill = client.distill_persona(persona()).await.unwrap_err();
    for status in [synthesize, distill] {
        assert_eq!(
            (status.code(), reason(&status).as_str()),
            (Code::FailedPrecondition, "SYNTHESIS_DISABLED")
        );
        assert!(
            status.message().contains("SYNTHESIS_MODEL")
                && status.message().contains("SYNTHESIS_PROVIDER")
        );
    }
    let code = b"require 'language_operator'\nagent 'a' do\n  objectives ['x']\nend\n".to_vec();
    let valid = client
        .validate_code(ValidateCodeRequest {
            code,
            ..ValidateCodeRequest::default()
        })
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (valid.valid, valid.definition.unwrap().name.as_str()),
        (true, "a")
    );
    let bytes = ValidateCodeRequest {
        code: vec![b'a', 0xff],
        ..ValidateCodeRequest::default()
    };
    let invalid = client.validate_code(bytes).await.unwrap().into_inner();
    assert_eq!(
        (
            invalid.valid,
            invalid.diagnostics[0].code.as_str(),
            invalid.definition
        ),
        (false, "not-utf8", None)
    );
}

#[tokio::test]
async fn the_built_in_rules_answer_without_an_llm() {
    let server =
        TestServer::start(Settings::from_arguments(["--synthesis-provider=template"]).unwrap())
            .await;
    let answer = synthesize(
        &server,
        request("door-watch", "Every 5 minutes, watch the door."),
    )
    .await;
    assert_eq!(
        (answer.outcome(), answer.model.as_str()),
        (SynthesisOutcome::Generated, "template")
    );
    assert!(
        answer.code.contains("agent 'door-watch' do"),
        "{}",
        answer.code
    );
    let again = synthesize(
        &server,
        request("other", "Every 5 minutes, watch the door."),
    )
    .await;
    assert_eq!(again.outcome(), SynthesisOutcome::Cached);
    let distilled = server
        .client()
        .await
        .distill_persona(persona())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (
            distilled.provider.as_str(),
            distilled.distilled_prompt.is_empty()
        ),
        ("template", false)
    );
}
