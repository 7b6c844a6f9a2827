//! Who may decide on what agents may do, by the API server's own word: users known by certificates,
//! with the roles that a LanguageCluster gives them, try each deed, with the operator running and
//! without.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use langop_api::{
    LanguageAgent, LanguageCluster,
    names::{annotations, labels},
};
use langop_integration_tests::{
    Cluster, ControlPlane, Operator, Synthesizer,
    env::{SOON, condition, is},
    manifests, programs, run_dir, wait,
};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::admission;

const NAMESPACE: &str = "bureau";
const AGENT: &str = "clerk";

/// The namespace, its members, and an agent with code. Those who write also hold Kubernetes' own
/// role `edit`, by which they may write ConfigMaps, so that admission has the last word.
const BUREAU: &str = "
apiVersion: langop.io/v1alpha1
kind: LanguageCluster
metadata: {name: bureau}
spec:
  members:
    - {subject: {kind: User, name: author}, role: edit}
    - {subject: {kind: User, name: both}, role: edit}
    - {subject: {kind: User, name: both}, role: approve}
    - {subject: {kind: User, name: approver}, role: approve}
    - {subject: {kind: User, name: viewer}, role: view}
";
const WRITERS: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: writers}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: edit}
subjects:
  - {apiGroup: rbac.authorization.k8s.io, kind: User, name: author}
  - {apiGroup: rbac.authorization.k8s.io, kind: User, name: both}
---
apiVersion: langop.io/v1alpha1
kind: LanguageAgent
metadata: {name: clerk}
spec: {instructions: Say hello, schedule: '0 9 * * *'}
";

/// What somebody tries. Nothing of it is stored.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Approve,
    ApproveAsAnother,
    ApproveOther,
    Reject,
    EditCode,
    EditPowers,
    Relabel,
    Forge,
    Delete,
    ChangeSpec,
}

use Deed::{
    Approve, ApproveAsAnother, ApproveOther, ChangeSpec, Delete, EditCode, EditPowers, Forge,
    Reject, Relabel,
};

/// What the API server says; nothing where it lets it happen.
type Answer = Option<&'static str>;

const TAKEN: Answer = None;
/// By RBAC.
const NO_PATCH: Answer = Some("cannot patch resource \"configmaps\"");
const NO_CREATE: Answer = Some("cannot create resource \"configmaps\"");
const NO_DELETE: Answer = Some("cannot delete resource \"configmaps\"");
const NO_AGENT: Answer = Some("cannot patch resource \"languageagents\"");
/// By admission.
const NO_VERB: Answer = Some("needs the verb 'approve' on languageagents");
const NOT_HIM: Answer = Some("nobody decides in another's name");
const NOT_ASKED: Answer = Some("only what is asked for can be approved or rejected");
const OPERATORS: Answer = Some("only the operator writes ConfigMaps labelled langop.io/agent");
/// By the kind itself.
const IMMUTABLE: Answer = Some("field is immutable");

const USERS: [&str; 6] = [
    "author", "approver", "both", "viewer", "outsider", "operator",
];

/// By deed, the answer to each of [`USERS`].
const ANSWERS: [(Deed, [Answer; 6]); 10] = [
    (
        Approve,
        [NO_VERB, TAKEN, TAKEN, NO_PATCH, NO_PATCH, NO_VERB],
    ),
    (
        ApproveAsAnother,
        [NO_VERB, NOT_HIM, NOT_HIM, NO_PATCH, NO_PATCH, NO_VERB],
    ),
    (
        ApproveOther,
        [NO_VERB, NOT_ASKED, NOT_ASKED, NO_PATCH, NO_PATCH, NO_VERB],
    ),
    (Reject, [NO_VERB, TAKEN, TAKEN, NO_PATCH, NO_PATCH, NO_VERB]),
    (
        EditCode,
        [
            IMMUTABLE, IMMUTABLE, IMMUTABLE, NO_PATCH, NO_PATCH, IMMUTABLE,
        ],
    ),
    (
        EditPowers,
        [OPERATORS, OPERATORS, OPERATORS, NO_PATCH, NO_PATCH, TAKEN],
    ),
    (
        Relabel,
        [OPERATORS, OPERATORS, OPERATORS, NO_PATCH, NO_PATCH, TAKEN],
    ),
    (
        Forge,
        [OPERATORS, NO_CREATE, OPERATORS, NO_CREATE, NO_CREATE, TAKEN],
    ),
    (
        Delete,
        [OPERATORS, NO_DELETE, OPERATORS, NO_DELETE, NO_DELETE, TAKEN],
    ),
    (
        ChangeSpec,
        [TAKEN, NO_AGENT, TAKEN, NO_AGENT, NO_AGENT, NO_AGENT],
    ),
];

