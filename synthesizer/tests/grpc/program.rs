//! The program itself in a process of its own: environment, log, SIGTERM.

use std::{
    fs,
    process::{Child, Command, ExitStatus},
    time::Duration,
};

use langop_client::credentials::Credentials;
use langop_proto::v1::synthesis_service_client::SynthesisServiceClient;
use serde_json::Value;
use tempfile::NamedTempFile;
use tonic::transport::Channel;

use crate::{
    access::Known,
    fake_llm::FakeLlm,
    harness::{Client, KEY},
};

/// Leaves no process behind when the test fails.
pub(crate) struct Program {
    process: Child,
    /// A file, because a pipe that nobody reads fills up and stops the program.
    log: NamedTempFile,
    grpc: String,
    admin: String,
}

impl Program {
    /// Starts it with `provider` at a fake LLM, logging what `filter` says, and waits until it
    /// serves.
    pub(crate) async fn start(
        provider: &str,
        llm: &FakeLlm,
        collector: &str,
        filter: &str,
    ) -> Self {
        let environment = [
            ("LANGOP_LOG", filter),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", collector),
        ];
        Self::start_with(provider, llm, &environment).await
    }

    /// As [`Self::start`], with these variables.
    pub(crate) async fn start_with(
        provider: &str,
        llm: &FakeLlm,
        environment: &[(&str, &str)],
    ) -> Self {
        let log = NamedTempFile::new().unwrap();
        let process = Command::new(env!("CARGO_BIN_EXE_langop-synthesizer"))
            .args(["--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0"])
            .envs([
                ("SYNTHESIS_PROVIDER", provider),
                ("SYNTHESIS_MODEL", "fake"),
                ("SYNTHESIS_ENDPOINT", &format!("{}/v1", llm.url)),
                ("SYNTHESIS_API_KEY", KEY),
                ("SYNTHESIS_API_KEY_FILE", ""),
                ("LANGOP_LLM_RETRY_DELAY", "1ms"),
                ("LANGOP_LOG_FORMAT", "json"),
            ])
            .envs(environment.iter().copied())
            .stderr(log.reopen().unwrap())
            .spawn()
            .unwrap();
        let mut program = Self {
            process,
            log,
            grpc: String::new(),
            admin: String::new(),
        };
        for _ in 0..1000 {
            if let Some((grpc, admin)) = addresses(&program.log()) {
                (program.grpc, program.admin) = (grpc, admin);
                return program;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it does not serve:\n{}", program.log())
    }

    pub(crate) async fn channel(&self) -> Channel {
        let endpoint = Channel::from_shared(format!("http://{}", self.grpc)).unwrap();
        endpoint.connect().await.unwrap()
    }

    pub(crate) async fn client(&self) -> Client {
        Client::new(self.channel().await)
    }

    /// A client that proves who it is.
    pub(crate) async fn known(&self, credentials: &Credentials) -> Known {
        SynthesisServiceClient::with_interceptor(self.channel().await, credentials.bearer())
    }

    /// The most memory that it ever had, in MiB.
    pub(crate) fn most_memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.unwrap().trim().trim_end_matches(" kB");
        kib.parse::<u64>().unwrap() / 1024
    }

    pub(crate) async fn metrics(&self) -> String {
        let page = reqwest::get(format!("http://{}/metrics", self.admin)).await;
        page.unwrap().text().await.unwrap()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log.path()).unwrap()
    }

    /// Asks it to stop and waits until it has. Connections to it must be closed before, or it waits
    /// for them.
    pub(crate) async fn stop(&mut self) -> ExitStatus {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").arg(id).status().unwrap().success());
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Where it serves, once its log says so.
fn addresses(log: &str) -> Option<(String, String)> {
    log.lines().find_map(|line| {
        let line: Value = serde_json::from_str(line).ok()?;
        let field = |name: &str| Some(line["fields"][name].as_str()?.to_owned());
        Some((field("grpc")?, field("admin")?))
    })
}
