//! The baseline: a tonic server that does nothing but answer, with the very bytes that the
//! synthesizer answers with, so that the client's part is the same.

use std::{
    convert::Infallible,
    io::{Read as _, Write as _},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    task::{Context, Poll},
    time::Duration,
};

use anyhow::{Context as _, Result};
use futures::future::{BoxFuture, Ready, ready};
use langop_integration_tests::wait;
use langop_proto::SERVICE_NAME;
use prost::bytes::{Buf as _, BufMut as _, Bytes};
use tonic::{
    Request, Response, Status,
    body::Body,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    codegen::Service,
    server::{Grpc, NamedService, UnaryService},
};

/// Whatever it is asked, it answers this.
#[derive(Clone)]
struct Canned(Bytes);

impl NamedService for Canned {
    const NAME: &'static str = SERVICE_NAME;
}

impl Service<http::Request<Body>> for Canned {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let method = self.clone();
        Box::pin(async move { Ok(Grpc::new(Raw).unary(method, request).await) })
    }
}

impl UnaryService<Bytes> for Canned {
    type Response = Bytes;
    type Future = Ready<Result<Response<Bytes>, Status>>;

    fn call(&mut self, _: Request<Bytes>) -> Self::Future {
        ready(Ok(Response::new(self.0.clone())))
    }
}

/// Messages as they are on the wire.
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

/// Serves what it reads from its input until it is killed.
pub(crate) async fn serve(listen: SocketAddr) -> Result<()> {
    let mut answer = Vec::new();
    std::io::stdin().read_to_end(&mut answer)?;
    tonic::transport::Server::builder()
        .add_service(Canned(answer.into()))
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
    /// Starts it with what it is to answer, and waits until it accepts connections.
    pub(crate) async fn start(answer: &[u8]) -> Result<Self> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?
            .local_addr()?
            .port();
        let listen = format!("127.0.0.1:{port}");
        let child = Command::new(std::env::current_exe()?)
            .args(["echo", "--listen", &listen])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .context("cannot start the echo")?;
        let mut echo = Self {
            child,
            url: format!("http://{listen}"),
        };
        let mut input = echo.child.stdin.take().context("the echo has no input")?;
        input.write_all(answer)?;
        drop(input);
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