/// The stored code, and its powers' hash.
struct Code {
    map: ConfigMap,
    hash: String,
}

impl Code {
    /// What the API server says to this user.
    async fn answer(&self, client: &Client, user: &str, deed: Deed) -> Option<String> {
        let maps: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
        let agents: Api<LanguageAgent> = Api::namespaced(client.clone(), NAMESPACE);
        let name = self.map.name_any();
        let patch = PatchParams::default().dry_run();
        let annotate = |map: Value| Patch::Merge(json!({"metadata": {"annotations": map}}));
        let decide = |powers: &str, hash: &str, by: &str, who: &str| {
            annotate(json!({powers: hash, by: who}))
        };
        let approve = |hash: &str, who: &str| {
            decide(
                annotations::APPROVED_POWERS,
                hash,
                annotations::APPROVED_BY,
                who,
            )
        };
        let body = match deed {
            Approve => approve(&self.hash, user),
            ApproveAsAnother => approve(&self.hash, "somebody"),
            ApproveOther => approve(&"0".repeat(64), user),
            Reject => decide(
                annotations::REJECTED_POWERS,
                &self.hash,
                annotations::REJECTED_BY,
                user,
            ),
            EditCode => Patch::Merge(json!({"data": {"agent.rb": "agent 'clerk'"}})),
            EditPowers => annotate(json!({annotations::POWERS: "{}"})),
            Relabel => Patch::Merge(json!({"metadata": {"labels": {labels::AGENT: null}}})),
            Forge => return said(maps.create(&dry(), &self.forged()).await),
            Delete => return said(maps.delete(&name, &DeleteParams::default().dry_run()).await),
            ChangeSpec => {
                let spec = Patch::Merge(json!({"spec": {"instructions": "Say nothing"}}));
                return said(agents.patch(AGENT, &patch, &spec).await);
            }
        };
        said(maps.patch(&name, &patch, &body).await)
    }

    /// Other code under the labels and the owner of stored code.
    fn forged(&self) -> ConfigMap {
        let mut map = self.map.clone();
        map.metadata.name = Some("clerk-code-000000000000".to_owned());
        map.metadata.resource_version = None;
        map.metadata.uid = None;
        map.metadata.managed_fields = None;
        let decisions = [
            annotations::APPROVED_POWERS,
            annotations::APPROVED_BY,
            annotations::REJECTED_POWERS,
            annotations::REJECTED_BY,
        ];
        // Not even the operator makes code that is approved already.
        map.annotations_mut()
            .retain(|key, _| !decisions.contains(&key.as_str()));
        // Which needs a right of its own, where the API server asks for it.
        for owner in map.owner_references_mut() {
            owner.block_owner_deletion = None;
        }
        map
    }
}

fn dry() -> PostParams {
    PostParams {
        dry_run: true,
        ..PostParams::default()
    }
}

fn said<T>(outcome: kube::Result<T>) -> Option<String> {
    outcome.err().map(|error| error.to_string())
}

/// Tries all deeds as all users.
async fn judge(cp: &ControlPlane, operator: &Client, code: &Code, when: &str) {
    for (at, user) in USERS.into_iter().enumerate() {
        let client = match user {
            "operator" => operator.clone(),
            user => cp.client_of(user).await.unwrap(),
        };
        for (deed, answers) in ANSWERS {
            let said = code.answer(&client, user, deed).await;
            let is_right = match (answers[at], &said) {
                (None, None) => true,
                (Some(words), Some(said)) => said.contains(words),
                _ => false,
            };
            assert!(
                is_right,
                "{when}, {user}, {deed:?}: {said:?}, not {:?}",
                answers[at]
            );
        }
    }
}

async fn apply(client: &Client, yaml: &str) {
    for object in manifests::parse(yaml).unwrap() {
        manifests::apply(client, &object, NAMESPACE).await.unwrap();
    }
}

