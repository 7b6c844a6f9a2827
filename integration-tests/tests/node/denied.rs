//! A namespace in which nobody allows egress, and every kind asks for all of it: whatever a pod of
//! ours sends, by a seed, arrives only where the pod refers to, or where the administrator says.

use std::collections::BTreeMap;

use futures::{StreamExt as _, stream};
use langop_integration_tests::{
    ControlPlane, Operator, Synthesizer, TestNamespace,
    control_plane::node::MACHINE,
    fault_proxy::faults::Random,
    manifests,
    pods::{exit, probe},
};

use crate::{address, operator::pod_of, ready};

const SEED: u64 = 7;
/// Packets that are tried from each pod, beside those that are meant to arrive.
const TRIES: usize = 20;
/// Commands in pods at once.
const AT_ONCE: usize = 8;
/// Of DNS, HTTPS, our pods, the kubelet, and others.
const PORTS: [u16; 8] = [53, 80, 443, 8000, 8080, 8081, 8088, 10250];

const EVERYTHING: &str = "[\
    {cidr: 0.0.0.0/0, ports: [{port: 53}, {port: 80}, {port: 443}, {port: 8080}]}, \
    {podLabels: {app: neighbour}, ports: [{port: 8080}]}, \
    {namespaceLabels: {role: stranger}, ports: [{port: 8080}]}]";

fn objects() -> String {
    format!(
        "
apiVersion: langop.io/v1alpha1
kind: LanguageTool
metadata: {{name: mail}}
spec: {{image: 'localhost/probe-tool:1', egress: {EVERYTHING}}}
---
apiVersion: langop.io/v1alpha1
kind: LanguageTool
metadata: {{name: files}}
spec: {{image: 'localhost/probe-tool:1', deploymentMode: sidecar, port: 8081, egress: {EVERYTHING}}}
---
apiVersion: langop.io/v1alpha1
kind: LanguageModel
metadata: {{name: brain}}
spec: {{provider: custom, model: in-house, image: 'localhost/probe-model:1', egress: {EVERYTHING}}}
---
apiVersion: langop.io/v1alpha1
kind: LanguageClient
metadata: {{name: desk}}
spec: {{image: 'localhost/probe-client:1', toolRefs: [{{name: mail}}]}}
---
apiVersion: langop.io/v1alpha1
kind: LanguageAgent
metadata: {{name: clerk}}
spec:
  image: localhost/probe-agent:1
  toolRefs: [{{name: mail}}, {{name: files}}]
  modelRefs: [{{name: brain}}]
  egress: {EVERYTHING}
"
    )
}

/// A pod that sends, and one that may be sent to.
struct World {
    ns: TestNamespace,
    /// Of others. It ends with the test.
    _elsewhere: TestNamespace,
    /// Names and addresses of our pods, by what they are.
    ours: BTreeMap<&'static str, (String, String)>,
    /// Addresses of others.
    others: Vec<String>,
    /// Where the administrator says that agents may go, and nobody else.
    collector: String,
}

impl World {
    async fn new(cp: &ControlPlane, ns: TestNamespace, collector: String) -> Self {
        let kinds = [
            ("agent", "clerk"),
            ("tool", "mail"),
            ("model", "brain"),
            ("client", "desk"),
        ];
        let mut ours = BTreeMap::new();
        for (kind, name) in kinds {
            let pod = pod_of(&ns, kind, name).await;
            let address = address(&pod).to_owned();
            ours.insert(kind, (pod.metadata.name.unwrap(), address));
        }
        let labels = [("role", "stranger")];
        let name = ns.name().replace("denied", "stranger");
        let elsewhere = TestNamespace::create_with(cp, &name, &labels)
            .await
            .unwrap();
        let serve = |name: &str| probe(name, &["serve", name, "8080"]);
        let stranger = ready(&elsewhere, serve("stranger")).await;
        let neighbour = ready(&ns, serve("neighbour")).await;
        let others = [address(&stranger), address(&neighbour), MACHINE];
        Self {
            others: others.map(str::to_owned).into(),
            ns,
            _elsewhere: elsewhere,
            ours,
            collector,
        }
    }

