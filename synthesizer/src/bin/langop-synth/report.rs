//! What people read on standard error: progress, and what came of it. Pure.

use std::fmt::Write as _;

use langop_dsl::format_duration;
use langop_proto::v1::{
    AgentDefinition, DistillPersonaResponse, Schedule, SynthesisOutcome, SynthesizeResponse, Usage,
    ValidateCodeResponse, schedule::When, synthesize_stream_response::Event,
};

use langop_dsl::clean;

use crate::diagnostics::{Source, render};

/// Characters of a hash that are shown.
const SHORT_HASH: usize = 12;

/// One line about an event; none for events that need none.
pub(crate) fn progress(event: &Event) -> Option<String> {
    match event {
        Event::PromptReady(ready) => Some(format!(
            "asking {} (request {})\n",
            clean(&ready.model),
            short(&ready.request_hash)
        )),
        Event::Validating(validating) => Some(format!("checking answer {}\n", validating.attempt)),
        Event::Repairing(repairing) => {
            let findings = render(
                &repairing.diagnostics,
                Source {
                    name: "answer",
                    code: Some(repairing.refused_code.as_str()).filter(|code| !code.is_empty()),
                },
            );
            Some(format!(
                "answer {} is invalid and goes back:\n{findings}",
                repairing.attempt
            ))
        }
        Event::TokensReceived(_) | Event::Result(_) => None,
    }
}

/// Whether there is code, from whom, at what cost, and what it says.
pub(crate) fn synthesized(response: &SynthesizeResponse) -> String {
    let codes = [&response.code, &response.refused_code];
    let code = codes.into_iter().find(|code| !code.is_empty());
    let mut text = render(
        &response.diagnostics,
        Source {
            name: "answer",
            code: code.map(String::as_str),
        },
    );
    let answers = if response.attempts == 1 {
        "answer"
    } else {
        "answers"
    };
    let _ = writeln!(
        text,
        "{} by {} ({}), {} {answers}{}",
        outcome(response.outcome()),
        clean(&response.model),
        clean(&response.provider),
        response.attempts,
        seconds(response.duration.as_ref()),
    );
    text.push_str(&usage(response.usage.unwrap_or_default()));
    if let Some(definition) = &response.definition {
        let _ = writeln!(text, "{} {}", clean(&definition.name), summary(definition));
    }
    if !response.code_hash.is_empty() {
        let _ = writeln!(text, "code {}", short(&response.code_hash));
    }
    if let Ok(told) = langop_provenance::read(&response.provenance) {
        let _ = writeln!(text, "signed by key {}", short(&told.key_id));
    }
    if let Some(trace) = response.traceparent.split('-').nth(1) {
        let _ = writeln!(text, "trace {}", clean(trace));
    }
    text
}

/// Whether code is valid, and what it says.
pub(crate) fn validated(response: &ValidateCodeResponse, name: &str, code: &str) -> String {
    let mut text = render(
        &response.diagnostics,
        Source {
            name,
            code: Some(code),
        },
    );
    match (&response.definition, response.valid) {
        (Some(definition), true) => {
            let _ = writeln!(
                text,
                "{name} is valid: {} {}",
                clean(&definition.name),
                summary(definition)
            );
        }
        (None, true) => {
            let _ = writeln!(text, "{name} is valid");
        }
        (_, false) => {
            let _ = writeln!(text, "{name} is invalid");
        }
    }
    text
}

/// From whom a prompt is and at what cost.
pub(crate) fn distilled(response: &DistillPersonaResponse) -> String {
    let source = format!(
        "{} by {} ({})\n",
        outcome(response.outcome()),
        clean(&response.model),
        clean(&response.provider)
    );
    format!(
        "{source}{}prompt {}\n",
        usage(response.usage.unwrap_or_default()),
        short(&response.hash)
    )
}

