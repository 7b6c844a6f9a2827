//! What the agent is to do: the mounted code, parsed by the one parser of the language and compared
//! with the definition beside it, or the bare instructions. Judging is pure; one function reads
//! files.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::Path,
};

use jiff::Timestamp;
use langop_dsl::{
    Action, AgentDefinition, Constraints, MAX_CODE_BYTES, Offer, OfferedOperation, OfferedTool,
    Severity, hash::sha256_hex, parse_bytes,
};

use crate::{
    env::Environment,
    outcome::{Failure, Reason},
};

/// Largest `definition.json` that is read.
const MAX_DEFINITION_BYTES: u64 = 1024 * 1024;
/// The file beside the code that says what the operator trusts.
const DEFINITION: &str = "definition.json";

/// What the agent is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code {
    /// What the code says.
    pub definition: AgentDefinition,
    /// SHA-256 of its bytes in hex; of the instructions where there is no code.
    pub hash: String,
}

/// Reads the code that `environment` names, else takes its instructions as the one objective.
pub fn load(environment: &Environment, now: Timestamp) -> Result<Code, Failure> {
    let Some(path) = &environment.code_path else {
        return from_instructions(environment);
    };
    let code = read(path, MAX_CODE_BYTES as u64)?
        .ok_or_else(|| invalid(format!("there is no code at {}", path.display())))?;
    let definition = read(&path.with_file_name(DEFINITION), MAX_DEFINITION_BYTES)?;
    judge(&code, definition.as_deref(), environment, now)
}

/// Judges `code` and the `definition` beside it.
pub fn judge(
    code: &[u8],
    definition: Option<&[u8]>,
    environment: &Environment,
    now: Timestamp,
) -> Result<Code, Failure> {
    let stored = definition.map(stored).transpose()?;
    let offer = stored
        .as_ref()
        .map_or_else(|| offered_by(environment), offered_to);
    let parsed = parse_bytes(code, &offer, now);
    let Some(found) = parsed.definition else {
        let error = parsed
            .diagnostics
            .into_iter()
            .find(|diagnostic| diagnostic.severity == Severity::Error);
        let error = error.map_or_else(|| "it cannot be read".to_owned(), |error| error.to_string());
        return Err(invalid(format!("the code is invalid: {error}")));
    };
    if stored.is_some_and(|stored| stored != found) {
        let message = format!(
            "the code and the {DEFINITION} beside it differ: mount both as the synthesizer made them"
        );
        return Err(Failure::new(Reason::CodeMismatch, message));
    }
    Ok(Code {
        definition: found,
        hash: sha256_hex(code),
    })
}

/// The tools and models that the definition needs and the environment does not hold, as a failure.
pub fn check_offered(
    definition: &AgentDefinition,
    environment: &Environment,
) -> Result<(), Failure> {
    let tools: BTreeSet<_> = environment.tools.iter().map(|tool| &*tool.name).collect();
    let models: BTreeSet<_> = environment
        .models
        .iter()
        .map(|model| &*model.name)
        .collect();
    let missing = |kind, variable, name: &str| {
        let message = format!("the {kind} '{name}' is not offered: add it to {variable}");
        Err(Failure::new(Reason::NotOffered, message))
    };
    if let Some(name) = definition
        .tools()
        .iter()
        .find(|name| !tools.contains(&***name))
    {
        return missing("tool", "MCP_SERVERS (toolRefs)", name);
    }
    if let Some(name) = definition
        .models()
        .iter()
        .find(|name| !models.contains(&***name))
    {
        return missing("model", "MODEL_ENDPOINTS (modelRefs)", name);
    }
    if needs_model(definition) && models.is_empty() {
        let message = "the agent asks a model and none is offered: set MODEL_ENDPOINTS (modelRefs)";
        return Err(Failure::new(Reason::NotOffered, message));
    }
    Ok(())
}

/// Whether a run may ask a model.
pub fn needs_model(definition: &AgentDefinition) -> bool {
    let asks = |step: &langop_dsl::Step| {
        step.only_if.is_some() || matches!(step.action, Action::Ask { .. })
    };
    definition.steps.is_empty() || definition.steps.iter().any(asks)
}

fn invalid(message: String) -> Failure {
    Failure::new(Reason::InvalidCode, message)
}

fn from_instructions(environment: &Environment) -> Result<Code, Failure> {
    let Some(instructions) = &environment.instructions else {
        let message = "there is nothing to do: set AGENT_CODE_PATH or INSTRUCTIONS";
        return Err(Failure::new(Reason::Configuration, message));
    };
    Ok(Code {
        definition: AgentDefinition {
            objectives: vec![instructions.clone()],
            ..without_steps(&environment.name)
        },
        hash: sha256_hex(instructions.as_bytes()),
    })
}

/// For who has no agent's code and answers people: `instructions` are what it is told beforehand.
pub fn of_conversation(environment: &Environment, instructions: Option<&str>) -> Code {
    let description = "answers people, with the tools that it was given";
    Code {
        definition: AgentDefinition {
            description: Some(description.to_owned()),
            objectives: instructions.into_iter().map(str::to_owned).collect(),
            ..without_steps(&environment.name)
        },
        hash: sha256_hex(instructions.unwrap_or_default().as_bytes()),
    }
}

