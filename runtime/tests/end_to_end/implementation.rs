//! The implementations of an agent's contract that these tests are true of. They are written for the
//! reference runtime; `the_ruby_sdk_behaves_alike` runs all of them again for the other one, but for
//! the differences listed here.
//!
//! ```sh
//! LANGOP_TEST_IMPLEMENTATION=ruby cargo test -p langop-runtime --test end_to_end NAME
//! ```
//!
//! runs single ones for it.

use std::{collections::BTreeSet, env, path::Path};

use langop_dsl::{Offer, OfferedTool, parse_bytes};
use serde_json::Value as Json;
use tokio::process::Command;

/// Where the variable of this name is `ruby`, the tests start the Ruby SDK's agent.
const VARIABLE: &str = "LANGOP_TEST_IMPLEMENTATION";
/// Tests at a time: an interpreter is slow to start.
const AT_ONCE: &str = "--test-threads=4";

/// What the Ruby SDK does otherwise, on purpose: the test, and why.
const DIFFERENCES: [(&str, &str); 16] = [
    (
        "workflows::code_that_differs_from_its_definition_is_exit_3",
        "it has no parser of the language, never reads the code, and runs what the operator checked: the definition",
    ),
    ("chat::an_agent_answers_by_its_own_loop_and_tools", NO_CHAT),
    (
        "chat::a_stream_ends_with_the_words_and_does_not_show_what_was_called",
        NO_CHAT,
    ),
    ("chat::what_is_refused_says_what_to_do", NO_CHAT),
    (
        "chat::four_at_once_and_who_goes_gives_the_place_back",
        NO_CHAT,
    ),
    ("a2a::a_card_says_who_is_there_and_where", NO_A2A),
    ("a2a::a_task_is_a_run_and_its_artifact_the_summary", NO_A2A),
    ("a2a::a_stream_tells_each_state_and_how_it_ended", NO_A2A),
    (
        "a2a::a_task_goes_on_without_its_caller_until_somebody_cancels_it",
        NO_A2A,
    ),
    (
        "a2a::four_tasks_at_once_and_a_cancelled_one_gives_its_place_back",
        NO_A2A,
    ),
    ("a2a::a_call_that_is_none_of_ours_is_refused", NO_A2A),
    (
        "a2a::a_message_that_would_be_answered_otherwise_than_meant_is_refused",
        NO_A2A,
    ),
    ("a2a::one_version_is_spoken_and_none_is_another", NO_A2A),
    ("a2a::a_web_page_of_others_gives_no_task", NO_A2A),
    (
        "connections::who_holds_all_connections_keeps_no_probe_out",
        "its server takes 256 connections, too, but the next one waits until one of them has been silent for 30 s",
    ),
    (
        "tls::authorities_are_read_only_where_tls_is_spoken",
        "its TLS library reads them when it is loaded, whatever is spoken then",
    ),
];
const NO_A2A: &str = "it is served to other agents as a tool, and not to callers outside as a peer";
const NO_CHAT: &str = "it is served to other agents as a tool, and not to people as a model";

/// An implementation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Implementation {
    /// `langop-agent` of this package.
    Reference,
    /// `langop-agent-ruby` of `sdk/ruby`.
    Ruby,
}

impl Implementation {
    /// The one that is tested.
    pub(crate) fn current() -> Self {
        match env::var(VARIABLE).as_deref() {
            Err(_) => Self::Reference,
            Ok("ruby") => Self::Ruby,
            Ok(other) => panic!("{VARIABLE} is '{other}': write ruby, or leave it out"),
        }
    }

    /// The program, with an empty environment.
    pub(crate) fn command(self) -> Command {
        let mut command = match self {
            Self::Reference => Command::new(env!("CARGO_BIN_EXE_langop-agent")),
            Self::Ruby => {
                let sdk = concat!(env!("CARGO_MANIFEST_DIR"), "/../sdk/ruby");
                let mut command = Command::new("ruby");
                command.args([
                    &format!("-I{sdk}/lib"),
                    &format!("{sdk}/exe/langop-agent-ruby"),
                ]);
                command
            }
        };
        command.env_clear();
        command
    }

    /// Puts what the synthesizer puts beside the code, for those who need it, unless a test has put
    /// something else there.
    pub(crate) fn mount(self, folder: &Path, variables: &[(String, String)]) {
        let definition = folder.join("definition.json");
        if self == Self::Reference || definition.exists() {
            return;
        }
        let names = |variable: &str| -> Vec<String> {
            let value = variables.iter().find(|(name, _)| name == variable);
            let json: Json = value
                .and_then(|(_, value)| serde_json::from_str(value).ok())
                .unwrap_or_default();
            let list = json.as_array().into_iter().flatten();
            list.filter_map(|one| Some(one["name"].as_str()?.to_owned()))
                .collect()
        };
        let tools = names("MCP_SERVERS");
        let offer = Offer {
            tools: tools
                .iter()
                .map(|name| OfferedTool::from(&**name))
                .collect(),
            models: names("MODEL_ENDPOINTS").into_iter().collect(),
        };
        let code = std::fs::read(folder.join("agent.rb")).unwrap();
        // Invalid code has none.
        if let Some(found) = parse_bytes(&code, &offer, jiff::Timestamp::now()).definition {
            std::fs::write(definition, serde_json::to_vec(&found).unwrap()).unwrap();
        }
    }
}

/// All tests again, in a process of their own, as the variable is of a process.
#[tokio::test]
async fn the_ruby_sdk_behaves_alike() {
    let this = "implementation::the_ruby_sdk_behaves_alike";
    if Implementation::current() == Implementation::Ruby {
        return;
    }
    let tests = env::current_exe().unwrap();
    let listed = Command::new(&tests).arg("--list").output().await.unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let known: BTreeSet<&str> = listed
        .lines()
        .filter_map(|line| line.strip_suffix(": test"))
        .collect();
    let mut command = Command::new(&tests);
    command.args(["--exact", AT_ONCE]).env(VARIABLE, "ruby");
    for (test, why) in DIFFERENCES.into_iter().chain([(this, "it is this one")]) {
        assert!(known.contains(test), "no test is called {test} ({why})");
        command.args(["--skip", test]);
    }
    let output = command.kill_on_drop(true).output().await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "{said}");
    // What was left out was left out by the list, and nothing else was.
    let ran = known.len() - DIFFERENCES.len() - 1;
    assert!(said.contains(&format!("{ran} passed")), "{said}");
}
