//! Chat completions, answered by the loop over the agent's own tools and models: in one piece, or
//! as server-sent events. Models are asked for whole answers, so a stream tells early that work
//! goes on and, where that is shown, what is called; the words come at once. Keeps nothing between
//! two requests.

use std::{collections::VecDeque, sync::Arc};

use axum::{
    Json, Router,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header::RETRY_AFTER},
    middleware,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use futures::{Stream, stream};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    task::JoinError,
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    BUSY, Callers, check_kind,
    completion::{self, Answer, Refusal},
    events, read, refuse_foreign,
};
use crate::{
    model::wire::Message,
    outcome::{Outcome, Reason},
    random,
    run::{self, Agent, Conversation, Finished, Request},
    termination::Report,
};

/// How a request becomes smaller.
const SHORTER: &str = "leave out what was said long ago, results of tools first";
/// By which the OpenAI libraries are told not to repeat a failed request, as they do by themselves:
/// the run has called tools, and would call them again.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// Under which names answers can be had, and what is shown of how they came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// The agent is the one model; what it calls is its own business.
    Agent,
    /// Each model of the environment, by its name there; a stream may hold calls and results.
    Models,
}

#[derive(Debug, Clone)]
struct Chat {
    callers: Callers,
    offer: Offer,
}

/// The routes `/v1/chat/completions` and `/v1/models` of an agent, closed to web pages of others.
pub fn of_agent(callers: Callers) -> Router {
    router(callers, Offer::Agent).layer(middleware::from_fn(refuse_foreign))
}

/// The routes alone: who may come is the caller's to decide.
pub fn router(callers: Callers, offer: Offer) -> Router {
    Router::new()
        .route("/v1/models", get(models))
        .route("/v1/chat/completions", post(complete))
        .with_state(Chat { callers, offer })
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body())).into_response();
        let headers = response.headers_mut();
        if !self.may_repeat {
            headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
        } else if self.status == StatusCode::TOO_MANY_REQUESTS {
            headers.insert(RETRY_AFTER, HeaderValue::from_static(BUSY));
        }
        response
    }
}

impl Chat {
    fn models(&self) -> Vec<&str> {
        let environment = &self.callers.agent.environment;
        match self.offer {
            Offer::Agent => vec![&environment.name],
            Offer::Models => environment
                .models
                .iter()
                .map(|model| &*model.name)
                .collect(),
        }
    }

    /// The name by which the client knows the model that is asked, and the one that is then asked
    /// alone.
    fn model(&self, wanted: Option<&str>) -> Result<(String, Option<String>), Refusal> {
        let models = self.models();
        let Some(first) = models.first() else {
            let message = "no model is offered: name one in MODEL_ENDPOINTS (modelRefs)";
            let status = StatusCode::SERVICE_UNAVAILABLE;
            return Err(Refusal::new(status, Reason::NotOffered.as_str(), message));
        };
        let Some(wanted) = wanted else {
            return Ok(((*first).to_owned(), None));
        };
        if !models.contains(&wanted) {
            let message = format!("there is no such model: write {}", models.join(" or "));
            return Err(Refusal::new(
                StatusCode::NOT_FOUND,
                "model_not_found",
                message,
            ));
        }
        let named = (self.offer == Offer::Models).then(|| wanted.to_owned());
        Ok((wanted.to_owned(), named))
    }

    fn request(&self, answer: &Answer, conversation: Conversation, headers: &HeaderMap) -> Request {
        Request {
            id: Some(answer.id.clone()),
            conversation: Some(conversation),
            ..self.callers.request(headers)
        }
    }
}

async fn models(State(chat): State<Chat>) -> Json<Value> {
    let environment = &chat.callers.agent.environment;
    let owner = &environment.name;
    let model = |id: &str| json!({"id": id, "object": "model", "created": 0, "owned_by": owner});
    let models: Vec<_> = chat.models().into_iter().map(model).collect();
    let mut list = json!({"object": "list", "data": models});
    if chat.offer == Offer::Models {
        let tools = environment.tools.iter().map(|tool| &*tool.name);
        list["langop"] = json!({"name": owner, "tools": tools.collect::<Vec<_>>()});
    }
    Json(list)
}

async fn complete(State(chat): State<Chat>, headers: HeaderMap, body: Body) -> Response {
    answer(&chat, &headers, body)
        .await
        .unwrap_or_else(IntoResponse::into_response)
}

