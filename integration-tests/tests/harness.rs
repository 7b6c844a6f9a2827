//! The harness's own tests: what the others rely on, shown on a real control plane.

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use kube::runtime::wait::{Condition as _, conditions};
use langop_integration_tests::{
    AuditLog, ClusterArgs, ControlPlane, Filter, Nodes, Operator, Synthesizer, TestNamespace,
    audit,
    processes::{alive, all_gone, children_of, signal},
    run_dir, wait,
};
use rustix::process::{Pid, Signal, kill_process_group};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(30);

fn from<K: DeserializeOwned>(value: Value) -> Result<K> {
    Ok(serde_json::from_value(value)?)
}

/// A pod spec that Pod Security `restricted` admits.
fn restricted_pod() -> Value {
    json!({
        "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{
            "name": "c",
            "image": "example.org/none:1",
            "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
        }],
    })
}

#[tokio::test]
async fn a_deployment_becomes_available_and_a_job_complete() -> Result<()> {
    let cp = ControlPlane::shared().await;
    let ns = TestNamespace::create(cp, "workloads").await?;
    let labels = json!({"app": "a"});
    let mut pod_with_sidecar = restricted_pod();
    let mut sidecar = pod_with_sidecar["containers"][0].clone();
    sidecar["name"] = "sidecar".into();
    sidecar["restartPolicy"] = "Always".into();
    pod_with_sidecar["initContainers"] = json!([sidecar]);
    let deployment: Deployment = from(json!({
        "metadata": {"name": "a"},
        "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod_with_sidecar}},
    }))?;
    let mut job_pod = restricted_pod();
    job_pod["restartPolicy"] = "Never".into();
    let job: Job =
        from(json!({"metadata": {"name": "j"}, "spec": {"template": {"spec": job_pod}}}))?;

    ns.api().create(&PostParams::default(), &deployment).await?;
    ns.api().create(&PostParams::default(), &job).await?;
    wait::object(ns.api::<Deployment>(), "a", SOON, |found| {
        conditions::is_deployment_completed().matches_object(Some(found))
    })
    .await?;
    wait::object(ns.api::<Job>(), "j", SOON, |found| {
        conditions::is_job_completed().matches_object(Some(found))
    })
    .await?;

    ns.api::<Deployment>()
        .delete("a", &kube::api::DeleteParams::default())
        .await?;
    wait::gone(ns.api::<Deployment>(), "a", SOON).await
}

#[tokio::test]
async fn the_audit_log_counts_each_write_once() -> Result<()> {
    let cp = ControlPlane::shared().await;
    let ns = TestNamespace::create(cp, "audit").await?;
    let mine: Api<ConfigMap> = Api::namespaced(cp.client_as("counted/1").await?, ns.name());
    let filter = Filter::writes().user_agent("counted/").namespace(ns.name());
    let map: ConfigMap = from(json!({"metadata": {"name": "m"}}))?;

    let mark = cp.audit()?.mark()?;
    mine.create(&PostParams::default(), &map).await?;
    mine.get("m").await?;
    // No waiting: the line is there before the response ends.
    let writes = cp.audit()?.writes_since(mark, &filter)?;
    assert_eq!(writes.len(), 1, "{}", audit::pretty(&writes));
    let (verb, resource, name, code) = (
        &*writes[0].verb,
        &*writes[0].resource,
        &*writes[0].name,
        writes[0].code,
    );
    assert_eq!(
        (verb, resource, name, code),
        ("create", "configmaps", "m", 201)
    );
    assert_eq!(writes[0].user, "admin");

    let mark = cp.audit()?.mark()?;
    let params = PatchParams {
        dry_run: true,
        ..PatchParams::apply("me")
    };
    mine.patch(
        "m",
        &params,
        &Patch::Apply(json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b"}})),
    )
    .await?;
    let writes = cp
        .audit()?
        .settle(mark, &filter, Duration::from_millis(200))
        .await?;
    assert_eq!(writes.len(), 1, "{}", audit::pretty(&writes));
    assert!(
        writes[0].dry_run && writes[0].field_manager == "me",
        "{}",
        audit::pretty(&writes)
    );
    Ok(())
}

#[tokio::test]
async fn a_test_namespace_refuses_a_privileged_pod() -> Result<()> {
    let cp = ControlPlane::shared().await;
    let ns = TestNamespace::create(cp, "restricted").await?;
    let mut spec = restricted_pod();
    let good: Pod = from(json!({"metadata": {"name": "good"}, "spec": spec}))?;
    spec["containers"][0]["securityContext"] = json!({"privileged": true});
    let bad: Pod = from(json!({"metadata": {"name": "bad"}, "spec": spec}))?;

    ns.api().create(&PostParams::default(), &good).await?;
    let refused = ns
        .api()
        .create(&PostParams::default(), &bad)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("violates PodSecurity \"restricted"),
        "{refused}"
    );
    Ok(())
}

