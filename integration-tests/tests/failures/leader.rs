//! Two operators of one Lease: never two that write at once, whatever becomes of the one that
//! leads.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;
use langop_api::LanguageTool;
use langop_integration_tests::{
    AuditEvent, ControlPlane, FaultMode, FaultProxy, Mark, Operator, Synthesizer, TestNamespace,
    audit, manifests, processes, programs::LeaderElection, wait,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::fault_env::operator;

/// A Lease lasts 15 s; the machine may be slow.
const SOON: Duration = Duration::from_mins(1);
/// Between two edits of the user.
const OFTEN: Duration = Duration::from_millis(200);

struct Replica {
    name: &'static str,
    operator: Operator,
    /// Its own, which names it in the audit log.
    proxy: FaultProxy,
}

impl Replica {
    fn wrote(&self, write: &AuditEvent) -> bool {
        write.user_agent.ends_with(self.name)
    }
}

/// Two replicas in one namespace.
struct Two {
    cp: &'static ControlPlane,
    ns: TestNamespace,
    _synthesizer: Synthesizer,
    first: Replica,
    second: Replica,
    mark: Mark,
}

impl Two {
    /// The first leads, and has something to do.
    async fn new(prefix: &str) -> Self {
        let cp = ControlPlane::shared().await;
        cp.install_crds().await.unwrap();
        let ns = TestNamespace::create(cp, prefix).await.unwrap();
        let synthesizer = Synthesizer::template().start().await.unwrap();
        let mark = cp.audit().unwrap().mark().unwrap();
        let first = replica(cp, &ns, &synthesizer, "replica-1").await;
        until_led_by(&ns, "replica-1").await;
        let second = replica(cp, &ns, &synthesizer, "replica-2").await;
        Self {
            cp,
            ns,
            _synthesizer: synthesizer,
            first,
            second,
            mark,
        }
    }

    /// A user who edits a tool again and again, until the second replica has answered to that.
    async fn edit_until_taken_over(&self) {
        let start = Instant::now();
        for port in 9000.. {
            self.edit(port).await;
            let by_second = self
                .writes()
                .into_iter()
                .filter(|write| self.second.wrote(write))
                .count();
            if by_second > 5 {
                return;
            }
            assert!(
                start.elapsed() < SOON,
                "nobody takes over; logs: {:?}",
                self.logs()
            );
            tokio::time::sleep(OFTEN).await;
        }
    }

    async fn edit(&self, port: i32) {
        let tool = json!({
            "apiVersion": "langop.io/v1alpha1", "kind": "LanguageTool", "metadata": {"name": "busy"},
            "spec": {"image": "registry.example/tool:1", "port": port},
        });
        let tool = serde_json::from_value(tool).unwrap();
        manifests::apply(&self.ns.client(), &tool, self.ns.name())
            .await
            .unwrap();
    }

    /// All writes of the two but those of Leases, in order.
    fn writes(&self) -> Vec<AuditEvent> {
        // Both use one account.
        let mut writes = self
            .cp
            .audit()
            .unwrap()
            .writes_since(self.mark, &self.first.operator.writes())
            .unwrap();
        writes.sort_by_key(|write| write.at);
        writes
    }

    /// The first wrote, then the second, and never the first again.
    fn assert_in_turn(&self) {
        let writes = self.writes();
        let turn = writes
            .iter()
            .position(|write| self.second.wrote(write))
            .expect("the second has written");
        assert!(turn > 0, "the first has written");
        let late: Vec<_> = writes[turn..]
            .iter()
            .filter(|write| self.first.wrote(write))
            .cloned()
            .collect();
        assert!(
            late.is_empty(),
            "the first wrote after the second had begun ({}):\n{}\nlogs: {:?}",
            writes[turn],
            audit::pretty(&late),
            self.logs()
        );
    }

    /// Whoever has lost begins anew, as another process.
    async fn until_the_first_has_ended(&self) {
        let first = self.first.operator.pid();
        processes::all_gone(&[first], SOON).await.unwrap();
    }

    async fn until_tool_is(&self, port: i32) {
        let is_done = |tool: &LanguageTool| {
            tool.status.as_ref().is_some_and(|status| {
                status
                    .endpoint
                    .as_ref()
                    .is_some_and(|url| url.contains(&port.to_string()))
            })
        };
        wait::object(self.ns.api::<LanguageTool>(), "busy", SOON, is_done)
            .await
            .unwrap();
    }

    fn logs(&self) -> [&std::path::Path; 2] {
        [self.first.operator.log(), self.second.operator.log()]
    }
}

async fn replica(
    cp: &ControlPlane,
    ns: &TestNamespace,
    synthesizer: &Synthesizer,
    name: &'static str,
) -> Replica {
    let proxy = FaultProxy::start(cp, name, 1).await.unwrap();
    let started = operator(cp, ns, synthesizer)
        .leader_election(LeaderElection::On)
        .env("LANGOP_IDENTITY", name)
        .through(&proxy)
        .start();
    Replica {
        name,
        operator: started.await.unwrap(),
        proxy,
    }
}

async fn until_led_by(ns: &TestNamespace, name: &str) {
    let by = |lease: &Lease| {
        lease
            .spec
            .as_ref()
            .and_then(|spec| spec.holder_identity.as_deref())
            == Some(name)
    };
    wait::object(ns.api::<Lease>(), "langop-operator", SOON, by)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_leader_that_cannot_renew_stops_writing_before_another_begins() {
    let two = Two::new("renew").await;
    two.edit(8999).await;
    two.until_tool_is(8999).await;
    // All else still works, so only its own discipline stops it.
    two.first.proxy.set(FaultMode::Cut("/leases"));
    two.edit_until_taken_over().await;
    until_led_by(&two.ns, "replica-2").await;
    two.assert_in_turn();
    two.until_the_first_has_ended().await;
}

#[tokio::test]
async fn a_leader_that_is_cut_off_and_comes_back_does_not_write_again() {
    let two = Two::new("cutoff").await;
    two.edit(8999).await;
    two.until_tool_is(8999).await;
    two.first.proxy.set(FaultMode::Cut(""));
    two.edit_until_taken_over().await;
    two.first.proxy.set(FaultMode::None);
    // What it had queued would be written now.
    for port in 7000..7010 {
        two.edit(port).await;
        tokio::time::sleep(OFTEN).await;
    }
    two.until_tool_is(7009).await;
    two.assert_in_turn();
    two.until_the_first_has_ended().await;
}

#[tokio::test]
async fn a_leader_that_was_suspended_does_not_write_when_it_wakes_up() {
    let two = Two::new("asleep").await;
    two.edit(8999).await;
    two.until_tool_is(8999).await;
    let pid = two.first.operator.pid();
    signal(pid, Signal::STOP);
    two.edit_until_taken_over().await;
    // It has not had the time to notice anything, and its watches bring it work at once.
    signal(pid, Signal::CONT);
    for port in 7000..7010 {
        two.edit(port).await;
        tokio::time::sleep(OFTEN).await;
    }
    two.until_tool_is(7009).await;
    two.assert_in_turn();
}

fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

#[tokio::test]
async fn a_leader_that_is_killed_is_followed_and_one_that_stops_hands_over_at_once() {
    let mut two = Two::new("killed").await;
    two.edit(8999).await;
    two.until_tool_is(8999).await;
    two.first.operator.kill().await.unwrap();
    two.edit_until_taken_over().await;
    two.assert_in_turn();

    two.first.operator.start_again().await.unwrap();
    two.second.operator.stop().await.unwrap();
    let start = Instant::now();
    until_led_by(&two.ns, "replica-1").await;
    assert!(
        start.elapsed() < Duration::from_secs(8),
        "a Lease that is given back need not expire: {:?}",
        start.elapsed()
    );
    two.edit(6000).await;
    two.until_tool_is(6000).await;
}
