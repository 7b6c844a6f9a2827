//! An agent and a tool each in Python, Go and JavaScript, on nothing but the environment contract: the
//! same task with the same model ends alike, whoever carries it out.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use jiff::Timestamp;
use langop_dsl::{Offer, OfferedTool, parse};
use langop_integration_tests::{
    FakeLlm, Reply, control_plane::ports, peers, programs, wait, workspace_root,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use super::{
    ruby::{Gem, run, run_well},
    server::Server,
};

const SOON: Duration = Duration::from_secs(20);

const TASK: &str = r#"require 'language_operator'

agent 'counter' do
  description 'Counts the words of a note'
  workflow do
    step "Read" do
      use_tool "filesystem", action: "read_file", params: { path: "note.txt" }
    end
    step "Count", depends_on: "Read" do
      use_tool "words", action: "count_words", params: { text: result("Read") }
    end
    step "Judge", depends_on: ["Read", "Count"] do
      ask "Sum it up in one sentence", model: "brain"
    end
    step "Keep", depends_on: "Judge", only_if: "the note has more than two words" do
      use_tool "filesystem", action: "write_file", params: { path: "sum.txt", content: result("Judge") }
    end
  end
end
"#;

/// Who carries the task out, or serves a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Language {
    /// The reference runtime.
    Rust,
    Ruby,
    Python,
    Go,
    JavaScript,
}

fn folder(name: &str) -> PathBuf {
    workspace_root().unwrap().join("sdk/examples").join(name)
}

impl Language {
    /// An agent or a tool of the examples, built or laid out in a folder.
    async fn example(self, what: &str, scratch: &Path) -> Command {
        match self {
            Self::Python => {
                let venv = peers::python_of("example-python", &folder("python")).await;
                let mut command = Command::new(venv.unwrap().join("bin/python"));
                command.arg(folder("python").join(what).with_extension("py"));
                command
            }
            Self::Go => {
                let program = scratch.join(what);
                let mut build = Command::new("go");
                build.args(["build", "-mod=readonly", "-o"]).arg(&program);
                let package = format!("./{what}");
                run_well(build.arg(package).current_dir(folder("go"))).await;
                Command::new(program)
            }
            Self::JavaScript => {
                let packages = peers::npm_of("example-javascript", &folder("javascript")).await;
                // Modules look for packages beside themselves.
                let beside = scratch.join("node_modules");
                if !beside.exists() {
                    symlink(packages.unwrap().join("node_modules"), beside).unwrap();
                }
                let file = scratch.join(what).with_extension("mjs");
                fs::copy(folder("javascript").join(what).with_extension("mjs"), &file).unwrap();
                let mut command = Command::new("node");
                command.arg(file);
                command
            }
            Self::Rust | Self::Ruby => unreachable!("there are SDKs for these"),
        }
    }

    async fn agent(self, scratch: &Path) -> Command {
        match self {
            Self::Rust => {
                let mut command = Command::new(programs::locate("langop-agent").unwrap());
                command.env_clear();
                command
            }
            Self::Ruby => Gem::installed().await.command("langop-agent-ruby"),
            _ => {
                let mut command = self.example("agent", scratch).await;
                command.env_clear().env("PATH", "/usr/bin:/bin");
                command
            }
        }
    }
}

/// A task with all that it needs.
struct Task {
    folder: TempDir,
    scratch: TempDir,
    files: Server,
    words: Server,
}

