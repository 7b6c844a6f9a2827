//! Components are pluggable: the same synthesized task by the reference runtime, by the Ruby SDK and by the
//! examples in Python and Go, with a tool of ten lines of Ruby. Only `spec.image` differs.

use std::{fs, path::Path};

use k8s_openapi::api::{apps::v1::ReplicaSet, batch::v1::CronJob, core::v1::Pod};
use kube::ResourceExt as _;
use langop_api::{LanguageAgent, LanguageTool};
use langop_images::{
    Image,
    debian::Package,
    ruby::{PACKAGES, Ruby, RubyImage},
};
use langop_integration_tests::{
    ControlPlane, Reply, control_plane::binaries, env::SOON, machine_image, wait, workspace_root,
};
use serde_json::json;
use tokio::{process::Command, sync::OnceCell};

use crate::world::World;

/// What somebody would write who has Ruby and an idea.
const WORDS: &str = r#"tool "count_words" do
  description "Counts the words of a text"
  parameter :text, type: :string, required: true, description: "The text whose words are counted"
  parameter :distinct, type: :boolean, default: false, description: "Count each word once"
  read_only

  execute do |params|
    words = params[:text].split
    (params[:distinct] ? words.uniq : words).size.to_s
  end
end
"#;

const TOOL: &str = "
apiVersion: langop.io/v1alpha1
kind: LanguageTool
metadata: {name: words}
spec: {image: 'localhost/words:1'}
";

const COUNT: &str = r#"
  workflow do
    step "Write" do
      use_tool "files", action: "write_file", params: { path: "note.txt", content: "just three words" }
    end

    step "Read", depends_on: "Write" do
      use_tool "files", action: "read_file", params: { path: "note.txt" }
    end

    step "Count", depends_on: "Read" do
      use_tool "words", action: "count_words", params: { text: result("Read") }
    end

    step "Judge", depends_on: ["Read", "Count"] do
      ask "Sum it up in one sentence"
    end

    step "Keep", depends_on: "Judge", only_if: "the note has more than five words" do
      use_tool "files", action: "write_file", params: { path: "sum.txt", content: result("Judge") }
    end
  end"#;

/// The images of all languages, once for all tests.
async fn import_images(cp: &ControlPlane) {
    static IMPORTED: OnceCell<()> = OnceCell::const_new();
    let import = || async {
        // Until they are imported.
        let programs = tempfile::tempdir().unwrap();
        for image in images(programs.path()).await {
            cp.import(&image).await.unwrap();
        }
    };
    IMPORTED.get_or_init(import).await;
}

async fn images(folder: &Path) -> Vec<Image> {
    let packages = Package::offered(PACKAGES.names()).await.unwrap();
    let cache = binaries::cache_folder("ruby-images").unwrap();
    let ruby = Ruby::build(&packages, &cache).await.unwrap();
    let of_ruby = |image, name| ruby.image(image, name).unwrap();
    let tool = folder.join("words.rb");
    fs::write(&tool, WORDS).unwrap();
    let serve = [
        "/usr/bin/ruby",
        "/usr/bin/langop-tool-server",
        "/tools/words.rb",
    ];
    let python = workspace_root()
        .unwrap()
        .join("sdk/examples/python/agent.py");
    let python = machine_image::python("localhost/agent-python:1", "example-python", &python);
    vec![
        of_ruby(RubyImage::Agent, "localhost/agent-ruby:1"),
        of_ruby(RubyImage::Tool, "localhost/words:1")
            .file("/tools/words.rb", &tool, 0o644)
            .entrypoint(&serve),
        python.await.unwrap(),
        go_agent(folder).await,
    ]
}

async fn go_agent(folder: &Path) -> Image {
    let program = folder.join("agent");
    let sources = workspace_root().unwrap().join("sdk/examples/go");
    let built = Command::new("go")
        .args(["build", "-mod=readonly", "-o"])
        .arg(&program)
        .arg("./agent")
        .env("CGO_ENABLED", "0")
        .current_dir(sources)
        .status()
        .await
        .unwrap();
    assert!(built.success(), "go build fails");
    Image::new("localhost/agent-go:1")
        .program("/agent", &program)
        .user("65532:65532")
        .entrypoint(&["/agent"])
}

/// Whom the same task is given to, by their images; the reference runtime first.
const LANGUAGES: [&str; 4] = [
    "localhost/agent:1",
    "localhost/agent-ruby:1",
    "localhost/agent-python:1",
    "localhost/agent-go:1",
];

async fn swap(world: &World, image: &str) {
    let image = json!({"spec": {"image": image}});
    world.env.patch::<LanguageAgent>("counter", image).await;
    world.env.settled().await;
}

