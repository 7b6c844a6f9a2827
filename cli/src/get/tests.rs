//! Screens of `get`.

use jiff::Timestamp;
use kube::{api::DynamicObject, runtime::watcher::Event};
use serde_json::{Value, json};

use super::{
    changes::{Change, Changes},
    rows::{Row, rows},
    text::{Look, more, screen},
};
use crate::facts::Read;

const NARROW: Look = Look {
    is_everywhere: false,
    is_wide: false,
};

fn now() -> Timestamp {
    "2026-11-29T12:00:00Z".parse().unwrap()
}

fn agent(name: &str, status: &Value) -> DynamicObject {
    serde_json::from_value(json!({
        "apiVersion": "langop.io/v1alpha1", "kind": "LanguageAgent",
        "metadata": {"name": name, "namespace": "demo", "creationTimestamp": "2026-11-20T12:00:00Z"},
        "spec": {"instructions": "x"}, "status": status,
    }))
    .unwrap()
}

fn cron_job(agent: &str, schedule: &str, zone: Option<&str>) -> DynamicObject {
    serde_json::from_value(json!({
        "apiVersion": "batch/v1", "kind": "CronJob",
        "metadata": {"name": agent, "namespace": "demo", "labels": {"langop.io/agent": agent}},
        "spec": {"schedule": schedule, "timeZone": zone, "jobTemplate": {}},
    }))
    .unwrap()
}

fn ready(status: &str, reason: &str, message: &str) -> Value {
    json!([{
        "type": "Ready", "status": status, "reason": reason, "message": message,
        "lastTransitionTime": "2026-11-29T11:00:00Z",
    }])
}

fn of(agents: &[DynamicObject], cron_jobs: Vec<DynamicObject>) -> Vec<Row> {
    rows(agents, &Read::Got(cron_jobs), now())
}

fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

/// One of each sort.
fn zoo() -> Vec<Row> {
    let tokens = json!({"input": 12_000, "output": 345, "cachedInput": 0});
    let agents = [
        agent(
            "runs",
            &json!({"phase": "Running", "mode": "autonomous", "conditions": ready("True", "AsDesired", "1 of 1 pods are ready")}),
        ),
        agent(
            "daily",
            &json!({
                "phase": "Succeeded", "mode": "scheduled", "schedule": "0 9 * * * (Europe/Berlin)",
                "lastExecutionTime": "2026-11-29T08:00:30Z", "lastExecutionResult": "Succeeded: sent 3 mails",
                "usage": {"total": tokens, "today": {"date": "2026-11-29", "input": 1, "output": 1, "cachedInput": 0}},
                "synthesisInfo": {"revision": 3}, "conditions": ready("True", "AsDesired", "the next run is planned"),
            }),
        ),
        agent(
            "fails",
            &json!({
                "phase": "Failed", "mode": "scheduled",
                "lastExecutionTime": "2026-11-29T11:55:00Z", "lastExecutionResult": "Failed: exit code 3: disk full",
                "conditions": ready("True", "AsDesired", "the next run is planned"),
            }),
        ),
        agent(
            "waits",
            &json!({"phase": "Pending", "conditions": ready("False", "WaitingForReferences", "tool 'email' does not exist; model 'claude' does not exist")}),
        ),
        agent(
            "rests",
            &json!({"phase": "Suspended", "conditions": ready("True", "Suspended", "suspended by spec.suspend")}),
        ),
        agent("unseen", &json!({"observedGeneration": -1})),
        agent(
            "broken",
            &json!({"phase": "Failed", "executionCount": "three"}),
        ),
    ];
    let cron_jobs = vec![
        cron_job("daily", "0 9 * * *", Some("Europe/Berlin")),
        cron_job("daily", "0 22 * * *", Some("Europe/Berlin")),
        cron_job("fails", "*/10 * * * *", None),
    ];
    of(&agents, cron_jobs)
}

#[test]
fn a_screen_says_who_runs_when_and_what_the_others_wait_for() {
    insta::assert_snapshot!("narrow", plain(&screen(&zoo(), NARROW, now())));
    let wide = Look {
        is_everywhere: true,
        is_wide: true,
    };
    insta::assert_snapshot!("wide", plain(&screen(&zoo(), wide, now())));
}

#[test]
fn programs_get_what_is_known_and_no_zeros() {
    let json = serde_json::to_value(zoo()).unwrap();
    let row = |name: &str| {
        let rows = json.as_array().unwrap();
        rows.iter().find(|row| row["name"] == name).unwrap().clone()
    };
    insta::assert_yaml_snapshot!("json", [row("daily"), row("unseen")]);
}

#[test]
fn an_empty_namespace_has_no_table() {
    assert_eq!(screen(&[], NARROW, now()), "");
}

#[test]
fn without_rights_to_cron_jobs_next_runs_are_dashes() {
    let agents = [agent(
        "daily",
        &json!({"phase": "Running", "conditions": ready("True", "AsDesired", "")}),
    )];
    let rows = rows(&agents, &Read::Denied("no".into()), now());
    assert_eq!(rows[0].next_run, None);
    let text = plain(&screen(&rows, NARROW, now()));
    assert!(text.contains("daily   Running   -          -"), "{text}");
}

