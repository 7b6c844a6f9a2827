//! Starts the parts in the order in which they need each other, each awaited by a condition, and
//! stops them in the reverse one.

use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use futures::future::select_all;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Node, ServiceAccount};
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::binaries::Binaries;
use super::certificates::{Authority, Pair, service_account_keys};
use super::node::{self, Programs, RealNode};
use super::ports;
use super::process::Process;
use super::startup::{Options, Ready, ReadyNode};
use super::storage::{self, Backing};
use crate::audit::AuditLog;
use crate::cluster::{self, Cluster, Nodes};
use crate::kubeconfig::{self, Credentials};
use crate::{manifests, run_dir, wait};

/// Until a part is Ready; machines under load need long.
const READY: Duration = Duration::from_secs(90);
/// It waits for its watches otherwise.
const GRACE_OF_APISERVER: Duration = Duration::from_secs(3);
/// The API server's name when it calls a server behind it, one of an `APIService`.
const FRONT_PROXY: &str = "front-proxy-client";
/// The one Node, if it is played by kwok.
const SIMULATED_NODE: &str = "kwok-0";

/// A control plane that runs.
pub(crate) struct Running {
    ready: Ready,
    parts: Parts,
    _provisioner: JoinSet<Result<()>>,
    binaries: Binaries,
    files: Files,
}

struct Parts {
    etcd: Process,
    apiserver: Process,
    /// controller-manager, scheduler, kwok if it plays the node
    clients: Vec<Process>,
    node: Option<RealNode>,
}

impl Parts {
    fn all(&self) -> impl Iterator<Item = &Process> {
        [&self.etcd, &self.apiserver]
            .into_iter()
            .chain(&self.clients)
            .chain(self.node.as_ref().map(RealNode::process))
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut Process> {
        [&mut self.etcd, &mut self.apiserver]
            .into_iter()
            .chain(&mut self.clients)
            .chain(self.node.as_mut().map(RealNode::process_mut))
    }
}

impl Running {
    pub(crate) fn ready(&self) -> &Ready {
        &self.ready
    }

    /// Waits until a part ends by itself.
    pub(crate) async fn failed(&mut self) -> anyhow::Error {
        let ends = self.parts.all_mut().map(|part| Box::pin(part.failed()));
        select_all(ends).await.0
    }

    /// Ends the API server as a node's end would, within seconds, and starts it again. What it had
    /// stored stays.
    pub(crate) async fn restart_apiserver(&mut self) -> Result<()> {
        self.parts.apiserver.end(GRACE_OF_APISERVER).await;
        self.parts.apiserver = start_apiserver(&self.binaries, &self.files)?;
        ready_or_failed(&mut self.parts.apiserver, api_ready(&self.files)).await
    }

