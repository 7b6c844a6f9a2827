//! What agent code says once checked: names resolved, schedules parsed. The operator trusts this
//! and never the code.
//!
//! JSON is camelCase and stable, because it is stored as `definition.json` and hashed. Types only;
//! no checking of code.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::schedule::Calendar;

/// Largest `max_iterations` accepted.
pub const MAX_ITERATIONS: u32 = 10_000;

/// The key of the JSON object that stands for a step's result: `{"$result": "STEP"}`. No literal
/// object may use it.
pub const RESULT_KEY: &str = "$result";

/// The key of the JSON object that stands for the item of a step that runs once per item:
/// `{"$item": true}`. No literal object may use it.
pub const ITEM_KEY: &str = "$item";

/// Most items that a step runs for, whatever its list holds.
pub const MAX_ITEMS: usize = 100;

/// One agent, checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentDefinition {
    /// The agent's name, of the pattern of [`crate::agent_name`].
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The mode the code names; see [`AgentDefinition::effective_mode`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// When it runs; absent: continuously.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// What it should achieve, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub objectives: Vec<String>,
    /// What it does, in textual order; the order in which steps without dependency run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
    /// Bounds it sets itself.
    #[serde(default)]
    pub constraints: Constraints,
}

impl AgentDefinition {
    /// The mode the code asks for: the one it names, else scheduled if it has a schedule, else
    /// autonomous.
    pub fn effective_mode(&self) -> Mode {
        self.mode.unwrap_or(if self.schedule.is_some() {
            Mode::Scheduled
        } else {
            Mode::Autonomous
        })
    }

    /// The resolved names of the tools it uses, sorted.
    pub fn tools(&self) -> BTreeSet<String> {
        self.steps
            .iter()
            .filter_map(|step| step.action.tool())
            .map(str::to_owned)
            .collect()
    }

    /// The resolved names of the models it asks by name, sorted.
    pub fn models(&self) -> BTreeSet<String> {
        self.steps
            .iter()
            .filter_map(|step| step.action.model())
            .map(str::to_owned)
            .collect()
    }
}

/// How an agent runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Continuously.
    Autonomous,
    /// At the times of its schedule.
    Scheduled,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Autonomous => "autonomous",
            Self::Scheduled => "scheduled",
        })
    }
}

/// A word that names no [`Mode`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown mode; write `autonomous` or `scheduled`")]
pub struct UnknownMode;

impl FromStr for Mode {
    type Err = UnknownMode;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "autonomous" => Ok(Self::Autonomous),
            "scheduled" => Ok(Self::Scheduled),
            _ => Err(UnknownMode),
        }
    }
}

/// When an agent runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Schedule {
    /// At the times of one or several cron expressions, see [`crate::CronSchedule`].
    Cron {
        /// Five fields: minute, hour, day of month, month, day of week 0-6.
        expression: String,
        /// Further expressions, at most [`crate::MAX_CRONS`] with the first. A field of its own,
        /// so that whoever knows only one expression still reads the first.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        also: Vec<String>,
        /// IANA name; absent: the cluster's zone, UTC unless its administrator says otherwise.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        time_zone: Option<String>,
        /// The days on which a run has something to do, in that zone; absent: all on which an
        /// expression fires. On the others a run ends at once.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        only: Option<Calendar>,
    },
    /// At a fixed distance.
    Every {
        /// Seconds from one run to the next, 1 to [`crate::MAX_DURATION_SECONDS`].
        seconds: u64,
    },
}

