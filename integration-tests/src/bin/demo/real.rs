//! The last step, on a real node: agents and tools run in the reference images, and what lies beyond the
//! cluster (a scripted model, a mail server, a collector of traces) is at this machine's end of the node's
//! link.
//!
//! Owns what the samples must say differently for that, and the show of a run. Changes no file.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::{
    Api, ResourceExt as _,
    api::{DynamicObject, ListParams, LogParams},
};
use langop_api::LanguageAgent;
use langop_images::{Component, Profile};
use langop_integration_tests::{
    ControlPlane, FakeLlm, ImapServer, OtlpReceiver, Reply, SmtpServer,
    control_plane::node::MACHINE, fake_llm::LlmRequest, otlp, pods::exit, programs, wait,
};
use serde_json::{Value, json};

use crate::say::{block, headline, note, step};

/// Where the samples live.
const NAMESPACE: &str = "demo";
/// The agent that is shown at work.
const AGENT: &str = "daily-report";
/// The client whose container tries what no policy lets it reach.
const CLIENT: &str = "chat";
/// The Job that runs the agent.
const JOB: &str = "daily-report-now";
/// The stand-in for LiteLLM, which no registry of ours has as an image: it passes bytes on.
const RELAY_IMAGE: &str = "localhost/model-relay:1";
/// Until a run has ended, on a machine that does other things.
const RUN: Duration = Duration::from_mins(3);

/// What lies beyond the cluster.
pub(crate) struct Outside {
    model: FakeLlm,
    mail: SmtpServer,
    mailbox: ImapServer,
}

impl Outside {
    /// Starts all of it, and gives the node the images.
    pub(crate) async fn start(cp: &ControlPlane) -> Result<Self> {
        step("building the runtime and the tools, statically linked, into images from scratch");
        let built = programs::components(Profile::Quick).await?;
        let of_ours = |part: &str| format!("ghcr.io/language-operator/{part}:0.1.0");
        for image in [
            built.image(Component::Agent, &of_ours("agent")),
            built.image(Component::ToolEmail, &of_ours("tool-email")),
            built.image(Component::ToolFilesystem, &of_ours("tool-filesystem")),
            // In place of the chat page, whose image has nothing that could try other addresses.
            cp.probe_image(&of_ours("client"), &["serve", "chat"])?,
            cp.probe_image(RELAY_IMAGE, &["relay"])?,
        ] {
            cp.import(&image).await?;
            note(&format!("{} is on the node", image.name()));
        }
        let model = FakeLlm::start_at(MACHINE).await?;
        model.reply_with(answer);
        let mail = SmtpServer::start(MACHINE.parse()?).await?;
        let mailbox = ImapServer::start(MACHINE.parse()?).await?;
        note("the model is scripted (no key, no cost); the mail servers are real ones");
        Ok(Self {
            model,
            mail,
            mailbox,
        })
    }

    /// Where the traces of agents can go.
    pub(crate) async fn collector() -> Result<OtlpReceiver> {
        OtlpReceiver::start_at(MACHINE).await
    }

    /// Points a sample to this machine where it names an example's servers.
    pub(crate) fn redirect(&self, object: &mut DynamicObject) {
        let kind = object.types.as_ref().map(|types| types.kind.as_str());
        let spec = &mut object.data["spec"];
        let model = self.model_address();
        let (mail, mailbox) = (self.mail.port, self.mailbox.port);
        match kind {
            Some("LanguageTool") if spec["image"].as_str().is_some_and(is_email) => {
                spec["env"] = json!([
                    {"name": "SMTP_HOST", "value": MACHINE},
                    {"name": "SMTP_PORT", "value": mail.to_string()},
                    {"name": "SMTP_SECURITY", "value": "none"},
                    {"name": "SMTP_FROM", "value": "agents@example.com"},
                    {"name": "IMAP_HOST", "value": MACHINE},
                    {"name": "IMAP_PORT", "value": mailbox.to_string()},
                    {"name": "IMAP_SECURITY", "value": "none"},
                    {"name": "IMAP_USERNAME", "value": ImapServer::USER},
                    {"name": "IMAP_PASSWORD", "value": ImapServer::PASSWORD},
                ]);
                spec["egress"] = to_machine(&[mail, mailbox]);
            }
            Some("LanguageModel") => {
                // What the relay has no use for: the default proxy's settings, and a key.
                if let Some(spec) = spec.as_object_mut() {
                    spec.remove("configuration");
                    spec.remove("apiKeySecretRef");
                }
                spec["image"] = json!(RELAY_IMAGE);
                spec["args"] = json!([model]);
                spec["egress"] = to_machine(&[self.model_port()]);
            }
            Some("LanguageCluster") => {
                spec["allowedEgress"] = to_machine(&[mail, mailbox, self.model_port()]);
                spec["modelEgress"] = to_machine(&[self.model_port()]);
            }
            _ => {}
        }
    }

