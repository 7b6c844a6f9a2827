//! The environment contract of an agent's pod, read into types. Pure: the caller hands in a
//! function that looks variables up. Says for each fault the variable and what to write instead;
//! never a value, which may be a secret.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use langop_dsl::{MAX_ITERATIONS, ScheduleErrorKind, parse_duration};
use reqwest::Url;
use serde::Deserialize;

use crate::due::DueDays;

/// Answers of models in one run where nobody says otherwise.
pub const DEFAULT_MAX_ITERATIONS: u32 = 25;
/// The port where nobody says otherwise.
const DEFAULT_PORT: u16 = 8088;
/// Context of the models where nobody says otherwise, in tokens.
const DEFAULT_CONTEXT_TOKENS: u32 = 128_000;
/// Most steps at once.
const MAX_PARALLEL: u8 = 4;

/// All that the environment says.
#[derive(Debug, Clone)]
pub struct Environment {
    /// `AGENT_NAME`.
    pub name: String,
    /// `AGENT_NAMESPACE`; empty outside Kubernetes.
    pub namespace: String,
    /// `AGENT_MODE` and `AGENT_SCHEDULE`.
    pub schedule: RunSchedule,
    /// `AGENT_SCHEDULE_ONLY`, of an agent that a CronJob starts.
    pub due_days: Option<DueDays>,
    /// `AGENT_MAX_ITERATIONS`.
    pub max_iterations: u32,
    /// `AGENT_TIMEOUT`.
    pub timeout: Option<Duration>,
    /// `AGENT_CODE_PATH`.
    pub code_path: Option<PathBuf>,
    /// `INSTRUCTIONS`.
    pub instructions: Option<String>,
    /// `WORKSPACE_PATH`.
    pub workspace: Option<PathBuf>,
    /// `MCP_SERVERS`, in their order.
    pub tools: Vec<Endpoint>,
    /// `MODEL_ENDPOINTS`, in their order.
    pub models: Vec<ModelEndpoint>,
    /// `PERSONA_*`.
    pub persona: Persona,
    /// `PORT`.
    pub port: u16,
    /// `TRACEPARENT` of whoever started this.
    pub traceparent: Option<String>,
    /// `LANGOP_SYNTHESIS_TRACEPARENT`: of the synthesis of the code.
    pub synthesis_traceparent: Option<String>,
    /// Settings of the runtime itself.
    pub settings: Settings,
}

/// `LANGOP_*`: what is not of the contract.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `LANGOP_AGENT_PARALLEL`: most steps at once, 1 to 4.
    pub parallel: u8,
    /// `LANGOP_AGENT_MAX_TOKENS`: most tokens of one run.
    pub max_tokens: Option<u64>,
    /// `LANGOP_AGENT_CONTEXT_TOKENS`: what a model can read at once.
    pub context_tokens: u32,
    /// `LANGOP_AGENT_SERVE`: what is served on `PORT` beside health and metrics.
    pub serve: BTreeSet<Served>,
    /// `LANGOP_TERMINATION_LOG`.
    pub termination_log: PathBuf,
    /// `LANGOP_LOG`: a level or directives.
    pub log: String,
}

/// What can be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Served {
    /// `/mcp`: the agent as a tool.
    Mcp,
    /// `/a2a` and its card: the agent as a peer that is given tasks.
    A2a,
    /// `/v1/chat/completions` and `/v1/models`: the agent as a model.
    Chat,
}

/// When runs happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunSchedule {
    /// One run, then exit. `by_job`: a Job's deadline began with the process.
    Once {
        /// Whether a Kubernetes Job keeps time.
        by_job: bool,
    },
    /// From start to start, staying.
    Every(Duration),
    /// Again and again, with pauses, staying.
    Continuous,
}

impl RunSchedule {
    /// Whether the process stays after a run.
    pub fn is_resident(self) -> bool {
        !matches!(self, Self::Once { .. })
    }
}

/// A tool server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Its name in `MCP_SERVERS`.
    pub name: String,
    /// Where it speaks MCP.
    pub url: Url,
}

/// A model behind its proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelEndpoint {
    /// Its name in `MODEL_ENDPOINTS`.
    pub name: String,
    /// Where chats are completed.
    pub url: Url,
    /// What to call it in requests.
    pub model: String,
}

/// Who the agent is; all empty without a persona.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Persona {
    /// `PERSONA_NAME`.
    pub name: Option<String>,
    /// `PERSONA_DISTILLED_PROMPT`, else `PERSONA_SYSTEM_PROMPT`.
    pub prompt: Option<String>,
    /// `PERSONA_TONE`.
    pub tone: Option<String>,
    /// `PERSONA_LANGUAGE`.
    pub language: Option<String>,
}