#[test]
fn a_thousand_agents_are_a_thousand_rows_and_one_summary() {
    let agents: Vec<_> = (0..1000)
        .map(|nth| {
            let phase = if nth % 10 == 0 { "Failed" } else { "Running" };
            let status = json!({"phase": phase, "conditions": ready("True", "AsDesired", "")});
            agent(&format!("agent-{nth:04}"), &status)
        })
        .collect();
    let cron_jobs =
        (0..1000).map(|nth| cron_job(&format!("agent-{nth:04}"), "0 9 * * *", Some("UTC")));
    let text = plain(&screen(&of(&agents, cron_jobs.collect()), NARROW, now()));
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 1 + 1000 + 2);
    assert_eq!(
        lines[1],
        "agent-0000   Failed    in 21h     -               -   -"
    );
    assert_eq!(lines[1002], "1000 agents: 100 Failed, 900 Running");
}

/// A screen that is followed: what each event has it tell.
struct Followed {
    changes: Changes,
    widths: Vec<usize>,
}

impl Followed {
    /// All that is there at first.
    fn of(agents: &[DynamicObject], cron_jobs: &[DynamicObject]) -> (Self, String) {
        let mut followed = Self {
            changes: Changes::default(),
            widths: Vec::new(),
        };
        let before = followed.list(Change::Agent, agents);
        assert_eq!(before, "", "not all is listed yet");
        let first = followed.list(Change::CronJob, cron_jobs);
        (followed, first)
    }

    fn list(
        &mut self,
        change: fn(Event<DynamicObject>) -> Change,
        objects: &[DynamicObject],
    ) -> String {
        let mut text = self.tell(change(Event::Init));
        for object in objects {
            text += &self.tell(change(Event::InitApply(object.clone())));
        }
        text + &self.tell(change(Event::InitDone))
    }

    fn tell(&mut self, change: Change) -> String {
        let rows = self.changes.take(change, now()).unwrap_or_default();
        plain(&more(&rows, NARROW, now(), &mut self.widths))
    }

    fn agent(&mut self, agent: &DynamicObject) -> String {
        self.tell(Change::Agent(Event::Apply(agent.clone())))
    }
}

#[test]
fn a_watch_begins_with_the_table_and_goes_on_with_a_line_for_each_change() {
    let pending = json!({"phase": "Pending", "conditions": ready("False", "Synthesizing", "its code is being made")});
    let running = json!({"phase": "Running", "conditions": ready("True", "AsDesired", "the next run is planned")});
    let agents = [agent("daily", &running), agent("new", &pending)];
    let (mut watch, mut all) =
        Followed::of(&agents, &[cron_job("daily", "0 9 * * *", Some("UTC"))]);
    all += &watch.agent(&agent("new", &running));
    let later = cron_job("daily", "0 14 * * *", Some("UTC"));
    all += &watch.tell(Change::CronJob(Event::Apply(later.clone())));
    all += &watch.tell(Change::Agent(Event::Delete(agents[0].clone())));
    all += &watch.agent(&agent("a-longer-name", &running));
    insta::assert_snapshot!("watch", all);

    // The CronJob goes after its agent, of which all is told already.
    assert_eq!(watch.tell(Change::CronJob(Event::Delete(later))), "");
}

#[test]
fn a_watch_says_nothing_of_what_says_nothing_new() {
    let status = json!({"phase": "Running", "conditions": ready("True", "AsDesired", "")});
    let mut daily = agent("daily", &status);
    let cron_job = cron_job("daily", "0 9 * * *", Some("UTC"));
    let (mut watch, first) = Followed::of(
        std::slice::from_ref(&daily),
        std::slice::from_ref(&cron_job),
    );
    assert!(first.contains("daily"), "{first}");
    daily.metadata.resource_version = Some("7".to_owned());
    daily.metadata.annotations = Some([("a".to_owned(), "b".to_owned())].into());
    assert_eq!(watch.agent(&daily), "");
    assert_eq!(watch.tell(Change::CronJob(Event::Apply(cron_job))), "");
}

#[test]
fn a_list_anew_tells_only_what_differs() {
    let status = json!({"phase": "Running", "conditions": ready("True", "AsDesired", "")});
    let failed = json!({"phase": "Failed", "conditions": ready("True", "AsDesired", "")});
    let [stays, goes] = ["stays", "goes"].map(|name| agent(name, &status));
    let (mut watch, _) = Followed::of(&[stays.clone(), goes], &[]);
    let told = watch.list(Change::Agent, &[stays.clone(), agent("comes", &failed)]);
    let words: Vec<Vec<&str>> = told
        .lines()
        .map(|line| line.split_whitespace().take(2).collect())
        .collect();
    assert_eq!(words, [["comes", "Failed"], ["goes", "Deleted"]]);
    assert_eq!(
        watch.list(Change::Agent, &[stays, agent("comes", &failed)]),
        ""
    );
}

#[test]
fn without_rights_to_cron_jobs_the_screen_begins_all_the_same() {
    let mut watch = Followed {
        changes: Changes::default(),
        widths: Vec::new(),
    };
    watch.list(Change::Agent, &[agent("daily", &json!({}))]);
    let rows = watch.changes.without_cron_jobs(now()).unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(
        watch.changes.without_cron_jobs(now()),
        None,
        "it begins once"
    );
}
