//! What a request asks: whether it can succeed at all, the key of what it asks for, and what is
//! said of its text. Remembered by the request's own bytes, so that who asks the same again (a
//! retry, a restart) waits for none of it: the request is not even decoded.
//!
//! All of it follows from the request alone. Remembered per caller all the same: the speed of an
//! answer must not reveal what another caller asked.

use std::{sync::Arc, time::Duration};

use langop_dsl::instructions;
use langop_proto::v1::{AgentRef, Diagnostic, SynthesizeRequest};
use prost::{Message as _, bytes::Bytes};
use sha2::{Digest as _, Sha256};

use crate::{
    access::Caller, diagnostics, error::SynthesisError, identity::Identity, key::RequestKey,
    prompt, request,
};

/// Most questions that are remembered, some 300 bytes each.
const MOST: u64 = 4 * 1024;

/// What one request asks.
pub(crate) struct Question {
    /// Who is to be made: no part of what is asked for.
    pub(crate) agent: AgentRef,
    /// What is asked for.
    pub(crate) key: RequestKey,
    /// Of the instructions as they were sent: by it the caller knows them again.
    pub(crate) instructions_hash: Box<str>,
    /// Warnings about the instructions, which are no part of the answer: another's may hold none.
    pub(crate) secrets: Box<[Diagnostic]>,
}

/// The questions of late.
pub(crate) struct Questions {
    longest_prompt: usize,
    known: moka::future::Cache<(Caller, [u8; 32]), Arc<Question>>,
}

/// A `SynthesizeRequest` and, apart from it, its agent.
///
/// # Errors
/// If the bytes are none.
pub(crate) fn decode(asked: &Bytes) -> Result<(AgentRef, SynthesizeRequest), SynthesisError> {
    let mut request = SynthesizeRequest::decode(asked.clone())?;
    let agent = request.agent.take().unwrap_or_default();
    Ok((agent, request))
}

impl Questions {
    /// None yet. Requests that would bring more than `longest_prompt` bytes into a prompt are
    /// refused; each question is remembered for `ttl`.
    pub(crate) fn new(longest_prompt: usize, ttl: Duration) -> Self {
        Self {
            longest_prompt,
            known: moka::future::Cache::builder()
                .max_capacity(MOST)
                .time_to_live(ttl)
                .build(),
        }
    }

    /// Decodes and checks a request. An error names all that is wrong with it.
    pub(crate) fn read(
        &self,
        asked: &Bytes,
    ) -> Result<(AgentRef, SynthesizeRequest), SynthesisError> {
        let (agent, request) = decode(asked)?;
        request::check_synthesize(&agent, &request, self.longest_prompt)?;
        Ok((agent, request))
    }

    /// What the encoded request of `caller` asks `answers`.
    pub(crate) async fn of(
        &self,
        caller: &Caller,
        asked: &Bytes,
        answers: &Identity,
    ) -> Result<Arc<Question>, SynthesisError> {
        let id = (caller.clone(), Sha256::digest(asked).into());
        if let Some(known) = self.known.get(&id).await {
            return Ok(known);
        }
        let (agent, request) = self.read(asked)?;
        let instructions = instructions::normalise(&request.instructions);
        let (instructions_hash, secrets) = (
            instructions::hash(&request.instructions).into(),
            diagnostics::about_secrets(&instructions).into(),
        );
        let question = Arc::new(Question {
            agent,
            key: RequestKey::of_synthesis(&prompt::normalise(request), answers),
            instructions_hash,
            secrets,
        });
        self.known.insert(id, Arc::clone(&question)).await;
        Ok(question)
    }
}

#[cfg(test)]
mod tests {
    use langop_proto::v1::Tool;

    use super::*;
    use crate::settings::ProviderKind;

    fn agent(name: &str) -> AgentRef {
        AgentRef {
            name: name.to_owned(),
            namespace: String::new(),
        }
    }

    fn request() -> SynthesizeRequest {
        SynthesizeRequest {
            instructions: "Sort mail with AKIAIOSFODNN7ABCDEFG\r\n".to_owned(),
            tools: vec![Tool {
                name: "mail".to_owned(),
                ..Tool::default()
            }],
            ..SynthesizeRequest::default()
        }
    }

    #[tokio::test]
    async fn what_is_asked_again_is_the_same_question_and_is_checked_all_the_same() {
        let questions = Questions::new(10_000, Duration::from_mins(1));
        let (caller, answers) = (
            Caller::named("a"),
            Identity {
                provider: ProviderKind::Template,
                model: String::new(),
            },
        );
        let ask = async |caller: &Caller, name: &str, request: &SynthesizeRequest| {
            let request = SynthesizeRequest {
                agent: Some(agent(name)),
                ..request.clone()
            };
            let asked = request.encode_to_vec().into();
            questions.of(caller, &asked, &answers).await
        };
        let first = ask(&caller, "one", &request()).await.unwrap();
        let again = ask(&caller, "one", &request()).await.unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        let of_other = ask(&caller, "other", &request()).await.unwrap();
        assert_eq!(of_other.key, first.key);
        assert_eq!(of_other.agent.name, "other");
        assert_eq!(first.secrets.len(), 1);
        assert_eq!(
            *first.instructions_hash,
            instructions::hash("Sort mail with AKIAIOSFODNN7ABCDEFG\n")
        );

        assert!(ask(&caller, "no name", &request()).await.is_err());
        let other = ask(&Caller::named("b"), "one", &request()).await.unwrap();
        assert!(!Arc::ptr_eq(&first, &other), "callers share nothing");
        assert_eq!(first.key, other.key);

        let changed = SynthesizeRequest {
            instructions: "Sort nothing".to_owned(),
            ..request()
        };
        let changed = ask(&caller, "one", &changed).await.unwrap();
        assert_ne!(first.key, changed.key);
        let twice = SynthesizeRequest {
            tools: [request().tools, request().tools].concat(),
            ..request()
        };
        assert!(ask(&caller, "one", &twice).await.is_err());
        assert!(ask(&caller, "one", &twice).await.is_err(), "nor remembered");
        let garbage = Bytes::from_static(b"\x0a\xff");
        let refused = questions.of(&caller, &garbage, &answers).await;
        assert!(matches!(refused, Err(SynthesisError::Malformed(_))));
    }
}
