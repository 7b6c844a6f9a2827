//! Several replicas of the synthesizer behind one Service: the operator asks each for its own
//! requests, so that their caches are as one; goes elsewhere when one is lost; and says who it is.
//! `EndpointSlice`s are written here, as Kubernetes' own controller would.

use std::{fmt::Write as _, fs, path::Path};

use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::DeleteParams;
use langop_api::LanguageAgent;
use langop_client::pool::Pool;
use langop_integration_tests::{
    ControlPlane, FakeLlm, FaultProxy, Operator, Reply, Synthesizer, TestNamespace,
    fault_proxy::LOOPBACK, manifests, programs::OperatorBuilder, programs::SynthesizerBuilder,
    wait,
};
use langop_proto::{
    routing::routing_key,
    v1::{AgentRef, SynthesisOutcome, SynthesizeRequest, synthesis_service_client},
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tonic::transport::Endpoint;

use crate::fault_env::SOON;

const CODE: &str =
    "require 'language_operator'\n\nagent 'agent' do\n  objectives [\"do it\"]\nend\n";

struct Replicas {
    ns: TestNamespace,
    proxy: FaultProxy,
    llm: FakeLlm,
}

impl Replicas {
    async fn new(prefix: &str) -> Self {
        let cp = ControlPlane::shared().await;
        cp.install_crds().await.unwrap();
        let ns = TestNamespace::create(cp, prefix).await.unwrap();
        let proxy = FaultProxy::start(cp, "via-proxy", 1).await.unwrap();
        let llm = FakeLlm::start().await.unwrap();
        llm.reply_with(|_| Reply::Code(CODE.to_owned()));
        Self { ns, proxy, llm }
    }

    fn synthesizer(&self) -> SynthesizerBuilder {
        Synthesizer::asking(&self.llm)
    }

    /// The host that names the Service.
    fn host(&self) -> String {
        format!("synthesizer.{}.svc", self.ns.name())
    }

    async fn operator(&self, scheme: &str) -> OperatorBuilder {
        let cp = ControlPlane::shared().await;
        Operator::builder(cp)
            .namespaces(&[self.ns.name()])
            .synthesizer(&format!("{scheme}://{}:50051", self.host()))
            .through(&self.proxy)
            .synthesis_backoff("1s", "4s")
            .env("LANGOP_LOG", "info,langop_operator=debug")
    }

    /// Says that a replica is an endpoint of the Service, ready or not.
    async fn endpoint(&self, name: &str, replica: &Synthesizer, ready: bool) {
        let (_, port) = replica.grpc_url().rsplit_once(':').unwrap();
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": name, "labels": {"kubernetes.io/service-name": "synthesizer"}},
            "ports": [{"name": "grpc", "port": port.parse::<i32>().unwrap()}],
            "endpoints": [{"addresses": [LOOPBACK], "conditions": {"ready": ready}}],
        });
        self.apply(slice).await;
    }

    async fn apply(&self, object: serde_json::Value) {
        let object = serde_json::from_value(object).unwrap();
        manifests::apply(&self.ns.client(), &object, self.ns.name())
            .await
            .unwrap();
    }

    async fn agent(&self, name: &str) {
        let spec = json!({"instructions": instructions(name)});
        self.apply(json!({"apiVersion": "langop.io/v1alpha1", "kind": "LanguageAgent", "metadata": {"name": name}, "spec": spec}))
            .await;
    }

    async fn until(&self, agent: &str, status: &str, reason: &str) {
        let is = |agent: &LanguageAgent| {
            let conditions = agent.status.iter().flat_map(|status| &status.conditions);
            conditions
                .filter(|condition| condition.type_ == "Synthesized")
                .any(|condition| condition.status == status && condition.reason == reason)
        };
        wait::object(self.ns.api::<LanguageAgent>(), agent, SOON, is)
            .await
            .unwrap();
    }

    async fn until_synthesized(&self, agent: &str) {
        let is = |agent: &LanguageAgent| {
            let conditions = agent.status.iter().flat_map(|status| &status.conditions);
            let mut synthesized = conditions.filter(|condition| condition.type_ == "Synthesized");
            synthesized.any(|condition| condition.status == "True")
        };
        wait::object(self.ns.api::<LanguageAgent>(), agent, SOON, is)
            .await
            .unwrap();
    }
}

fn instructions(agent: &str) -> String {
    format!("Do what {agent} does")
}

/// What the operator asks for an agent without references.
fn request(agent: &str) -> SynthesizeRequest {
    SynthesizeRequest {
        agent: Some(AgentRef {
            name: "somebody-else".into(),
            namespace: "elsewhere".into(),
        }),
        instructions: instructions(agent),
        ..SynthesizeRequest::default()
    }
}

fn pool(replicas: &[Synthesizer]) -> Pool {
    let endpoint = |replica: &Synthesizer| Endpoint::from_shared(replica.grpc_url().to_owned());
    let endpoints = replicas.iter().map(endpoint).collect::<Result<_, _>>();
    Pool::fixed(endpoints.unwrap())
}

async fn calls(replicas: &[Synthesizer]) -> Vec<u64> {
    let mut calls = Vec::new();
    for replica in replicas {
        calls.push(replica.calls("Synthesize").await.unwrap());
    }
    calls
}

/// How many of the agents have each replica for a home.
fn homes(replicas: &[Synthesizer], agents: &[String]) -> Vec<u64> {
    let pool = pool(replicas);
    let home = |agent: &String| pool.preference(&routing_key(&request(agent))).remove(0);
    let homes: Vec<String> = agents.iter().map(home).collect();
    let of = |replica: &Synthesizer| format!("{}/", replica.grpc_url());
    let count = |url: String| homes.iter().filter(|home| **home == url).count() as u64;
    replicas.iter().map(of).map(count).collect()
}