/// What is wrong with the environment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable} {problem}")]
pub struct EnvironmentError {
    /// The variable.
    pub variable: &'static str,
    /// What is wrong with it, and what to write.
    pub problem: String,
}

impl EnvironmentError {
    fn new(variable: &'static str, problem: impl Into<String>) -> Self {
        Self {
            variable,
            problem: problem.into(),
        }
    }
}

type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

impl Environment {
    /// Reads the environment; `lookup` gives a variable's value. An empty value is as good as none.
    pub fn read(lookup: Lookup<'_>) -> Result<Self, EnvironmentError> {
        let text = |name: &str| lookup(name).filter(|value| !value.trim().is_empty());
        let schedule = schedule(
            text("AGENT_MODE").as_deref(),
            text("AGENT_SCHEDULE").as_deref(),
        )?;
        let max_iterations = number("AGENT_MAX_ITERATIONS", &text, 1, u64::from(MAX_ITERATIONS))?;
        let port = number("PORT", &text, 1, u64::from(u16::MAX))?;
        Ok(Self {
            name: text("AGENT_NAME").unwrap_or_else(|| "agent".to_owned()),
            namespace: text("AGENT_NAMESPACE").unwrap_or_default(),
            schedule,
            due_days: due_days(schedule, &text)?,
            max_iterations: narrow(max_iterations).unwrap_or(DEFAULT_MAX_ITERATIONS),
            timeout: duration("AGENT_TIMEOUT", &text)?,
            code_path: text("AGENT_CODE_PATH").map(PathBuf::from),
            instructions: text("INSTRUCTIONS"),
            workspace: text("WORKSPACE_PATH").map(PathBuf::from),
            tools: tools(text("MCP_SERVERS"))?,
            models: models(text("MODEL_ENDPOINTS"))?,
            persona: Persona {
                name: text("PERSONA_NAME"),
                prompt: text("PERSONA_DISTILLED_PROMPT").or_else(|| text("PERSONA_SYSTEM_PROMPT")),
                tone: text("PERSONA_TONE"),
                language: text("PERSONA_LANGUAGE"),
            },
            port: narrow(port).unwrap_or(DEFAULT_PORT),
            traceparent: text("TRACEPARENT"),
            synthesis_traceparent: text("LANGOP_SYNTHESIS_TRACEPARENT"),
            settings: settings(&text)?,
        })
    }

    /// The name by which agents know each other.
    pub fn path_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

fn settings(text: Lookup<'_>) -> Result<Settings, EnvironmentError> {
    let parallel = number("LANGOP_AGENT_PARALLEL", text, 1, u64::from(MAX_PARALLEL))?;
    let context = number(
        "LANGOP_AGENT_CONTEXT_TOKENS",
        text,
        1_000,
        u64::from(u32::MAX),
    )?;
    Ok(Settings {
        parallel: narrow(parallel).unwrap_or(MAX_PARALLEL),
        max_tokens: number("LANGOP_AGENT_MAX_TOKENS", text, 1, u64::MAX)?,
        context_tokens: narrow(context).unwrap_or(DEFAULT_CONTEXT_TOKENS),
        serve: served(text("LANGOP_AGENT_SERVE"))?,
        termination_log: text("LANGOP_TERMINATION_LOG")
            .map_or_else(|| PathBuf::from("/dev/termination-log"), PathBuf::from),
        log: text("LANGOP_LOG").unwrap_or_else(|| "info".to_owned()),
    })
}

fn narrow<T: TryFrom<u64>>(number: Option<u64>) -> Option<T> {
    T::try_from(number?).ok()
}

fn served(text: Option<String>) -> Result<BTreeSet<Served>, EnvironmentError> {
    let text = text.unwrap_or_default();
    let words = text
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty());
    words
        .map(|word| match word {
            "mcp" => Ok(Served::Mcp),
            "a2a" => Ok(Served::A2a),
            "chat" => Ok(Served::Chat),
            _ => Err(EnvironmentError::new(
                "LANGOP_AGENT_SERVE",
                "names something that cannot be served: write mcp, a2a or chat, several with commas between them, or leave it out",
            )),
        })
        .collect()
}

fn number(
    variable: &'static str,
    text: Lookup<'_>,
    least: u64,
    most: u64,
) -> Result<Option<u64>, EnvironmentError> {
    let Some(value) = text(variable) else {
        return Ok(None);
    };
    match value.trim().parse::<u64>() {
        Ok(number) if (least..=most).contains(&number) => Ok(Some(number)),
        _ => Err(EnvironmentError::new(
            variable,
            format!("is no whole number from {least} to {most}"),
        )),
    }
}