async fn answer(chat: &Chat, headers: &HeaderMap, body: Body) -> Result<Response, Refusal> {
    check_kind(headers)?;
    // Before the request is read, so that few are in memory at once.
    let place = chat.callers.place()?;
    let question = completion::read(&read(body, SHORTER).await?)?;
    let (model, named) = chat.model(question.model.as_deref())?;
    let answer = Answer {
        id: random::identity(),
        created: Timestamp::now().as_second(),
        model,
    };
    let mut conversation = Conversation {
        messages: question.messages,
        system: question.system,
        model: named,
        progress: None,
    };
    if !question.is_stream {
        let request = chat.request(&answer, conversation, headers);
        return whole(chat, &request, &answer, place).await;
    }
    let (progress, messages) = mpsc::unbounded_channel();
    if question.wants_tool_messages && chat.offer == Offer::Models {
        conversation.progress = Some(progress);
    }
    let request = chat.request(&answer, conversation, headers);
    let first = answer.chunk(&json!({"role": "assistant", "content": ""}), None);
    let streaming = Streaming {
        answer,
        wants_usage: question.wants_usage,
        messages,
        running: Some(spawn(chat.callers.agent.clone(), request, place)),
        events: VecDeque::from([first]),
    };
    Ok(events(streaming.into_stream()))
}

/// A run beside whoever hands on what comes of it.
fn spawn(
    agent: Arc<Agent>,
    request: Request,
    place: OwnedSemaphorePermit,
) -> AbortOnDropHandle<Finished> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        let _place = place;
        let gone = Gone::of(&request);
        let finished = run::run(&agent, &request).await;
        gone.disarm();
        finished
    }))
}

/// Waits for the answer; dropped, and the run with it, when the client goes.
async fn whole(
    chat: &Chat,
    request: &Request,
    answer: &Answer,
    _place: OwnedSemaphorePermit,
) -> Result<Response, Refusal> {
    let gone = Gone::of(request);
    let Finished { report, .. } = run::run(&chat.callers.agent, request).await;
    gone.disarm();
    let text = words(&report)?;
    Ok(Json(answer.whole(text, report.tokens)).into_response())
}

fn words(report: &Report) -> Result<&str, Refusal> {
    match report.reason {
        None if report.outcome == Outcome::Succeeded => Ok(&report.message),
        reason => Err(Refusal::of_run(
            reason.unwrap_or(Reason::Stopped),
            &report.message,
        )),
    }
}

/// An answer under way, as a stream of events. The run ends when it is dropped.
struct Streaming {
    answer: Answer,
    wants_usage: bool,
    messages: mpsc::UnboundedReceiver<Message>,
    /// Until it has ended.
    running: Option<AbortOnDropHandle<Finished>>,
    /// What is to be sent next.
    events: VecDeque<Value>,
}

impl Streaming {
    fn into_stream(self) -> impl Stream<Item = String> {
        stream::unfold(self, async |mut this| {
            let data = match this.next().await? {
                Value::String(word) => word,
                other => other.to_string(),
            };
            Some((data, this))
        })
    }

    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            let running = self.running.as_mut()?;
            tokio::select! {
                biased;
                Some(message) = self.messages.recv() => {
                    self.events.push_back(self.answer.tool_chunk(&message));
                }
                finished = running => {
                    self.running = None;
                    self.finish(finished);
                }
            }
        }
    }

    fn finish(&mut self, finished: Result<Finished, JoinError>) {
        while let Ok(message) = self.messages.try_recv() {
            self.events.push_back(self.answer.tool_chunk(&message));
        }
        let report = match finished {
            Ok(finished) => finished.report,
            Err(error) => {
                tracing::error!(%error, "an answer ended by a bug");
                let message = "something went wrong here: see the log";
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                let refusal = Refusal::new(status, "bug", message);
                self.events.push_back(refusal.body());
                return;
            }
        };
        match words(&report) {
            Ok(text) => {
                let answer = &self.answer;
                let delta = json!({"content": text});
                self.events.push_back(answer.chunk(&delta, None));
                self.events
                    .push_back(answer.chunk(&json!({}), Some("stop")));
                if self.wants_usage {
                    self.events.push_back(answer.usage_chunk(report.tokens));
                }
                self.events.push_back("[DONE]".into());
            }
            // The status is sent already.
            Err(refusal) => self.events.push_back(refusal.body()),
        }
    }
}

/// Says in the log when a run is dropped before its end, because nobody waits for it.
struct Gone(Option<String>);

impl Gone {
    fn of(request: &Request) -> Self {
        Self(request.id.clone())
    }

    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for Gone {
    fn drop(&mut self) {
        if let Some(run) = &self.0 {
            tracing::info!(run, "the caller has gone: the run is cancelled");
        }
    }
}