fn without_steps(name: &str) -> AgentDefinition {
    AgentDefinition {
        name: name.to_owned(),
        description: None,
        mode: None,
        schedule: None,
        objectives: Vec::new(),
        steps: Vec::new(),
        constraints: Constraints::default(),
    }
}

/// A file of at most `limit` bytes; none if it is not there.
fn read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, Failure> {
    let shown = path.display();
    match fs::metadata(path) {
        Ok(found) if found.len() > limit => Err(invalid(format!(
            "{shown} has {} bytes; at most {limit} are read",
            found.len()
        ))),
        Ok(_) => fs::read(path)
            .map(Some)
            .map_err(|error| invalid(format!("{shown} cannot be read: {error}"))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(invalid(format!("{shown} cannot be read: {error}"))),
    }
}

fn stored(json: &[u8]) -> Result<AgentDefinition, Failure> {
    serde_json::from_slice(json)
        .map_err(|error| invalid(format!("{DEFINITION} is no definition: {error}")))
}

/// What the environment offers now.
fn offered_by(environment: &Environment) -> Offer {
    let tools = environment.tools.iter();
    Offer {
        tools: tools.map(|tool| OfferedTool::from(&*tool.name)).collect(),
        models: environment
            .models
            .iter()
            .map(|model| model.name.clone())
            .collect(),
    }
}

/// What must have been offered to the code that gave this definition: then the same code gives the
/// same names again, whatever the environment holds today.
fn offered_to(definition: &AgentDefinition) -> Offer {
    let mut tools: BTreeMap<&str, Option<BTreeSet<&str>>> = BTreeMap::new();
    for step in &definition.steps {
        let Action::UseTool { tool, action, .. } = &step.action else {
            continue;
        };
        let operations = tools.entry(tool).or_insert_with(|| Some(BTreeSet::new()));
        // A step without operation is of a tool that did not tell its operations.
        *operations = match (operations.take(), action) {
            (Some(mut known), Some(action)) => {
                known.insert(action);
                Some(known)
            }
            _ => None,
        };
    }
    let operation = |name: &&str| OfferedOperation {
        name: (*name).to_owned(),
        input_schema: serde_json::Value::Null,
    };
    Offer {
        tools: tools
            .into_iter()
            .map(|(name, operations)| OfferedTool {
                name: name.to_owned(),
                operations: operations.iter().flatten().map(operation).collect(),
            })
            .collect(),
        models: definition.models().into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &str = r#"
require 'language_operator'

agent 'a' do
  description 'x'
  workflow do
    step "List" do
      use_tool "filesystem", action: "list_files", params: { path: "/" }
    end
    step "Judge", depends_on: "List" do
      ask "What?", model: "claude"
    end
  end
end
"#;

    fn environment(tools: &str) -> Environment {
        let models = r#"[{"name":"claude","url":"http://m"}]"#;
        Environment::read(&|name| match name {
            "MCP_SERVERS" => Some(tools.to_owned()),
            "MODEL_ENDPOINTS" => Some(models.to_owned()),
            _ => None,
        })
        .unwrap()
    }

    fn now() -> Timestamp {
        "2026-11-29T00:00:00Z".parse().unwrap()
    }

    #[test]
    fn names_resolve_by_the_environment_where_there_is_no_definition() {
        let environment = environment(r#"[{"name":"filesystem-tool","url":"http://f"}]"#);
        let code = judge(CODE.as_bytes(), None, &environment, now()).unwrap();
        assert_eq!(
            code.definition.tools(),
            ["filesystem-tool".to_owned()].into()
        );
        assert_eq!(code.hash, sha256_hex(CODE.as_bytes()));
        assert_eq!(check_offered(&code.definition, &environment), Ok(()));
    }

    #[test]
    fn a_definition_fixes_the_names_and_what_is_gone_is_told_before_the_run() {
        let before = environment(r#"[{"name":"filesystem-tool","url":"http://f"}]"#);
        let made = judge(CODE.as_bytes(), None, &before, now()).unwrap();
        let json = serde_json::to_vec(&made.definition).unwrap();
        // Since then a tool came whose name matches better, and the other one went.
        let after = environment(r#"[{"name":"filesystem","url":"http://g"}]"#);
        let code = judge(CODE.as_bytes(), Some(&json), &after, now()).unwrap();
        assert_eq!(code.definition, made.definition);
        let failure = check_offered(&code.definition, &after).unwrap_err();
        assert_eq!(failure.reason, Reason::NotOffered);
        assert!(failure.message.contains("filesystem-tool"), "{failure}");
    }

    #[test]
    fn another_definition_is_a_mismatch() {
        let environment = environment(r#"[{"name":"filesystem-tool","url":"http://f"}]"#);
        let mut other = judge(CODE.as_bytes(), None, &environment, now())
            .unwrap()
            .definition;
        other.description = Some("y".to_owned());
        let json = serde_json::to_vec(&other).unwrap();
        let failure = judge(CODE.as_bytes(), Some(&json), &environment, now()).unwrap_err();
        assert_eq!(failure.reason, Reason::CodeMismatch);
    }

    #[test]
    fn code_outside_the_language_is_never_taken() {
        let code = CODE.replace("description 'x'", "system('x')");
        let environment = environment(r#"[{"name":"filesystem","url":"http://f"}]"#);
        let failure = judge(code.as_bytes(), None, &environment, now()).unwrap_err();
        assert_eq!(failure.reason, Reason::InvalidCode);
        assert!(failure.message.contains("5:3"), "{failure}");
    }
}
