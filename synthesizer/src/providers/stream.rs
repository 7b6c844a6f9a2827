//! Answers that arrive piece by piece, as server-sent events or as lines of JSON, put together into
//! what a whole answer would have been. Bounded like whole answers; tells how far it is, never what
//! it says.

use std::time::{Duration, Instant};

use reqwest::{
    Response,
    header::{CONTENT_TYPE, HeaderMap},
};
use serde_json::Value;

use super::{
    api::{Finish, Listener},
    error::ProviderError,
    refusal::{self, Asked},
    wire::{MAX_ANSWER, PartialCompletion, Wire, too_large, transport},
};

/// Largest body: each piece of an answer comes in an envelope many times its size.
const MAX_BODY: usize = 8 * MAX_ANSWER;
/// Least time between two reports: people cannot read faster.
const PAUSE: Duration = Duration::from_millis(50);

/// Whether a body comes in pieces. Some servers do not know streams, and answer as a whole all the
/// same.
pub(super) fn is_streamed(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|kind| kind.contains("event-stream") || kind.contains("ndjson"))
}

/// Reads an answer to its end into an empty draft, which the caller keeps if it gives up;
/// `listener` hears how long it is by then.
pub(super) async fn read<W: Wire>(
    wire: &W,
    mut response: Response,
    listener: &Listener,
    asked: &Asked<'_>,
    partial: &mut PartialCompletion,
) -> Result<Finish, ProviderError> {
    let mut lines = Lines::default();
    let mut reported: Option<Instant> = None;
    while !partial.is_over {
        let chunk = match response.chunk().await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => break,
            Err(error) => return Err(broke_off(transport(error), partial)),
        };
        partial.size += chunk.len();
        lines.push(&chunk);
        while let Some(line) = lines.next() {
            absorb(wire, partial, &line, asked)?;
        }
        if partial.size > MAX_BODY || lines.unfinished() + partial.text.len() > MAX_ANSWER {
            return Err(too_large(MAX_ANSWER));
        }
        let is_due = reported.is_none_or(|last| last.elapsed() >= PAUSE);
        if is_due && !partial.text.is_empty() {
            listener(partial.text.len());
            reported = Some(Instant::now());
        }
    }
    if !partial.is_over {
        absorb(wire, partial, &lines.rest(), asked)?;
    }
    // Some servers end a stream without a reason.
    let done = partial.is_over.then_some(Finish::Complete);
    let none = || interrupted(ProviderError::Failed { kind: None }, None, partial);
    partial.finish.or(done).ok_or_else(none)
}

fn absorb<W: Wire>(
    wire: &W,
    partial: &mut PartialCompletion,
    line: &[u8],
    asked: &Asked<'_>,
) -> Result<(), ProviderError> {
    let Some(data) = data(line) else {
        return Ok(());
    };
    if data == b"[DONE]" {
        partial.is_over = true;
        return Ok(());
    }
    let event: Value = serde_json::from_slice(data)
        .map_err(|_| ProviderError::unreadable("the response stream contains invalid JSON"))?;
    if let Some(error) = refusal::in_answer(&event, asked) {
        let kind = refusal::short_name(&event, asked.key);
        return Err(interrupted(error, kind, partial));
    }
    wire.absorb(partial, event)
        .map_err(ProviderError::unreadable)
}

/// What a line carries: the data of a server-sent event, or the line itself where it is JSON. Names
/// of events, comments and blank lines carry nothing that the data does not say again.
fn data(line: &[u8]) -> Option<&[u8]> {
    let line = line.trim_ascii();
    match line.strip_prefix(b"data:") {
        Some(data) => Some(data.trim_ascii_start()).filter(|data| !data.is_empty()),
        None => line.starts_with(b"{").then_some(line),
    }
}

/// The connection broke: before the text began, all can be asked again.
fn broke_off(error: ProviderError, partial: &PartialCompletion) -> ProviderError {
    match error {
        ProviderError::Transport(source) if !partial.text.is_empty() => ProviderError::BrokeOff {
            kind: None,
            usage: partial.usage,
            source: Some(source),
        },
        error => error,
    }
}

