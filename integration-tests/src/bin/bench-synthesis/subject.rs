//! What is measured: a synthesizer before a simulated LLM, and what it is asked.

use std::time::Duration;

use anyhow::Result;
use langop_integration_tests::{FakeLlm, Reply, Synthesizer};
use langop_proto::v1::{AgentRef, Model, SynthesizeRequest, Tool};

/// Before the number of the key in the instructions, and so in the prompt.
pub(crate) const THING: &str = "thing number ";

/// How long the simulated LLM takes.
const LLM_LATENCY: Duration = Duration::from_millis(50);

/// A synthesizer before a simulated LLM that takes its time; callers without limits, all else as it
/// is by default, its log too.
pub(crate) async fn synthesizer(llm: &FakeLlm) -> Result<Synthesizer> {
    Synthesizer::asking(llm)
        .env("LANGOP_CALLER_REQUESTS_PER_MINUTE", "0")
        .env("LANGOP_CALLER_TOKENS", "0")
        .start()
        .await
}

pub(crate) async fn simulated_llm() -> Result<FakeLlm> {
    let llm = FakeLlm::start().await?;
    llm.reply_with(|_| Reply::Slow(LLM_LATENCY, Box::new(Reply::Code(agent_code(40)))));
    Ok(llm)
}

/// One of many different requests.
pub(crate) fn request(key: usize) -> SynthesizeRequest {
    SynthesizeRequest {
        agent: Some(AgentRef {
            name: "bench".into(),
            namespace: "bench".into(),
        }),
        instructions: format!(
            "Every day, do {THING}{key}. {}",
            "Explain what you do. ".repeat(40)
        ),
        tools: vec![Tool {
            name: "mail".into(),
            description: "Sends mail".into(),
            operations: vec![],
        }],
        models: vec![Model {
            name: "claude".into(),
            model: "claude-sonnet-4-5".into(),
        }],
        ..SynthesizeRequest::default()
    }
}

/// A valid agent of so many lines.
pub(crate) fn agent_code(lines: usize) -> String {
    use std::fmt::Write as _;
    let mut code = String::from(
        "require 'language_operator'\n\nagent 'agent' do\n  description 'A sample'\n  workflow do\n",
    );
    let mut step = 0;
    while code.lines().count() + 2 < lines.max(12) {
        step += 1;
        // Writing to a String cannot fail.
        let _ = writeln!(
            code,
            "    step \"Step {step}\" do\n      use_tool \"mail\", action: \"send\", params: {{ to: \"ops\", n: {step} }}\n    end\n"
        );
    }
    code.push_str("  end\nend\n");
    code
}
