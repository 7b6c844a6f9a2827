//! The SDK's README: whoever follows it gets from nothing to a tool and an agent, because each of its
//! snippets is run here, as it stands but for the ports.

use std::{collections::BTreeMap, fs, path::Path};

use langop_api::LanguageAgent;
use langop_integration_tests::{FakeLlm, Reply, control_plane::ports, workspace_root};
use serde_json::json;
use tokio::process::Command;

use super::{
    ruby::{Gem, run, run_well, sources},
    server::Server,
};

/// The snippets by what stands beside their language, in `file=` and `run=` the name of a file.
fn snippets() -> BTreeMap<String, String> {
    let page = fs::read_to_string(sources().join("README.md")).unwrap();
    let mut snippets = BTreeMap::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(name) = line.strip_prefix("```") else {
            continue;
        };
        let content = lines.by_ref().take_while(|line| !line.starts_with("```"));
        let content = content.fold(String::new(), |text, line| text + line + "\n");
        assert!(
            snippets.insert(name.to_owned(), content).is_none(),
            "two snippets are '{name}'"
        );
    }
    snippets
}

/// A folder with the files that the page has people write, and its commands.
struct Reader {
    folder: tempfile::TempDir,
    snippets: BTreeMap<String, String>,
    gem: &'static Gem,
    tool: u16,
    model: FakeLlm,
}

impl Reader {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut snippets = snippets();
        for (name, content) in &snippets {
            if let Some((_, file)) = name.split_once('=') {
                fs::write(folder.path().join(file), content).unwrap();
            }
        }
        snippets.retain(|name, _| !name.contains('='));
        let [tool] = ports::free().unwrap();
        Self {
            folder,
            snippets,
            gem: Gem::installed().await,
            tool,
            model: FakeLlm::start().await.unwrap(),
        }
    }

    fn take(&mut self, name: &str) -> String {
        let snippet = self.snippets.remove(name);
        snippet.unwrap_or_else(|| panic!("the page has no snippet '{name}'"))
    }

    /// A command of the page, with the ports of this test.
    fn shell(&mut self, name: &str) -> Command {
        let line = self
            .take(name)
            .replace("8080", &self.tool.to_string())
            .replace("http://127.0.0.1:8000", self.model.endpoint());
        let mut command = self.gem.command("sh");
        command.args(["-c", &format!("exec env {line}")]);
        command.current_dir(self.folder.path());
        command
    }
}

#[tokio::test]
async fn each_snippet_does_what_the_page_says() {
    let mut reader = Reader::start().await;
    let mut serve = reader.shell("sh serve");
    let _server = Server::start_at(&mut serve, reader.tool).await;

    let printed = reader.take("text");
    assert_eq!(run_well(&mut reader.shell("sh call")).await, printed);

    let call = json!([{"id": "1", "type": "function", "function": {
        "name": "greet__greet", "arguments": "{\"name\": \"Ada\", \"loud\": true}"}}]);
    let message = json!({"role": "assistant", "content": null, "tool_calls": call});
    let body = json!({"choices": [{"message": message, "finish_reason": "tool_calls"}]});
    reader.model.reply(Reply::Json {
        code: 200,
        retry_after: None,
        body,
    });
    reader.model.reply(Reply::Text("Greeted.".to_owned()));
    let said = run_well(&mut reader.shell("sh agent")).await;
    assert!(said.contains("the run ended: Greeted."), "{said}");
    let told = reader.model.requests().last().unwrap().body["messages"].to_string();
    assert!(told.contains("HELLO, ADA!"), "{told}");

    // The workflow stands without a command: it is run as the agent is.
    reader
        .snippets
        .insert("sh workflow".to_owned(), agent_command("workflow.rb"));
    reader.model.reply(Reply::Text("Grace".to_owned()));
    assert_eq!(
        run_well(&mut reader.shell("sh workflow")).await,
        "2 steps done\n"
    );

    let agent: LanguageAgent = serde_saphyr::from_str(&reader.take("yaml")).unwrap();
    assert!(agent.spec.image.unwrap().contains("/ruby-agent:"));
    developing(&mut reader).await;
    assert!(
        reader.snippets.is_empty(),
        "not run: {:?}",
        reader.snippets.keys()
    );
}

fn agent_command(file: &str) -> String {
    snippets()["sh agent"].replace("agent.rb", file)
}

/// What is for those who change it.
async fn developing(reader: &mut Reader) {
    let copy = reader.folder.path().join("copy");
    run_well(Command::new("cp").arg("-r").arg(sources()).arg(&copy)).await;
    for name in ["sh test", "sh build"] {
        let line = reader.take(name);
        let mut command = reader.gem.command("sh");
        let said = run(command.args(["-c", &line]).current_dir(&copy)).await;
        assert_eq!(said.code, Some(0), "{line}: {}", said.text);
    }
    let built = format!("langop-{}.gem", env!("CARGO_PKG_VERSION"));
    assert!(Path::new(&copy).join(built).exists());
    // What the page installs is what these tests run on.
    let packages = reader.take("sh");
    let ci = fs::read_to_string(workspace_root().unwrap().join(".ci/run")).unwrap();
    for package in packages.split_whitespace().skip(2) {
        assert!(ci.contains(package), ".ci/run installs no {package}");
    }
}
