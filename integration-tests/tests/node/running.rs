//! Synthesized code runs: a scheduled agent and a continuous one with a tool beside them, a tool of its own
//! pods and a model, on packets that policies let through.

use k8s_openapi::api::{apps::v1::ReplicaSet, core::v1::Pod};
use kube::ResourceExt as _;
use langop_api::{LanguageAgent, LanguageTool};
use langop_integration_tests::{
    Reply, control_plane::node::MACHINE, env::SOON, fake_llm, machine_image, wait,
};
use serde_json::json;

use crate::world::World;

const YEARLY: &str = "  schedule: '0 0 1 1 *'";

const REPORT: &str = r#"
  objectives ["Report the critical files"]

  workflow do
    step "List" do
      use_tool "files", action: "list_files", params: { path: "." }
    end

    step "Judge", depends_on: "List" do
      ask "Which of these files are critical?"
    end

    step "Alert", depends_on: "Judge", only_if: "a critical file is there" do
      use_tool "mail", action: "send", params: { to: "ops@example.com", subject: "Critical files", body: result("Judge") }
    end

    step "Note", depends_on: "Judge" do
      use_tool "files", action: "write_file", params: { path: "core.txt", content: result("Judge") }
    end
  end"#;

#[tokio::test]
async fn a_scheduled_agent_does_what_its_code_says_and_its_status_tells() {
    let Some(world) = World::new("scheduled").await else {
        return;
    };
    world.agent("reporter", REPORT, YEARLY).await;

    // Nothing is critical yet.
    world.brain_says(&["none", "NO"]);
    let agent = world.run("reporter", "first", (1, 1, 0)).await;
    let log = world.log_of("first").await;
    let status = agent.status.unwrap();
    let result = status.last_execution_result.as_deref();
    assert_eq!(result, Some("Succeeded: 3 steps done, 1 skipped"), "{log}");
    assert!(world.mail.messages().unwrap().is_empty(), "{log}");

    // What the first run left in the workspace is there.
    world.brain_says(&["core.txt is critical", "YES"]);
    let agent = world.run("reporter", "second", (2, 2, 0)).await;
    let log = world.log_of("second").await;
    let status = agent.status.unwrap();
    let result = status.last_execution_result.as_deref();
    assert_eq!(result, Some("Succeeded: 4 steps done"), "{log}");
    let messages = world.mail.messages().unwrap();
    assert_eq!(messages.len(), 1, "{messages:?}");
    for part in [
        "From: agents@example.com",
        "To: ops@example.com",
        "Subject: Critical files",
        "core.txt is critical",
    ] {
        assert!(messages[0].contains(part), "{part}: {}", messages[0]);
    }
    let asked = world.brain.requests()[2].body.to_string();
    assert!(asked.contains("core.txt (4 bytes"), "{asked}");

    // Two answers a run.
    let total = status.usage.unwrap().total;
    let answers = 4;
    let spent = (total.input.cast_unsigned(), total.output.cast_unsigned());
    let expected = (
        answers * fake_llm::INPUT_TOKENS,
        answers * fake_llm::OUTPUT_TOKENS,
    );
    assert_eq!(spent, expected);
}

#[tokio::test]
async fn a_continuous_agent_begins_by_itself() {
    let Some(world) = World::new("continuous").await else {
        return;
    };
    world.brain_says(&["core.txt is critical", "YES"]);
    world.agent("watcher", REPORT, "").await;
    let messages = wait::until("the mail", SOON, async || {
        let messages = world.mail.messages().unwrap();
        if messages.is_empty() {
            None
        } else {
            Some(messages)
        }
    })
    .await
    .unwrap();
    assert_eq!(messages.len(), 1, "{messages:?}");
    let agent = world.env.until_ready("watcher").await;
    let restarts = agent.status.unwrap().execution_count;
    assert_eq!(restarts.unwrap_or(0), 0, "it stays");
}

/// One step, which sends a mail.
const SEND: &str = r#"
  workflow do
    step "Send" do
      use_tool "mail", action: "send", params: { to: "ops@example.com", subject: "Hello", body: "x" }
    end
  end"#;

fn last_result(agent: LanguageAgent) -> String {
    let status = agent.status.unwrap();
    status.last_execution_result.unwrap_or_default()
}

