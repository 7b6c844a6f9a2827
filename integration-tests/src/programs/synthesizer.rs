//! `langop-synthesizer` as a child process.

use std::ffi::OsString;
use std::path::Path;

use anyhow::Result;
use rustix::process::Signal;

use super::locate::locate;
use super::process::{Launch, Program, READY, log_file, sample};
use crate::{control_plane::ports, fake_llm::FakeLlm};

/// Settings of a synthesizer to be started.
#[derive(Clone, Debug, Default)]
pub struct SynthesizerBuilder {
    env: Vec<(String, OsString)>,
}

impl SynthesizerBuilder {
    /// `SYNTHESIS_PROVIDER`: `template`, `openai`, `anthropic` or `ollama`.
    #[must_use]
    pub fn provider(self, name: &str) -> Self {
        self.env("SYNTHESIS_PROVIDER", name)
    }

    /// `SYNTHESIS_MODEL`. Unset means that synthesis is disabled.
    #[must_use]
    pub fn model(self, name: &str) -> Self {
        self.env("SYNTHESIS_MODEL", name)
    }

    /// `SYNTHESIS_ENDPOINT`, e.g. [`crate::FakeLlm::endpoint`].
    #[must_use]
    pub fn endpoint(self, url: &str) -> Self {
        self.env("SYNTHESIS_ENDPOINT", url)
    }

    /// `SYNTHESIS_API_KEY`.
    #[must_use]
    pub fn api_key(self, key: &str) -> Self {
        self.env("SYNTHESIS_API_KEY", key)
    }

    /// Sends traces there, soon, e.g. to [`crate::OtlpReceiver::endpoint`].
    #[must_use]
    pub fn otlp(mut self, endpoint: &str) -> Self {
        self.env.extend(otlp_env(endpoint));
        self
    }

    /// Any environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }

    /// Starts it and waits until it is ready.
    ///
    /// # Errors
    /// If it was not built or does not become ready, with the end of its log.
    pub async fn start(self) -> Result<Synthesizer> {
        let [grpc, admin] = ports::free()?;
        let [grpc, admin] = [grpc, admin].map(|port| format!("127.0.0.1:{port}"));
        let launch = Launch {
            name: "langop-synthesizer",
            program: locate("langop-synthesizer")?,
            args: vec![
                "--listen".into(),
                grpc.clone().into(),
                "--admin-listen".into(),
                admin.clone().into(),
            ],
            env: self.env,
            log: log_file("synthesizer")?,
            ready_within: READY,
            admin: format!("http://{admin}"),
        };
        Ok(Synthesizer {
            program: Program::start(launch).await?,
            grpc_url: format!("http://{grpc}"),
            admin_url: format!("http://{admin}"),
        })
    }
}

/// Export at once, so that tests and the demo need not wait the usual five seconds.
pub(super) fn otlp_env(endpoint: &str) -> [(String, OsString); 4] {
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_TRACES_EXPORTER", "otlp"),
        ("OTEL_BSP_SCHEDULE_DELAY", "200"),
    ]
    .map(|(name, value)| (name.to_owned(), value.into()))
}

/// A running `langop-synthesizer`.
#[derive(Debug)]
pub struct Synthesizer {
    program: Program,
    grpc_url: String,
    admin_url: String,
}

impl Synthesizer {
    /// One without settings, hence with synthesis disabled until some are given.
    pub fn builder() -> SynthesizerBuilder {
        SynthesizerBuilder::default()
    }

    /// One that needs no LLM.
    pub fn template() -> SynthesizerBuilder {
        Self::builder().provider("template").model("template")
    }

    /// One that asks this LLM, in the shape of OpenAI's.
    pub fn asking(llm: &FakeLlm) -> SynthesizerBuilder {
        Self::builder()
            .provider("openai")
            .model("fake-model")
            .endpoint(llm.endpoint())
            .api_key("sk-secret-of-the-test")
    }

    /// Where it speaks gRPC: `http://127.0.0.1:PORT`.
    pub fn grpc_url(&self) -> &str {
        &self.grpc_url
    }

    /// Where it serves health and metrics: `http://127.0.0.1:PORT`.
    pub fn admin_url(&self) -> &str {
        &self.admin_url
    }

    /// Its log, both outputs.
    pub fn log(&self) -> &Path {
        self.program.log()
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.program.pid()
    }

    /// Text of its `/metrics`; see [`crate::metrics::metric_value`].
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn metrics(&self) -> Result<String> {
        self.program.metrics().await
    }

    /// Calls of an RPC (`Synthesize`, `SynthesizeStream`, `DistillPersona`, `ValidateCode`) since
    /// its start, of whatever outcome.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn calls(&self, method: &str) -> Result<u64> {
        let calls = sample(
            &self.metrics().await?,
            "langop_grpc_requests_total",
            &[("method", method)],
        );
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a counter is a whole number and never negative"
        )]
        Ok(calls as u64)
    }

    /// SIGTERM, and waits for the end.
    ///
    /// # Errors
    /// If it does not end.
    pub async fn stop(&mut self) -> Result<()> {
        self.program.end(Signal::TERM).await?;
        Ok(())
    }

    /// SIGKILL, and waits for the end.
    ///
    /// # Errors
    /// If it does not end.
    pub async fn kill(&mut self) -> Result<()> {
        self.program.end(Signal::KILL).await?;
        Ok(())
    }

    /// Starts it again after [`Self::stop`] or [`Self::kill`], on the same ports with the same
    /// settings.
    ///
    /// # Errors
    /// If it does not become ready.
    pub async fn start_again(&mut self) -> Result<()> {
        self.program.start_again().await
    }

    /// Stops it, and starts it again on the same ports with the same settings.
    ///
    /// # Errors
    /// If it does not end or does not become ready.
    pub async fn restart(&mut self) -> Result<()> {
        self.stop().await?;
        self.start_again().await
    }
}