/// One step of the workflow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// Unique in the agent.
    pub name: String,
    /// Names of the steps that come before it, as written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<String>,
    /// The condition in words under which it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only_if: Option<String>,
    /// The step, one that this one depends on, whose result is a list: the step runs once for each
    /// of its items, at most [`MAX_ITEMS`]. Absent: it runs once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub each: Option<String>,
    /// The one thing it does.
    pub action: Action,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Action {
    /// Calls a tool.
    UseTool {
        /// The resolved name, as offered.
        tool: String,
        /// The operation, as offered; absent only where the tool does not tell its operations, and
        /// then it is the tool's only one. With `tool` it is all that a runtime may call for this
        /// step.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        action: Option<String>,
        /// The operation's parameters.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        params: BTreeMap<String, Value>,
    },
    /// Asks a model.
    Ask {
        /// The question: [`Value::String`], [`Value::Result`] or [`Value::Item`], nothing else.
        prompt: Value,
        /// The resolved name, as offered; absent: the agent's first model.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        model: Option<String>,
    },
}

impl Action {
    fn tool(&self) -> Option<&str> {
        match self {
            Self::UseTool { tool, .. } => Some(tool),
            Self::Ask { .. } => None,
        }
    }

    fn model(&self) -> Option<&str> {
        match self {
            Self::Ask { model, .. } => model.as_deref(),
            Self::UseTool { .. } => None,
        }
    }
}

/// A literal, the result of an earlier step, or the item that a step runs for.
///
/// JSON: a literal is itself, a result is `{"$result": "STEP"}`, the item `{"$item": true}`. That
/// is unambiguous because no literal object may have the key [`RESULT_KEY`] or [`ITEM_KEY`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "serde_json::Value", try_from = "serde_json::Value")]
pub enum Value {
    /// `nil`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A 64-bit signed integer, or a float below 10^15 of at most 15 digits, which JSON keeps
    /// exactly.
    Number(serde_json::Number),
    /// A string without NUL.
    String(String),
    /// An array.
    Array(Vec<Self>),
    /// A hash; keys are strings.
    Object(BTreeMap<String, Self>),
    /// What the named step gave.
    Result {
        /// A step that this one depends on, directly or not.
        step: String,
    },
    /// The item, in a step with `each`.
    Item,
}

/// Why JSON is no [`Value`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// The key is reserved.
    #[error(
        "an object with the key `{RESULT_KEY}` must hold only it, and a step's name; one with the key `{ITEM_KEY}` only it, and true"
    )]
    Reserved,
}

impl From<Value> for serde_json::Value {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(value),
            Value::Number(value) => Self::Number(value),
            Value::String(value) => Self::String(value),
            Value::Array(items) => Self::Array(items.into_iter().map(Self::from).collect()),
            Value::Object(entries) => Self::Object(
                entries
                    .into_iter()
                    .map(|(key, value)| (key, Self::from(value)))
                    .collect(),
            ),
            Value::Result { step } => Self::Object(
                [(RESULT_KEY.to_owned(), Self::String(step))]
                    .into_iter()
                    .collect(),
            ),
            Value::Item => Self::Object(
                [(ITEM_KEY.to_owned(), Self::Bool(true))]
                    .into_iter()
                    .collect(),
            ),
        }
    }
}

impl TryFrom<serde_json::Value> for Value {
    type Error = ValueError;

    fn try_from(json: serde_json::Value) -> Result<Self, Self::Error> {
        use serde_json::Value as Json;
        Ok(match json {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(value),
            Json::Number(value) => Self::Number(value),
            Json::String(value) => Self::String(value),
            Json::Array(items) => Self::Array(
                items
                    .into_iter()
                    .map(Self::try_from)
                    .collect::<Result<_, _>>()?,
            ),
            Json::Object(entries) if is_reference(&entries) => referred(&entries)?,
            Json::Object(entries) => Self::Object(
                entries
                    .into_iter()
                    .map(|(key, value)| Ok((key, Self::try_from(value)?)))
                    .collect::<Result<_, ValueError>>()?,
            ),
        })
    }
}

fn is_reference(entries: &serde_json::Map<String, serde_json::Value>) -> bool {
    entries.contains_key(RESULT_KEY) || entries.contains_key(ITEM_KEY)
}