#[tokio::test]
async fn an_existing_cluster_is_reached_by_its_kubeconfig() -> Result<()> {
    let cp = ControlPlane::shared().await;
    let path = Some(cp.ready().kubeconfig.clone());
    let named = ClusterArgs {
        kubeconfig: path.clone(),
        context: None,
    };
    let existing = named.cluster()?.context("a kubeconfig names a cluster")?;
    assert_eq!(
        existing.client().await?.apiserver_version().await?,
        cp.client().await?.apiserver_version().await?
    );
    assert_eq!(
        existing.nodes(),
        Nodes::Real,
        "nobody says that its pods are simulated"
    );

    assert!(ClusterArgs::default().cluster()?.is_none());
    let unknown = ClusterArgs {
        kubeconfig: path,
        context: Some("elsewhere".into()),
    };
    let error = unknown.cluster().unwrap_err().to_string();
    assert!(error.contains("no context elsewhere"), "{error}");
    Ok(())
}

#[tokio::test]
async fn concurrent_tests_share_one_control_plane() {
    let (one, other) = tokio::join!(ControlPlane::shared(), ControlPlane::shared());
    assert!(std::ptr::eq(one, other));
}

/// The shell's group ends with this value, so that a failed test leaves nothing.
struct Shell(Child);

impl Drop for Shell {
    fn drop(&mut self) {
        if let Some(group) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
            // An error says that all of it has ended.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.0.wait();
    }
}

/// A shell that starts the supervisor as a test process would.
///
/// Returns the shell and, once Ready, the supervisor's and all its children's processes.
async fn start_by_shell(state: &Path) -> Result<(Shell, Vec<u32>)> {
    let program = env!("CARGO_BIN_EXE_control-plane");
    // `sleep` is the pipe's writer, and dies with the shell's group.
    let script = r#"sleep 600 | "$0" serve --state "$1" > "$1.out" & echo $! > "$1.pid"; wait"#;
    let (out, pid) = (state.with_extension("out"), state.with_extension("pid"));
    for stale in [&out, &pid] {
        // Of the last run, if there was one.
        let _ = std::fs::remove_file(stale);
    }
    let shell = Shell(
        Command::new("sh")
            .args(["-c", script, program])
            .arg(state)
            .stdin(Stdio::null())
            .process_group(0)
            .spawn()?,
    );
    let ready: Value = wait::until("the ready line", Duration::from_mins(2), async || {
        let text = std::fs::read_to_string(&out).unwrap_or_default();
        serde_json::from_str(&text).map_err(|_| text)
    })
    .await?;
    let parts = ready["ready"]["pids"]
        .as_array()
        .with_context(|| ready.to_string())?;
    let mut pids: Vec<u32> = parts
        .iter()
        .filter_map(|part| part[1].as_u64()?.try_into().ok())
        .collect();
    assert_eq!(pids.len(), 5, "{ready}");
    pids.push(std::fs::read_to_string(&pid)?.trim().parse()?);
    assert!(pids.iter().all(|pid| alive(*pid)));
    Ok((shell, pids))
}

