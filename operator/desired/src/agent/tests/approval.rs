//! The rule of approval: who waits, who goes on, and what stays meanwhile.

use langop_api::{
    approval::ApprovalPolicy,
    condition::{Reason, types},
    names::annotations,
};
use serde_json::json;

use super::*;
use crate::{
    agent::{
        approval::{Verdict, is_supported},
        build::WorkloadAction,
    },
    approval::ApprovalRule,
    conditions,
    powers::live::Live,
};

/// An agent with two tools, under this policy.
fn world(policy: &str) -> World {
    World::of(&manifests(policy))
}

/// The same, with a third tool in its pod.
fn world_with_sidecar(policy: &str) -> World {
    World::of(&format!(
        "{}---
kind: LanguageTool
apiVersion: langop.io/v1alpha1
metadata: {{name: shelf, namespace: wood}}
spec:
  image: shelf:1
  deploymentMode: sidecar
  transport: stdio
  command: [node, server.js]
  args: [/tmp]
  port: 9000
  operations: [{{name: read}}]
  caBundle: {{name: ca}}
  env: [{{name: TOKEN, valueFrom: {{secretKeyRef: {{name: s, key: k}}}}}}, {{name: LOG, value: debug}}]
  imagePullSecrets: [{{name: shelf-registry}}]
",
        manifests(policy).replace("{name: files}]", "{name: files}, {name: shelf}]")
    ))
}

fn manifests(policy: &str) -> String {
    format!(
        "
apiVersion: langop.io/v1alpha1
kind: LanguageAgent
metadata: {{name: scout, namespace: wood, uid: uid-scout, generation: 1, creationTimestamp: '2026-01-01T00:00:00Z'}}
spec:
  approval: {policy}
  instructions: one
  toolRefs: [{{name: mail}}, {{name: files}}]
  egress: [{{cidr: 203.0.113.0/24, ports: [{{port: 443}}]}}]
---
kind: LanguageTool
apiVersion: langop.io/v1alpha1
metadata: {{name: mail, namespace: wood}}
spec: {{image: 'registry.example/mail:1', operations: [{{name: send}}]}}
---
kind: LanguageTool
apiVersion: langop.io/v1alpha1
metadata: {{name: files, namespace: wood}}
spec: {{image: 'registry.example/files:1', operations: [{{name: read}}]}}
"
    )
}

/// Code that sends mails to these.
fn mails(to: &[&str]) -> Value {
    let steps = to.iter().enumerate().map(|(nth, to)| {
        json!({"name": format!("send{nth}"), "action": {"useTool": {"tool": "mail", "action": "send", "params": {"to": to}}}})
    });
    json!({"steps": steps.collect::<Vec<_>>()})
}

impl World {
    /// As after a reconcile that carried out what was decided.
    fn settle(&mut self) {
        self.record = self.approval().record.unwrap_or_default();
        self.observed.deployment = Some(deployment(1));
    }

    /// Somebody writes these two annotations to the newest code.
    fn note(&mut self, what: &str, hash: &str, who: &str, by: &str) {
        let newest = self.observed.revisions.pop().unwrap();
        let kept = newest
            .annotations
            .iter()
            .map(|(key, value)| (key.to_owned(), value.to_owned()));
        let added =
            [(what, hash), (who, by)].map(|(key, value)| (key.to_owned(), value.to_owned()));
        let annotations = kept.chain(added).collect();
        self.observed.revisions.push(Arc::new(Observed {
            annotations,
            ..(*newest).clone()
        }));
    }

    fn approve(&mut self, hash: &str) {
        self.note(
            annotations::APPROVED_POWERS,
            hash,
            annotations::APPROVED_BY,
            "ann",
        );
    }

    fn requested(&self) -> String {
        self.approval()
            .record
            .unwrap()
            .requested
            .unwrap()
            .powers_hash
    }

    fn says(&self) -> &'static str {
        match self.approval().verdict {
            Verdict::NotInUse => "not in use",
            Verdict::Nothing => "nothing",
            Verdict::Faulty(_) => "faulty",
            Verdict::Unsupported => "unsupported",
            Verdict::Free => "free",
            Verdict::Approved { .. } => "approved",
            Verdict::Waits { .. } => "waits",
            Verdict::Rejected { .. } => "rejected",
        }
    }
}

/// What changes in an agent that runs.
type Edit = fn(&mut World);

