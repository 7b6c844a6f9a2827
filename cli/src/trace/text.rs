//! Traces for people.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::{
    known::{Known, Run, Synthesis, Trace},
    spans::Span,
};
use crate::ui::{
    table::{Cell, Table},
    time,
    tone::Tone,
};

/// Both, as far as they are known.
pub(crate) fn render(known: &Known, now: Timestamp) -> String {
    let mut parts = Vec::new();
    if let Some(synthesis) = &known.synthesis {
        parts.push(part(&of_synthesis(synthesis, now), &synthesis.trace));
    }
    if let Some(run) = &known.run {
        parts.push(part(&of_run(run, now), &run.trace));
    }
    parts.join("\n")
}

fn part(title: &str, trace: &Trace) -> String {
    let mut text = format!("{}\n", Tone::Strong.paint(title));
    let _ = writeln!(text, "  trace  {}", trace.id.as_deref().unwrap_or("-"));
    if let Some(link) = &trace.link {
        let _ = writeln!(text, "  link   {link}");
    }
    if !trace.spans.is_empty() {
        let _ = write!(text, "\n{}", tree(&trace.spans));
    }
    text
}

/// `Synthesis of revision 2 by claude-sonnet-4-5, 2d ago, took 2.4s`.
fn of_synthesis(synthesis: &Synthesis, now: Timestamp) -> String {
    let Synthesis {
        revision,
        model,
        ended,
        took,
        ..
    } = synthesis;
    let mut title = "Synthesis".to_owned();
    if let Some(revision) = revision {
        let _ = write!(title, " of revision {revision}");
    }
    if let Some(model) = model {
        let _ = write!(title, " by {model}");
    }
    if let Some(ended) = ended {
        let _ = write!(title, ", {}", time::ago(*ended, now));
    }
    if let Some(took) = took {
        let _ = write!(title, ", took {took}");
    }
    title
}

/// `Run of pod a-1-x, failed 5m ago, took 5.3s, 7 model answers, 4 tool calls: disk full`.
fn of_run(run: &Run, now: Timestamp) -> String {
    let mut title = match &run.pod {
        Some(pod) => format!("Run of pod {pod}"),
        None => "Run of a pod that is gone".to_owned(),
    };
    let _ = write!(title, ", {}", run.outcome.as_deref().unwrap_or("ended"));
    if let Some(ended) = run.ended {
        let _ = write!(title, " {}", time::ago(ended, now));
    }
    if let Some(taken) = run.milliseconds {
        let _ = write!(
            title,
            ", took {}",
            duration(super::known::milliseconds(taken))
        );
    }
    for (count, what) in [
        (run.iterations, "model answer"),
        (run.tool_calls, "tool call"),
    ] {
        if let Some(count) = count {
            let plural = if count == 1 { "" } else { "s" };
            let _ = write!(title, ", {count} {what}{plural}");
        }
    }
    if let Some(says) = &run.says {
        let _ = write!(title, ": {says}");
    }
    title
}

fn tree(spans: &[Span]) -> String {
    let mut table = Table::new(&["SPAN", "SERVICE", "AFTER", "TOOK"]);
    for span in spans {
        let name = format!("{}{}", "  ".repeat(span.depth), span.name);
        let (name, tone) = if span.is_error {
            (format!("{name} (error)"), Tone::Bad)
        } else {
            (name, Tone::Plain)
        };
        table.push(vec![
            Cell::new(name).toned(tone),
            Cell::known(span.service.as_deref()),
            Cell::number(span.after_milliseconds.map(duration)),
            Cell::number(span.milliseconds.map(duration)),
        ]);
    }
    table.render()
}

/// `0.4ms`, `320ms`, `5.3s`.
fn duration(milliseconds: f64) -> String {
    match milliseconds {
        ..10.0 => format!("{milliseconds:.1}ms"),
        10.0..1000.0 => format!("{milliseconds:.0}ms"),
        _ => format!("{:.1}s", milliseconds / 1e3),
    }
}

/// What is not shown, and how to get it.
pub(crate) fn notes(known: &Known, agent: &str, is_asked: bool, now: Timestamp) -> String {
    let mut notes = String::new();
    let mut note = |text: &str| notes.extend(["note: ", text, "\n"]);
    let (synthesis, run) = (known.synthesis.as_ref(), known.run.as_ref());
    match synthesis.map(|synthesis| synthesis.failed_since) {
        None => note(&format!(
            "no code was synthesized; `kubectl langop why {agent}` says how it stands"
        )),
        Some(Some(failed)) => note(&format!(
            "an attempt that failed {} left no trace id; its span is the last `create_agent {agent}`",
            time::ago(failed, now)
        )),
        Some(None) => {}
    }
    if run.is_none() {
        note("no run has ended yet");
    }
    let traces = [
        synthesis.map(|synthesis| &synthesis.trace),
        run.map(|run| &run.trace),
    ];
    let traces: Vec<&Trace> = traces.into_iter().flatten().collect();
    if traces.iter().any(|trace| trace.id.is_some()) {
        if !is_asked {
            note(
                "all spans are where the collector sends them: name that Tempo or Jaeger by --backend to see them here",
            );
        }
    } else if !traces.is_empty() {
        note(
            "no trace id is known: programs send traces where `telemetry.endpoint` of the chart names a collector, agents where the operator's LANGOP_AGENT_OTLP_ENDPOINT does",
        );
    }
    notes
}
