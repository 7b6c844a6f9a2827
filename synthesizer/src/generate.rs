//! Makes one answer: prompt → LLM → extract → validate → render, or repair. Asks a provider and
//! reports progress; knows no cache.
//!
//! What an LLM wrote is read and then left behind: the code of an answer is rendered from what was
//! understood, so that nothing can be in it that another reader understands otherwise.

use std::time::Duration;

use langop_dsl::{Offer, RenameError};
use langop_program::trace;
use langop_proto::{
    limits,
    v1::{
        AgentDefinition, Diagnostic, PromptReady, Repairing, SynthesizeRequest, TokensReceived,
        Usage, Validating, synthesize_stream_response::Event,
    },
};
use prost::{
    Message as _,
    bytes::BufMut,
    encoding::{WireType, encode_key, encode_varint, string},
};
use tokio::time::Instant;
use tracing::{Span, field};

use crate::{
    cache::{Entry, Progress},
    diagnostics::{self, NO_CODE, TOO_FEW_TOKENS, TRUNCATED, WITHHELD},
    error::{Failure, SynthesisError},
    extract,
    llm::{Llm, sum},
    metrics::Stage,
    offer,
    origin::Origin,
    parsing::Pool,
    prompt::{self, PLACEHOLDER},
    providers::{CallContext, Chat, Completion, Finish, Message, Purse, Role, Task},
};

/// An answer, under the placeholder's name.
pub struct Answer {
    /// The code, if it is valid.
    pub code: Option<CodeTemplate>,
    /// The code for people to see, if it is invalid; else empty.
    pub refused_code: String,
    /// What it says, if it is valid.
    pub definition: Option<DefinitionTemplate>,
    /// Warnings of valid code, errors of invalid code.
    pub diagnostics: Vec<Diagnostic>,
    /// Over all attempts.
    pub usage: Usage,
    /// The model, as the provider names it.
    pub model: String,
    /// Answers judged.
    pub attempts: u32,
    /// How long it took.
    pub duration: Duration,
    /// The span in which it was made; empty without tracing.
    pub traceparent: String,
    /// What its statement tells; `None` without code, and where nothing is signed.
    pub origin: Option<Origin>,
}

impl Entry for Answer {
    fn weight(&self) -> usize {
        let code = self.code.as_ref().map_or(0, CodeTemplate::len);
        let definition = self.definition.as_ref().map_or(0, DefinitionTemplate::len);
        let diagnostics: usize = self
            .diagnostics
            .iter()
            .map(prost::Message::encoded_len)
            .sum();
        // Strings of a decoded message are allocations of their own, so it holds about twice its
        // encoded size.
        size_of::<Self>()
            + code
            + definition
            + 2 * diagnostics
            + self.refused_code.len()
            + self.model.len()
            + self.traceparent.len()
            + self.origin.as_ref().map_or(0, Origin::weight)
    }

    fn is_kept(&self) -> bool {
        self.code.is_some()
    }

    fn origin(&self) -> &str {
        &self.traceparent
    }
}

/// Valid code, cut where its agent's name is: renaming it needs no parser.
pub struct CodeTemplate {
    before: String,
    after: String,
}

impl CodeTemplate {
    fn new(code: &str) -> Result<Self, RenameError> {
        let name = langop_dsl::agent_name_span(code)?;
        Ok(Self {
            before: code[..name.start].to_owned(),
            after: code[name.end..].to_owned(),
        })
    }

    /// The code under `name`, which must satisfy [`langop_dsl::agent_name`].
    pub fn named(&self, name: &str) -> String {
        [&self.before, name, &self.after].concat()
    }

    fn len(&self) -> usize {
        self.before.len() + self.after.len()
    }
}

/// The number of `AgentDefinition.name` in the .proto.
const NAME: u32 = 1;

/// A definition as it is sent, but for its name. One that is kept is read seldom, and a tree of many
/// small texts takes several times as much.
pub struct DefinitionTemplate(Box<[u8]>);

impl DefinitionTemplate {
    fn new(definition: &AgentDefinition) -> Self {
        let nameless = AgentDefinition {
            name: String::new(),
            ..definition.clone()
        };
        Self(nameless.encode_to_vec().into())
    }

    /// The definition under `name`.
    pub fn named(&self, name: &str) -> AgentDefinition {
        // What was written here can be read.
        let mut definition = AgentDefinition::decode(&*self.0).unwrap_or_default();
        name.clone_into(&mut definition.name);
        definition
    }

