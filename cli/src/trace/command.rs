//! Reads what is known of an agent's traces, and has a backend asked for the rest.

use std::{fmt::Write as _, str::FromStr as _};

use clap::Args;
use http::{HeaderName, HeaderValue, Uri};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{api::ListParams, core::ApiResource};
use langop_api::{LanguageAgent, names::labels};

use super::{
    backend::Backend,
    known::{Known, Trace, known},
    text,
};
use crate::{
    answer::Answer,
    code::command::unreadable,
    facts::{Read, decode},
    failure::{Exit, Failure},
    kind::{Kind, Target},
    ui::format::{Output, agent_names, structured},
    world::World,
};

/// What a link has where the id belongs.
const TRACE_ID: &str = "{traceId}";

/// What `trace` takes.
#[derive(Clone, Debug, Args)]
pub(crate) struct TraceArgs {
    /// The agent: KIND/NAME or NAME
    #[arg(value_name = "KIND/NAME")]
    pub(crate) target: Target,
    /// Where people look at a trace: a URL with {traceId} in it
    #[arg(long, env = "LANGOP_TRACE_LINK", value_name = "URL", value_parser = link)]
    pub(crate) link: Option<String>,
    /// A Tempo or Jaeger to ask for the spans: the URL below which it has /api/traces
    #[arg(long, env = "LANGOP_TRACE_BACKEND", value_name = "URL", value_parser = base)]
    pub(crate) backend: Option<Uri>,
    /// A header for it, such as 'X-Scope-OrgID: team'; several by repeating the flag, or with
    /// commas in the variable
    #[arg(
        long = "header",
        env = "LANGOP_TRACE_HEADERS",
        hide_env_values = true,
        value_delimiter = ',',
        value_name = "NAME: VALUE",
        value_parser = header
    )]
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// What the answer looks like
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: Output,
}

/// Reads and shows.
pub(crate) async fn run(world: &World, args: &TraceArgs) -> Result<Answer, Failure> {
    let name = agent(&args.target)?;
    let object = world.get(Kind::Agent, name).await?;
    let agent: LanguageAgent = decode(&object).map_err(|why| unreadable(name, &why))?;
    let ours = ListParams::default().labels(&format!("{}={name}", labels::AGENT));
    let pods = ApiResource::erase::<Pod>(&());
    let pods = world.select(&pods, false, &ours).await?;
    let all = pods.got().into_iter().flatten();
    let all: Vec<Pod> = all.filter_map(|pod| decode(pod).ok()).collect();
    let mut known = known(&agent, &all);
    let failure = complete(&mut known, args).await.err();
    if args.output == Output::Name {
        return Ok(Answer::fine(agent_names(std::iter::once(name))));
    }
    let now = Timestamp::now();
    let structured = structured(args.output, &known)?;
    let mut answer = Answer::fine(structured.unwrap_or_else(|| text::render(&known, now)));
    answer.notes = text::notes(&known, name, args.backend.is_some(), now);
    if let Read::Denied(said) = pods {
        let notes = &mut answer.notes;
        let _ = writeln!(
            notes,
            "note: you may not list pods, which know of runs: {said}"
        );
    }
    if let Some(failure) = failure {
        answer.notes += &failure.render();
        answer.exit = Exit::Failed;
    }
    Ok(answer)
}

/// Only agents are synthesized and run.
fn agent(target: &Target) -> Result<&str, Failure> {
    let Target { kind, name } = target;
    if *kind == Kind::Agent {
        return Ok(name);
    }
    let word = kind.word();
    Err(Failure::told(
        format!("{word} '{name}' has no traces of its own: it is a part of those of agents"),
        format!("name an agent that uses this {word}; `kubectl langop get` lists them"),
    ))
}

/// Adds links, and what the backend has. What is known stays so if it fails.
async fn complete(known: &mut Known, args: &TraceArgs) -> Result<(), Failure> {
    let synthesis = known
        .synthesis
        .as_mut()
        .map(|synthesis| &mut synthesis.trace);
    let run = known.run.as_mut().map(|run| &mut run.trace);
    let mut traces: Vec<&mut Trace> = synthesis.into_iter().chain(run).collect();
    for trace in &mut traces {
        let link = args.link.as_ref().zip(trace.id.as_ref());
        trace.link = link.map(|(link, id)| link.replace(TRACE_ID, id));
    }
    let Some(base) = args.backend.clone() else {
        return Ok(());
    };
    let backend = Backend {
        base,
        headers: args.headers.clone(),
    };
    let mut missing = Vec::new();
    for trace in traces {
        let Some(id) = &trace.id else { continue };
        let spans = backend.spans(id).await?;
        if spans.is_empty() {
            missing.push(id.clone());
        } else {
            trace.spans = spans;
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    Err(Failure::told(
        format!("{} has no trace {}", backend.base, missing.join(" and ")),
        "spans arrive some seconds after their end, and backends forget; see that the collector sends them there",
    ))
}

fn link(text: &str) -> Result<String, String> {
    if text.contains(TRACE_ID) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "it is the same for each trace; write {TRACE_ID} where the id belongs, for example https://jaeger.example/trace/{TRACE_ID}"
    ))
}

fn base(text: &str) -> Result<Uri, String> {
    let uri = Uri::from_str(text).ok().filter(|_| !text.contains('@'));
    uri.filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.query().is_none())
        .ok_or_else(|| {
            "write a URL without parameters and credentials, for example http://localhost:3200"
                .to_owned()
        })
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let pair = text.split_once(':').and_then(|(name, value)| {
        let name = HeaderName::from_str(name.trim()).ok()?;
        let mut value = HeaderValue::from_str(value.trim()).ok()?;
        value.set_sensitive(true);
        Some((name, value))
    });
    pair.ok_or_else(|| "write NAME: VALUE, for example X-Scope-OrgID: team".to_owned())
}
