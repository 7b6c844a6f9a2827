//! What a provider is asked and what it answers. Knows no API's format.

use futures::future::BoxFuture;
use langop_proto::v1::{Persona, SynthesizeRequest, Usage};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{call::CallContext, error::ProviderError, purse::Purse};

/// One call: the fixed part, the conversation, and what it is about.
#[derive(Clone, Copy)]
pub struct Chat<'a> {
    /// The fixed part of the prompt.
    pub system: &'a str,
    /// The conversation; the last message is the user's.
    pub messages: &'a [Message],
    /// What the prompt says, for a provider that does not read prompts.
    pub task: Task<'a>,
    /// For whom it is made.
    pub call: &'a CallContext,
    /// What the request may still cost.
    pub purse: &'a Purse,
    /// 1 for the first answer to a request, 2 for its first repair.
    pub attempt: u32,
    /// When the answer is of no use any more.
    pub deadline: Instant,
    /// Who wants to hear how the answer grows; none: it may come as a whole.
    pub listener: Option<&'a Listener>,
}

impl Chat<'_> {
    /// The conversation for an API to which the fixed part is its first message.
    pub(super) fn turns(&self) -> Vec<Value> {
        let system = json!({"role": "system", "content": self.system});
        let turns = self
            .messages
            .iter()
            .map(|message| json!({"role": message.role, "content": message.text}));
        std::iter::once(system).chain(turns).collect()
    }
}

/// Hears the length in bytes of what has arrived of an answer.
pub type Listener = dyn Fn(usize) + Send + Sync;

/// What a call is about.
#[derive(Debug, Clone, Copy)]
pub enum Task<'a> {
    /// An agent is to be written.
    Synthesize(&'a SynthesizeRequest),
    /// A persona is to be condensed.
    Distill(&'a Persona),
}

/// One turn of a conversation.
#[derive(Debug, Clone)]
pub struct Message {
    /// Whose turn it is.
    pub role: Role,
    /// What was said.
    pub text: String,
}

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Ours.
    User,
    /// The model's.
    Assistant,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Completion {
    /// What the model said.
    pub text: String,
    /// The model that said it, as the provider names it.
    pub model: String,
    /// What it cost.
    pub usage: Usage,
    /// Whether it was done.
    pub finish: Finish,
}

/// Why an answer ends where it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// The model was done.
    Complete,
    /// It reached the limit on its length.
    Truncated,
    /// The provider's filter, or the model, keeps the answer back.
    Withheld,
}

/// Answers prompts.
pub trait Provider: Send + Sync {
    /// Answers one call, with its own retries, before the call's deadline.
    fn chat<'a>(&'a self, chat: Chat<'a>) -> BoxFuture<'a, Result<Completion, ProviderError>>;
}