#[tokio::test]
async fn an_agent_in_any_language_ends_the_same_task_with_the_same_status() {
    let Some(world) = World::new("languages").await else {
        return;
    };
    import_images(world.env.cp).await;
    world.env.apply(TOOL).await;
    let tools = ["files", "words"];
    let yearly = "  schedule: '0 0 1 1 *'";
    world.agent_with("counter", &tools, COUNT, yearly).await;
    let template = async || {
        let cron_job = world.env.list::<CronJob>().await.pop().unwrap();
        cron_job.metadata.generation.unwrap()
    };

    let mut runs = 0;
    let mut rolled = template().await;
    let mut ends = Vec::new();
    for image in LANGUAGES {
        if runs > 0 {
            swap(&world, image).await;
            rolled += 1;
            assert_eq!(template().await, rolled, "{image} rolls once");
        }
        runs += 1;
        world.brain_says(&["It has three words.", "No."]);
        let job = format!("run-{runs}");
        world.env.run_now("counter", &job).await;
        let agent = world.env.until_counted("counter", (runs, runs, 0)).await;
        let log = world.log_of(&job).await;
        let status = agent.status.unwrap();
        assert_eq!(image_of(&world.env.pod_of_job(&job).await), image);
        let before: u64 = ends.iter().map(|(_, tokens)| tokens).sum();
        let total = status.usage.unwrap().total;
        let tokens = (total.input + total.output).cast_unsigned() - before;
        let result = status.last_execution_result.unwrap();
        assert_eq!(
            result, "Succeeded: 4 steps done, 1 skipped",
            "{image}: {log}"
        );
        ends.push((result, tokens));
    }
    assert!(ends.iter().all(|end| *end == ends[0]), "{ends:?}");
    assert!(ends[0].1 > 0, "{ends:?}");
}

/// Each pod is a client of its own, and the Service sends it to either replica.
#[tokio::test]
async fn a_thousand_calls_of_two_replicas_by_clients_of_each_kind_all_succeed() {
    const CALLS: usize = 250;
    let Some(world) = World::new("replicas").await else {
        return;
    };
    import_images(world.env.cp).await;
    let two = json!({"spec": {"replicas": 2}});
    world.env.patch::<LanguageTool>("mail", two).await;
    let steps: Vec<String> = (1..=CALLS)
        .map(|nth| {
            format!("    step 'S{nth}' do\n      use_tool 'mail', action: 'send', params: {{ to: 'ops@example.com', subject: 'S{nth}', body: 'x' }}\n    end\n")
        })
        .collect();
    let code = format!("  workflow do\n{}  end", steps.concat());
    let yearly = "  schedule: '0 0 1 1 *'";
    world.agent_with("counter", &["mail"], &code, yearly).await;
    for (image, runs) in LANGUAGES.into_iter().zip(1..) {
        swap(&world, image).await;
        let job = format!("run-{runs}");
        let agent = world.run("counter", &job, (runs, runs, 0)).await;
        let log = world.log_of(&job).await;
        let result = agent.status.unwrap().last_execution_result.unwrap();
        let expected = format!("Succeeded: {CALLS} steps done");
        assert_eq!(result, expected, "{image}: {log}");
        // Each of them once.
        let sent = world.mail.messages().unwrap().len();
        assert_eq!(sent, CALLS * usize::try_from(runs).unwrap(), "{image}");
    }
}

#[tokio::test]
async fn an_agent_that_stays_rolls_once_into_ruby() {
    let Some(world) = World::new("swapped").await else {
        return;
    };
    import_images(world.env.cp).await;
    world.env.apply(TOOL).await;
    world.brain.reply_with(|request| {
        let is_judgement = request.body["temperature"] == 0;
        let text = if is_judgement { "NO" } else { "Three." };
        Reply::Text(text.to_owned())
    });
    world
        .agent_with("counter", &["files", "words"], COUNT, "")
        .await;
    let sets = async || {
        let sets = world.env.list::<ReplicaSet>().await;
        let ours = sets.iter();
        ours.filter(|set| set.labels().get("langop.io/agent").is_some())
            .count()
    };
    assert_eq!(sets().await, 1);
    swap(&world, "localhost/agent-ruby:1").await;
    world.env.until_ready("counter").await;
    let in_ruby = async || {
        let pods = world.env.pods("counter").await;
        match &pods[..] {
            [pod] if image_of(pod) == "localhost/agent-ruby:1" => Ok(pod.clone()),
            pods => Err(format!("{} pods", pods.len())),
        }
    };
    let pod = wait::until("its one pod", SOON, in_ruby).await.unwrap();
    assert_eq!(sets().await, 2, "once");
    let containers = pod.status.and_then(|status| status.container_statuses);
    let restarts = containers
        .unwrap()
        .iter()
        .map(|one| one.restart_count)
        .sum::<i32>();
    assert_eq!(restarts, 0);
}

fn image_of(pod: &Pod) -> &str {
    let spec = pod.spec.as_ref().unwrap();
    spec.containers[0].image.as_deref().unwrap()
}