    /// Writes the definition under `name` as a field of the number `field`.
    pub fn encode_field(&self, field: u32, name: &String, to: &mut impl BufMut) {
        let length = string::encoded_len(NAME, name) + self.0.len();
        encode_key(field, WireType::LengthDelimited, to);
        encode_varint(length as u64, to);
        string::encode(NAME, name, to);
        to.put_slice(&self.0);
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

/// How an answer comes from the provider. A request that joins the work of another gets it as that
/// one asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// At once when it is complete.
    Whole,
    /// Piece by piece, with progress after each.
    Live,
}

/// What the checker says of an answer.
enum CheckResult {
    Valid {
        code: CodeTemplate,
        definition: DefinitionTemplate,
        diagnostics: Vec<Diagnostic>,
    },
    Invalid {
        code: Option<String>,
        diagnostics: Vec<Diagnostic>,
    },
}

/// Makes the answer to a request in the form of [`prompt::normalise`].
pub(crate) async fn answer(
    llm: &Llm,
    parsing: &Pool,
    call: &CallContext,
    request: &SynthesizeRequest,
    progress: &Progress,
    delivery: Delivery,
) -> Result<Answer, Failure> {
    let started = Instant::now();
    let _in_flight = llm.metrics.in_flight();
    let first = llm.prompt_span(prompt::version()).in_scope(|| Message {
        role: Role::User,
        text: prompt::user(request),
    });
    llm.metrics.stage(Stage::Prompt, started.elapsed());
    let ready = PromptReady {
        request_hash: call.request.to_hex(),
        model: llm.identity.model.clone(),
    };
    report(progress, Event::PromptReady(ready));
    let deadline = started + llm.timeout;
    let options = request.options.as_ref();
    let purse = Purse::new(options.and_then(|options| options.max_tokens));
    let work = Work {
        purse: &purse,
        llm,
        parsing,
        call,
        request,
        progress,
        delivery,
        deadline,
    };
    let last = 1 + work.max_repairs();
    let mut messages = vec![first];
    let mut usage = Usage::default();
    let mut attempt = 1;
    // What is said of the last answer where there are too few tokens to have it repaired.
    let mut before: Option<Checked> = None;
    loop {
        let attempted = work.attempt(&messages, attempt, &mut usage).await;
        let spent = sum(usage, purse.untold());
        let checked = match (attempted, before.take()) {
            (Ok(checked), _) => checked,
            (Err(failure), Some(last)) if failure.is_for_want_of_tokens() => {
                return Ok(finish(unrepaired(last), spent, attempt - 1, started));
            }
            (Err(failure), _) => {
                return Err(Failure {
                    usage: spent,
                    ..failure
                });
            }
        };
        let (code, diagnostics) = match &checked.result {
            CheckResult::Invalid { code, diagnostics } if attempt < last && checked.may_help => {
                (code.clone(), diagnostics.clone())
            }
            _ => return Ok(finish(checked, spent, attempt, started)),
        };
        work.next_prompt(&mut messages, code, diagnostics, attempt);
        before = Some(checked);
        attempt += 1;
    }
}

/// One request on its way through the LLM.
struct Work<'a> {
    llm: &'a Llm,
    purse: &'a Purse,
    parsing: &'a Pool,
    call: &'a CallContext,
    request: &'a SynthesizeRequest,
    progress: &'a Progress,
    delivery: Delivery,
    deadline: Instant,
}

/// A checked completion.
struct Checked {
    result: CheckResult,
    /// The model, as the provider names it.
    model: String,
    /// Whether the model may do better if it is told what is wrong.
    may_help: bool,
}

