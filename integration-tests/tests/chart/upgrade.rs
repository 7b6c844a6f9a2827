//! From the last release to this chart, back, and to the end of the release: what people wrote and what
//! runs for them stays as it is. The operator is this tree's, as the release's account, and runs only
//! while this chart is installed: the last release's program is not here. That an operator rolls no pods
//! of the one before it is shown by the golden tests of pod templates.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    path::Path,
    process::{Command, Stdio},
};

use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::Deployment,
        batch::v1::CronJob,
        core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret, Service},
        networking::v1::NetworkPolicy,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    apimachinery::pkg::apis::meta::v1::Condition,
};
use kube::{Api, Client, Resource, ResourceExt as _, api::ListParams};
use langop_api::{
    LanguageAgent, LanguageClient, LanguageCluster, LanguageModel, LanguagePersona, LanguageTool,
};
use langop_integration_tests::{
    ControlPlane, Helm, Operator, Synthesizer,
    env::is_ready,
    helm::{NAMESPACE, RELEASE},
    manifests, run_dir, wait, workspace_root,
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{SOON, release};

/// The commit whose chart is upgraded from: that of the last release, or, while there is none, the last
/// one before upgrades were rehearsed.
const LAST_RELEASE: &str = "669b01f4cc2532e97c37db8b36146e92e642340b";

/// The namespace of the samples, which hold an object of each kind.
const SAMPLES: &str = "demo";

/// Writes the last release's chart into `folder`; `None`, said on stderr, where this clone has no
/// history of it.
#[allow(clippy::print_stderr, reason = "what is left out has to be seen")]
fn last_release(folder: &Path) -> Option<String> {
    let root = workspace_root().unwrap();
    let git = |args: &[&str]| {
        let mut command = Command::new("git");
        command.arg("-C").arg(root).args(args);
        command
    };
    let mut look = git(&["cat-file", "-e", LAST_RELEASE]);
    if !look.stderr(Stdio::null()).status().unwrap().success() {
        let shallow = git(&["rev-parse", "--is-shallow-repository"]).output();
        let shallow = String::from_utf8(shallow.unwrap().stdout).unwrap();
        assert_ne!(shallow.trim(), "false", "no commit {LAST_RELEASE}");
        eprintln!("Left out: upgrades, since this clone is shallow; run `git fetch --unshallow`");
        return None;
    }
    // The chart links to files of deploy/.
    let archive = git(&["archive", LAST_RELEASE, "charts", "deploy"]).output();
    let archive = archive.unwrap();
    assert!(archive.status.success(), "{:?}", archive.stderr);
    tar::Archive::new(archive.stdout.as_slice())
        .unpack(folder)
        .unwrap();
    let chart = folder.join("charts/language-operator");
    Some(chart.to_str().unwrap().to_owned())
}

/// Identity and content of objects: name → uid and generation, or version where there is none.
type Seen = BTreeMap<String, (String, String)>;

async fn seen<K>(api: Api<K>) -> Seen
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned,
{
    let objects = api.list(&ListParams::default()).await.unwrap().items;
    let one = |object: &K| {
        let meta = object.meta();
        let content = meta.generation.map(|number| number.to_string());
        let content = content.or(meta.resource_version.clone()).unwrap();
        let name = format!("{} {}", K::kind(&()), object.name_any());
        (name, (meta.uid.clone().unwrap(), content))
    };
    objects.iter().map(one).collect()
}

/// What people wrote, and what runs for them.
async fn life(client: &Client) -> Seen {
    fn of<K>(client: &Client) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(client.clone(), SAMPLES)
    }
    let mut all = seen::<LanguageCluster>(Api::all(client.clone())).await;
    all.extend(seen::<LanguageAgent>(of(client)).await);
    all.extend(seen::<LanguageTool>(of(client)).await);
    all.extend(seen::<LanguageModel>(of(client)).await);
    all.extend(seen::<LanguagePersona>(of(client)).await);
    all.extend(seen::<LanguageClient>(of(client)).await);
    all.extend(seen::<Deployment>(of(client)).await);
    all.extend(seen::<CronJob>(of(client)).await);
    all.extend(seen::<Service>(of(client)).await);
    all.extend(seen::<NetworkPolicy>(of(client)).await);
    all.extend(seen::<ConfigMap>(of(client)).await);
    all.extend(seen::<PersistentVolumeClaim>(of(client)).await);
    // Their statuses move; a pod of another template is another pod.
    let pods = seen::<Pod>(of(client)).await;
    all.extend(
        pods.into_iter()
            .map(|(name, (uid, _))| (name, (uid, String::new()))),
    );
    all
}

async fn certificates(client: &Client) -> Seen {
    seen::<Secret>(Api::namespaced(client.clone(), NAMESPACE))
        .await
        .into_iter()
        .filter(|(name, _)| !name.contains("sh.helm.release"))
        .collect()
}