    /// An API server whose etcd is gone does not end, so it goes first, after its clients.
    ///
    /// # Errors
    /// If the machine cannot be put in order after a real node.
    pub(crate) async fn stop(self) -> Result<()> {
        let Parts {
            etcd,
            apiserver,
            clients,
            node,
        } = self.parts;
        let stops = clients
            .into_iter()
            .map(|part| part.stop(Duration::from_secs(2)));
        futures::future::join_all(stops).await;
        let undone = match node {
            Some(node) => node.stop().await,
            None => Ok(()),
        };
        apiserver.stop(GRACE_OF_APISERVER).await;
        etcd.stop(Duration::from_secs(2)).await;
        // Large and useless without its server; the logs stay. A failure leaves a folder to the
        // next claim.
        let _ = fs::remove_dir_all(self.files.etcd_data);
        undone
    }
}

/// Starts everything below `state` and waits until all of it is Ready.
///
/// `programs` are those of a real node, if there is to be one.
pub(crate) async fn launch(
    binaries: &Binaries,
    programs: Option<Programs>,
    state: &Path,
    options: &Options,
) -> Result<Running> {
    cluster::install_crypto_provider();
    // The parts have a working folder of their own in mind when they read relative paths.
    let state = &std::path::absolute(state)?;
    let files = Files::write(state, options)?;
    let mut ready = Ready {
        kubeconfig: files.kubeconfig("admin"),
        audit_log: files.audit_log.clone(),
        server: files.server.clone(),
        etcd: files.etcd_url.clone(),
        kubectl: binaries.kubectl.clone(),
        logs: files.logs.clone(),
        pids: Vec::new(),
        node: None,
    };
    // First, since the API server listens on its link, and it has much to do until it needs the
    // server.
    let node = match programs {
        Some(programs) => {
            let mut reached = ReadyNode {
                init: 0,
                ctr: programs.ctr.clone(),
                probe: programs.probe.clone(),
                crane: programs.crane.clone(),
            };
            let node = RealNode::start(programs, state, &files.logs).await?;
            reached.init = node.init();
            ready.node = Some(reached);
            Some(node)
        }
        None => None,
    };
    let parts = start_parts(binaries, &files, node).await?;
    ready.pids = parts
        .all()
        .map(|part| (part.name().to_owned(), part.pid()))
        .collect();
    let client = files.admin()?.client().await?;
    storage::create_class(&client).await?;
    // Aborted when what it belongs to is dropped; an error is the API server's end, which is told
    // of elsewhere.
    let mut provisioner = JoinSet::new();
    provisioner.spawn(storage::provision(client, files.backing()));
    Ok(Running {
        ready,
        parts,
        _provisioner: provisioner,
        binaries: binaries.clone(),
        files,
    })
}

/// Starts the processes, and waits until each is Ready.
async fn start_parts(
    binaries: &Binaries,
    files: &Files,
    mut node: Option<RealNode>,
) -> Result<Parts> {
    let mut etcd = start_etcd(binaries, files)?;
    ready_or_failed(&mut etcd, http_ok(&format!("{}/health", files.etcd_url))).await?;
    let mut apiserver = start_apiserver(binaries, files)?;
    ready_or_failed(&mut apiserver, api_ready(files)).await?;
    let controllers = start_controller_manager(binaries, files)?;
    let scheduler = start_scheduler(binaries, files)?;
    let mut clients = vec![controllers, scheduler];
    if let Some(node) = &mut node {
        node.join().await?;
        let ready = async {
            install_dns(files).await?;
            node_ready(files, node::NAME).await?;
            dns_ready(files).await
        };
        ready_or_failed(node.process_mut(), ready).await?;
    } else {
        create_node(files).await?;
        clients.push(start_kwok(binaries, files)?);
        ready_or_failed(&mut clients[2], node_ready(files, SIMULATED_NODE)).await?;
    }
    ready_or_failed(&mut clients[0], controllers_ready(files)).await?;
    let scheduler_url = format!("https://127.0.0.1:{}/readyz", files.scheduler_port);
    ready_or_failed(&mut clients[1], http_ok(&scheduler_url)).await?;
    Ok(Parts {
        etcd,
        apiserver,
        clients,
        node,
    })
}

/// Every request with who, what and the response's code. One event a request, with its content only
/// where that was asked for.
fn audit_policy(options: &Options) -> Value {
    let mut rules = vec![json!({"level": "Metadata"})];
    if !options.audit_bodies_of.is_empty() {
        let verbs = ["create", "update", "patch", "delete", "deletecollection"];
        let mut bodies =
            json!({"level": "Request", "users": options.audit_bodies_of, "verbs": verbs});
        if !options.audit_bodies_in.is_empty() {
            bodies["namespaces"] = json!(options.audit_bodies_in);
        }
        rules.insert(0, bodies);
    }
    json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": rules,
    })
}

/// Waits until a part is Ready, or says why it ended.
async fn ready_or_failed(
    part: &mut Process,
    ready: impl Future<Output = Result<()>>,
) -> Result<()> {
    let name = part.name();
    tokio::select! {
        ready = ready => ready.with_context(|| format!("{name} does not become ready")),
        error = part.failed() => Err(error),
    }
}

/// All that the parts read, and where they listen.
struct Files {
    state: PathBuf,
    logs: PathBuf,
    etcd_data: PathBuf,
    audit_log: PathBuf,
    etcd_url: String,
    etcd_peer_url: String,
    server: String,
    server_address: &'static str,
    server_port: u16,
    scheduler_port: u16,
    nodes: Nodes,
}

impl Files {
    fn write(state: &Path, options: &Options) -> Result<Self> {
        let [etcd, etcd_peer, server_port, scheduler_port] = ports::free()?;
        let server_address = match options.nodes {
            Nodes::Simulated => "127.0.0.1",
            Nodes::Real => node::MACHINE,
        };
        let this = Self {
            logs: state.join("logs"),
            etcd_data: state.join("etcd"),
            audit_log: state.join("audit.log"),
            etcd_url: format!("http://127.0.0.1:{etcd}"),
            etcd_peer_url: format!("http://127.0.0.1:{etcd_peer}"),
            server: format!("https://{server_address}:{server_port}"),
            server_address,
            server_port,
            scheduler_port,
            nodes: options.nodes,
            state: state.to_path_buf(),
        };
        fs::create_dir_all(&this.logs)?;
        this.private("audit-policy.yaml", &audit_policy(options).to_string())?;
        this.write_credentials()?;
        Ok(this)
    }

