//! `get --watch`, followed line by line while its watches break.

use std::process::Stdio;

use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::DeleteParams;
use langop_api::LanguageAgent;
use langop_integration_tests::{
    FaultMode, FaultProxy, Filter,
    env::{SOON, TestEnv, agent_yaml},
    programs::{self, account_kubeconfig},
    run_dir, wait,
};
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

use crate::plugin::{shell, shell_as};

/// A screen that is watched. It ends when this value is dropped.
struct Screen {
    _plugin: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Screen {
    /// Of the test's namespace, by an API server that can be made to misbehave, with `view`.
    async fn open(env: &TestEnv, proxy: &FaultProxy) -> Self {
        let kubeconfig = run_dir().unwrap().join("cli-watch.kubeconfig");
        env.apply(&viewer(env.ns.name())).await;
        let accounts = env.ns.api::<ServiceAccount>();
        wait::object(accounts, "viewer", SOON, |_| true)
            .await
            .unwrap();
        account_kubeconfig(env.cp, env.ns.name(), "viewer", &kubeconfig)
            .await
            .unwrap();
        let may = format!("kubectl -n {} auth can-i watch cronjobs", env.ns.name());
        let may = wait::until("the role to count", SOON, async || {
            let said = shell_as(env, &kubeconfig, &may).await;
            if said.code == 0 {
                Ok(())
            } else {
                Err(format!("{said:?}"))
            }
        });
        may.await.unwrap();
        // Only now: kubectl itself sends no token over plain HTTP.
        let through = format!("kubectl config set-cluster langop --server {}", proxy.url());
        shell_as(env, &kubeconfig, &through).await.fine();
        let mut plugin = Command::new(programs::locate("kubectl-langop").unwrap())
            .args(["-n", env.ns.name(), "get", "--watch"])
            .env("KUBECONFIG", &kubeconfig)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(plugin.stdout.take().unwrap()).lines();
        Self {
            _plugin: plugin,
            lines,
        }
    }

    async fn line(&mut self) -> String {
        let line = timeout(SOON, self.lines.next_line()).await;
        line.expect("no line came").unwrap().expect("it ended")
    }

    /// The lines up to the first that begins with these words, each of which is about that agent.
    async fn until(&mut self, agent: &str, phase: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.line().await;
            let words: Vec<&str> = line.split_whitespace().collect();
            assert_eq!(
                words[0], agent,
                "a line without a change: {line}; before: {lines:#?}"
            );
            let is_it = words[1] == phase;
            lines.push(line);
            if is_it {
                return lines;
            }
        }
    }
}

fn viewer(namespace: &str) -> String {
    format!(
        "
{{apiVersion: v1, kind: ServiceAccount, metadata: {{name: viewer}}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: viewer}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: langop-view}}
subjects: [{{kind: ServiceAccount, name: viewer, namespace: {namespace}}}]
"
    )
}

#[tokio::test]
async fn a_screen_is_followed_across_broken_watches_and_says_only_what_is_new() {
    let env = TestEnv::new("cli-watch").await;
    let proxy = FaultProxy::start(env.cp, "via-proxy", 1).await.unwrap();
    env.with_agent("first", "do this").await;
    env.settled().await;
    let mark = env.mark();
    let mut screen = Screen::open(&env, &proxy).await;
    assert!(screen.line().await.starts_with("NAME    PHASE"));
    assert!(screen.line().await.starts_with("first   Running"));

    // A write that says nothing new is no line: the next one is of another.
    let namespace = env.ns.name();
    shell(
        &env,
        &format!("kubectl -n {namespace} annotate lagent first note=new"),
    )
    .await
    .fine();
    env.apply(&agent_yaml("second", "do that")).await;
    screen.until("second", "Running").await;
    env.settled().await;

    // All versions have expired, so everything is listed anew.
    proxy.expire_watches();
    env.patch::<LanguageAgent>("first", json!({"spec": {"suspend": true}}))
        .await;
    screen.until("first", "Suspended").await;
    // The connection breaks and cannot be made again for a while; what happens meanwhile is told.
    proxy.set(FaultMode::Cut("languageagents"));
    let agents = env.ns.api::<LanguageAgent>();
    agents
        .delete("second", &DeleteParams::default())
        .await
        .unwrap();
    wait::gone(agents, "second", SOON).await.unwrap();
    proxy.set(FaultMode::None);
    let last = screen.until("second", "Deleted").await;
    assert_eq!(last.len(), 1, "{last:#?}");

    let of_plugin = Filter::all()
        .namespace(namespace)
        .user_agent("kubectl-langop");
    let calls = env
        .cp
        .audit()
        .unwrap()
        .events_since(mark, &of_plugin)
        .unwrap();
    let verbs: Vec<&str> = calls.iter().map(|call| call.verb.as_str()).collect();
    assert!(
        verbs.iter().all(|verb| ["list", "watch"].contains(verb)),
        "no agent is asked for alone: {verbs:?}"
    );
    let lists = verbs.iter().filter(|verb| **verb == "list").count();
    assert!(
        (3..=4).contains(&lists),
        "two at first, and again when versions had expired: {verbs:?}"
    );
}
