//! Tools and models that speak TLS, with certificates of an authority that only this test knows.

use std::{fs, net::SocketAddr, path::PathBuf, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs::default_provider,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use serde_json::json;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

use super::{
    agent::Agent,
    model::{Model, says},
    peer,
};

const LIST: &str = r#"
  workflow do
    step "List" do
      use_tool "files", action: "list_files", params: { path: "." }
    end
  end
"#;
const LIST_AND_JUDGE: &str = r#"
  workflow do
    step "List" do
      use_tool "files", action: "list_files", params: { path: "." }
    end
    step "Judge", depends_on: "List" do
      ask "Which of these are critical?", model: "claude"
    end
  end
"#;
const JUDGE: &str = r#"
  workflow do
    step "Judge" do
      ask "Which is critical?", model: "claude"
    end
  end
"#;

const UNKNOWN: &str = "unknown certificate authority, set spec.caBundle";

/// An authority that signs for `localhost`.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let name = &mut params.distinguished_name;
        name.push(DnType::CommonName, "an authority of a test");
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Beside what an agent is given.
    fn write(&self, agent: &Agent) -> PathBuf {
        agent.write("ca.crt", &self.0.pem());
        agent.path("ca.crt")
    }

    fn acceptor(&self) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }

    /// TLS in front of a server that speaks plain HTTP; its port.
    async fn front(&self, server: SocketAddr) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let acceptor = self.acceptor();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // Who does not trust it goes away.
                    let mut client = acceptor.accept(client).await.ok()?;
                    let mut server = TcpStream::connect(server).await.ok()?;
                    copy_bidirectional(&mut client, &mut server).await.ok()
                });
            }
        });
        port
    }
}

fn with_files(agent: Agent, url: &str) -> Agent {
    agent.with("MCP_SERVERS", json!([{"name": "files", "url": url}]))
}

fn with_model(agent: Agent, url: &str) -> Agent {
    let models = json!([{"name": "claude", "url": url, "model": "claude-x"}]);
    agent.with("MODEL_ENDPOINTS", models)
}

#[tokio::test]
async fn tools_and_models_are_spoken_to_by_tls_with_the_authority_that_is_named() {
    let authority = Authority::new();
    let agent = Agent::new(LIST_AND_JUDGE);
    agent.write("workspace/core.txt", "x");
    let model = Model::start([says("core.txt")]).await;
    let files = peer::filesystem(&agent.workspace()).await;
    let files = authority.front(files).await;
    let judge = authority.front(model.address).await;
    let ca = authority.write(&agent);
    let agent = with_files(agent, &format!("https://localhost:{files}/mcp"));
    let agent = with_model(agent, &format!("https://localhost:{judge}"));
    let left = agent.with("SSL_CERT_FILE", ca.display()).run().await;
    assert_eq!(left.code, Some(0), "{}", left.log);
    assert_eq!(left.line, "2 steps done");
    let asked = model.requests()[0]["messages"][1]["content"].clone();
    assert!(asked.as_str().unwrap().contains("core.txt"), "{asked}");
}

#[tokio::test]
async fn a_tool_of_an_unknown_authority_is_named_with_what_to_do() {
    let agent = Agent::new(LIST);
    let files = peer::filesystem(&agent.workspace()).await;
    let url = format!("https://localhost:{}", Authority::new().front(files).await);
    // Not waited for, as one that may come would be: longer than a test takes.
    let left = with_files(agent, &url).run().await;
    assert_eq!(left.code, Some(7), "{}", left.log);
    let said = format!("the tool 'files' does not answer: {UNKNOWN}: {url}");
    assert!(left.line.ends_with(&said), "{}", left.line);
}

#[tokio::test]
async fn a_model_of_an_unknown_authority_is_named_with_what_to_do() {
    let model = Model::start([says("never")]).await;
    let port = Authority::new().front(model.address).await;
    let url = format!("https://localhost:{port}");
    let left = with_model(Agent::new(JUDGE), &url).run().await;
    assert_eq!(left.code, Some(6), "{}", left.log);
    let said = format!("the model 'claude' does not answer: {UNKNOWN}: {url}");
    assert!(left.line.ends_with(&said), "{}", left.line);
    assert!(model.requests().is_empty());
}

#[tokio::test]
async fn a_certificate_for_another_host_is_no_matter_of_authorities() {
    let authority = Authority::new();
    let agent = Agent::new(LIST);
    let files = peer::filesystem(&agent.workspace()).await;
    let url = format!("https://127.0.0.1:{}", authority.front(files).await);
    let ca = authority.write(&agent);
    let agent = with_files(agent, &url).with("SSL_CERT_FILE", ca.display());
    let left = agent.run().await;
    assert_eq!(left.code, Some(7), "{}", left.log);
    let said = format!("{url} needs a certificate valid for its host and now (");
    assert!(left.line.contains(&said), "{}", left.line);
}

/// A pipe instead of the file: whoever reads it waits until somebody writes.
#[tokio::test]
async fn authorities_are_read_only_where_tls_is_spoken() {
    let authority = Authority::new();
    let agent = Agent::new(LIST);
    let files = peer::filesystem(&agent.workspace()).await;
    let front = authority.front(files).await;
    let pipe = agent.path("ca.pipe");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let agent = agent.with("SSL_CERT_FILE", pipe.display());

    let plain = with_files(agent, &format!("http://{files}"));
    let left = plain.run().await;
    assert_eq!(left.code, Some(0), "it read, or else failed: {}", left.log);

    let speaks_tls = with_files(plain, &format!("https://localhost:{front}"));
    let running = speaks_tls.start();
    let pem = authority.0.pem();
    // Waits, too, until somebody reads.
    let written = tokio::task::spawn_blocking(move || fs::write(pipe, pem));
    written.await.unwrap().unwrap();
    let left = running.end().await;
    assert_eq!(left.code, Some(0), "{}", left.log);
}