    fn write_credentials(&self) -> Result<()> {
        let authority = Authority::generate()?;
        let ca = authority.pair();
        self.pair("ca", &ca)?;
        self.pair(
            "server",
            &authority.server(&[
                "localhost",
                "kubernetes.default.svc",
                "127.0.0.1",
                "10.0.0.1",
                node::MACHINE,
            ])?,
        )?;
        // An authority of its own: whom it certifies may speak for any user, to servers behind ours.
        let front_proxy = Authority::generate()?;
        self.pair("front-proxy-ca", &front_proxy.pair())?;
        self.pair("front-proxy", &front_proxy.client(FRONT_PROXY, None)?)?;
        let (private, public) = service_account_keys()?;
        self.private("service-account.key", &private)?;
        self.private("service-account.pub", &public)?;
        if self.nodes == Nodes::Real {
            let names = [node::NAME, node::ADDRESS];
            self.pair("kubelet", &authority.server(&names)?)?;
            let masters = Some("system:masters");
            self.pair("kubelet-client", &authority.client("apiserver", masters)?)?;
        }
        let cluster = kubeconfig::cluster(&self.server, &ca.certificate);
        for (file, user, group) in self.users() {
            let Pair { certificate, key } = authority.client(&user, group)?;
            let credentials = Credentials::Certificate {
                certificate: &certificate,
                key: &key,
            };
            kubeconfig::write(&self.kubeconfig(file), &cluster, &credentials)?;
        }
        Ok(())
    }

    /// The kubeconfigs, and the user and group of each: users of their own, so that the audit log
    /// tells them apart.
    fn users(&self) -> Vec<(&'static str, String, Option<&'static str>)> {
        let masters = Some("system:masters");
        let mut users = vec![
            ("admin", "admin".to_owned(), masters),
            (
                "controller-manager",
                "system:kube-controller-manager".to_owned(),
                None,
            ),
            ("scheduler", "system:kube-scheduler".to_owned(), None),
        ];
        match self.nodes {
            Nodes::Simulated => users.push(("kwok", "kwok".to_owned(), masters)),
            Nodes::Real => users.extend([
                (
                    "kubelet",
                    format!("system:node:{}", node::NAME),
                    Some("system:nodes"),
                ),
                ("kube-proxy", "system:kube-proxy".to_owned(), None),
                ("netpold", "netpold".to_owned(), masters),
            ]),
        }
        users
    }

    fn backing(&self) -> Backing {
        match self.nodes {
            Nodes::Simulated => Backing::Nothing,
            Nodes::Real => Backing::Node(self.state.clone()),
        }
    }

    fn kubeconfig(&self, user: &str) -> PathBuf {
        match user {
            "admin" => self.state.join("kubeconfig"),
            user => self.state.join(format!("{user}.kubeconfig")),
        }
    }

    fn pair(&self, name: &str, pair: &Pair) -> Result<()> {
        self.private(&format!("{name}.crt"), &pair.certificate)?;
        self.private(&format!("{name}.key"), &pair.key)
    }

    fn private(&self, name: &str, content: &str) -> Result<()> {
        let path = self.state.join(name);
        let file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path);
        file.and_then(|mut file| file.write_all(content.as_bytes()))
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// `--name=<state>/file`
    fn file_flag(&self, name: &str, file: &str) -> OsString {
        path_flag(name, &self.state.join(file))
    }

    fn admin(&self) -> Result<Cluster> {
        Cluster::started(
            self.kubeconfig("admin"),
            self.nodes,
            AuditLog::at(&self.audit_log),
        )
    }
}

fn path_flag(name: &str, path: &Path) -> OsString {
    let mut flag = OsString::from(format!("--{name}="));
    flag.push(path);
    flag
}

fn flags<const N: usize>(flags: [String; N]) -> impl Iterator<Item = OsString> {
    flags.into_iter().map(OsString::from)
}