/// The provider gave up, or went away without a word: before the text began, that is an error like
/// any other.
fn interrupted(
    error: ProviderError,
    kind: Option<String>,
    partial: &PartialCompletion,
) -> ProviderError {
    if partial.text.is_empty() {
        return error;
    }
    ProviderError::BrokeOff {
        kind,
        usage: partial.usage,
        source: None,
    }
}

/// Cuts bytes into lines, which end with LF or CRLF.
#[derive(Default)]
struct Lines {
    buffer: Vec<u8>,
    /// What of the buffer has been handed out.
    taken: usize,
}

impl Lines {
    fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..std::mem::take(&mut self.taken));
        self.buffer.extend_from_slice(bytes);
    }

    fn next(&mut self) -> Option<Vec<u8>> {
        let rest = &self.buffer[self.taken..];
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let line = rest[..end].to_vec();
        self.taken += end + 1;
        Some(line)
    }

    fn unfinished(&self) -> usize {
        self.buffer.len() - self.taken
    }

    /// What no line end follows.
    fn rest(mut self) -> Vec<u8> {
        self.buffer.split_off(self.taken)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{anthropic::Anthropic, ollama::Ollama, openai::OpenAi};
    use super::*;

    #[test]
    fn what_a_model_thinks_is_no_text_and_pieces_are_joined() {
        let url = reqwest::Url::parse("http://h").unwrap();
        let pieces = json!([
            {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
            {"type": "text", "text": "b"},
            {"type": "text", "text": "c"},
        ]);
        let delta = |delta: Value| json!({"choices": [{"delta": delta}]});
        let block = |kind: &str, piece: Value| json!({"type": kind, "content_block": piece, "delta": piece});
        let said = |content: Value| json!({"message": {"content": content}});
        let wires: [(&dyn Wire, Vec<Value>); 3] = [
            (
                &OpenAi::at(&url),
                vec![
                    delta(json!({"content": null, "reasoning_content": "hm"})),
                    delta(json!({"content": "a"})),
                    delta(json!({"content": pieces})),
                ],
            ),
            (
                &Anthropic,
                vec![
                    block(
                        "content_block_start",
                        json!({"type": "thinking", "thinking": "hm"}),
                    ),
                    block(
                        "content_block_delta",
                        json!({"type": "thinking_delta", "thinking": "hm"}),
                    ),
                    block("content_block_start", json!({"type": "text", "text": "a"})),
                    block(
                        "content_block_delta",
                        json!({"type": "text_delta", "text": "bc"}),
                    ),
                ],
            ),
            (
                &Ollama,
                vec![
                    json!({"message": {"content": "", "thinking": "hm"}}),
                    said("a".into()),
                    said(pieces.clone()),
                ],
            ),
        ];
        for (wire, events) in wires {
            let mut partial = PartialCompletion::default();
            for event in events {
                wire.absorb(&mut partial, event).unwrap();
            }
            assert_eq!(partial.text, "abc");
        }
    }

    #[test]
    fn lines_are_whole_wherever_the_network_cuts() {
        let body = b"event: x\r\ndata: {\"a\": 1}\n\n{\"b\": 2}\ndata:[DONE]";
        for size in 1..body.len() {
            let mut lines = Lines::default();
            let mut seen = Vec::new();
            for chunk in body.chunks(size) {
                lines.push(chunk);
                while let Some(line) = lines.next() {
                    seen.extend(data(&line).map(<[u8]>::to_vec));
                }
            }
            seen.extend(data(&lines.rest()).map(<[u8]>::to_vec));
            assert_eq!(
                seen,
                [&b"{\"a\": 1}"[..], b"{\"b\": 2}", b"[DONE]"],
                "in pieces of {size}"
            );
        }
    }

    #[test]
    fn what_carries_nothing_is_passed_over() {
        for line in [
            "",
            "\r",
            "event: ping",
            ": a comment",
            "id: 7",
            "data:",
            "retry: 10",
        ] {
            assert_eq!(data(line.as_bytes()), None, "{line:?}");
        }
    }
}