    /// Where packets are sent to: what is served everywhere, and what the seed adds.
    fn destinations(&self) -> Vec<String> {
        let of_ours = self.ours.values().map(|(_, address)| address);
        let addresses: Vec<&String> = of_ours.chain(&self.others).collect();
        let mut random = Random::new(SEED);
        let mut all = self.served();
        while all.len() < TRIES + self.served().len() {
            let (to, port) = (random.pick(&addresses), random.pick(&PORTS));
            let destination = format!("{}:{}", to.unwrap(), port.unwrap());
            if !all.contains(&destination) {
                all.push(destination);
            }
        }
        all
    }

    /// What answers if packets arrive.
    fn served(&self) -> Vec<String> {
        let others = self.others[..2].iter();
        let ours = self
            .ours
            .iter()
            .map(|(kind, (_, address))| format!("{address}:{}", port_of(kind)));
        ours.chain(others.map(|address| format!("{address}:8080")))
            .chain([self.collector.clone()])
            .collect()
    }

    fn is_named(&self, from: &str, to: &str) -> bool {
        let of = |kind: &str| format!("{}:{}", self.ours[kind].1, port_of(kind));
        let (tool, model) = (of("tool"), of("model"));
        match from {
            "agent" => to == tool || to == model || to == self.collector,
            "client" => to == tool,
            _ => false,
        }
    }

    /// Whether a packet arrives: whoever is there answers, or refuses.
    async fn arrives(&self, cp: &ControlPlane, pod: &str, to: &str) -> bool {
        let dial = ["/probe", "dial", "tcp", to];
        let executed = cp.exec(self.ns.name(), pod, &dial).await.unwrap();
        match executed.code {
            exit::ANSWERED | exit::REFUSED => true,
            exit::TIMED_OUT => false,
            code => panic!("{pod} to {to}: {code}: {}", executed.output),
        }
    }
}

fn port_of(kind: &str) -> u16 {
    match kind {
        "agent" => 8088,
        "model" => 8000,
        _ => 8080,
    }
}

#[tokio::test]
async fn where_egress_is_denied_no_packet_arrives_but_where_an_administrator_says() {
    let Some(cp) = ControlPlane::shared_with_real_node().await else {
        return;
    };
    cp.install_crds().await.unwrap();
    for part in ["agent", "tool", "model", "client"] {
        let image = cp.probe_image(&format!("localhost/probe-{part}:1"), &["serve", part]);
        cp.import(&image.unwrap()).await.unwrap();
    }
    // The machine's end of the node's link plays a collector of traces.
    let server = tokio::net::TcpListener::bind((MACHINE, 0)).await.unwrap();
    let collector = server.local_addr().unwrap().to_string();
    let ns = TestNamespace::create(cp, "denied").await.unwrap();
    let synthesizer = Synthesizer::template().start().await.unwrap();
    let operator = Operator::builder(cp)
        .namespaces(&[ns.name()])
        .synthesizer(synthesizer.grpc_url())
        .env("LANGOP_DEFAULT_EGRESS", "Deny")
        .agent_otlp(&format!("http://{collector}"), MACHINE);
    let _operator = operator.start().await.unwrap();
    for object in manifests::parse(&objects()).unwrap() {
        let applied = manifests::apply(&ns.client(), &object, ns.name()).await;
        applied.unwrap();
    }
    let world = World::new(cp, ns, collector).await;

    // Without a policy it all arrives, but into our pods: what is dropped is dropped by the policy.
    ready(&world.ns, probe("free", &["wait"])).await;
    let others = world.others[..2]
        .iter()
        .map(|address| format!("{address}:8080"));
    for to in others.chain([world.collector.clone()]) {
        assert!(world.arrives(cp, "free", &to).await, "{to}");
    }
    let destinations = world.destinations();
    let from_each = world.ours.iter().flat_map(|(kind, (pod, own))| {
        let others = destinations
            .iter()
            .filter(move |to| !to.starts_with(&format!("{own}:")));
        others.map(move |to| (*kind, pod, to))
    });
    let tried = stream::iter(from_each).map(async |(kind, pod, to)| {
        let arrives = world.arrives(cp, pod, to).await;
        (arrives != world.is_named(kind, to)).then(|| format!("{kind} to {to}: {arrives}"))
    });
    let wrong: Vec<_> = tried.buffer_unordered(AT_ONCE).collect().await;
    let wrong: Vec<String> = wrong.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}