fn start_etcd(binaries: &Binaries, files: &Files) -> Result<Process> {
    let (client, peer) = (&files.etcd_url, &files.etcd_peer_url);
    let fixed = flags([
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
        // Nothing is to survive a crash of the machine, and tests wait for writes all the time.
        "--unsafe-no-fsync".to_owned(),
        // 16 GiB: what a benchmark of 100,000 agents writes between two compactions must fit.
        "--quota-backend-bytes=17179869184".to_owned(),
        "--log-level=warn".to_owned(),
    ]);
    Process::spawn(
        "etcd",
        &binaries.etcd,
        fixed.chain([path_flag("data-dir", &files.etcd_data)]),
        &files.logs,
    )
}

fn start_apiserver(binaries: &Binaries, files: &Files) -> Result<Process> {
    let fixed = flags([
        format!("--etcd-servers={}", files.etcd_url),
        format!("--secure-port={}", files.server_port),
        format!("--bind-address={}", files.server_address),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        format!("--service-cluster-ip-range={}", node::SERVICES),
        "--authorization-mode=RBAC,Node".to_owned(),
        // As strict platforms have it (OpenShift): whoever makes an object that blocks its owner's
        // deletion must have a right to that.
        "--enable-admission-plugins=NodeRestriction,OwnerReferencesPermissionEnforcement"
            .to_owned(),
        "--allow-privileged=true".to_owned(),
        // One file without rotation: the default begins a new one at 100 MB, and counts would be
        // wrong.
        "--audit-log-maxsize=0".to_owned(),
        "--audit-log-mode=blocking".to_owned(),
        // For servers behind it, as kubeadm has it: they read these from a ConfigMap.
        format!("--requestheader-allowed-names={FRONT_PROXY}"),
        "--requestheader-username-headers=X-Remote-User".to_owned(),
        "--requestheader-group-headers=X-Remote-Group".to_owned(),
        "--requestheader-extra-headers-prefix=X-Remote-Extra-".to_owned(),
    ]);
    let paths = [
        files.file_flag("requestheader-client-ca-file", "front-proxy-ca.crt"),
        files.file_flag("proxy-client-cert-file", "front-proxy.crt"),
        files.file_flag("proxy-client-key-file", "front-proxy.key"),
        path_flag("audit-log-path", &files.audit_log),
        files.file_flag("audit-policy-file", "audit-policy.yaml"),
        files.file_flag("cert-dir", "apiserver"),
        files.file_flag("tls-cert-file", "server.crt"),
        files.file_flag("tls-private-key-file", "server.key"),
        files.file_flag("client-ca-file", "ca.crt"),
        files.file_flag("service-account-key-file", "service-account.pub"),
        files.file_flag("service-account-signing-key-file", "service-account.key"),
    ];
    // To the kubelet, for logs of containers and commands in them.
    let of_kubelet = [
        OsString::from("--kubelet-preferred-address-types=InternalIP"),
        files.file_flag("kubelet-certificate-authority", "ca.crt"),
        files.file_flag("kubelet-client-certificate", "kubelet-client.crt"),
        files.file_flag("kubelet-client-key", "kubelet-client.key"),
    ];
    let of_kubelet = of_kubelet
        .into_iter()
        .filter(|_| files.nodes == Nodes::Real);
    Process::spawn(
        "kube-apiserver",
        &binaries.kube_apiserver,
        fixed.chain(paths).chain(of_kubelet),
        &files.logs,
    )
}

fn start_controller_manager(binaries: &Binaries, files: &Files) -> Result<Process> {
    let fixed = flags([
        // The default of 20 requests a second would make every benchmark one of controller-manager.
        "--kube-api-qps=1000".to_owned(),
        "--kube-api-burst=2000".to_owned(),
        "--leader-elect=false".to_owned(),
        "--use-service-account-credentials".to_owned(),
        "--controllers=*".to_owned(),
        "--secure-port=0".to_owned(),
        // How soon a node that became Ready is given pods.
        "--node-monitor-period=1s".to_owned(),
    ]);
    let paths = [
        path_flag("kubeconfig", &files.kubeconfig("controller-manager")),
        files.file_flag("service-account-private-key-file", "service-account.key"),
        files.file_flag("root-ca-file", "ca.crt"),
        files.file_flag("cluster-signing-cert-file", "ca.crt"),
        files.file_flag("cluster-signing-key-file", "ca.key"),
    ];
    Process::spawn(
        "kube-controller-manager",
        &binaries.kube_controller_manager,
        fixed.chain(paths),
        &files.logs,
    )
}