#[test]
fn who_waits_and_who_goes_on() {
    let same: Edit = |_| {};
    let other_code: Edit = |world| {
        world.patch(&json!({"instructions": "two"}));
        world.store(&mails(&["b@example.com", "a@example.com"]));
    };
    let narrower: Edit = |world| {
        world.patch(&json!({"instructions": "two"}));
        world.store(&mails(&["a@example.com"]));
    };
    let wider: Edit = |world| {
        world.patch(&json!({"instructions": "two"}));
        world.store(&mails(&["a@example.com", "b@example.com", "c@example.com"]));
    };
    let address: Edit = |world| {
        world.patch(&json!({"egress": [{"cidr": "203.0.112.0/23", "ports": [{"port": 443}]}]}));
    };
    let fewer: Edit = |world| world.patch(&json!({"egress": []}));
    let image: Edit = |world| world.patch(&json!({"image": "registry.example/mine:1"}));
    let secret: Edit = |world| {
        let source = json!({"secretKeyRef": {"name": "s", "key": "k"}});
        world.patch(&json!({"env": [{"name": "TOKEN", "valueFrom": source}]}));
    };
    let resources: Edit = |world| world.patch(&json!({"resources": {"limits": {"memory": "1Gi"}}}));
    for (name, edit, on_new, always) in [
        ("same", same, "free", "free"),
        ("other code", other_code, "free", "waits"),
        ("narrower code", narrower, "free", "waits"),
        ("wider code", wider, "waits", "waits"),
        ("more addresses", address, "waits", "waits"),
        ("fewer addresses", fewer, "free", "waits"),
        ("another image", image, "waits", "waits"),
        ("a Secret", secret, "waits", "waits"),
        ("resources", resources, "free", "free"),
    ] {
        for (policy, expected) in [
            ("Never", "not in use"),
            ("OnNewPowers", on_new),
            ("Always", always),
        ] {
            let mut world = world(policy);
            world.store(&mails(&["a@example.com", "b@example.com"]));
            let first = if policy == "Never" {
                "not in use"
            } else {
                "waits"
            };
            assert_eq!(world.says(), first, "{policy}: nothing is in force yet");
            if policy != "Never" {
                world.approve(&world.requested());
                assert_eq!(world.says(), "approved");
                world.settle();
            }
            edit(&mut world);
            // The approval stays on its code, and is of what was asked for then.
            let said = world.says();
            let expected = match (expected, name) {
                ("free", "same" | "resources") => "approved",
                (expected, _) => expected,
            };
            assert_eq!(said, expected, "{policy}: {name}");
        }
    }
}

#[test]
fn an_approval_is_of_exactly_this_code_and_these_powers() {
    let mut world = world("OnNewPowers");
    world.store(&mails(&["a@example.com"]));
    let hash = world.requested();
    world.approve("0000");
    assert_eq!(world.says(), "waits", "another hash");
    world.approve(&hash);
    assert_eq!(world.says(), "approved");
    let also = json!({"cidr": "198.51.100.0/24", "ports": [{"port": 443}]});
    world.patch(&json!({"egress": [also]}));
    assert_eq!(world.says(), "waits", "other powers");
    world.patch(&json!({"egress": [{"cidr": "203.0.113.0/24", "ports": [{"port": 443}]}], "instructions": "two"}));
    world.store(&mails(&["a@example.com", "mallory@example.com"]));
    assert_eq!(world.says(), "waits", "other code");
    let hash = world.requested();
    world.approve(&hash);
    world.note(
        annotations::REJECTED_POWERS,
        &hash,
        annotations::REJECTED_BY,
        "bob",
    );
    assert_eq!(world.says(), "rejected", "in doubt");
}

#[test]
fn who_wrote_it_does_not_approve_it_where_the_cluster_says_so() {
    let mut world = world("Always");
    world.store(&mails(&["a@example.com"]));
    world.approve(&world.requested());
    let (agent, decision) = (world.validated(), world.decide());
    let definition = &world.definitions[&world.observed.revisions[0].name];
    let powers = Powers::of(&agent, Some(&CodePowers::from(definition)), &world.settings);
    let verdict = |author| {
        judge(&Question {
            agent: &agent,
            is_supported: true,
            code: decision.code().map(|code| &**code),
            asked: Some(powers.clone()),
            record: &world.record,
            begins: false,
            author,
            settings: &world.settings,
        })
        .verdict
    };
    let approved = |is_doubtful| Verdict::Approved {
        by: "ann".into(),
        is_doubtful,
    };
    assert_eq!(verdict(Author::NotAsked), approved(false));
    assert_eq!(verdict(Author::Unknown), approved(true));
    assert_eq!(verdict(Author::Manager("kubectl".into())), approved(true));
    assert!(matches!(
        verdict(Author::Manager("ann".into())),
        Verdict::Waits { .. }
    ));
}