#[tokio::test]
async fn three_replicas_are_one_cache_to_operator_and_clients_and_none_is_missed() {
    let env = Replicas::new("replicas").await;
    let mut replicas = Vec::new();
    for name in ["one", "two", "three"] {
        let replica = env.synthesizer().start().await.unwrap();
        env.endpoint(name, &replica, true).await;
        replicas.push(replica);
    }
    let _operator = env.operator("http").await.start().await.unwrap();
    let agents: Vec<String> = (0..12).map(|nth| format!("agent-{nth}")).collect();
    for agent in &agents {
        env.agent(agent).await;
    }
    for agent in &agents {
        env.until_synthesized(agent).await;
    }
    let made = calls(&replicas).await;
    assert_eq!(made.iter().sum::<u64>(), 12, "{made:?}");
    assert_eq!(made, homes(&replicas, &agents), "each request at its home");
    assert!(made.iter().all(|calls| *calls > 0), "{made:?}: a poor test");
    assert_eq!(env.llm.count(), 12);

    let pool = pool(&replicas);
    for agent in &agents {
        let request = request(agent);
        let key = routing_key(&request);
        let deadline = tokio::time::Instant::now() + SOON;
        let answer = pool.call(&key, deadline, async |channel| {
            let mut client = synthesis_service_client::SynthesisServiceClient::new(channel);
            Ok(client.synthesize(request.clone()).await?.into_inner())
        });
        let answer = answer.await.unwrap();
        assert_eq!(answer.outcome(), SynthesisOutcome::Cached, "{agent}");
    }
    assert_eq!(
        env.llm.count(),
        12,
        "what the operator had made, a client gets for nothing"
    );

    replicas[0].kill().await.unwrap();
    for nth in 12..18 {
        let agent = format!("agent-{nth}");
        env.agent(&agent).await;
        env.until_synthesized(&agent).await;
    }
    assert_eq!(
        env.llm.count(),
        18,
        "the others stand in, and nothing is paid for twice"
    );
}

#[tokio::test]
async fn a_new_endpoint_is_reason_to_try_again_at_once() {
    let env = Replicas::new("endpoints").await;
    let disabled = Synthesizer::builder().start().await.unwrap();
    env.endpoint("one", &disabled, true).await;
    let operator = env.operator("http").await;
    // Far longer than the test.
    let operator = operator.synthesis_backoff("30m", "1h").start().await;
    let _operator = operator.unwrap();
    env.agent("patient").await;
    env.until("patient", "False", "SynthesisDisabled").await;

    let able = env.synthesizer().start().await.unwrap();
    env.ns
        .api::<EndpointSlice>()
        .delete("one", &DeleteParams::default())
        .await
        .unwrap();
    env.endpoint("two", &able, false).await;
    env.endpoint("two", &able, true).await;
    env.until_synthesized("patient").await;
    assert_eq!(able.calls("Synthesize").await.unwrap(), 1);
    assert_eq!(disabled.calls("Synthesize").await.unwrap(), 1);
}

#[tokio::test]
async fn the_operator_says_who_it_is_and_follows_files_that_change() {
    let env = Replicas::new("who").await;
    let files = TempDir::new().unwrap();
    let file = |name: &str| files.path().join(name);
    certify(files.path(), &env.host());
    let token = "a-token-of-the-test";
    fs::write(file("token"), token).unwrap();
    let hash = Sha256::digest(token)
        .iter()
        .fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").unwrap();
            hex
        });
    fs::write(file("tokens"), format!("operator:{hash}\n")).unwrap();
    let path = |name: &str| file(name).to_str().unwrap().to_owned();
    let synthesizer = env
        .synthesizer()
        .env("LANGOP_TLS_CERT", &path("server.crt"))
        .env("LANGOP_TLS_KEY", &path("server.key"))
        .env("LANGOP_TOKENS_FILE", &path("tokens"))
        .env("LANGOP_RELOAD_INTERVAL", "1s")
        .env("LANGOP_MAX_CONNECTION_AGE", "1s");
    let synthesizer = synthesizer.start().await.unwrap();
    env.endpoint("one", &synthesizer, true).await;
    let operator = env
        .operator("https")
        .await
        .env("LANGOP_SYNTHESIZER_CA", &path("ca.crt"))
        .env("LANGOP_SYNTHESIZER_TOKEN_FILE", &path("token"));
    let operator = operator.start().await.unwrap();
    env.agent("known").await;
    env.until_synthesized("known").await;

    // Another authority, and so another certificate: whoever still trusts the old one alone gets no
    // answer.
    certify(files.path(), &env.host());
    let changed = || async {
        let log = fs::read_to_string(operator.log()).unwrap();
        log.contains("the credentials for the synthesizer have changed")
            .then_some(())
    };
    wait::until("the operator to read its files again", SOON, changed)
        .await
        .unwrap();
    env.agent("still-known").await;
    env.until_synthesized("still-known").await;

    fs::write(file("token"), "another-token").unwrap();
    env.agent("stranger").await;
    env.until("stranger", "False", "SynthesisDisabled").await;
    let log = fs::read_to_string(operator.log()).unwrap();
    assert!(!log.contains(token) && !log.contains("another-token"));
}

/// Writes a new authority and a server's certificate of it, whole files at a time.
fn certify(folder: &Path, host: &str) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let server = CertificateParams::new(vec![host.to_owned()]).unwrap();
    let server = server.signed_by(&key, &authority).unwrap();
    for (name, content) in [
        ("server.key", key.serialize_pem()),
        ("server.crt", server.pem()),
        ("ca.crt", authority.pem()),
    ] {
        fs::write(folder.join("new"), content).unwrap();
        fs::rename(folder.join("new"), folder.join(name)).unwrap();
    }
}
