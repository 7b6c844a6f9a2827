//! Spans as backends answer them, in the order of a tree. Tempo answers with OTLP's JSON, Jaeger
//! with its own; both at `/api/traces/ID`. Lenient: what a span lacks is not known.

use std::collections::{BTreeMap, BTreeSet};

use langop_dsl::clean;
use serde::Serialize;
use serde_json::Value;

/// A span, as it is shown.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Span {
    /// How many others it is below of.
    pub(crate) depth: usize,
    pub(crate) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) service: Option<String>,
    /// From the beginning of the trace to its own, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) after_milliseconds: Option<f64>,
    /// How long it took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) milliseconds: Option<f64>,
    pub(crate) is_error: bool,
}

/// A span, as it was answered.
struct Answered {
    id: String,
    /// Empty: none.
    parent: String,
    /// In milliseconds since 1970.
    start: Option<f64>,
    span: Span,
}

/// The spans of an answer, each behind the one that caused it; `None` if it is no answer of a
/// backend that is known.
pub(crate) fn read(answer: &Value) -> Option<Vec<Span>> {
    let otlp = [
        &answer["batches"],
        &answer["resourceSpans"],
        &answer["trace"]["resourceSpans"],
        &answer["trace"]["batches"],
    ];
    let found = otlp
        .into_iter()
        .find_map(Value::as_array)
        .map(|batches| of_otlp(batches));
    let found = found.or_else(|| Some(of_jaeger(answer["data"].as_array()?)));
    // A Tempo that has nothing may say so by an empty object.
    let nothing = answer.as_object().is_some_and(|fields| {
        fields.is_empty()
            || fields
                .get("trace")
                .is_some_and(|trace| trace == &Value::Object(serde_json::Map::new()))
    });
    found.or_else(|| nothing.then(Vec::new)).map(in_order)
}

fn of_otlp(batches: &[Value]) -> Vec<Answered> {
    let mut spans = Vec::new();
    for batch in batches {
        let service = attribute(&batch["resource"]["attributes"], "service.name");
        let service = service
            .and_then(|value| value["stringValue"].as_str())
            .map(clean);
        let scopes = batch["scopeSpans"].as_array().into_iter().flatten();
        let all = scopes
            .filter_map(|scope| scope["spans"].as_array())
            .flatten();
        spans.extend(all.map(|span| one_of_otlp(span, service.clone())));
    }
    spans
}

fn one_of_otlp(span: &Value, service: Option<String>) -> Answered {
    let time = |key: &str| number(&span[key]).map(|nanoseconds| nanoseconds / 1e6);
    let (start, end) = (time("startTimeUnixNano"), time("endTimeUnixNano"));
    let code = &span["status"]["code"];
    Answered {
        id: text(&span["spanId"]),
        parent: text(&span["parentSpanId"]),
        start,
        span: Span {
            name: clean(&text(&span["name"])),
            service,
            milliseconds: start
                .zip(end)
                .map(|(start, end)| rounded((end - start).max(0.0))),
            is_error: code == "STATUS_CODE_ERROR" || code == 2,
            ..Span::default()
        },
    }
}

fn of_jaeger(traces: &[Value]) -> Vec<Answered> {
    let mut spans = Vec::new();
    for trace in traces {
        let all = trace["spans"].as_array().into_iter().flatten();
        spans.extend(all.map(|span| one_of_jaeger(span, &trace["processes"])));
    }
    spans
}

fn one_of_jaeger(span: &Value, processes: &Value) -> Answered {
    let process = &processes[span["processID"].as_str().unwrap_or_default()];
    let references = span["references"].as_array().into_iter().flatten();
    let mut parents = references.filter(|other| other["refType"] == "CHILD_OF");
    let error = attribute(&span["tags"], "error");
    Answered {
        id: text(&span["spanID"]),
        parent: parents
            .next()
            .map(|parent| text(&parent["spanID"]))
            .unwrap_or_default(),
        start: number(&span["startTime"]).map(|microseconds| microseconds / 1e3),
        span: Span {
            name: clean(&text(&span["operationName"])),
            service: process["serviceName"].as_str().map(clean),
            milliseconds: number(&span["duration"]).map(|microseconds| microseconds / 1e3),
            is_error: error.is_some_and(|error| *error == true || *error == "true"),
            ..Span::default()
        },
    }
}

/// Both have lists of `{key, value}`.
fn attribute<'a>(list: &'a Value, key: &str) -> Option<&'a Value> {
    let mut pairs = list.as_array()?.iter();
    let pair = pairs.find(|pair| pair["key"] == key)?;
    Some(&pair["value"])
}

/// A number, or one in a text, as JSON has those of 64 bits.
fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.parse().ok())
}

/// To microseconds: a time since 1970 has no finer ones left.
fn rounded(milliseconds: f64) -> f64 {
    (milliseconds * 1e3).round() / 1e3
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Those whose parent is not there first, each followed by what it caused, by start.
fn in_order(mut spans: Vec<Answered>) -> Vec<Span> {
    spans.sort_by(|a, b| {
        a.start
            .partial_cmp(&b.start)
            .unwrap_or(std::cmp::Ordering::Equal)
    });
    let begin = spans.iter().find_map(|span| span.start);
    let mut ids = BTreeSet::new();
    // A span may be delivered twice, and one without an id is in no tree.
    spans.retain(|span| !span.id.is_empty() && ids.insert(span.id.clone()));
    let mut children: BTreeMap<Option<&str>, Vec<usize>> = BTreeMap::new();
    for (at, span) in spans.iter().enumerate().rev() {
        let is_there = ids.contains(&span.parent) && span.parent != span.id;
        let parent = is_there.then_some(span.parent.as_str());
        children.entry(parent).or_default().push(at);
    }
    let mut ordered = Vec::new();
    let mut open: Vec<(usize, usize)> = Vec::new();
    let below = |parent: Option<&str>, depth: usize| {
        let found = children.get(&parent).into_iter().flatten();
        found.map(move |at| (*at, depth)).collect::<Vec<_>>()
    };
    open.extend(below(None, 0));
    while let Some((at, depth)) = open.pop() {
        let Answered {
            id, start, span, ..
        } = &spans[at];
        ordered.push(Span {
            depth,
            after_milliseconds: start
                .zip(begin)
                .map(|(start, begin)| rounded(start - begin)),
            ..span.clone()
        });
        open.extend(below(Some(id), depth + 1));
    }
    ordered
}