impl Work<'_> {
    fn max_repairs(&self) -> u32 {
        let options = self.request.options.as_ref();
        let repairs = options.and_then(|options| options.max_repairs);
        repairs.unwrap_or(limits::REPAIRS)
    }

    /// Asks once and checks what comes; adds to `usage` what it cost.
    async fn attempt(
        &self,
        messages: &[Message],
        attempt: u32,
        usage: &mut Usage,
    ) -> Result<Checked, Failure> {
        let listener = listener(self.progress.clone());
        let chat = Chat {
            system: prompt::SYSTEM,
            messages,
            task: Task::Synthesize(self.request),
            call: self.call,
            purse: self.purse,
            attempt,
            deadline: self.deadline,
            listener: (self.delivery == Delivery::Live).then_some(&listener),
        };
        let asked = Instant::now();
        let answered = self.llm.provider.chat(chat).await;
        self.llm.metrics.stage(Stage::Llm, asked.elapsed());
        let completion = match answered {
            Ok(completion) => completion,
            Err(error) => {
                let failure = self.llm.unanswered(error, *usage);
                *usage = failure.usage;
                return Err(failure);
            }
        };
        self.llm
            .metrics
            .tokens(&self.llm.identity, completion.usage);
        *usage = sum(*usage, completion.usage);
        listener(completion.text.len());
        report(self.progress, Event::Validating(Validating { attempt }));
        let (model, may_help) = (completion.model.clone(), may_help(&completion));
        let offer = offer::of(&self.request.tools, &self.request.models);
        let check = move || check(&completion, &offer, attempt);
        let began = Instant::now();
        let checked = self.parsing.run(&self.call.caller, check).await;
        self.llm.metrics.stage(Stage::Check, began.elapsed());
        let result = checked?.map_err(|error| unnamed(self.call, &error))?;
        Ok(Checked {
            result,
            model,
            may_help,
        })
    }

    /// What to say to the model next: its refused code, and what is wrong with it.
    fn next_prompt(
        &self,
        messages: &mut Vec<Message>,
        code: Option<String>,
        diagnostics: Vec<Diagnostic>,
        attempt: u32,
    ) {
        self.llm.metrics.repair();
        messages.truncate(1);
        messages.push(Message {
            role: Role::Assistant,
            text: prompt::own_answer(code.as_deref()),
        });
        messages.push(Message {
            role: Role::User,
            text: prompt::repair(&diagnostics),
        });
        let repairing = Repairing {
            attempt,
            diagnostics,
            refused_code: displayed(code),
        };
        report(self.progress, Event::Repairing(repairing));
    }
}

/// An invalid answer that would go back, if there were tokens for that.
fn unrepaired(mut last: Checked) -> Checked {
    if let CheckResult::Invalid { diagnostics, .. } = &mut last.result {
        let finding = diagnostics::about_answer(
            TOO_FEW_TOKENS,
            "too few of the request's tokens are left to have the answer repaired",
            "allow more tokens, or write the instructions more simply",
        );
        diagnostics.insert(0, finding);
        diagnostics.truncate(limits::DIAGNOSTICS);
    }
    last
}

/// Tells how much of an answer there is.
fn listener(progress: Progress) -> impl Fn(usize) + Send + Sync {
    move |bytes| {
        let bytes = bytes as u64;
        report(&progress, Event::TokensReceived(TokensReceived { bytes }));
    }
}

/// The checker accepts only code whose name can be replaced, so this is a bug.
fn unnamed(call: &CallContext, error: &RenameError) -> Failure {
    tracing::error!(
        request = call.request.to_hex(),
        agent = call.agent(),
        namespace = call.namespace(),
        traceparent = trace::current_traceparent(),
        "valid code cannot be renamed: {error}"
    );
    SynthesisError::Internal.into()
}

/// There may be no listener.
fn report(progress: &Progress, event: Event) {
    let _ = progress.send(event);
}

/// What people see of refused code.
fn displayed(code: Option<String>) -> String {
    code.filter(|code| code.len() <= limits::REFUSED_CODE)
        .unwrap_or_default()
}

fn finish(checked: Checked, usage: Usage, attempts: u32, started: Instant) -> Answer {
    let Checked { result, model, .. } = checked;
    let (code, refused_code, definition, diagnostics) = match result {
        CheckResult::Valid {
            code,
            definition,
            diagnostics,
        } => (Some(code), String::new(), Some(definition), diagnostics),
        CheckResult::Invalid { code, diagnostics } => (None, displayed(code), None, diagnostics),
    };
    let traceparent = trace::current_traceparent().unwrap_or_default();
    Answer {
        code,
        refused_code,
        definition,
        diagnostics,
        usage,
        model,
        attempts,
        duration: started.elapsed(),
        traceparent,
        origin: None,
    }
}

fn check(completion: &Completion, offer: &Offer, attempt: u32) -> Result<CheckResult, RenameError> {
    let code = tracing::info_span!(
        "langop.synthesis.extract",
        langop.synthesis.attempt = attempt
    )
    .in_scope(|| extract::code(&prompt::without_echo(&completion.text)));
    let Some(code) = code else {
        return Ok(CheckResult::Invalid {
            code: None,
            diagnostics: no_code(completion),
        });
    };
    let span = tracing::info_span!(
        "langop.synthesis.validate",
        langop.synthesis.attempt = attempt,
        langop.synthesis.code_hash = field::Empty,
    );
    span.in_scope(|| validate(code, completion, offer))
}

