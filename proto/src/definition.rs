//! The checked definition, between the wire and the language crate. Structure only: what arrives
//! must be a definition that the language can say, but whether its schedule fires is for whoever
//! has a clock.

use std::collections::BTreeMap;

use langop_dsl::{
    Action, AgentDefinition, Calendar, Constraints, MAX_CRONS, Mode, NameError, Schedule,
    ScheduleError, Step, Value, ValueError, agent_name,
};

use crate::v1;

/// Why a message is no definition.
#[derive(Debug, thiserror::Error)]
pub enum DefinitionError {
    /// `name` is illegal.
    #[error("the definition's name is illegal")]
    Name(#[source] NameError),
    /// A field that must be set is not.
    #[error("the definition lacks `{0}`")]
    Missing(&'static str),
    /// An enum value this version does not know.
    #[error("the definition's mode {0} is unknown")]
    UnknownMode(i32),
    /// A duration that is not a whole, positive number of seconds.
    #[error("the definition's `{0}` is not a positive number of whole seconds")]
    Duration(&'static str),
    /// More cron expressions than an agent may have.
    #[error("the definition's schedule has more than {MAX_CRONS} cron expressions")]
    TooManyCrons,
    /// Days that the language cannot say.
    #[error("the definition's `only` is outside the agent language")]
    Only(#[source] ScheduleError),
    /// Text that should be JSON is not, or not the kind needed.
    #[error("the definition's `{field}` is not valid JSON")]
    Json {
        /// Which field.
        field: &'static str,
        /// What the JSON parser said.
        #[source]
        source: serde_json::Error,
    },
    /// JSON that is no value of the language.
    #[error("the definition's `{field}` has a value outside the agent language")]
    Value {
        /// Which field.
        field: &'static str,
        /// Which rule it breaks.
        #[source]
        source: ValueError,
    },
    /// A question that is neither text nor a result nor the item.
    #[error("the definition's `prompt_json` is neither a string nor a step's result nor the item")]
    Prompt,
}

impl From<AgentDefinition> for v1::AgentDefinition {
    fn from(definition: AgentDefinition) -> Self {
        let AgentDefinition {
            name,
            description,
            mode,
            schedule,
            objectives,
            steps,
            constraints,
        } = definition;
        Self {
            name,
            description: description.unwrap_or_default(),
            mode: mode_to_wire(mode).into(),
            schedule: schedule.map(v1::Schedule::from),
            objectives,
            steps: steps.into_iter().map(v1::Step::from).collect(),
            constraints: constraints_to_wire(&constraints),
        }
    }
}

fn mode_to_wire(mode: Option<Mode>) -> v1::AgentMode {
    match mode {
        None => v1::AgentMode::Unspecified,
        Some(Mode::Autonomous) => v1::AgentMode::Autonomous,
        Some(Mode::Scheduled) => v1::AgentMode::Scheduled,
    }
}

fn constraints_to_wire(constraints: &Constraints) -> Option<v1::Constraints> {
    (*constraints != Constraints::default()).then(|| v1::Constraints {
        max_iterations: constraints.max_iterations,
        timeout: constraints.timeout_seconds.map(seconds_to_wire),
    })
}

fn seconds_to_wire(seconds: u64) -> prost_types::Duration {
    // The language bounds durations far below i64.
    prost_types::Duration {
        seconds: i64::try_from(seconds).unwrap_or(i64::MAX),
        nanos: 0,
    }
}

impl From<Schedule> for v1::Schedule {
    fn from(schedule: Schedule) -> Self {
        use v1::schedule::When;
        match schedule {
            Schedule::Cron {
                expression,
                also,
                time_zone,
                only,
            } => Self {
                when: Some(When::Cron(expression)),
                time_zone: time_zone.unwrap_or_default(),
                also,
                only: only.map(String::from).unwrap_or_default(),
            },
            Schedule::Every { seconds } => Self {
                when: Some(When::Every(seconds_to_wire(seconds))),
                ..Self::default()
            },
        }
    }
}

impl From<Step> for v1::Step {
    fn from(step: Step) -> Self {
        let Step {
            name,
            depends_on,
            only_if,
            each,
            action,
        } = step;
        Self {
            name,
            depends_on,
            only_if: only_if.unwrap_or_default(),
            each: each.unwrap_or_default(),
            action: Some(action_to_wire(action)),
        }
    }
}

fn action_to_wire(action: Action) -> v1::step::Action {
    match action {
        Action::UseTool {
            tool,
            action,
            params,
        } => v1::step::Action::UseTool(v1::UseTool {
            tool,
            action: action.unwrap_or_default(),
            params_json: serde_json::Value::from(Value::Object(params)).to_string(),
        }),
        Action::Ask { prompt, model } => v1::step::Action::Ask(v1::Ask {
            prompt_json: serde_json::Value::from(prompt).to_string(),
            model: model.unwrap_or_default(),
        }),
    }
}

impl TryFrom<v1::AgentDefinition> for AgentDefinition {
    type Error = DefinitionError;

    fn try_from(wire: v1::AgentDefinition) -> Result<Self, Self::Error> {
        agent_name(&wire.name).map_err(DefinitionError::Name)?;
        Ok(Self {
            mode: mode_from_wire(wire.mode)?,
            schedule: wire.schedule.map(Schedule::try_from).transpose()?,
            steps: wire
                .steps
                .into_iter()
                .map(Step::try_from)
                .collect::<Result<_, _>>()?,
            constraints: constraints_from_wire(wire.constraints.unwrap_or_default())?,
            name: wire.name,
            description: non_empty(wire.description),
            objectives: wire.objectives,
        })
    }
}

fn mode_from_wire(mode: i32) -> Result<Option<Mode>, DefinitionError> {
    match v1::AgentMode::try_from(mode) {
        Ok(v1::AgentMode::Unspecified) => Ok(None),
        Ok(v1::AgentMode::Autonomous) => Ok(Some(Mode::Autonomous)),
        Ok(v1::AgentMode::Scheduled) => Ok(Some(Mode::Scheduled)),
        Err(_) => Err(DefinitionError::UnknownMode(mode)),
    }
}

fn constraints_from_wire(wire: v1::Constraints) -> Result<Constraints, DefinitionError> {
    let timeout_seconds = wire
        .timeout
        .map(|timeout| seconds_from_wire("timeout", timeout))
        .transpose()?;
    Ok(Constraints {
        max_iterations: wire.max_iterations,
        timeout_seconds,
    })
}

fn seconds_from_wire(
    field: &'static str,
    duration: prost_types::Duration,
) -> Result<u64, DefinitionError> {
    match u64::try_from(duration.seconds) {
        Ok(seconds) if seconds > 0 && duration.nanos == 0 => Ok(seconds),
        _ => Err(DefinitionError::Duration(field)),
    }
}

impl TryFrom<v1::Schedule> for Schedule {
    type Error = DefinitionError;

    fn try_from(wire: v1::Schedule) -> Result<Self, Self::Error> {
        match wire.when.ok_or(DefinitionError::Missing("schedule.when"))? {
            v1::schedule::When::Cron(_) if wire.also.len() >= MAX_CRONS => {
                Err(DefinitionError::TooManyCrons)
            }
            v1::schedule::When::Cron(expression) => Ok(Self::Cron {
                expression,
                also: wire.also,
                time_zone: non_empty(wire.time_zone),
                only: non_empty(wire.only)
                    .map(Calendar::try_from)
                    .transpose()
                    .map_err(DefinitionError::Only)?,
            }),
            v1::schedule::When::Every(every) => Ok(Self::Every {
                seconds: seconds_from_wire("every", every)?,
            }),
        }
    }
}

impl TryFrom<v1::Step> for Step {
    type Error = DefinitionError;

    fn try_from(wire: v1::Step) -> Result<Self, Self::Error> {
        let action = match wire.action.ok_or(DefinitionError::Missing("step.action"))? {
            v1::step::Action::UseTool(call) => Action::UseTool {
                tool: call.tool,
                action: non_empty(call.action),
                params: params_from_wire(&call.params_json)?,
            },
            v1::step::Action::Ask(ask) => Action::Ask {
                prompt: prompt_from_wire(&ask.prompt_json)?,
                model: non_empty(ask.model),
            },
        };
        Ok(Self {
            name: wire.name,
            depends_on: wire.depends_on,
            only_if: non_empty(wire.only_if),
            each: non_empty(wire.each),
            action,
        })
    }
}

fn params_from_wire(json: &str) -> Result<BTreeMap<String, Value>, DefinitionError> {
    let field = "params_json";
    if json.is_empty() {
        return Ok(BTreeMap::new());
    }
    let params: BTreeMap<String, serde_json::Value> =
        serde_json::from_str(json).map_err(|source| DefinitionError::Json { field, source })?;
    params
        .into_iter()
        .map(|(key, value)| {
            let value = Value::try_from(value)
                .map_err(|source| DefinitionError::Value { field, source })?;
            Ok((key, value))
        })
        .collect()
}

fn prompt_from_wire(json: &str) -> Result<Value, DefinitionError> {
    let field = "prompt_json";
    let json: serde_json::Value =
        serde_json::from_str(json).map_err(|source| DefinitionError::Json { field, source })?;
    match Value::try_from(json).map_err(|source| DefinitionError::Value { field, source })? {
        prompt @ (Value::String(_) | Value::Result { .. } | Value::Item) => Ok(prompt),
        _ => Err(DefinitionError::Prompt),
    }
}

fn non_empty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition() -> AgentDefinition {
        let params = [
            (
                "body".to_owned(),
                Value::Result {
                    step: "Judge".to_owned(),
                },
            ),
            (
                "n".to_owned(),
                Value::Array(vec![Value::Number(1.into()), Value::Null, Value::Item]),
            ),
        ];
        AgentDefinition {
            name: "a".to_owned(),
            description: Some("d".to_owned()),
            mode: Some(Mode::Scheduled),
            schedule: Some(Schedule::Cron {
                expression: "0 9 * * *".to_owned(),
                also: vec!["30 12 * * *".to_owned()],
                time_zone: Some("UTC".to_owned()),
                only: "last FRI".parse().ok(),
            }),
            objectives: vec!["o".to_owned()],
            steps: vec![
                Step {
                    name: "Judge".to_owned(),
                    depends_on: vec![],
                    only_if: None,
                    each: None,
                    action: Action::Ask {
                        prompt: Value::String("why \"so\"?".to_owned()),
                        model: None,
                    },
                },
                Step {
                    name: "Send".to_owned(),
                    depends_on: vec!["Judge".to_owned()],
                    only_if: Some("it matters".to_owned()),
                    each: Some("Judge".to_owned()),
                    action: Action::UseTool {
                        tool: "email-tool".to_owned(),
                        action: Some("send".to_owned()),
                        params: params.into(),
                    },
                },
            ],
            constraints: Constraints {
                max_iterations: Some(3),
                timeout_seconds: Some(60),
            },
        }
    }

    #[test]
    fn what_is_sent_is_what_arrives() {
        let mut bare = definition();
        bare.description = None;
        bare.mode = None;
        bare.schedule = Some(Schedule::Every { seconds: 5400 });
        bare.constraints = Constraints::default();
        for original in [definition(), bare] {
            let wire = v1::AgentDefinition::from(original.clone());
            assert_eq!(AgentDefinition::try_from(wire).unwrap(), original);
        }
    }

    /// What an older reader makes of several crons: the first one.
    #[test]
    fn the_first_of_several_crons_is_where_the_only_one_was() {
        let wire = v1::AgentDefinition::from(definition()).schedule.unwrap();
        assert_eq!(
            wire.when,
            Some(v1::schedule::When::Cron("0 9 * * *".to_owned()))
        );
        assert_eq!(wire.also, ["30 12 * * *"]);
        assert_eq!(wire.only, "last FRI");
    }

    #[test]
    fn what_is_no_definition_is_refused() {
        let edits: [(&str, fn(&mut v1::AgentDefinition)); 9] = [
            ("more than 8", |d| {
                d.schedule.as_mut().unwrap().also = vec!["0 1 * * *".to_owned(); 8];
            }),
            ("`only`", |d| {
                d.schedule.as_mut().unwrap().only = "fifth MON".to_owned();
            }),
            ("name", |d| d.name = "A b".to_owned()),
            ("mode", |d| d.mode = 9),
            ("schedule.when", |d| {
                d.schedule = Some(v1::Schedule::default());
            }),
            ("whole seconds", |d| {
                d.constraints.as_mut().unwrap().timeout = Some(prost_types::Duration {
                    seconds: -1,
                    nanos: 0,
                });
            }),
            ("step.action", |d| d.steps[0].action = None),
            ("neither a string", |d| {
                d.steps[0].action = Some(v1::step::Action::Ask(v1::Ask {
                    prompt_json: "1".to_owned(),
                    ..v1::Ask::default()
                }));
            }),
            ("params_json", |d| {
                let call = v1::UseTool {
                    params_json: "[1]".to_owned(),
                    ..v1::UseTool::default()
                };
                d.steps[0].action = Some(v1::step::Action::UseTool(call));
            }),
        ];
        for (what, edit) in edits {
            let mut wire = v1::AgentDefinition::from(definition());
            edit(&mut wire);
            let error = AgentDefinition::try_from(wire).unwrap_err().to_string();
            assert!(error.contains(what), "{what}: {error}");
        }
    }
}