fn outcome(outcome: SynthesisOutcome) -> &'static str {
    match outcome {
        SynthesisOutcome::Generated => "generated",
        SynthesisOutcome::Repaired => "repaired",
        SynthesisOutcome::Cached => "from the cache, made",
        SynthesisOutcome::Coalesced => "shared with an equal request, made",
        SynthesisOutcome::Rejected => "no valid code made",
        SynthesisOutcome::Unspecified => "made",
    }
}

fn seconds(duration: Option<&prost_types::Duration>) -> String {
    let duration = duration.and_then(|duration| std::time::Duration::try_from(*duration).ok());
    duration
        .map(|duration| format!(", {:.1} s", duration.as_secs_f64()))
        .unwrap_or_default()
}

fn usage(usage: Usage) -> String {
    if usage == Usage::default() {
        return "no tokens spent\n".to_owned();
    }
    format!(
        "{} tokens in ({} of them cached), {} out\n",
        usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens
    )
}

/// When it runs and how much it does.
fn summary(definition: &AgentDefinition) -> String {
    let count = |count: usize, one: &str| {
        if count == 1 {
            format!("1 {one}")
        } else {
            format!("{count} {one}s")
        }
    };
    let objectives = count(definition.objectives.len(), "objective");
    format!(
        "{}: {objectives}, {}",
        when(definition.schedule.as_ref()),
        count(definition.steps.len(), "step")
    )
}

fn when(schedule: Option<&Schedule>) -> String {
    let zone = schedule
        .map(|schedule| clean(&schedule.time_zone))
        .unwrap_or_default();
    match schedule.and_then(|schedule| schedule.when.as_ref()) {
        None => "runs continuously".to_owned(),
        Some(When::Cron(cron)) => {
            let also = schedule.into_iter().flat_map(|schedule| &schedule.also);
            let crons: Vec<String> = std::iter::once(cron)
                .chain(also)
                .map(|cron| clean(cron))
                .collect();
            let when = format!("runs at {} {zone}", crons.join(", "));
            match schedule.map(|schedule| clean(&schedule.only)) {
                Some(only) if !only.is_empty() => format!("{}, only {only}", when.trim_end()),
                _ => when.trim_end().to_owned(),
            }
        }
        Some(When::Every(every)) => format!(
            "runs every {}",
            format_duration(u64::try_from(every.seconds).unwrap_or_default())
        ),
    }
}

pub(crate) fn short(hash: &str) -> String {
    clean(hash).chars().take(SHORT_HASH).collect()
}

#[cfg(test)]
mod tests {
    use langop_proto::v1::{
        Diagnostic, PromptReady, Repairing, Severity, TokensReceived, Validating,
    };

    use super::*;
    use crate::diagnostics::tests::plain;

    const REFUSED: &str = "agent 'x' do\n  schedule cron: '0 99 * * *'\nend\n";

    fn diagnostics() -> Vec<Diagnostic> {
        let diagnostic = Diagnostic {
            code: "bad-schedule".into(),
            message: "no such hour".into(),
            line: 2,
            column: 3,
            length: 8,
            hint: "write 0 to 23".into(),
            ..Diagnostic::default()
        };
        vec![Diagnostic {
            severity: Severity::Error.into(),
            ..diagnostic
        }]
    }

    fn response() -> SynthesizeResponse {
        let when = When::Cron("0 9 * * 1-5".into());
        SynthesizeResponse {
            code: "agent 'x' do\n  schedule cron: '0 9 * * 1-5'\nend\n".into(),
            code_hash: "0123456789abcdef0123".into(),
            outcome: SynthesisOutcome::Repaired.into(),
            definition: Some(AgentDefinition {
                name: "my-agent".into(),
                schedule: Some(Schedule {
                    when: Some(when),
                    time_zone: "Europe/Berlin".into(),
                    also: vec!["30 13 * * 6".into()],
                    only: "first SAT".into(),
                }),
                objectives: vec!["one".into(), "two".into()],
                ..AgentDefinition::default()
            }),
            usage: Some(Usage {
                input_tokens: 1200,
                output_tokens: 340,
                cache_read_input_tokens: 1000,
                ..Usage::default()
            }),
            model: "claude-sonnet-4-5".into(),
            provider: "anthropic".into(),
            attempts: 2,
            duration: Some(prost_types::Duration {
                seconds: 4,
                nanos: 250_000_000,
            }),
            traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into(),
            ..SynthesizeResponse::default()
        }
    }