/// The kinds by name and uid: a release may change what they allow.
async fn kinds(client: &Client) -> BTreeMap<String, String> {
    let kinds = seen::<CustomResourceDefinition>(Api::all(client.clone())).await;
    kinds
        .into_iter()
        .map(|(name, (uid, _))| (name, uid))
        .collect()
}

/// All of the samples that have something running for them.
async fn until_ready(client: &Client) {
    let all_ready = async || {
        let waiting = [
            unready::<LanguageAgent>(client).await,
            unready::<LanguageClient>(client).await,
            unready::<LanguageModel>(client).await,
        ]
        .concat();
        if waiting.is_empty() {
            Ok(())
        } else {
            Err(waiting.join("\n"))
        }
    };
    wait::until("the samples", SOON * 2, all_ready)
        .await
        .unwrap();
}

/// Those that are not Ready, with their statuses.
async fn unready<K>(client: &Client) -> Vec<String>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Serialize,
{
    let all = Api::<K>::namespaced(client.clone(), SAMPLES);
    let all = all.list(&ListParams::default()).await.unwrap().items;
    assert!(!all.is_empty(), "there is a {}", K::kind(&()));
    let status = |object: &K| serde_json::to_value(object).unwrap()["status"].take();
    let conditions = |status: &serde_json::Value| -> Vec<Condition> {
        serde_json::from_value(status["conditions"].clone()).unwrap_or_default()
    };
    let waiting = all.iter().map(|object| (object.name_any(), status(object)));
    waiting
        .filter(|(_, status)| !is_ready(&conditions(status)))
        .map(|(name, status)| format!("{} {name}: {status}", K::kind(&())))
        .collect()
}

/// Instructions that were changed are code again, so the release's rights suffice.
async fn it_still_works(client: &Client, instructions: &str) {
    let agents: Api<LanguageAgent> = Api::namespaced(client.clone(), SAMPLES);
    let revision = |agent: &LanguageAgent| agent.status.as_ref()?.synthesis_info.as_ref()?.revision;
    let name = "workspace-watcher";
    let before = revision(&agents.get(name).await.unwrap());
    let patch =
        kube::api::Patch::Merge(serde_json::json!({"spec": {"instructions": instructions}}));
    agents
        .patch(name, &kube::api::PatchParams::default(), &patch)
        .await
        .unwrap();
    let changed = |agent: &LanguageAgent| revision(agent) > before;
    wait::object(agents, name, SOON, changed).await.unwrap();
}

#[tokio::test]
async fn an_upgrade_and_a_rollback_leave_what_runs_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let Some(last) = last_release(folder.path()) else {
        return;
    };
    let cp = ControlPlane::start(&run_dir().unwrap().join("upgrade"))
        .await
        .unwrap();
    let client = cp.client().await.unwrap();
    let helm = Helm::of(&cp).await;
    let this = helm.chart.to_str().unwrap().to_owned();
    let waiting = ["--wait", "--timeout", "120s"];
    helm.done(
        &[
            &["install", RELEASE, &last, "--create-namespace"][..],
            &waiting,
        ]
        .concat(),
    );
    release::issue(&cp, &client).await;
    let (issued, kinds_before) = (certificates(&client).await, kinds(&client).await);
    assert_eq!(kinds_before.len(), 6);
    let mut files: Vec<_> = std::fs::read_dir(workspace_root().unwrap().join("deploy/samples"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    for object in files.iter().flat_map(|file| manifests::read(file).unwrap()) {
        manifests::apply(&client, &object, SAMPLES).await.unwrap();
    }
    let written = life(&client).await;

    let upgrade = [&["upgrade", RELEASE, &this][..], &waiting].concat();
    helm.done(&upgrade);
    let kept = life(&client).await;
    assert_eq!(kept, written, "what was written under the last release");
    let synthesizer = Synthesizer::template().start().await.unwrap();
    let operator = Operator::builder(&cp).released();
    let operator = operator.synthesizer(synthesizer.grpc_url());
    let mut operator = operator.start().await.unwrap();
    until_ready(&client).await;
    let running = life(&client).await;
    operator.stop().await.unwrap();

    let rollback = [&["rollback", RELEASE, "1"][..], &waiting].concat();
    for step in [rollback, upgrade] {
        helm.done(&step);
        assert_eq!(life(&client).await, running, "after {step:?}");
        assert_eq!(certificates(&client).await, issued, "after {step:?}");
        assert_eq!(kinds(&client).await, kinds_before, "after {step:?}");
        let again = release::issue(&cp, &client).await;
        assert_eq!(again.matches("kept ").count(), 3, "{again}");
    }
    operator.start_again().await.unwrap();
    until_ready(&client).await;
    assert_eq!(life(&client).await, running, "after the second upgrade");
    it_still_works(&client, "Watch the inbox and say how many notes there are").await;
    until_ready(&client).await;

    operator.stop().await.unwrap();
    let before = life(&client).await;
    helm.done(&["uninstall", RELEASE, "--wait"]);
    assert_eq!(life(&client).await, before);
    assert_eq!(kinds(&client).await, kinds_before);
    assert_eq!(certificates(&client).await, issued);
    cp.stop().await.unwrap();
}
