//! What the pipeline makes of recorded answers: `answers/` has good, sloppy and hostile ones as the
//! bytes that came, a snapshot beside each says what was extracted, what was found wrong with it,
//! and what the caller gets.
//!
//! Answers to one request follow each other after a line of [`NEXT`], for the repairs. The file of
//! an answer that its length limit cut off ends with `.cut.md`. A line of [`PROMPT`] stands for the
//! fixed part of the prompt.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests, too")]

mod recorded;

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use langop_proto::v1::{
    AgentRef, Diagnostic, Model, Severity, SynthesisOutcome, SynthesizeOptions, SynthesizeRequest,
    SynthesizeResponse, Tool, ToolOperation, synthesize_stream_response::Event,
};
use langop_synthesizer::{
    access::Caller,
    access::Load,
    extract,
    generate::Delivery,
    metrics::Metrics,
    pipeline::Synthesizer,
    prompt,
    providers::{Finish, Identity, ProviderKind},
    settings::Settings,
};
use prost::Message as _;
use recorded::Recorded;

/// Stands between the answers of one file.
const NEXT: &str = "%%% next answer\n";
/// Stands for what is not written down twice.
const PROMPT: &str = "%%% the fixed part of the prompt\n";
/// The name under which the caller gets the code; no answer has it.
const NAME: &str = "the-caller-s";

fn request(repairs: usize) -> SynthesizeRequest {
    let tool = |name: &str, operation: &str| Tool {
        name: name.to_owned(),
        operations: vec![ToolOperation {
            name: operation.to_owned(),
            ..ToolOperation::default()
        }],
        ..Tool::default()
    };
    SynthesizeRequest {
        agent: Some(AgentRef {
            name: NAME.to_owned(),
            namespace: "demo".to_owned(),
        }),
        instructions: "Watch the workspace.".to_owned(),
        tools: vec![tool("filesystem", "list_files"), tool("email-tool", "send")],
        models: vec![Model {
            name: "claude".to_owned(),
            model: "m".to_owned(),
        }],
        options: Some(SynthesizeOptions {
            max_repairs: u32::try_from(repairs).ok(),
            max_tokens: None,
            ..SynthesizeOptions::default()
        }),
        ..SynthesizeRequest::default()
    }
}

/// The response to answers, and the findings with which all but the last went back.
async fn replay(answers: &[&str], finish: Finish) -> (SynthesizeResponse, Vec<Vec<Diagnostic>>) {
    let identity = Identity {
        provider: ProviderKind::Openai,
        model: "recorded".to_owned(),
    };
    let settings = Settings::from_arguments([""; 0]).unwrap();
    let provider = Arc::new(Recorded::new(answers, finish));
    let synthesizer = Synthesizer::with_provider(
        identity,
        provider,
        None,
        &settings,
        Arc::new(Metrics::default()),
    );
    let asked = request(answers.len() - 1).encode_to_vec().into();
    let caller = Caller::named("test");
    let begun = synthesizer
        .begin(&caller, Load::default(), asked, Delivery::Live)
        .await;
    let mut pending = begun.unwrap();
    let mut events = pending.in_flight().unwrap().events.resubscribe();
    let deadline = tokio::time::Instant::now() + Duration::from_mins(1);
    let response = pending.response(deadline).await.unwrap();
    let mut sent_back = Vec::new();
    while let Ok(event) = events.try_recv() {
        if let Event::Repairing(repairing) = event {
            sent_back.push(repairing.diagnostics);
        }
    }
    (response.into_response(), sent_back)
}

/// What people see nothing of is written out.
fn visible(text: &str) -> String {
    let show = |c: char| match c {
        '\n' => "\n".to_owned(),
        ' '..='~' => c.to_string(),
        c if c.is_alphanumeric() || c.escape_debug().len() == 1 => c.to_string(),
        c => c.escape_unicode().to_string(),
    };
    text.chars().map(show).collect()
}

fn describe(attempt: usize, code: Option<&str>, findings: &[Diagnostic]) -> String {
    let mut text = format!("== answer {attempt}\n");
    text.push_str(&code.map_or_else(|| "(no code)\n".to_owned(), visible));
    for finding in findings {
        let severity = match finding.severity() {
            Severity::Error => "error",
            _ => "warning",
        };
        let Diagnostic {
            line,
            column,
            code,
            message,
            hint,
            ..
        } = finding;
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "-- {line}:{column} {severity}[{code}] {} ({})",
            visible(message),
            visible(hint)
        );
    }
    text
}