fn duration(
    variable: &'static str,
    text: Lookup<'_>,
) -> Result<Option<Duration>, EnvironmentError> {
    let parse = |value: String| {
        parse_duration(value.trim())
            .map(Duration::from_secs)
            .map_err(|error| EnvironmentError::new(variable, format!("is wrong: {error}")))
    };
    text(variable).map(parse).transpose()
}

fn schedule(mode: Option<&str>, schedule: Option<&str>) -> Result<RunSchedule, EnvironmentError> {
    match (mode.map(str::trim), schedule) {
        (None, _) => Ok(RunSchedule::Once { by_job: false }),
        (Some("autonomous"), _) => Ok(RunSchedule::Continuous),
        (Some("scheduled"), None) => Ok(RunSchedule::Once { by_job: true }),
        (Some("scheduled"), Some(schedule)) => match schedule.trim().strip_prefix("every ") {
            None => Ok(RunSchedule::Once { by_job: true }),
            Some(every) => parse_duration(every.trim())
                .map(|seconds| RunSchedule::Every(Duration::from_secs(seconds)))
                .map_err(|error| {
                    EnvironmentError::new("AGENT_SCHEDULE", format!("is wrong: {error}"))
                }),
        },
        (Some(_), _) => Err(EnvironmentError::new(
            "AGENT_MODE",
            "is unknown: write autonomous or scheduled, or leave it out for one run",
        )),
    }
}

/// The days on which a run has something to do. Whoever stays keeps time by a distance, and has no
/// days.
fn due_days(schedule: RunSchedule, text: Lookup<'_>) -> Result<Option<DueDays>, EnvironmentError> {
    let variable = "AGENT_SCHEDULE_ONLY";
    let Some(only) = text(variable).filter(|_| schedule == RunSchedule::Once { by_job: true })
    else {
        return Ok(None);
    };
    let (cron, zone) = (text("AGENT_SCHEDULE"), text("AGENT_TIME_ZONE"));
    DueDays::new(only.trim(), cron.as_deref().map(str::trim), zone.as_deref())
        .map(Some)
        .map_err(|error| {
            let variable = match error.kind() {
                ScheduleErrorKind::TimeZone => "AGENT_TIME_ZONE",
                ScheduleErrorKind::Calendar => variable,
                _ => "AGENT_SCHEDULE",
            };
            EnvironmentError::new(variable, format!("is wrong: {error}"))
        })
}

#[derive(Deserialize)]
struct NamedUrl {
    name: String,
    url: String,
    #[serde(default)]
    model: Option<String>,
}

const SERVERS: &str = "MCP_SERVERS";
const MODELS: &str = "MODEL_ENDPOINTS";

fn tools(json: Option<String>) -> Result<Vec<Endpoint>, EnvironmentError> {
    let endpoint = |named: NamedUrl| {
        let mut url = url(SERVERS, &named)?;
        if matches!(url.path(), "" | "/") {
            url.set_path("/mcp");
        }
        Ok(Endpoint {
            name: named.name,
            url,
        })
    };
    list(SERVERS, json)?.into_iter().map(endpoint).collect()
}

fn models(json: Option<String>) -> Result<Vec<ModelEndpoint>, EnvironmentError> {
    let endpoint = |named: NamedUrl| {
        let mut url = url(MODELS, &named)?;
        let base = url.path().trim_end_matches('/').to_owned();
        let version = if base.ends_with("/v1") { "" } else { "/v1" };
        url.set_path(&format!("{base}{version}/chat/completions"));
        Ok(ModelEndpoint {
            model: named.model.unwrap_or_else(|| named.name.clone()),
            name: named.name,
            url,
        })
    };
    list(MODELS, json)?.into_iter().map(endpoint).collect()
}

fn list(variable: &'static str, json: Option<String>) -> Result<Vec<NamedUrl>, EnvironmentError> {
    let Some(json) = json else {
        return Ok(Vec::new());
    };
    let all: Vec<NamedUrl> = serde_json::from_str(&json).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        EnvironmentError::new(
            variable,
            format!("is not what it should be at {place}: write for example [{{\"name\":\"a\",\"url\":\"http://a:8080\"}}]"),
        )
    })?;
    let mut names = BTreeSet::new();
    for named in &all {
        if named.name.trim().is_empty() {
            return Err(EnvironmentError::new(
                variable,
                "holds an entry without a name",
            ));
        }
        if !names.insert(&named.name) {
            let problem = format!("names '{}' twice: give each its own name", named.name);
            return Err(EnvironmentError::new(variable, problem));
        }
    }
    Ok(all)
}

fn url(variable: &'static str, named: &NamedUrl) -> Result<Url, EnvironmentError> {
    match Url::parse(&named.url) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(url),
        _ => Err(EnvironmentError::new(
            variable,
            format!(
                "gives '{}' a url that is none: write http:// or https:// and a host",
                named.name
            ),
        )),
    }
}

#[cfg(test)]
mod tests;