impl Task {
    /// With the tool of a language.
    async fn start(words: Language) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let offer = Offer {
            tools: ["filesystem-tool", "words-tool"]
                .map(OfferedTool::from)
                .to_vec(),
            models: ["brain".to_owned()].into(),
        };
        let definition = parse(TASK, &offer, Timestamp::UNIX_EPOCH)
            .definition
            .unwrap();
        fs::write(folder.path().join("agent.rb"), TASK).unwrap();
        let json = serde_json::to_vec(&definition).unwrap();
        fs::write(folder.path().join("definition.json"), json).unwrap();
        fs::write(folder.path().join("note.txt"), "just three words").unwrap();
        let scratch = tempfile::tempdir().unwrap();
        let mut files = Command::new(programs::locate("langop-tool-filesystem").unwrap());
        files.env("WORKSPACE_PATH", folder.path());
        Self {
            files: Server::start(&mut files).await,
            words: Server::start(&mut words.example("tool", scratch.path()).await).await,
            folder,
            scratch,
        }
    }

    /// How it ends, without what differs from run to run.
    async fn end(
        &self,
        agent: Language,
        tools: &[(&str, &Server)],
        replies: &[&str],
    ) -> (Option<i32>, String, Value) {
        let model = FakeLlm::start().await.unwrap();
        for reply in replies {
            model.reply(Reply::Text((*reply).to_owned()));
        }
        let mut command = self.command(agent, tools, &model).await;
        let said = run(&mut command).await;
        let (line, account) = self
            .message()
            .unwrap_or_else(|| panic!("{agent:?}: {}", said.text));
        (said.code, line, account)
    }

    /// An agent with the task.
    async fn command(
        &self,
        agent: Language,
        tools: &[(&str, &Server)],
        model: &FakeLlm,
    ) -> Command {
        let log = self.file("termination-log");
        fs::write(&log, "").unwrap();
        let servers = tools
            .iter()
            .map(|(name, server)| json!({"name": name, "url": server.url()}));
        let servers: Value = servers.collect();
        let models = json!([{"name": "brain", "url": model.endpoint(), "model": "scripted"}]);
        let [port] = ports::free().unwrap();
        let mut command = agent.agent(self.scratch.path()).await;
        command
            .env("AGENT_NAME", "counter")
            .env("AGENT_CODE_PATH", self.folder.path().join("agent.rb"))
            .env("MCP_SERVERS", servers.to_string())
            .env("MODEL_ENDPOINTS", models.to_string())
            .env("LANGOP_TERMINATION_LOG", &log)
            .env("PORT", port.to_string());
        command
    }

    /// The termination message, without what differs from run to run; none if there is none.
    fn message(&self) -> Option<(String, Value)> {
        let message = fs::read_to_string(self.file("termination-log")).unwrap();
        let (line, account) = message.split_once('\n')?;
        let mut account: Value = serde_json::from_str(account).unwrap();
        for key in ["run", "codeHash", "durationMs"] {
            account.as_object_mut().unwrap().remove(key);
        }
        Some((line.to_owned(), account))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// The same task by the reference runtime, the SDK and the example, with the example's tool.
async fn all_end_alike(example: Language) {
    let task = Task::start(example).await;
    let both = [
        ("filesystem-tool", &task.files),
        ("words-tool", &task.words),
    ];
    for agent in [Language::Rust, Language::Ruby, example] {
        let (code, line, account) = task
            .end(agent, &both, &["It has three words.", "Yes"])
            .await;
        assert_eq!(
            (code, &*line),
            (Some(0), "4 steps done"),
            "{agent:?}: {account}"
        );
        let expected = json!({
            "v": 1, "outcome": "succeeded", "iterations": 2, "toolCalls": 3, "skipped": [], "resumed": false,
            "tokens": {"input": 200, "output": 100, "cachedInput": 0, "missing": 0},
        });
        assert_eq!(account, expected, "{agent:?}");
        let sum = fs::read_to_string(task.file("sum.txt")).unwrap();
        assert_eq!(sum, "It has three words.", "{agent:?}");
        fs::remove_file(task.file("sum.txt")).unwrap();

        let (code, line, account) = task.end(agent, &both, &["It has.", "NO"]).await;
        assert_eq!(
            (code, &*line),
            (Some(0), "3 steps done, 1 skipped"),
            "{agent:?}: {account}"
        );
        assert_eq!(account["skipped"], json!(["Keep"]), "{agent:?}");
        assert!(!task.file("sum.txt").exists(), "{agent:?}");

        let (code, line, account) = task.end(agent, &both, &["x", "Perhaps", "Perhaps"]).await;
        assert_eq!(code, Some(1), "{agent:?}: {line}");
        assert_eq!(
            (&account["reason"], &account["step"]),
            (&json!("undecided"), &json!("Keep")),
            "{agent:?}"
        );

        let (code, line, _) = task.end(agent, &both[..1], &[]).await;
        let said =
            "not-offered: the tool 'words-tool' is not offered: add it to MCP_SERVERS (toolRefs)";
        assert_eq!((code, &*line), (Some(3), said), "{agent:?}");
    }
    a_signal_ends_it(example, &task, &both).await;
    fs::remove_file(task.file("note.txt")).unwrap();
    let mut lines = Vec::new();
    for agent in [Language::Rust, Language::Ruby, example] {
        let (code, line, account) = task.end(agent, &both, &[]).await;
        assert_eq!(
            (code, &account["reason"]),
            (Some(1), &json!("tool-error")),
            "{agent:?}: {line}"
        );
        lines.push(line);
    }
    assert!(
        lines[0].starts_with("tool-error in step 'Read': the tool 'filesystem-tool' says: "),
        "{lines:?}"
    );
    assert!(lines.iter().all(|line| *line == lines[0]), "{lines:?}");
}

/// While its model thinks.
async fn a_signal_ends_it(example: Language, task: &Task, tools: &[(&str, &Server)]) {
    let model = FakeLlm::start().await.unwrap();
    model.reply(Reply::Hang);
    let mut command = task.command(example, tools, &model).await;
    let mut running = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let asked = async || (!model.requests().is_empty()).then_some(());
    wait::until("its question", SOON, asked).await.unwrap();
    let pid = running.id().unwrap().to_string();
    run_well(Command::new("kill").args(["-TERM", &pid])).await;
    let status = tokio::time::timeout(SOON, running.wait()).await.unwrap();
    assert_eq!(status.unwrap().code(), Some(143), "{example:?}");
    let (line, account) = task.message().unwrap();
    assert_eq!(
        line, "stopped in step 'Judge': a signal ended the run",
        "{example:?}"
    );
    assert_eq!(account["outcome"], "stopped", "{example:?}");
}

#[tokio::test]
async fn python() {
    all_end_alike(Language::Python).await;
}

#[tokio::test]
async fn go() {
    all_end_alike(Language::Go).await;
}

#[tokio::test]
async fn javascript() {
    all_end_alike(Language::JavaScript).await;
}