#[test]
fn what_waits_waits_as_a_whole_and_what_is_gone_is_closed() {
    let mut world = world("OnNewPowers");
    world.store(&mails(&["a@example.com"]));
    world.approve(&world.requested());
    let before = world.build();
    assert!(matches!(before.report.action, WorkloadAction::Apply(_)));
    world.settle();
    let rules = |built: &Built| json!(built.children.network_policies[0].spec).to_string();

    let also = json!([{"cidr": "203.0.113.0/24", "ports": [{"port": 443}]}, {"cidr": "198.51.100.0/24", "ports": [{"port": 443}]}]);
    world.patch(&json!({"egress": also, "image": "registry.example/mine:1"}));
    let held = world.build();
    assert_eq!(held.report.action, WorkloadAction::Keep);
    assert_eq!(rules(&held), rules(&before), "byte for byte");

    world
        .tools
        .retain(|tool| tool.metadata.name.as_deref() != Some("files"));
    let held = rules(&world.build());
    assert!(
        !held.contains("files") && held.contains("\"mail\"") && !held.contains("198.51.100"),
        "{held}"
    );

    // Nor does a spec that cannot be carried out open anything.
    world.patch(&json!({"resources": {"limits": {"memory": "1Mi"}, "requests": {"memory": "2Gi"}}, "approval": "OnNewPowers"}));
    assert!(world.validated().run.is_err());
    assert!(!rules(&world.build()).contains("198.51.100"));
}

#[test]
fn a_new_agent_reaches_nothing_before_it_is_approved() {
    let mut world = world("OnNewPowers");
    world.settings.dns.ports.clear();
    let rules = |world: &World| json!(world.build().children.network_policies[0].spec).to_string();
    assert_eq!(world.says(), "nothing");
    assert!(rules(&world).contains("\"egress\":[]"), "{}", rules(&world));
    world.store(&mails(&["a@example.com"]));
    assert!(rules(&world).contains("\"egress\":[]"));
    let status = world.status();
    let approved = conditions::find(&status.conditions, types::APPROVED).unwrap();
    assert_eq!(
        (&*approved.status, &*approved.reason),
        ("False", "ApprovalRequired")
    );
    let words = &approved.message;
    assert!(words.contains("mail.send to a@example.com"), "{words}");
    assert_eq!(
        status.synthesis_info.unwrap().revision,
        None,
        "nothing is active"
    );
}

#[test]
fn a_pin_waits_like_new_code() {
    let mut world = world("OnNewPowers");
    world.store(&mails(&["a@example.com", "b@example.com"]));
    world.patch(&json!({"instructions": "two"}));
    world.store(&mails(&["a@example.com"]));
    world.approve(&world.requested());
    world.settle();
    world.patch(&json!({"synthesis": {"revision": 1}}));
    assert_eq!(world.says(), "waits");
}

#[test]
fn without_approval_nothing_is_said() {
    let mut world = world("Never");
    world.store(&mails(&["a@example.com"]));
    let status = world.status();
    assert_eq!(status.approval, None);
    assert!(conditions::find(&status.conditions, types::APPROVED).is_none());
    assert_eq!(world.approval(), Approval::default());
}

#[test]
fn the_stricter_of_agent_and_cluster_holds() {
    let floor = |policy| ApprovalRule {
        policy,
        is_separate: true,
    };
    for (own, cluster, expected) in [
        (
            "Never",
            ApprovalPolicy::OnNewPowers,
            ApprovalPolicy::OnNewPowers,
        ),
        (
            "Always",
            ApprovalPolicy::OnNewPowers,
            ApprovalPolicy::Always,
        ),
        (
            "OnNewPowers",
            ApprovalPolicy::Never,
            ApprovalPolicy::OnNewPowers,
        ),
    ] {
        let mut world = world(own);
        world.cluster = Some(ClusterView {
            name: "team".into(),
            agent_egress: Some(langop_api::cluster::AgentEgress::Allow),
            approval: floor(cluster),
            ..ClusterView::default()
        });
        assert_eq!(world.validated().approval, floor(expected), "{own}");
    }
}

