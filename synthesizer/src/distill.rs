//! `DistillPersona`: condenses a persona by the LLM, with the same cache and single flight as agents.

use std::sync::Arc;

use langop_proto::{
    limits, trace,
    v1::{DistillPersonaRequest, DistillPersonaResponse, Persona, SynthesisOutcome, Usage},
};
use tokio::time::Instant;
use tracing::{Instrument as _, Span};

use crate::{
    access::Load,
    cache::{Entry, Key},
    caller::{Caller, Errand},
    error::Failure,
    generate,
    key::{RequestKey, sha256_hex},
    pipeline::{self, Engine, Synthesizer},
    prompt,
    providers::{Chat, Finish, Message, ProviderError, Role, Task},
    request,
};

/// A condensed persona.
pub struct Distilled {
    text: String,
    usage: Usage,
    model: String,
    traceparent: String,
}

impl Entry for Distilled {
    fn weight(&self) -> usize {
        size_of::<Self>() + self.text.len() + self.model.len() + self.traceparent.len()
    }

    fn is_kept(&self) -> bool {
        true
    }

    fn origin(&self) -> &str {
        &self.traceparent
    }
}

impl Synthesizer {
    /// Answers a request, or fails at `deadline`.
    pub async fn distill(
        &self,
        caller: &Caller,
        load: Load,
        request: DistillPersonaRequest,
        deadline: Instant,
    ) -> Result<DistillPersonaResponse, Failure> {
        let persona = request::check_distill(request)?;
        let engine = Arc::clone(self.engine()?);
        let key = RequestKey::of_persona(&persona, &engine.identity);
        let span = pipeline::cache_span(key, prompt::persona::version());
        let worker = Arc::clone(&engine);
        let errand = Errand {
            caller: caller.clone(),
            request: key,
            agent: None,
            load,
        };
        let key = Key::from(&errand);
        let work = move |_| async move {
            let _pass = errand.caller.account().begin_work()?;
            distill(&worker, &errand, &persona).await
        };
        let found = engine
            .personas
            .find(key, Span::current(), work)
            .instrument(span.clone())
            .await;
        engine.observe(&span, &found);
        let ready = pipeline::ready(found, deadline).await?;
        let is_own = ready.outcome == SynthesisOutcome::Generated;
        Ok(DistillPersonaResponse {
            distilled_prompt: ready.value.text.clone(),
            hash: sha256_hex(ready.value.text.as_bytes()),
            usage: Some(if is_own {
                ready.value.usage
            } else {
                Usage::default()
            }),
            model: ready.value.model.clone(),
            provider: engine.identity.provider.to_string(),
            outcome: ready.outcome.into(),
        })
    }
}

async fn distill(
    engine: &Engine,
    errand: &Errand,
    persona: &Persona,
) -> Result<Distilled, Failure> {
    let _in_flight = engine.metrics.in_flight();
    let prompt = generate::prompt_span(engine, prompt::persona::version());
    let messages = [prompt.in_scope(|| Message {
        role: Role::User,
        text: prompt::persona::user(persona),
    })];
    drop(prompt);
    let (task, deadline) = (Task::Distill(persona), Instant::now() + engine.timeout);
    let chat = Chat {
        system: prompt::persona::SYSTEM,
        messages: &messages,
        task,
        errand,
        attempt: 1,
        deadline,
        listener: None,
    };
    let completion = match engine.provider.chat(chat).await {
        Ok(completion) => completion,
        Err(error) => return Err(generate::unanswered(engine, error, Usage::default())),
    };
    engine.metrics.tokens(&engine.identity, completion.usage);
    let text = bounded(completion.text.trim());
    if text.is_empty() {
        let error = ProviderError::unreadable(match completion.finish {
            Finish::Complete => "it holds no text",
            Finish::Truncated => {
                "it reached its length limit before any text; raise LANGOP_MAX_ANSWER_TOKENS"
            }
            Finish::Withheld => "the provider's content filter, or the model, keeps it back",
        });
        return Err(Failure {
            usage: completion.usage,
            ..error.into()
        });
    }
    Ok(Distilled {
        text: text.to_owned(),
        usage: completion.usage,
        model: completion.model,
        traceparent: trace::current_traceparent().unwrap_or_default(),
    })
}

/// At most what the .proto allows, cut after a line where that loses less than half.
fn bounded(text: &str) -> &str {
    let kept = &text[..text.floor_char_boundary(limits::DISTILLED_PROMPT)];
    if kept.len() == text.len() {
        return text;
    }
    let line = kept
        .rfind('\n')
        .filter(|end| *end > limits::DISTILLED_PROMPT / 2)
        .unwrap_or(kept.len());
    kept[..line].trim_end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_lines_or_characters() {
        assert_eq!(bounded("short"), "short");
        assert_eq!(
            bounded(&"ä".repeat(limits::DISTILLED_PROMPT)).len(),
            limits::DISTILLED_PROMPT
        );
        let lines = "a line of the persona\n".repeat(1000);
        let kept = bounded(&lines);
        assert!(
            kept.len() <= limits::DISTILLED_PROMPT && kept.ends_with("persona"),
            "{}",
            kept.len()
        );
    }
}
