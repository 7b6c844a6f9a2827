//! The baseline: a tonic service with the same messages that does nothing but answer.

use std::{
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result};
use langop_integration_tests::wait;
use langop_proto::v1::{
    DistillPersonaRequest, DistillPersonaResponse, SynthesizeRequest, SynthesizeResponse,
    SynthesizeStreamRequest, SynthesizeStreamResponse, ValidateCodeRequest, ValidateCodeResponse,
    synthesis_service_server::{SynthesisService, SynthesisServiceServer},
};
use tonic::{Request, Response, Status};

struct Canned(SynthesizeResponse);

#[tonic::async_trait]
impl SynthesisService for Canned {
    type SynthesizeStreamStream = futures::stream::Empty<Result<SynthesizeStreamResponse, Status>>;

    async fn synthesize(
        &self,
        _: Request<SynthesizeRequest>,
    ) -> Result<Response<SynthesizeResponse>, Status> {
        Ok(Response::new(self.0.clone()))
    }

    async fn synthesize_stream(
        &self,
        _: Request<SynthesizeStreamRequest>,
    ) -> Result<Response<Self::SynthesizeStreamStream>, Status> {
        Err(Status::unimplemented(
            "the baseline answers Synthesize only",
        ))
    }

    async fn distill_persona(
        &self,
        _: Request<DistillPersonaRequest>,
    ) -> Result<Response<DistillPersonaResponse>, Status> {
        Err(Status::unimplemented(
            "the baseline answers Synthesize only",
        ))
    }

    async fn validate_code(
        &self,
        _: Request<ValidateCodeRequest>,
    ) -> Result<Response<ValidateCodeResponse>, Status> {
        Err(Status::unimplemented(
            "the baseline answers Synthesize only",
        ))
    }
}

/// Serves answers of so many bytes until it is killed.
pub(crate) async fn serve(listen: SocketAddr, bytes: usize) -> Result<()> {
    let canned = Canned(SynthesizeResponse {
        code: "x".repeat(bytes),
        ..SynthesizeResponse::default()
    });
    tonic::transport::Server::builder()
        .add_service(SynthesisServiceServer::new(canned))
        .serve(listen)
        .await?;
    Ok(())
}

/// The baseline as a process; it ends when this value is dropped.
pub(crate) struct Echo {
    child: Child,
    url: String,
}

impl Echo {
    /// Starts it and waits until it accepts connections.
    pub(crate) async fn start(bytes: usize) -> Result<Self> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?
            .local_addr()?
            .port();
        let listen = format!("127.0.0.1:{port}");
        let child = Command::new(std::env::current_exe()?)
            .args(["echo", "--listen", &listen, "--bytes", &bytes.to_string()])
            .stdout(Stdio::null())
            .spawn()
            .context("cannot start the echo")?;
        let echo = Self {
            child,
            url: format!("http://{listen}"),
        };
        wait::until("the echo", Duration::from_secs(10), async || {
            tokio::net::TcpStream::connect(&listen).await.map(|_| ())
        })
        .await?;
        Ok(echo)
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        // It may have ended by itself; nothing more can be done then.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
