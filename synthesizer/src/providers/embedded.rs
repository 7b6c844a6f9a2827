//! The built-in rules as a provider. No LLM, no prompt, no tokens: it reads the request itself.

use futures::future::{self, BoxFuture, FutureExt as _};
use jiff::Timestamp;
use langop_proto::v1::Usage;

use super::{
    api::{Chat, Completion, Finish, Provider, Task},
    error::ProviderError,
};
use crate::{offer, settings::provider::ProviderKind};

pub(super) struct Embedded;

impl Provider for Embedded {
    fn chat<'a>(&'a self, chat: Chat<'a>) -> BoxFuture<'a, Result<Completion, ProviderError>> {
        let model = ProviderKind::Template.as_str();
        // Not a CLIENT span: nothing leaves the process.
        let span = tracing::info_span!(
            "chat",
            otel.name = "chat template",
            gen_ai.operation.name = "chat",
            gen_ai.provider.name = model,
            gen_ai.request.model = model,
            langop.synthesis.attempt = chat.attempt,
        );
        let text = span.in_scope(|| match chat.task {
            Task::Synthesize(request) => {
                let offer = offer::of(&request.tools, &request.models);
                langop_template::answer(&request.instructions, &offer, Timestamp::now())
            }
            Task::Distill(persona) => langop_template::distill(&langop_template::Persona {
                name: &persona.name,
                description: &persona.description,
                system_prompt: &persona.system_prompt,
                tone: &persona.tone,
                language: &persona.language,
            }),
        });
        let completion = Completion {
            text,
            model: model.to_owned(),
            usage: Usage::default(),
            finish: Finish::Complete,
        };
        future::ready(Ok(completion)).boxed()
    }
}