#[tokio::test]
async fn a_server_that_was_not_granted_gets_no_packet_until_it_is() {
    let Some(world) = World::new("granted").await else {
        return;
    };
    let nothing = json!({"spec": {"egress": []}});
    world.env.patch::<LanguageTool>("mail", nothing).await;
    world.agent("sender", SEND, YEARLY).await;
    let agent = world.run("sender", "shut", (1, 0, 1)).await;
    let result = last_result(agent);
    assert!(
        result.contains("tool-error in step 'Send'") && result.contains("does not answer"),
        "{result}\n{}",
        world.log_of("shut").await
    );
    assert!(world.mail.messages().unwrap().is_empty());

    let port = world.mail.port;
    let granted =
        json!({"spec": {"egress": [{"cidr": format!("{MACHINE}/32"), "ports": [{"port": port}]}]}});
    world.env.patch::<LanguageTool>("mail", granted).await;
    world.env.settled().await;
    let agent = world.run("sender", "open", (2, 1, 1)).await;
    assert_eq!(last_result(agent), "Succeeded: 1 step done");
    assert_eq!(world.mail.messages().unwrap().len(), 1);
}

#[tokio::test]
async fn a_tool_that_is_stopped_is_awaited_and_one_that_stays_away_is_the_cause() {
    let Some(world) = World::new("stopped").await else {
        return;
    };
    let replicas = async |count: i32| {
        let spec = json!({"spec": {"replicas": count}});
        world.env.patch::<LanguageTool>("mail", spec).await;
    };
    world.agent("sender", SEND, YEARLY).await;
    replicas(0).await;
    let gone = async || {
        let pods = world.env.list::<Pod>().await;
        let mut of_tool = pods
            .iter()
            .filter(|pod| pod.labels().get("langop.io/tool").is_some());
        of_tool.next().is_none().then_some(())
    };
    wait::until("the tool's end", SOON, gone).await.unwrap();

    world.env.run_now("sender", "patient").await;
    let tries = async || {
        let log = world.log_of("patient").await;
        if log.contains("the run begins") {
            Ok(())
        } else {
            Err(log)
        }
    };
    wait::until("the run's beginning", SOON, tries)
        .await
        .unwrap();
    replicas(1).await;
    let agent = world.env.until_counted("sender", (1, 1, 0)).await;
    assert_eq!(last_result(agent), "Succeeded: 1 step done");
    assert_eq!(world.mail.messages().unwrap().len(), 1, "once");

    replicas(0).await;
    wait::until("the tool's end", SOON, gone).await.unwrap();
    let hurried = json!({"spec": {"limits": {"timeout": "1m"}}});
    world.env.patch::<LanguageAgent>("sender", hurried).await;
    world.env.settled().await;
    let agent = world.run("sender", "hurried", (2, 1, 1)).await;
    let result = last_result(agent);
    assert!(
        result.starts_with("Failed: exit code 7: tool-unavailable in step 'Send': the tool 'mail'"),
        "{result}"
    );
}

#[tokio::test]
async fn a_run_that_takes_too_much_memory_is_told_so() {
    let Some(world) = World::new("memory").await else {
        return;
    };
    let asks = r#"
  workflow do
    step "Ask" do
      ask "Tell everything"
    end
  end"#;
    let little = format!("{YEARLY}\n  resources: {{limits: {{memory: 16Mi}}}}");
    world.brain.reply(Reply::Huge(7 * 1024 * 1024));
    world.agent("hoarder", asks, &little).await;
    let agent = world.run("hoarder", "greedy", (1, 0, 1)).await;
    let result = last_result(agent);
    assert!(result.contains("OOMKilled"), "{result}");

    // Small answers fit.
    world.brain_says(&["nothing"]);
    let agent = world.run("hoarder", "modest", (2, 1, 1)).await;
    assert_eq!(last_result(agent), "Succeeded: 1 step done");
}