#[tokio::test]
async fn nothing_is_left_when_the_asking_process_is_killed() -> Result<()> {
    let state = run_dir()?.join("killed-parent");
    let (mut shell, pids) = start_by_shell(&state).await?;
    // SIGKILL to the shell and to the holder of the pipe; the supervisor is told nothing.
    let supervisor = *pids.last().context("no supervisor")?;
    for child in children_of(shell.0.id()) {
        if child != supervisor {
            signal(child, Signal::KILL)?;
        }
    }
    shell.0.kill()?;
    shell.0.wait()?;
    all_gone(&pids, SOON).await?;
    assert!(
        !state.join("etcd").exists(),
        "the data is thrown away by an orderly end"
    );
    Ok(())
}

#[tokio::test]
async fn nothing_is_left_when_the_supervisor_is_killed() -> Result<()> {
    let state = run_dir()?.join("killed-supervisor");
    let (_shell, pids) = start_by_shell(&state).await?;
    signal(*pids.last().context("no supervisor")?, Signal::KILL)?;
    all_gone(&pids, SOON).await
}

#[tokio::test]
async fn a_supervisor_that_is_told_by_a_signal_leaves_nothing() -> Result<()> {
    let told = async |name: &str, told: Signal| {
        let state = run_dir()?.join(name);
        let (_shell, pids) = start_by_shell(&state).await?;
        signal(*pids.last().context("no supervisor")?, told)?;
        all_gone(&pids, SOON).await?;
        assert!(!state.join("etcd").exists(), "an orderly end by {told:?}");
        Ok(())
    };
    tokio::try_join!(
        told("terminated-supervisor", Signal::TERM),
        told("interrupted-supervisor", Signal::INT)
    )
    .map(drop)
}

#[tokio::test]
async fn a_program_restarts_on_its_port_and_ends_with_its_value() -> Result<()> {
    let mut synthesizer = Synthesizer::template().start().await?;
    let first = synthesizer.pid();
    assert_eq!(synthesizer.calls("Synthesize").await?, 0);
    synthesizer.restart().await?;
    assert_ne!(synthesizer.pid(), first);
    synthesizer.kill().await?;
    assert!(synthesizer.metrics().await.is_err(), "it was killed");
    synthesizer.start_again().await?;
    synthesizer.metrics().await?;

    let (last, log) = (synthesizer.pid(), synthesizer.log().to_owned());
    drop(synthesizer);
    all_gone(&[first, last], SOON).await?;
    assert!(
        std::fs::read_to_string(log)?.contains("127.0.0.1"),
        "its log says where it listens"
    );
    Ok(())
}

#[tokio::test]
async fn an_operator_is_its_service_account_to_the_api_server() -> Result<()> {
    let cp = ControlPlane::shared().await;
    cp.install_crds().await?;
    let ns = TestNamespace::create(cp, "operator").await?;
    let mark = cp.audit()?.mark()?;
    let builder = Operator::builder(cp).namespaces(&[ns.name()]);
    let mut operator = builder.synthesizer("http://127.0.0.1:1").start().await?;
    operator.restart().await?;
    operator.stop().await?;

    let requests = cp
        .audit()?
        .events_since(mark, &Filter::all().user(operator.user()))?;
    assert!(
        requests
            .iter()
            .any(|event| event.resource == "languageagents")
    );
    let denied: Vec<_> = requests
        .into_iter()
        .filter(|event| event.code == 403)
        .collect();
    assert!(denied.is_empty(), "{}", audit::pretty(&denied));
    Ok(())
}

#[tokio::test]
async fn a_program_that_cannot_start_says_why() {
    let refused = Synthesizer::builder()
        .provider("oracle")
        .model("m")
        .start()
        .await;
    let error = format!("{:#}", refused.expect_err("no such provider"));
    assert!(
        error.contains("ended with") && error.contains("oracle"),
        "{error}"
    );
}

