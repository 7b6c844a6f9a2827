//! All that an agent needs to really run: the runtime and the tools in images of our own, a scripted model
//! behind its proxy's pod, and a mail server beyond the cluster.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::Pod;
use kube::api::LogParams;
use langop_api::LanguageAgent;
use langop_images::{Component, Profile};
use langop_integration_tests::{
    ControlPlane, FakeLlm, Reply, SmtpServer, Synthesizer, TestEnv, TestNamespace,
    control_plane::node::MACHINE, programs,
};
use tokio::sync::OnceCell;

/// Of the adapter for tools that speak over their standard input and output.
const ADAPTER_IMAGE: &str = "localhost/tool-adapter:1";

/// A test's own. They end when it is dropped.
pub(crate) struct World {
    pub env: TestEnv,
    /// What the agents' model answers.
    pub brain: FakeLlm,
    pub mail: SmtpServer,
}

impl World {
    /// With the tools `files` and `mail` and the model `brain`, or nothing where there can be no node.
    pub(crate) async fn new(prefix: &str) -> Option<Self> {
        let cp = ControlPlane::shared_with_real_node().await?;
        cp.install_crds().await.unwrap();
        import_images(cp).await;
        let machine: IpAddr = MACHINE.parse().unwrap();
        let brain = FakeLlm::start_at(MACHINE).await.unwrap();
        let mail = SmtpServer::start(machine).await.unwrap();
        let ns = TestNamespace::create(cp, prefix).await.unwrap();
        let llm = FakeLlm::start().await.unwrap();
        let synthesizer = Synthesizer::asking(&llm).start().await.unwrap();
        let url = synthesizer.grpc_url().to_owned();
        let env = TestEnv::of_parts(cp, ns, llm, synthesizer, |operator| {
            operator
                .synthesizer(&url)
                .env("LANGOP_TOOL_ADAPTER_IMAGE", ADAPTER_IMAGE)
        })
        .await;
        let this = Self { env, brain, mail };
        this.env.apply(&this.tools_and_model()).await;
        Some(this)
    }

    fn tools_and_model(&self) -> String {
        let upstream = self.brain.endpoint().trim_start_matches("http://");
        let (_, model_port) = upstream.rsplit_once(':').unwrap();
        let mail_port = self.mail.port;
        format!(
            "
apiVersion: langop.io/v1alpha1
kind: LanguageTool
metadata: {{name: files}}
spec:
  image: localhost/tool-filesystem:1
  deploymentMode: sidecar
  port: 8081
---
apiVersion: langop.io/v1alpha1
kind: LanguageTool
metadata: {{name: mail}}
spec:
  image: localhost/tool-email:1
  env:
  - {{name: SMTP_HOST, value: {MACHINE}}}
  - {{name: SMTP_PORT, value: '{mail_port}'}}
  - {{name: SMTP_SECURITY, value: none}}
  - {{name: SMTP_FROM, value: agents@example.com}}
  egress: [{{cidr: {MACHINE}/32, ports: [{{port: {mail_port}}}]}}]
---
apiVersion: langop.io/v1alpha1
kind: LanguageModel
metadata: {{name: brain}}
spec:
  provider: custom
  model: in-house
  image: localhost/model-relay:1
  args: ['{upstream}']
  egress: [{{cidr: {MACHINE}/32, ports: [{{port: {model_port}}}]}}]
"
        )
    }

    /// Applies an agent of the runtime's image with tools, model and a workspace, for which the LLM
    /// writes this code; `more` is appended to its spec.
    pub(crate) async fn agent(&self, name: &str, body: &str, more: &str) {
        self.agent_with(name, &["files", "mail"], body, more).await;
    }

    /// As [`World::agent`], with other tools.
    pub(crate) async fn agent_with(&self, name: &str, tools: &[&str], body: &str, more: &str) {
        let tools: Vec<String> = tools
            .iter()
            .map(|tool| format!("{{name: {tool}}}"))
            .collect();
        let tools = tools.join(", ");
        let code = format!("require 'language_operator'\n\nagent 'agent' do\n{body}\nend\n");
        // What teaches the language asks for code; the other question is for a persona in short.
        self.env.llm.reply_with(move |request| {
            let teaches = request.body.to_string().contains("language_operator");
            if teaches {
                Reply::Code(code.clone())
            } else {
                Reply::Text("A clerk.".to_owned())
            }
        });
        let yaml = format!(
            "
apiVersion: langop.io/v1alpha1
kind: LanguageAgent
metadata: {{name: {name}}}
spec:
  image: localhost/agent:1
  instructions: Report the critical files to ops@example.com
  toolRefs: [{tools}]
  modelRefs: [{{name: brain}}]
  workspace: {{storage: 1Mi}}
{more}
"
        );
        self.env.apply(&yaml).await;
        self.env.until_ready(name).await;
    }

    /// Runs the agent's CronJob now until the agent's status counts it.
    pub(crate) async fn run(
        &self,
        agent: &str,
        job: &str,
        wanted: (i64, i64, i64),
    ) -> LanguageAgent {
        self.env.run_now(agent, job).await;
        self.env.until_counted(agent, wanted).await
    }

    /// What the agent's container of a Job wrote.
    pub(crate) async fn log_of(&self, job: &str) -> String {
        let pod = self.env.pod_of_job(job).await.metadata.name.unwrap();
        let of_agent = LogParams {
            container: Some("agent".to_owned()),
            ..LogParams::default()
        };
        let log = self.env.ns.api::<Pod>().logs(&pod, &of_agent).await;
        log.unwrap_or_else(|error| error.to_string())
    }

    /// Scripted answers of the model, in this order.
    pub(crate) fn brain_says(&self, texts: &[&str]) {
        for text in texts {
            self.brain.reply(Reply::Text((*text).to_owned()));
        }
    }
}

/// The images of all parts, once for all tests.
async fn import_images(cp: &ControlPlane) {
    static IMPORTED: OnceCell<()> = OnceCell::const_new();
    let import = || async {
        let built = programs::components(Profile::Quick).await.unwrap();
        let relay = cp
            .probe_image("localhost/model-relay:1", &["relay"])
            .unwrap();
        for image in [
            built.image(Component::Agent, "localhost/agent:1"),
            built.image(Component::ToolFilesystem, "localhost/tool-filesystem:1"),
            built.image(Component::ToolEmail, "localhost/tool-email:1"),
            built.image(Component::ToolAdapter, ADAPTER_IMAGE),
            relay,
        ] {
            cp.import(&image).await.unwrap();
        }
    };
    IMPORTED.get_or_init(import).await;
}