/// Replays a file and says what came of it; what must hold for every answer is asserted.
async fn verdict(name: &str, recorded: &str) -> String {
    let finish = if Path::new(name).extension().is_some_and(|ext| ext == "cut") {
        Finish::Truncated
    } else {
        Finish::Complete
    };
    let recorded = recorded.replace(PROMPT, prompt::SYSTEM);
    let answers: Vec<&str> = recorded.split(NEXT).collect();
    let (response, mut findings) = replay(&answers, finish).await;
    findings.push(response.diagnostics.clone());
    assert!(findings.len() <= answers.len(), "{name}");
    let extracted = |answer: &&str| extract::code(&prompt::without_echo(answer));
    let codes: Vec<Option<String>> = answers.iter().map(extracted).collect();
    let is_rejected = response.outcome() == SynthesisOutcome::Rejected;
    assert_eq!(response.code.is_empty(), is_rejected, "{name}");
    assert_eq!(response.definition.is_none(), is_rejected, "{name}");
    let is_error = |finding: &Diagnostic| finding.severity() == Severity::Error;
    assert_eq!(
        response.diagnostics.iter().any(is_error),
        is_rejected,
        "{name}"
    );
    if !is_rejected {
        assert!(codes[findings.len() - 1].is_some(), "{name}");
        let definition = response.definition.clone().unwrap();
        let definition = langop_dsl::AgentDefinition::try_from(definition).unwrap();
        assert_eq!(definition.name, NAME);
        assert_eq!(response.code, langop_dsl::render(&definition), "{name}");
    }
    let attempts = findings.iter().zip(&codes).enumerate();
    let answers: String = attempts
        .map(|(index, (findings, code))| describe(index + 1, code.as_deref(), findings))
        .collect();
    format!("{}\n{answers}", response.outcome().as_str_name())
}

#[tokio::test]
async fn recorded_answers() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/replay");
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let mut names = BTreeSet::new();
    for file in fs::read_dir(folder.join("answers")).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let name = name.strip_suffix(".md").unwrap().to_owned();
        let verdict = verdict(&name, &fs::read_to_string(&path).unwrap()).await;
        settings.bind(|| insta::assert_snapshot!(name.as_str(), verdict));
        names.insert(format!("{name}.snap"));
    }
    assert!(names.len() >= 40, "{}", names.len());
    let snapshots = fs::read_dir(folder.join("snapshots")).unwrap();
    for snapshot in snapshots {
        let name = snapshot.unwrap().file_name().into_string().unwrap();
        assert!(names.contains(&name), "{name} is of no answer");
    }
}

/// Too long for files, so made here: the pipeline answers soon, and never with an agent.
#[tokio::test]
async fn extremely_long_answers() {
    const MANY: usize = 200_000;
    let head = "require 'language_operator'\nagent 'agent' do\n";
    let fenced = |body: &str| format!("```ruby\n{head}{body}end\n```\n");
    let cases = [
        ("prose", "I would rather not. ".repeat(MANY / 10), "no-code"),
        ("fences", "```ruby\n```\n".repeat(MANY / 10), "no-code"),
        ("backticks", "`".repeat(MANY * 4), "no-code"),
        ("brackets", "[".repeat(MANY * 4), "no-code"),
        ("quotes", "> ".repeat(MANY), "no-code"),
        ("stars", "*a_ ".repeat(MANY), "no-code"),
        ("thoughts", "<think></think>".repeat(MANY / 5), "no-code"),
        ("thought in thought", "<think>".repeat(MANY), "no-code"),
        (
            "requires",
            "require 'language_operator'\n".repeat(MANY / 10),
            "no-code",
        ),
        (
            "agents",
            format!("{head}end\n").repeat(MANY / 20),
            "nothing-to-do",
        ),
        (
            "objectives",
            fenced(&format!("  objectives [{}]\n", "'x', ".repeat(MANY))),
            "too-large",
        ),
        (
            "one text",
            fenced(&format!("  objectives ['{}']\n", "x".repeat(MANY))),
            "too-large",
        ),
    ];
    for (what, answer, expected) in cases {
        let started = Instant::now();
        let (response, _) = replay(&[&answer], Finish::Complete).await;
        let took = started.elapsed();
        assert_eq!(response.outcome(), SynthesisOutcome::Rejected, "{what}");
        assert!(response.diagnostics.len() <= 50, "{what}");
        assert_eq!(response.diagnostics[0].code, expected, "{what}");
        // Without optimisation, on a busy machine; it is about work that grows with the square.
        assert!(took < Duration::from_secs(5), "{what}: {took:?}");
    }
}
