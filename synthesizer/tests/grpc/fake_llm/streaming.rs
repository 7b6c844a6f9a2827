//! The answers that come piece by piece: server-sent events of two APIs, lines of JSON of the
//! third.

use std::{convert::Infallible, io};

use axum::{
    body::{Body, Bytes},
    http::header::CONTENT_TYPE,
    response::{IntoResponse as _, Response},
};
use futures::{StreamExt as _, stream};
use serde_json::{Value, json};

use super::{Act, COST, GOOD};

/// Bytes of text in one event.
const PIECE: usize = 16;

/// What the server does with a request for a stream.
pub(super) async fn perform(act: Act, path: &str, key: &str) -> Response {
    match act {
        Act::Say(text) => whole(path, &events(path, text, "stop", COST.1)),
        Act::SayCut(text) => whole(path, &events(path, text, "length", COST.1)),
        Act::SayForFree(text) => whole(path, &without_usage(path, text)),
        Act::SayAfter(gate, text) => {
            gate.acquire().await.unwrap().forget();
            whole(path, &events(path, text, "stop", COST.1))
        }
        Act::SayHalfThen(gate, text) => {
            let events = events(path, text, "stop", COST.1);
            let (first, second) = halves(&events);
            let rest = stream::once(async move {
                gate.acquire().await.unwrap().forget();
                second
            });
            let pieces = stream::iter([first]).chain(rest).map(Ok::<_, Infallible>);
            streamed(path, Body::from_stream(pieces))
        }
        Act::FailMidway(text) => {
            let (first, _) = halves(&events(path, text, "stop", COST.1));
            let error = json!({"type": "error", "error": {"type": "overloaded_error", "message": format!("you sent {key}")}});
            let body = [first, line(path, "error", &error).into()].concat();
            streamed(path, body.into())
        }
        Act::FailAtOnce => {
            let error = json!({"type": "error", "error": {"type": "overloaded_error"}});
            streamed(path, line(path, "error", &error).into())
        }
        Act::RefuseStreams(_) => super::perform(Act::Fail(400, None), path, key).await,
        Act::Garbage => streamed(path, "data: {\"this is\"\n\n{\"no answer\"\n".into()),
        Act::BreakOff => {
            let (first, _) = halves(&events(path, GOOD, "stop", COST.1));
            // Apart, so that the first is sent before the second takes the connection down.
            let cut = stream::once(async {
                tokio::task::yield_now().await;
                Err(io::Error::other("cable cut"))
            });
            streamed(
                path,
                Body::from_stream(stream::iter([Ok(first)]).chain(cut)),
            )
        }
        Act::GarbleMidway(text) => {
            let (first, _) = halves(&events(path, text, "stop", COST.1));
            streamed(
                path,
                [&first[..], b"data: {\"this is\"\n\n"].concat().into(),
            )
        }
        Act::Flood => flood(path, Bytes::new()),
        Act::FloodMidway(text) => flood(path, halves(&events(path, text, "stop", COST.1)).0),
        act @ (Act::SayWhole(_) | Act::Fail(..) | Act::Hang | Act::Behave(_)) => {
            super::perform(act, path, key).await
        }
    }
}

fn whole(path: &str, events: &[String]) -> Response {
    streamed(path, events.concat().into())
}

fn streamed(path: &str, body: Body) -> Response {
    let kind = if path == "/api/chat" {
        "application/x-ndjson"
    } else {
        "text/event-stream; charset=utf-8"
    };
    ([(CONTENT_TYPE, kind)], body).into_response()
}

fn flood(path: &str, first: Bytes) -> Response {
    let pieces = std::iter::once(first).chain(super::flood());
    let pieces = stream::iter(pieces.map(Ok::<_, Infallible>));
    streamed(path, Body::from_stream(pieces))
}

fn halves(events: &[String]) -> (Bytes, Bytes) {
    let (first, second) = events.split_at(events.len() / 2);
    (first.concat().into(), second.concat().into())
}

fn line(path: &str, name: &str, data: &Value) -> String {
    match path {
        "/api/chat" => format!("{data}\n"),
        "/v1/messages" => format!("event: {name}\ndata: {data}\n\n"),
        _ => format!("data: {data}\n\n"),
    }
}

fn without_usage(path: &str, text: &str) -> Vec<String> {
    let mut events = events(path, text, "stop", COST.1);
    events.retain(|event| !event.contains("\"usage\":{"));
    events
}

fn events(path: &str, text: &str, finish: &str, output: u64) -> Vec<String> {
    let pieces = text.as_bytes().chunks(PIECE);
    let pieces = pieces.map(|piece| std::str::from_utf8(piece).expect("ASCII"));
    let line = |name: &str, data: Value| line(path, name, &data);
    let input = COST.0;
    match path {
        "/v1/chat/completions" => {
            let chunk = |delta: Value, finish: Option<&str>| {
                line(
                    "",
                    json!({"model": "fake-1", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], "usage": null}),
                )
            };
            let usage = json!({"prompt_tokens": input, "completion_tokens": output, "prompt_tokens_details": {"cached_tokens": 40}});
            let start = chunk(json!({"role": "assistant", "content": ""}), None);
            let end = [
                chunk(json!({}), Some(finish)),
                line(
                    "",
                    json!({"model": "fake-1", "choices": [], "usage": usage}),
                ),
                "data: [DONE]\n\n".to_owned(),
            ];
            let pieces = pieces.map(|piece| chunk(json!({"content": piece}), None));
            std::iter::once(start).chain(pieces).chain(end).collect()
        }
        "/v1/messages" => {
            let usage = json!({"input_tokens": input - 50, "cache_read_input_tokens": 40, "cache_creation_input_tokens": 10, "output_tokens": 1});
            let reason = if finish == "length" {
                "max_tokens"
            } else {
                "end_turn"
            };
            let start = [
                line(
                    "message_start",
                    json!({"type": "message_start", "message": {"model": "fake-1", "content": [], "usage": usage}}),
                ),
                line(
                    "content_block_start",
                    json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
                ),
                line("ping", json!({"type": "ping"})),
            ];
            let pieces = pieces.map(|piece| {
                line("content_block_delta", json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}}))
            });
            let end = [
                line(
                    "content_block_stop",
                    json!({"type": "content_block_stop", "index": 0}),
                ),
                line(
                    "message_delta",
                    json!({"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": output}}),
                ),
                line("message_stop", json!({"type": "message_stop"})),
            ];
            start.into_iter().chain(pieces).chain(end).collect()
        }
        "/api/chat" => {
            let said = |text: &str| json!({"role": "assistant", "content": text});
            let pieces = pieces.map(|piece| {
                line(
                    "",
                    json!({"model": "fake-1", "message": said(piece), "done": false}),
                )
            });
            let end = line(
                "",
                json!({
                    "model": "fake-1", "message": said(""), "done": true, "done_reason": finish,
                    "prompt_eval_count": input, "eval_count": output,
                }),
            );
            pieces.chain([end]).collect()
        }
        other => panic!("no API has the path {other}"),
    }
}
