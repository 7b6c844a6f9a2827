//! Resources that several tests start from, as YAML documents, and answers of the LLM.

use crate::fake_llm::Reply;

/// A tool with one operation.
pub const TOOL: &str = "
apiVersion: langop.io/v1alpha1
kind: LanguageTool
metadata: {name: mail}
spec:
  image: registry.example/mail:1
  description: Sends mail
  operations: [{name: send, description: Sends one mail}]
";

/// A model whose key is in a Secret that nobody has made.
pub const MODEL: &str = "
apiVersion: langop.io/v1alpha1
kind: LanguageModel
metadata: {name: brain}
spec:
  provider: anthropic
  model: claude-sonnet-4-5
  apiKeySecretRef: {name: brain-key}
";

/// An agent that uses both.
pub fn agent_yaml(name: &str, instructions: &str) -> String {
    format!(
        "
apiVersion: langop.io/v1alpha1
kind: LanguageAgent
metadata: {{name: {name}}}
spec:
  instructions: {instructions:?}
  toolRefs: [{{name: mail}}]
  modelRefs: [{{name: brain}}]
"
    )
}

/// Valid code that says which it is.
pub fn code(objective: &str) -> Reply {
    Reply::Code(format!(
        "require 'language_operator'\n\nagent 'agent' do\n  objectives [\n    {objective:?}\n  ]\nend\n"
    ))
}

/// Valid code with a schedule.
pub fn scheduled_code(schedule: &str) -> Reply {
    Reply::Code(format!(
        "require 'language_operator'\n\nagent 'agent' do\n  schedule {schedule}\n  objectives [\n    \"Do it\"\n  ]\nend\n"
    ))
}