#[test]
fn an_agent_without_code_is_told_that_it_cannot_be_approved() {
    let mut world = world("OnNewPowers");
    world.patch(&json!({"instructions": null, "image": "registry.example/mine:1"}));
    let Verdict::Waits { words } = world.approval().verdict else {
        panic!("it does not wait");
    };
    assert!(words.contains("set spec.instructions"), "{words}");
}

#[test]
fn another_image_in_its_pod_waits() {
    let mut world = world_with_sidecar("OnNewPowers");
    world.store(&json!({}));
    world.approve(&world.requested());
    world.settle();
    assert_eq!(world.says(), "approved");
    let shelf = world
        .tools
        .iter_mut()
        .find(|tool| tool.metadata.name.as_deref() == Some("shelf"));
    shelf.unwrap().spec.image = "shelf:2".to_owned();
    let Verdict::Waits { words } = world.approval().verdict else {
        panic!("it does not wait");
    };
    assert!(
        words.ends_with("sidecar shelf of image shelf:2 instead of shelf:1"),
        "{words}"
    );
}

#[test]
fn what_runs_is_read_from_what_was_built() {
    let scheduled = json!({"schedule": "0 9 * * 1", "timeZone": "Europe/Berlin"});
    let rich = json!({
        "limits": {"maxIterations": 5, "timeout": "10m"},
        "env": [{"name": "A", "value": "b"}, {"name": "T", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
        "imagePullSecrets": [{"name": "pull"}],
        "image": "registry.example/mine:1",
    });
    for (name, patch, code) in [
        ("plain", json!({}), mails(&["a@example.com"])),
        ("scheduled", scheduled, json!({})),
        (
            "every",
            json!({}),
            json!({"schedule": {"every": {"seconds": 5400}}}),
        ),
        ("rich", rich, json!({})),
        ("sidecar", json!({}), json!({})),
    ] {
        let mut world = match name {
            "sidecar" => world_with_sidecar("OnNewPowers"),
            _ => world("OnNewPowers"),
        };
        world.patch(&patch);
        let stored = world.store(&code);
        world.approve(&world.requested());
        let built = world.build();
        let live = Live {
            deployment: built.children.deployments.first().cloned(),
            cron_jobs: built.children.cron_jobs.clone(),
            egress: world.validated().egress,
        };
        assert_eq!(live.config_map(), Some(&*stored.name), "{name}");
        let powers = CodePowers::from(&world.definitions[&stored.name]);
        let asked = Powers::of(&world.validated(), Some(&powers), &world.settings).unwrap();
        assert_eq!(
            live.powers(Some(&powers), &world.settings),
            Ok(asked),
            "{name}"
        );
    }
}

#[test]
fn an_older_api_server_holds_everything() {
    let world = world("OnNewPowers");
    let agent = world.validated();
    let approval = judge(&Question {
        agent: &agent,
        is_supported: false,
        code: None,
        asked: None,
        record: &world.record,
        begins: true,
        author: Author::default(),
        settings: &world.settings,
    });
    assert!(approval.is_held() && approval.verdict == Verdict::Unsupported);
    assert!(matches!(
        approval.workload(Workload::Run(None)),
        Workload::Held { .. }
    ));
}

#[test]
fn approval_needs_an_api_server_of_1_30() {
    for (minor, expected) in [
        ("29", false),
        ("30", true),
        ("30+", true),
        ("37", true),
        ("", false),
    ] {
        assert_eq!(is_supported("1", minor), expected, "{minor}");
    }
    assert!(is_supported("2", "0"));
}

#[test]
fn what_was_rejected_stalls_and_what_runs_stays() {
    let mut world = world("OnNewPowers");
    world.store(&mails(&["a@example.com"]));
    world.approve(&world.requested());
    world.settle();
    let running = world.status();
    world.patch(&json!({"instructions": "two"}));
    world.store(&mails(&["mallory@example.com"]));
    let hash = world.requested();
    world.note(
        annotations::REJECTED_POWERS,
        &hash,
        annotations::REJECTED_BY,
        "bob",
    );
    let status = world.status_after(&running, None);
    let stalled = conditions::find(&status.conditions, types::STALLED).unwrap();
    assert_eq!(stalled.reason, Reason::Rejected.as_str());
    assert!(stalled.message.contains("rejected by 'bob'"));
    assert_eq!(status.phase, running.phase);
    let revision =
        |status: &langop_api::LanguageAgentStatus| status.synthesis_info.as_ref().unwrap().revision;
    assert_eq!(revision(&status), revision(&running));
}