    #[test]
    fn events_become_lines() {
        let events = [
            Event::PromptReady(PromptReady {
                request_hash: "abcdef0123456789".into(),
                model: "claude".into(),
            }),
            Event::TokensReceived(TokensReceived { bytes: 5 }),
            Event::Validating(Validating { attempt: 1 }),
            Event::Repairing(Repairing {
                attempt: 1,
                diagnostics: diagnostics(),
                refused_code: REFUSED.into(),
            }),
            Event::Repairing(Repairing {
                attempt: 2,
                diagnostics: diagnostics(),
                refused_code: String::new(),
            }),
        ];
        let lines: String = events.iter().filter_map(progress).collect();
        insta::assert_snapshot!(plain(&lines), @r"
        asking claude (request abcdef012345)
        checking answer 1
        answer 1 is invalid and goes back:
        error[bad-schedule]: no such hour
         --> answer:2:3
          |
        2 |   schedule cron: '0 99 * * *'
          |   ^^^^^^^^
          |
          = help: write 0 to 23

        answer 2 is invalid and goes back:
        error[bad-schedule]: no such hour
        --> answer:2:3
         = help: write 0 to 23
        ");
    }

    #[test]
    fn a_result_says_what_it_cost_and_what_it_says() {
        insta::assert_snapshot!(synthesized(&response()), @r"
        repaired by claude-sonnet-4-5 (anthropic), 2 answers, 4.2 s
        1200 tokens in (1000 of them cached), 340 out
        my-agent runs at 0 9 * * 1-5, 30 13 * * 6 Europe/Berlin, only first SAT: 2 objectives, 0 steps
        code 0123456789ab
        trace 0af7651916cd43dd8448eb211c80319c
        ");
        let rejected = SynthesizeResponse {
            outcome: SynthesisOutcome::Rejected.into(),
            diagnostics: diagnostics(),
            model: "m".into(),
            provider: "openai".into(),
            attempts: 1,
            refused_code: REFUSED.into(),
            ..SynthesizeResponse::default()
        };
        insta::assert_snapshot!(plain(&synthesized(&rejected)), @r"
        error[bad-schedule]: no such hour
         --> answer:2:3
          |
        2 |   schedule cron: '0 99 * * *'
          |   ^^^^^^^^
          |
          = help: write 0 to 23

        no valid code made by m (openai), 1 answer
        no tokens spent
        ");
    }

    #[test]
    fn a_verdict_names_the_file() {
        let invalid = ValidateCodeResponse {
            valid: false,
            diagnostics: diagnostics(),
            definition: None,
        };
        insta::assert_snapshot!(plain(&validated(&invalid, "agent.rb", REFUSED)), @r"
        error[bad-schedule]: no such hour
         --> agent.rb:2:3
          |
        2 |   schedule cron: '0 99 * * *'
          |   ^^^^^^^^
          |
          = help: write 0 to 23

        agent.rb is invalid
        ");
        let every = Schedule {
            when: Some(When::Every(prost_types::Duration {
                seconds: 5400,
                nanos: 0,
            })),
            ..Schedule::default()
        };
        let definition = AgentDefinition {
            name: "x".into(),
            schedule: Some(every),
            ..AgentDefinition::default()
        };
        let valid = ValidateCodeResponse {
            valid: true,
            diagnostics: vec![],
            definition: Some(definition),
        };
        assert_eq!(
            validated(&valid, "agent.rb", ""),
            "agent.rb is valid: x runs every 1h30m: 0 objectives, 0 steps\n"
        );
    }
}
