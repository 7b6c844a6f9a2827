//! Condenses a persona by the LLM. Knows no cache.

use langop_program::trace;
use langop_proto::{
    limits,
    v1::{Persona, Usage},
};
use tokio::time::Instant;

use crate::{
    cache::Entry,
    error::Failure,
    llm::{Llm, sum},
    prompt,
    providers::{CallContext, Chat, Finish, Message, ProviderError, Purse, Role, Task},
};

/// A condensed persona.
pub struct Distilled {
    pub(crate) text: String,
    pub(crate) usage: Usage,
    pub(crate) model: String,
    pub(crate) traceparent: String,
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

/// Asks the LLM to condense `persona`.
pub async fn distill(
    llm: &Llm,
    call: &CallContext,
    persona: &Persona,
    max_tokens: Option<u64>,
) -> Result<Distilled, Failure> {
    let _in_flight = llm.metrics.in_flight();
    let prompt = llm.prompt_span(prompt::persona::version());
    let messages = [prompt.in_scope(|| Message {
        role: Role::User,
        text: prompt::persona::user(persona),
    })];
    drop(prompt);
    let (task, deadline) = (Task::Distill(persona), Instant::now() + llm.timeout);
    let purse = Purse::new(max_tokens);
    let chat = Chat {
        system: prompt::persona::SYSTEM,
        messages: &messages,
        task,
        call,
        purse: &purse,
        attempt: 1,
        deadline,
        listener: None,
    };
    let completion = match llm.provider.chat(chat).await {
        Ok(completion) => completion,
        Err(error) => return Err(llm.unanswered(error, purse.untold())),
    };
    let usage = sum(completion.usage, purse.untold());
    llm.metrics.tokens(&llm.identity, completion.usage);
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
            usage,
            ..error.into()
        });
    }
    Ok(Distilled {
        text: text.to_owned(),
        usage,
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