fn validate(
    code: String,
    completion: &Completion,
    offer: &Offer,
) -> Result<CheckResult, RenameError> {
    let now = jiff::Timestamp::now();
    let parsed = langop_dsl::parse(&code, offer, now);
    let mut findings = diagnostics::to_wire(parsed.diagnostics);
    let Some(mut definition) = parsed.definition else {
        // First, because it explains the others.
        findings.splice(0..0, truncated(completion));
        findings.truncate(limits::DIAGNOSTICS);
        return Ok(CheckResult::Invalid {
            code: Some(code),
            diagnostics: findings,
        });
    };
    PLACEHOLDER.clone_into(&mut definition.name);
    let rendered = langop_dsl::render(&definition);
    if rendered.len() + langop_dsl::MAX_NAME_LENGTH > limits::CODE {
        let finding = diagnostics::about_answer(
            "too-large",
            "the code is longer than 128 KiB",
            "write a shorter agent",
        );
        return Ok(CheckResult::Invalid {
            code: None,
            diagnostics: vec![finding],
        });
    }
    let code = CodeTemplate::new(&rendered)?;
    // Findings have places, and those are places in the code that is returned: what was only clumsy
    // is gone from it.
    let diagnostics = diagnostics::to_wire(langop_dsl::parse(&rendered, offer, now).diagnostics);
    Span::current().record(
        "langop.synthesis.code_hash",
        langop_dsl::hash::sha256_hex(rendered.as_bytes()),
    );
    Ok(CheckResult::Valid {
        code,
        definition: DefinitionTemplate::new(&definition.into()),
        diagnostics,
    })
}

/// Whether the model may do better if it is told what is wrong. An answer that was paid for and
/// withheld, or thought about until the limit, is the same the next time.
fn may_help(completion: &Completion) -> bool {
    completion.finish == Finish::Complete || !completion.text.trim().is_empty()
}

/// Why an answer without code has none.
fn no_code(completion: &Completion) -> Vec<Diagnostic> {
    let is_empty = completion.text.trim().is_empty();
    match completion.finish {
        Finish::Truncated if is_empty => vec![diagnostics::about_answer(
            TRUNCATED,
            "the answer reached its length limit before any code",
            "raise LANGOP_MAX_ANSWER_TOKENS on the synthesizer, or lower SYNTHESIS_REASONING_EFFORT",
        )],
        Finish::Withheld => vec![diagnostics::about_answer(
            WITHHELD,
            "the provider's content filter, or the model, keeps the answer back",
            "write the instructions in other words",
        )],
        Finish::Truncated | Finish::Complete => {
            let finding = diagnostics::about_answer(
                NO_CODE,
                "the answer holds no code",
                "answer with the agent's code in one ```ruby fence",
            );
            truncated(completion).into_iter().chain([finding]).collect()
        }
    }
}

fn truncated(completion: &Completion) -> Option<Diagnostic> {
    let is_cut = completion.finish == Finish::Truncated;
    is_cut.then(|| {
        diagnostics::about_answer(
            TRUNCATED,
            "the answer reached its length limit and was cut off",
            "write a shorter agent",
        )
    })
}

#[cfg(test)]
mod tests {
    use langop_proto::v1::SynthesizeResponse;

    use super::*;

    #[test]
    fn renaming_by_cutting_is_renaming_by_the_language() {
        let code = "require 'language_operator'\n# agent 'x'\nagent \"whatever\" do\n  objectives ['agent']\nend\n";
        let renamed = CodeTemplate::new(code).unwrap().named("mailer-2");
        assert_eq!(renamed, langop_dsl::rename(code, "mailer-2").unwrap());
    }

    #[test]
    fn a_definition_is_sent_as_it_is_kept() {
        const FIELD: u32 = 6;
        let definition = AgentDefinition {
            name: "agent".to_owned(),
            description: "Sorts mail".to_owned(),
            objectives: vec!["Sort".to_owned()],
            ..AgentDefinition::default()
        };
        let template = DefinitionTemplate::new(&definition);
        let name = "mailer-2".to_owned();
        let mut sent = Vec::new();
        template.encode_field(FIELD, &name, &mut sent);
        let response = SynthesizeResponse::decode(&*sent).unwrap();
        let renamed = AgentDefinition { name, ..definition };
        assert_eq!(response.definition, Some(renamed));
        assert_eq!(response.definition, Some(template.named("mailer-2")));
    }

    #[test]
    fn refused_code_is_shown_whole_or_not_at_all() {
        let longest = "x".repeat(limits::REFUSED_CODE);
        assert_eq!(displayed(Some(longest.clone())), longest);
        assert_eq!(displayed(Some(longest + "x")), "");
        assert_eq!(displayed(None), "");
    }
}