    fn model_address(&self) -> &str {
        self.model.endpoint().trim_start_matches("http://")
    }

    fn model_port(&self) -> u16 {
        let port = self.model_address().rsplit(':').next();
        port.and_then(|port| port.parse().ok()).unwrap_or_default()
    }

    /// Runs the agent once and shows what it did, what arrived, and what did not get through.
    pub(crate) async fn show(&self, cp: &ControlPlane, traces: &OtlpReceiver) -> Result<()> {
        headline(&format!("{NAMESPACE}/{AGENT} runs now, in its container"));
        cp.run_now(NAMESPACE, AGENT, JOB).await?;
        let client = cp.client().await?;
        let jobs: Api<Job> = Api::namespaced(client.clone(), NAMESPACE);
        wait::object(jobs, JOB, RUN, has_ended).await?;
        note("its log:");
        let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
        let log = log_of_job(&pods).await?;
        for line in log.lines() {
            block(&in_short(line));
        }
        self.show_mail()?;
        show_status(Api::namespaced(client, NAMESPACE)).await?;
        self.show_blocked(cp, &pods).await?;
        show_trace(traces).await
    }

    fn show_mail(&self) -> Result<()> {
        headline("the mail that arrived");
        let messages = self.mail.messages()?;
        ensure!(!messages.is_empty(), "no mail arrived");
        for message in &messages {
            block(message);
        }
        Ok(())
    }

    async fn show_blocked(&self, cp: &ControlPlane, pods: &Api<Pod>) -> Result<()> {
        headline("a connection that nobody granted");
        let of_client = ListParams::default().labels(&format!("langop.io/client={CLIENT}"));
        let pod = pods.list(&of_client).await?.items.pop();
        let pod = pod.context("the client has no pod")?.name_any();
        let address = self.model_address();
        let tried = cp
            .exec(NAMESPACE, &pod, &["/probe", "dial", "tcp", address])
            .await?;
        note(&format!(
            "{pod}$ dial tcp {address}  # the model itself, past its proxy"
        ));
        block(&tried.output);
        ensure!(
            tried.code == exit::TIMED_OUT,
            "it was not dropped: exit code {}",
            tried.code
        );
        note("its packets are dropped: only the model's proxy may reach the model");
        Ok(())
    }
}

fn is_email(image: &str) -> bool {
    image.contains("/tool-email:")
}

fn to_machine(ports: &[u16]) -> Value {
    let ports: Vec<Value> = ports.iter().map(|port| json!({"port": port})).collect();
    json!([{"cidr": format!("{MACHINE}/32"), "ports": ports}])
}