fn start_scheduler(binaries: &Binaries, files: &Files) -> Result<Process> {
    let fixed = flags([
        "--kube-api-qps=1000".to_owned(),
        "--kube-api-burst=2000".to_owned(),
        "--leader-elect=false".to_owned(),
        format!("--secure-port={}", files.scheduler_port),
        "--bind-address=127.0.0.1".to_owned(),
    ]);
    let paths = [path_flag("kubeconfig", &files.kubeconfig("scheduler"))];
    Process::spawn(
        "kube-scheduler",
        &binaries.kube_scheduler,
        fixed.chain(paths),
        &files.logs,
    )
}

fn start_kwok(binaries: &Binaries, files: &Files) -> Result<Process> {
    let fixed = flags([
        "--manage-all-nodes".to_owned(),
        "--cidr=10.1.0.0/16".to_owned(),
        "--node-ip=127.0.0.1".to_owned(),
        "--node-lease-duration-seconds=40".to_owned(),
    ]);
    let stages = binaries
        .stages
        .iter()
        .map(|stage| path_flag("config", stage));
    let paths = [path_flag("kubeconfig", &files.kubeconfig("kwok"))];
    Process::spawn(
        "kwok",
        &binaries.kwok,
        fixed.chain(paths).chain(stages),
        &files.logs,
    )
}

/// Waits for a 200. The servers' own certificates are not ours, and only their readiness is asked.
async fn http_ok(url: &str) -> Result<()> {
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_danger_accept_invalid_certs(true)
        .build()?;
    wait::until(url, READY, async || {
        let response = client.get(url).send().await.map_err(anyhow::Error::from)?;
        response.error_for_status().map_err(anyhow::Error::from)
    })
    .await?;
    Ok(())
}

async fn api_ready(files: &Files) -> Result<()> {
    let client = files.admin()?.client().await?;
    wait::until("the API server's /readyz", READY, async || {
        client
            .request_text(
                http::Request::get("/readyz")
                    .body(Vec::new())
                    .map_err(anyhow::Error::from)?,
            )
            .await
            .map_err(anyhow::Error::from)
    })
    .await?;
    Ok(())
}

/// A Node with room for everything a test or benchmark may ask.
async fn create_node(files: &Files) -> Result<()> {
    let room = json!({"cpu": "10000", "memory": "100000Gi", "pods": "100000", "ephemeral-storage": "100000Gi"});
    let node = json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": SIMULATED_NODE,
            "annotations": {"kwok.x-k8s.io/node": "fake"},
            "labels": {"kubernetes.io/hostname": SIMULATED_NODE, "kubernetes.io/os": "linux", "type": "kwok"},
        },
        "status": {"allocatable": room, "capacity": room},
    });
    let nodes: Api<Node> = Api::all(files.admin()?.client().await?);
    nodes
        .patch(
            SIMULATED_NODE,
            &PatchParams::apply(crate::kubeconfig::USER_AGENT),
            &Patch::Apply(node),
        )
        .await?;
    Ok(())
}

async fn node_ready(files: &Files, name: &str) -> Result<()> {
    let nodes: Api<Node> = Api::all(files.admin()?.client().await?);
    wait::object(nodes, name, READY, |node| {
        let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
        conditions.is_some_and(|all| all.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True"))
            // Taken away by controller-manager some time after; until then nothing is scheduled.
            && node.spec.as_ref().is_none_or(|spec| spec.taints.as_ref().is_none_or(Vec::is_empty))
    })
    .await?;
    Ok(())
}

/// Its controllers run when the first namespace has its service account.
async fn controllers_ready(files: &Files) -> Result<()> {
    let accounts: Api<ServiceAccount> = Api::namespaced(files.admin()?.client().await?, "default");
    wait::object(accounts, "default", READY, |_| true).await?;
    Ok(())
}

/// Creates what a real node's cluster has beyond the API server.
async fn install_dns(files: &Files) -> Result<()> {
    let client = files.admin()?.client().await?;
    let path = run_dir::workspace_root()?.join("integration-tests/node/cluster.yaml");
    for object in manifests::read(&path)? {
        manifests::apply(&client, &object, "kube-system").await?;
    }
    Ok(())
}

async fn dns_ready(files: &Files) -> Result<()> {
    let deployments = Api::namespaced(files.admin()?.client().await?, "kube-system");
    wait::object(deployments, "coredns", READY, |dns: &Deployment| {
        let status = dns.status.as_ref();
        status.and_then(|status| status.available_replicas) == Some(1)
    })
    .await?;
    Ok(())
}