/// A shell script under `control-plane guard`, which says its pid first.
fn guarded(script: &str) -> Result<(Child, u32)> {
    let mut guard = Command::new(env!("CARGO_BIN_EXE_control-plane"))
        .args(["guard", "--", "sh", "-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    BufReader::new(guard.stdout.take().context("no stdout")?).read_line(&mut line)?;
    Ok((guard, line.trim().parse()?))
}

#[test]
fn a_guarded_program_ends_with_its_own_code() -> Result<()> {
    for (script, code) in [("exit 7", 7), ("kill -9 $$", 128 + 9)] {
        let (mut guard, _) = guarded(script)?;
        // Held, since waiting closes it else.
        let _stdin = guard.stdin.take();
        assert_eq!(guard.wait()?.code(), Some(code), "{script}");
    }
    Ok(())
}

#[test]
fn a_guarded_program_is_asked_to_end_when_stdin_is_closed() -> Result<()> {
    let (mut guard, _) =
        guarded("trap 'echo asked; exit 3' TERM; echo up; while :; do sleep 0.05; done")?;
    let mut stderr = BufReader::new(guard.stderr.take().context("no stderr")?);
    let mut said = String::new();
    stderr.read_line(&mut said)?;
    drop(guard.stdin.take());
    stderr.read_to_string(&mut said)?;
    assert_eq!(
        (said.as_str(), guard.wait()?.code()),
        ("up\nasked\n", Some(3))
    );
    Ok(())
}

#[tokio::test]
async fn a_guarded_program_dies_with_its_guard() -> Result<()> {
    let (mut guard, pid) = guarded("trap '' TERM; echo up; exec sleep 600")?;
    let mut line = String::new();
    BufReader::new(guard.stderr.take().context("no stderr")?).read_line(&mut line)?;
    guard.kill()?;
    guard.wait()?;
    all_gone(&[pid], SOON).await
}

#[tokio::test]
async fn a_control_plane_of_its_own_starts_and_stops_in_order() -> Result<()> {
    let begun = Instant::now();
    let cp = ControlPlane::start(&run_dir()?.join("own")).await?;
    let up = begun.elapsed();
    let pids: Vec<u32> = cp
        .ready()
        .pids
        .iter()
        .map(|(_, pid)| *pid)
        .chain([cp.supervisor_pid()])
        .collect();
    let events = cp
        .audit()?
        .events_since(AuditLog::BEGINNING, &Filter::all())?;
    // Users of their own, or counts by user would mean nothing.
    for user in [
        "admin",
        "system:kube-scheduler",
        "kwok",
        "system:serviceaccount:kube-system:service-account-controller",
    ] {
        assert!(
            events.iter().any(|event| event.user == user),
            "no request of {user}"
        );
    }
    let begun = Instant::now();
    cp.stop().await?;
    println!("up in {up:.1?}, down in {:.1?}", begun.elapsed());
    all_gone(&pids, SOON).await
}

/// What `control-plane build` says where the only program of that name is this script, or none is.
fn built_with_go(script: Option<&str>) -> Result<String> {
    let bin = tempfile::tempdir()?;
    if let Some(script) = script {
        let go = bin.path().join("go");
        std::fs::write(&go, format!("#!/bin/sh\n{script}\n"))?;
        std::fs::set_permissions(&go, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    }
    let output = Command::new(env!("CARGO_BIN_EXE_control-plane"))
        .arg("build")
        .env("PATH", bin.path())
        .env("XDG_CACHE_HOME", bin.path())
        .output()?;
    assert_eq!(output.status.code(), Some(1));
    Ok(String::from_utf8(output.stderr)?)
}

#[test]
fn who_has_no_go_or_an_old_one_is_told_what_to_do() -> Result<()> {
    let cases = [
        (None, "no Go was found"),
        (
            Some("printf 'go1.20.1\\nlinux\\namd64\\n'"),
            "the Go found is go1.20.1",
        ),
        (Some("echo broken >&2; exit 1"), "`go env` failed: broken"),
    ];
    for (script, problem) in cases {
        let said = built_with_go(script)?;
        assert!(said.contains(problem), "{said}");
        assert!(
            problem.contains("failed")
                || (said.contains("install Go 1.") && said.contains("KUBEBUILDER_ASSETS")),
            "{said}"
        );
    }
    Ok(())
}
