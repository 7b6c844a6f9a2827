//! A synthesizer in this process on ephemeral ports, and clients of it.

use std::{net::SocketAddr, time::Duration};

use langop_proto::v1::{
    AgentRef, SynthesizeRequest, synthesis_service_client::SynthesisServiceClient,
};
use langop_synthesizer::{Listeners, ServeError, serve, settings::Settings};
use secrecy::SecretString;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tonic::{Status, transport::Channel};
use tonic_types::StatusExt as _;

use crate::{fake_llm::FakeLlm, logs};

/// The key that must appear nowhere.
pub(crate) const KEY: &str = "sk-q8Zr5tYw2LmN";

pub(crate) type Client = SynthesisServiceClient<Channel>;

/// Settings for a test: a provider at a fake LLM, and hardly any delay between retries.
pub(crate) fn settings(provider: &str, llm: &FakeLlm) -> Settings {
    let arguments = [
        format!("--synthesis-provider={provider}"),
        "--synthesis-model=fake".to_owned(),
        format!("--synthesis-endpoint={}", llm.url),
        "--llm-retry-delay=1ms".to_owned(),
        "--request-timeout=20s".to_owned(),
    ];
    let settings = Settings::from_arguments(arguments).unwrap();
    Settings {
        api_key: Some(SecretString::from(KEY)),
        ..settings
    }
}

pub(crate) struct TestServer {
    pub(crate) grpc: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) shutdown: CancellationToken,
    pub(crate) task: JoinHandle<Result<(), ServeError>>,
}

impl TestServer {
    pub(crate) async fn start(settings: Settings) -> Self {
        logs::capture();
        let listener = || TcpListener::bind("127.0.0.1:0");
        let listeners = Listeners {
            grpc: listener().await.unwrap(),
            admin: listener().await.unwrap(),
        };
        let (grpc, admin) = (
            listeners.grpc.local_addr().unwrap(),
            listeners.admin.local_addr().unwrap(),
        );
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(serve(settings, listeners, shutdown.clone()));
        Self {
            grpc,
            admin,
            shutdown,
            task,
        }
    }

    pub(crate) async fn channel(&self) -> Channel {
        Channel::from_shared(format!("http://{}", self.grpc))
            .unwrap()
            .connect()
            .await
            .unwrap()
    }

    pub(crate) async fn client(&self) -> Client {
        Client::new(self.channel().await)
    }

    /// Status and body of a page of the admin server.
    pub(crate) async fn page(&self, path: &str) -> (u16, String) {
        let response = reqwest::get(format!("http://{}{path}", self.admin))
            .await
            .unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// Waits until the metrics hold a line.
    pub(crate) async fn until_metric(&self, line: &str) {
        let mut page = String::new();
        for _ in 0..500 {
            page = self.page("/metrics").await.1;
            if page.lines().any(|found| found == line) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{line} is not in\n{page}");
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A request for an agent called `name`.
pub(crate) fn request(name: &str, instructions: &str) -> SynthesizeRequest {
    SynthesizeRequest {
        agent: Some(AgentRef {
            name: name.to_owned(),
            namespace: "demo".to_owned(),
        }),
        instructions: instructions.to_owned(),
        ..SynthesizeRequest::default()
    }
}

/// `ErrorInfo.reason`.
pub(crate) fn reason(status: &Status) -> String {
    status
        .get_error_details()
        .error_info()
        .map(|info| info.reason.clone())
        .unwrap_or_default()
}