#[tokio::test]
async fn an_agent_that_stays_rolls_once_for_its_persona_and_finds_its_workspace_after_a_pause() {
    let Some(world) = World::new("stays").await else {
        return;
    };
    let persona = |tone: &str| {
        format!(
            "{{apiVersion: langop.io/v1alpha1, kind: LanguagePersona, metadata: {{name: calm}}, spec: {{description: A clerk, tone: {tone}}}}}"
        )
    };
    world.env.apply(&persona("calm")).await;
    world.brain.reply_with(|request| {
        let is_judgement = request.body["temperature"] == 0;
        Reply::Text(if is_judgement { "NO" } else { "none" }.to_owned())
    });
    world
        .agent("watcher", REPORT, "  personaRef: {name: calm}")
        .await;
    let asked = async |file: bool| {
        let requests = world.brain.requests();
        let seen = |body: &str| body.contains("core.txt (4 bytes");
        let of_file = requests
            .iter()
            .filter(|one| seen(&one.body.to_string()) == file);
        if of_file.count() > 0 {
            Ok(())
        } else {
            Err("not yet")
        }
    };
    wait::until("its first run", SOON, async || asked(false).await)
        .await
        .unwrap();
    // Its workspace is what the pod before left.
    let suspend = |value: bool| json!({"spec": {"suspend": value}});
    world
        .env
        .patch::<LanguageAgent>("watcher", suspend(true))
        .await;
    let none = async || world.env.pods("watcher").await.is_empty().then_some(());
    wait::until("no pod", SOON, none).await.unwrap();
    world
        .env
        .patch::<LanguageAgent>("watcher", suspend(false))
        .await;
    wait::until("a run that sees the file", SOON, async || asked(true).await)
        .await
        .unwrap();

    let sets = async || {
        let sets = world.env.list::<ReplicaSet>().await;
        let ours = sets
            .iter()
            .filter(|set| set.labels().get("langop.io/agent").is_some());
        ours.count()
    };
    assert_eq!(sets().await, 1, "a pause is no new template");
    world.env.apply(&persona("brisk")).await;
    let rolled = async || (sets().await == 2).then_some(());
    wait::until("its roll", SOON, rolled).await.unwrap();
    world.env.until_ready("watcher").await;
    world.env.settled().await;
    assert_eq!(sets().await, 2, "once");
}

/// As most servers that are published do: the image's own program, and an adapter in front of it.
#[tokio::test]
async fn a_server_that_speaks_over_its_standard_streams_is_a_tool() {
    let Some(world) = World::new("streams").await else {
        return;
    };
    let stdio =
        json!({"spec": {"transport": "stdio", "command": ["/langop-tool-filesystem", "--stdio"]}});
    world.env.patch::<LanguageTool>("files", stdio).await;
    let notes = r#"
  workflow do
    step "Write" do
      use_tool "files", action: "write_file", params: { path: "note.txt", content: "kept" }
    end

    step "Read" do
      use_tool "files", action: "read_file", params: { path: "note.txt" }
    end

    step "Send", depends_on: "Read" do
      use_tool "mail", action: "send", params: { to: "ops@example.com", subject: "Note", body: result("Read") }
    end
  end"#;
    world.agent("clerk", notes, YEARLY).await;
    let agent = world.run("clerk", "now", (1, 1, 0)).await;
    assert_eq!(last_result(agent), "Succeeded: 3 steps done");
    let messages = world.mail.messages().unwrap();
    assert!(messages[0].ends_with("kept\n"), "{messages:?}");
    // The adapter ended before the others began, and is no container that stays.
    let pod = world.env.pod_of_job("now").await;
    let first = &pod.spec.unwrap().init_containers.unwrap()[0];
    assert_eq!(first.name, "stdio-adapter");
}

/// A package of npm that somebody else publishes, as it is, in five lines of YAML.
#[tokio::test]
async fn a_server_from_npm_is_a_tool() {
    let Some(world) = World::new("npm").await else {
        return;
    };
    let image = machine_image::node("localhost/npm-filesystem:1", "npm-filesystem").await;
    world.env.cp.import(&image.unwrap()).await.unwrap();
    world
        .env
        .apply(
            "
apiVersion: langop.io/v1alpha1
kind: LanguageTool
metadata: {name: npm}
spec:
  {image: localhost/npm-filesystem:1, transport: stdio, command: [node, /app/node_modules/@modelcontextprotocol/server-filesystem/dist/index.js], args: [/tmp]}
",
        )
        .await;
    let code = r#"
  workflow do
    step "Write" do
      use_tool "npm", action: "write_file", params: { path: "/tmp/note.txt", content: "kept" }
    end

    step "Read" do
      use_tool "npm", action: "read_text_file", params: { path: "/tmp/note.txt" }
    end

    step "Send", depends_on: "Read" do
      use_tool "mail", action: "send", params: { to: "ops@example.com", subject: "Note", body: result("Read") }
    end
  end"#;
    world
        .agent_with("clerk", &["npm", "mail"], code, YEARLY)
        .await;
    let agent = world.run("clerk", "now", (1, 1, 0)).await;
    assert_eq!(last_result(agent), "Succeeded: 3 steps done");
    let messages = world.mail.messages().unwrap();
    assert!(messages[0].ends_with("kept\n"), "{messages:?}");
}
