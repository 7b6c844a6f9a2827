//! Two ways to one definition: the parser, which evaluates nothing, and the SDK's words, which are for
//! files that people wrote. Both give the same for the same file.

use jiff::Timestamp;
use langop_dsl::{AgentDefinition, Offer, OfferedTool, parse};
use langop_integration_tests::workspace_root;
use serde_json::Value;

use super::ruby::{on_sources, run_well};

/// Each with all that the language has in one of its corners.
const FILES: [&str; 3] = [
    r#"require 'language_operator'

agent 'all-words' do
  description 'Has every word'
  schedule cron: ['15 8 * * 1-5', '45 12 * * 1-5'], time_zone: 'Europe/Berlin', only: 'first MON'
  mode :scheduled
  objectives ['One', "Two"]
  workflow do
    step "List" do
      use_tool "files", action: "list_files", params: { path: ".", deep: [true, nil, 1.5, { "a" => -3 }] }
    end
    step "Judge", depends_on: "List", each: result("List") do
      ask "Is it new?", model: "claude"
    end
    step "Send", depends_on: ["Judge", "List"], only_if: "something is new" do
      use_tool "email", action: "send", params: { body: result("Judge"), all: [result("List")] }
    end
  end
  constraints max_iterations: 10, timeout: '1h30m'
end
"#,
    "agent 'every' do\n  schedule every: '90m'\n  objectives ['x']\n  constraints timeout: '5m'\nend\n",
    r#"agent 'items' do
  workflow do
    step "A" do
      ask "Names?"
    end
    step "B", depends_on: "A", each: result("A") do
      ask item
    end
    step "C", depends_on: "B", each: result("B") do
      use_tool "email", action: "send", params: { body: item }
    end
    step "D", depends_on: "C" do
      ask result("C")
    end
  end
end
"#,
];

/// The page for those who bring their own shows one.
#[tokio::test]
async fn the_definition_of_the_page_is_one() {
    let page = workspace_root().unwrap().join("docs/bring-your-own.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (_, json) = page.split_once("```json\n").unwrap();
    let (json, _) = json.split_once("```").unwrap();
    let definition: AgentDefinition = serde_json::from_str(json).unwrap();
    assert_eq!(definition.steps.len(), 3);
    let code = "require 'langop'; puts JSON.generate(Langop::Definition.parse(ARGV[0]).to_h)";
    let said = run_well(on_sources().args(["-e", code, json])).await;
    let found: AgentDefinition = serde_json::from_str(&said).unwrap();
    assert_eq!(found, definition);
}

#[tokio::test]
async fn the_parser_and_the_sdk_read_a_file_alike() {
    let offer = Offer {
        tools: ["files", "email"].map(OfferedTool::from).to_vec(),
        models: ["claude".to_owned()].into(),
    };
    let folder = tempfile::tempdir().unwrap();
    for file in FILES {
        let parsed = parse(file, &offer, Timestamp::UNIX_EPOCH);
        let expected = parsed
            .definition
            .unwrap_or_else(|| panic!("{:?}", parsed.diagnostics));
        let path = folder.path().join("written.rb");
        std::fs::write(&path, file).unwrap();
        let code = "require 'langop'; puts JSON.generate(Langop::Dsl.load(ARGV[0]).to_h)";
        let said = run_well(on_sources().args(["-e", code]).arg(&path)).await;
        let found: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(found, serde_json::to_value(&expected).unwrap(), "{file}");
    }
}