fn referred(entries: &serde_json::Map<String, serde_json::Value>) -> Result<Value, ValueError> {
    match (
        entries.len(),
        entries.get(RESULT_KEY),
        entries.get(ITEM_KEY),
    ) {
        (1, Some(serde_json::Value::String(step)), _) => Ok(Value::Result { step: step.clone() }),
        (1, _, Some(serde_json::Value::Bool(true))) => Ok(Value::Item),
        _ => Err(ValueError::Reserved),
    }
}

/// Bounds an agent sets itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Constraints {
    /// Most rounds of thinking in one run, 1 to [`MAX_ITERATIONS`]; absent: the runtime's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_iterations: Option<u32>,
    /// Longest time of one run in seconds, 1 to [`crate::MAX_DURATION_SECONDS`]; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn step(name: &str, action: Action) -> Step {
        Step {
            name: name.to_owned(),
            depends_on: vec![],
            only_if: None,
            each: None,
            action,
        }
    }

    #[test]
    fn json_is_camel_case_and_round_trips() {
        let use_tool = Action::UseTool {
            tool: "email-tool".to_owned(),
            action: Some("send".to_owned()),
            params: [(
                "body".to_owned(),
                Value::Result {
                    step: "Judge".to_owned(),
                },
            )]
            .into(),
        };
        let ask = Action::Ask {
            prompt: Value::String("Why?".to_owned()),
            model: Some("claude".to_owned()),
        };
        let definition = AgentDefinition {
            name: "a".to_owned(),
            description: None,
            mode: Some(Mode::Scheduled),
            schedule: Some(Schedule::Cron {
                expression: "0 9 * * *".to_owned(),
                also: vec!["30 12 * * *".to_owned()],
                time_zone: Some("UTC".to_owned()),
                only: Some(Calendar::LastDayOfMonth),
            }),
            objectives: vec![],
            steps: vec![step("Judge", ask), step("Send", use_tool)],
            constraints: Constraints {
                max_iterations: Some(3),
                timeout_seconds: None,
            },
        };
        let json = json!({
            "name": "a", "mode": "scheduled",
            "schedule": {"cron": {"expression": "0 9 * * *", "also": ["30 12 * * *"],
                "timeZone": "UTC", "only": "last day of month"}},
            "steps": [
                {"name": "Judge", "action": {"ask": {"prompt": "Why?", "model": "claude"}}},
                {"name": "Send", "action": {"useTool": {"tool": "email-tool", "action": "send",
                    "params": {"body": {"$result": "Judge"}}}}},
            ],
            "constraints": {"maxIterations": 3},
        });
        assert_eq!(serde_json::to_value(&definition).unwrap(), json);
        assert_eq!(
            serde_json::from_value::<AgentDefinition>(json).unwrap(),
            definition
        );
        assert_eq!(definition.tools(), ["email-tool".to_owned()].into());
        assert_eq!(definition.models(), ["claude".to_owned()].into());
    }

    #[test]
    fn the_result_key_is_reserved() {
        for bad in [
            json!({"$result": 1}),
            json!({"$result": "a", "b": 1}),
            json!({"$item": false}),
            json!({"$item": true, "b": 1}),
            json!({"$item": true, "$result": "a"}),
            json!([{"$result": null}]),
        ] {
            assert_eq!(
                Value::try_from(bad.clone()),
                Err(ValueError::Reserved),
                "{bad}"
            );
        }
    }

    #[test]
    fn mode_follows_the_schedule_unless_named() {
        let base = json!({"name": "a"});
        let mut definition: AgentDefinition = serde_json::from_value(base).unwrap();
        assert_eq!(definition.effective_mode(), Mode::Autonomous);
        definition.schedule = Some(Schedule::Every { seconds: 60 });
        assert_eq!(definition.effective_mode(), Mode::Scheduled);
        assert_eq!(Mode::Scheduled.to_string().parse(), Ok(Mode::Scheduled));
        assert_eq!("Scheduled".parse::<Mode>(), Err(UnknownMode));
    }
}