async fn stored(client: &Client) -> Code {
    let agents: Api<LanguageAgent> = Api::namespaced(client.clone(), NAMESPACE);
    let ready = |agent: &LanguageAgent| is(agent, "Ready", "True");
    wait::object(agents, AGENT, SOON, ready).await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
    let found = wait::until("code with its powers", SOON, async || {
        let maps = maps
            .list(&kube::api::ListParams::default().labels(labels::AGENT))
            .await
            .unwrap();
        maps.into_iter().find_map(|map| {
            let hash = map.annotations().get(annotations::POWERS_HASH)?.clone();
            Some(Code { map, hash })
        })
    });
    found.await.unwrap()
}

/// What `kubectl langop` says to a user, and how it ends.
async fn langop(cp: &ControlPlane, user: &str, words: &str) -> (i32, String) {
    let output = Command::new(programs::locate("kubectl-langop").unwrap())
        .args(["-n", NAMESPACE, "--kubeconfig"])
        .arg(cp.kubeconfig_of(user).unwrap())
        .args(words.split(' '))
        .output()
        .await
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.code().unwrap(),
        String::from_utf8(said).unwrap(),
    )
}

/// A change waits, its author cannot approve it, an approver can.
async fn by_plugin(cp: &ControlPlane, client: &Client) {
    let agents = || Api::<LanguageAgent>::namespaced(client.clone(), NAMESPACE);
    let (code, said) = langop(cp, "approver", "preview clerk").await;
    assert_eq!(
        (code, said.contains("nothing of agent")),
        (0, true),
        "{said}"
    );
    let more = json!({"approval": "OnNewPowers", "env": [{"name": "MORE", "value": "1"}]});
    let more = Patch::Merge(json!({"spec": more}));
    agents()
        .patch(AGENT, &PatchParams::default(), &more)
        .await
        .unwrap();
    let shown = wait::until("a preview", SOON, async || {
        let (code, said) = langop(cp, "approver", "preview clerk").await;
        if code == 3 { Ok(said) } else { Err(said) }
    });
    let shown = shown.await.unwrap();
    assert!(shown.contains("+ new: variable MORE"), "{shown}");
    let (code, said) = langop(cp, "approver", "approve clerk").await;
    assert_eq!((code, said.contains("add --yes")), (1, true), "{said}");
    let (code, said) = langop(cp, "author", "approve clerk --yes").await;
    assert_eq!((code, said.contains(NO_VERB.unwrap())), (1, true), "{said}");
    for (words, reason) in [("reject", "Rejected"), ("approve", "Approved")] {
        let (code, said) = langop(cp, "approver", &format!("{words} clerk --yes")).await;
        assert_eq!(code, 0, "{said}");
        let is_told = |agent: &LanguageAgent| {
            condition(agent, "Approved").is_some_and(|told| told.reason == reason)
        };
        let agent = wait::object(agents(), AGENT, SOON, is_told).await.unwrap();
        let told = condition(&agent, "Approved").unwrap();
        assert!(told.message.contains("'approver'"), "{}", told.message);
    }
}

#[tokio::test]
async fn each_user_gets_the_right_answer_also_while_the_operator_is_down() {
    let cp = ControlPlane::start(&run_dir().unwrap().join("approval-users"))
        .await
        .unwrap();
    cp.install_crds().await.unwrap();
    admission::enforce(&cp).await;
    let synthesizer = Synthesizer::template().start().await.unwrap();
    let mut operator = Operator::builder(&cp)
        .cluster_wide()
        .synthesizer(synthesizer.grpc_url())
        .start()
        .await
        .unwrap();
    let client = cp.client().await.unwrap();
    apply(&client, BUREAU).await;
    let clusters: Api<LanguageCluster> = Api::all(client.clone());
    wait::object(clusters, NAMESPACE, SOON, |cluster| {
        let conditions = cluster.status.iter().flat_map(|status| &status.conditions);
        conditions
            .into_iter()
            .any(|one| one.type_ == "Ready" && one.status == "True")
    })
    .await
    .unwrap();
    apply(&client, WRITERS).await;
    let code = stored(&client).await;
    let account = Cluster::existing(Some(operator.kubeconfig()), None).unwrap();
    let account = account.client().await.unwrap();

    judge(&cp, &account, &code, "operator up").await;
    by_plugin(&cp, &client).await;
    let code = stored(&client).await;
    operator.stop().await.unwrap();
    judge(&cp, &account, &code, "operator down").await;
    cp.stop().await.unwrap();
}