/// The model: it looks for mail, sends the report, and has nothing to do for anybody else.
fn answer(request: &LlmRequest) -> Reply {
    let messages = request.body["messages"].as_array();
    let results = messages.into_iter().flatten();
    let results = results.filter(|message| message["role"] == "tool").count();
    let is_report = request.body["messages"]
        .to_string()
        .contains("team@example.com");
    let (function, arguments) = match (is_report, results) {
        (true, 0) => (
            "email-tool__search",
            json!({"query": "account", "limit": 5}),
        ),
        (true, 1) => (
            "email-tool__send",
            json!({"to": "team@example.com", "subject": "Incidents", "body": "One notice about the account, nothing else.\n"}),
        ),
        (true, _) => (
            "finish",
            json!({"outcome": "achieved", "summary": "the report is sent"}),
        ),
        (false, _) => (
            "finish",
            json!({"outcome": "nothing_to_do", "summary": "nothing changed"}),
        ),
    };
    let id = format!("call_{results}");
    let call = json!({"id": id, "type": "function", "function": {"name": function, "arguments": arguments.to_string()}});
    Reply::Json {
        code: 200,
        retry_after: None,
        body: json!({
            "id": "c", "object": "chat.completion", "created": 1, "model": request.body["model"],
            "choices": [{"index": 0, "finish_reason": "tool_calls", "message": {"role": "assistant", "content": null, "tool_calls": [call]}}],
            "usage": {"prompt_tokens": 120, "completion_tokens": 20, "total_tokens": 140},
        }),
    }
}

fn has_ended(job: &Job) -> bool {
    let conditions = job.status.iter().flat_map(|status| &status.conditions);
    let mut held = conditions.flatten().filter(|found| found.status == "True");
    held.any(|found| found.type_ == "Complete" || found.type_ == "Failed")
}

async fn log_of_job(pods: &Api<Pod>) -> Result<String> {
    let of_job = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={JOB}"));
    let pod = pods.list(&of_job).await?.items.pop();
    let pod = pod.context("the Job has no pod")?.name_any();
    let of_agent = LogParams {
        container: Some("agent".to_owned()),
        ..LogParams::default()
    };
    Ok(pods.logs(&pod, &of_agent).await?)
}

/// A line of JSON in the words that it is about.
fn in_short(line: &str) -> String {
    let Ok(Value::Object(fields)) = serde_json::from_str(line) else {
        return line.to_owned();
    };
    let told = fields.iter().filter(|(name, _)| {
        ![
            "timestamp",
            "target",
            "level",
            "message",
            "run",
            "span",
            "spans",
        ]
        .contains(&&***name)
    });
    let told = told.map(|(name, value)| format!("{name}={value}"));
    let message = fields.get("message").and_then(Value::as_str);
    let words: Vec<String> = message.map(str::to_owned).into_iter().chain(told).collect();
    words.join(" ")
}

async fn show_status(agents: Api<LanguageAgent>) -> Result<()> {
    headline("what the agent's status says");
    let counted = |agent: &LanguageAgent| {
        let status = agent.status.as_ref();
        status.is_some_and(|status| status.execution_count.is_some_and(|count| count > 0))
    };
    let agent = wait::object(agents, AGENT, RUN, counted).await?;
    let status = agent.status.unwrap_or_default();
    let result = status.last_execution_result.unwrap_or_default();
    block(&format!("lastExecutionResult: {result}"));
    let total = status.usage.map(|usage| usage.total).unwrap_or_default();
    block(&format!(
        "usage: {} tokens read, {} written",
        total.input, total.output
    ));
    ensure!(
        result.starts_with("Succeeded"),
        "the run ended with {result}"
    );
    Ok(())
}

/// The run, and the synthesis that it is linked to.
async fn show_trace(traces: &OtlpReceiver) -> Result<()> {
    headline("the trace of the run, and of the synthesis that made its code");
    let both = |spans: &[otlp::Span]| {
        let mut runs = spans
            .iter()
            .filter(|span| span.name == format!("invoke_agent {AGENT}") && !span.links.is_empty());
        let run = runs.next_back()?;
        let (cause, _) = run.links.first()?;
        let trees = |id: &str| -> Vec<String> {
            let trees = otlp::trees(spans, id);
            trees.iter().map(ToString::to_string).collect()
        };
        let synthesis = trees(cause).join("");
        let whole = synthesis.contains("langop.synthesis.validate");
        whole.then(|| (synthesis, trees(&run.trace_id).join("")))
    };
    let (synthesis, run) = traces.wait_for("both traces", RUN, both).await?;
    ensure!(run.contains("tools/call"), "no call of a tool in {run}");
    block(&synthesis);
    note("linked from");
    block(&run);
    Ok(())
}
