//! The proxy itself, against the real API server: calm it is invisible, and each fault is what a
//! client would see of the real one.

use std::time::Duration;

use futures::{StreamExt as _, stream::BoxStream};
use k8s_openapi::api::{
    authentication::v1::TokenRequest,
    core::v1::{ConfigMap, ServiceAccount},
    rbac::v1::RoleBinding,
};
use kube::{
    Api, Client, Config, ResourceExt as _,
    api::{Patch, PatchParams, PostParams},
    runtime::watcher::{self, Event, watcher},
};
use langop_integration_tests::{
    ControlPlane, FaultMode, FaultProxy, Filter, TestNamespace, fault_proxy::faults::Rates, wait,
};
use serde_json::json;

const SOON: Duration = Duration::from_secs(30);

struct Through {
    cp: &'static ControlPlane,
    proxy: FaultProxy,
    ns: TestNamespace,
    /// By the proxy, with a client that repeats nothing by itself.
    maps: Api<ConfigMap>,
}

impl Through {
    async fn new(prefix: &str) -> Self {
        let cp = ControlPlane::shared().await;
        let proxy = FaultProxy::start(cp, "via-proxy", 1).await.unwrap();
        let ns = TestNamespace::create(cp, prefix).await.unwrap();
        let token = token(&ns).await;
        let mut config = Config::new(proxy.url().parse().unwrap());
        config.auth_info.token = Some(token.into());
        config.default_retry = false;
        let client = Client::try_from(config).unwrap();
        let maps = Api::namespaced(client, ns.name());
        Self {
            cp,
            proxy,
            ns,
            maps,
        }
    }

    /// Only this fault, always.
    fn only(&self, rates: Rates) {
        self.proxy.set(FaultMode::Storm(rates));
    }

    async fn create(&self, name: &str) -> kube::Result<ConfigMap> {
        let map = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
        self.maps.create(&PostParams::default(), &map).await
    }

    async fn exists(&self, name: &str) -> bool {
        self.ns
            .api::<ConfigMap>()
            .get_opt(name)
            .await
            .unwrap()
            .is_some()
    }

    async fn touch(&self, name: &str) -> kube::Result<ConfigMap> {
        let touch = json!({"metadata": {"labels": {"touched": "yes"}}});
        self.maps
            .patch(name, &PatchParams::default(), &Patch::Merge(touch))
            .await
    }
}

fn code(result: kube::Result<ConfigMap>) -> Option<u16> {
    match result.unwrap_err() {
        kube::Error::Api(status) => Some(status.code),
        // No answer.
        _ => None,
    }
}

#[tokio::test]
async fn a_proxy_without_faults_is_invisible_but_for_the_user_agent() {
    let through = Through::new("calm").await;
    let mark = through.cp.audit().unwrap().mark().unwrap();
    through.create("a").await.unwrap();
    through.touch("a").await.unwrap();
    assert_eq!(
        code(through.create("a").await),
        Some(409),
        "the server's own answer"
    );
    let mut events = watch(&through);
    until_event(&mut events, |event| matches!(event, Event::InitDone)).await;
    through.create("b").await.unwrap();
    until_event(
        &mut events,
        |event| matches!(event, Event::Apply(map) if map.name_any() == "b"),
    )
    .await;

    let filter = Filter::writes().namespace(through.ns.name()).user(format!(
        "system:serviceaccount:{}:default",
        through.ns.name()
    ));
    let writes = through
        .cp
        .audit()
        .unwrap()
        .writes_since(mark, &filter)
        .unwrap();
    assert_eq!(writes.len(), 4, "{writes:?}");
    assert!(
        writes
            .iter()
            .all(|write| write.user_agent.ends_with(" via-proxy")),
        "{writes:?}"
    );
    assert!(through.proxy.tally().is_empty());
}

#[tokio::test]
async fn refused_requests_do_not_reach_the_server_and_lost_answers_do() {
    let through = Through::new("lost").await;
    through.create("old").await.unwrap();
    let always = 1000;
    through.only(Rates {
        too_many: always,
        ..Rates::default()
    });
    assert_eq!(code(through.create("limited").await), Some(429));
    through.only(Rates {
        failed: always,
        ..Rates::default()
    });
    assert!(matches!(
        code(through.create("failed").await),
        Some(500 | 503)
    ));
    through.only(Rates {
        conflict: always,
        ..Rates::default()
    });
    assert_eq!(code(through.touch("old").await), Some(409));
    through.create("new").await.unwrap();
    through.proxy.set(FaultMode::Cut("/configmaps"));
    assert_eq!(code(through.create("cut").await), None, "no answer at all");
    for absent in ["limited", "failed", "cut"] {
        assert!(!through.exists(absent).await, "{absent}");
    }

    through.only(Rates {
        answer_lost: always,
        ..Rates::default()
    });
    assert_eq!(code(through.create("stored").await), Some(500));
    assert!(through.exists("stored").await);
    let tally = through.proxy.tally();
    for fault in ["429", "409", "cut before", "500 after"] {
        assert_eq!(tally.get(fault), Some(&1), "{tally:?}");
    }
}

#[tokio::test]
async fn after_so_many_writes_everything_is_cut() {
    let through = Through::new("count").await;
    through.proxy.set(FaultMode::Writes(2));
    through.create("one").await.unwrap();
    through.maps.get("one").await.unwrap();
    through.create("two").await.unwrap();
    assert_eq!(through.proxy.mode(), FaultMode::Writes(0));
    assert_eq!(code(through.create("three").await), None);
    assert_eq!(through.proxy.mode(), FaultMode::Cut(""));
    assert!(through.maps.get("one").await.is_err());
    assert!(!through.exists("three").await);
}

#[tokio::test]
async fn watches_end_by_order_and_begin_anew() {
    let through = Through::new("watch").await;
    let mut events = watch(&through);
    until_event(&mut events, |event| matches!(event, Event::InitDone)).await;
    // The first event after the list proves that the watch is under way.
    through.create("a").await.unwrap();
    until_event(
        &mut events,
        |event| matches!(event, Event::Apply(map) if map.name_any() == "a"),
    )
    .await;

    through.proxy.expire_watches();
    let expired = until_error(&mut events).await;
    assert!(
        matches!(&expired, watcher::Error::WatchError(status) if status.code == 410),
        "{expired:?}"
    );
    until_event(&mut events, |event| matches!(event, Event::Init)).await;
    until_event(&mut events, |event| matches!(event, Event::InitDone)).await;
    through.create("b").await.unwrap();
    until_event(
        &mut events,
        |event| matches!(event, Event::Apply(map) if map.name_any() == "b"),
    )
    .await;

    through.proxy.set(FaultMode::Cut(""));
    until_error(&mut events).await;
    through.proxy.set(FaultMode::None);
    through.create("c").await.unwrap();
    until_event(
        &mut events,
        |event| matches!(event, Event::Apply(map) if map.name_any() == "c"),
    )
    .await;
}

#[tokio::test]
async fn a_storm_hides_nothing_from_a_watcher_that_is_patient() {
    let through = Through::new("patient").await;
    through.only(Rates::heavy());
    let mut seen = std::collections::BTreeSet::new();
    let mut events = watch(&through);
    for name in (0..20).map(|nth| format!("m{nth}")) {
        wait::until("the write to get through", SOON, async || {
            match through.create(&name).await {
                Ok(_) => Ok(()),
                Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
                Err(error) => Err(error),
            }
        })
        .await
        .unwrap();
        let patient = async {
            while !seen.contains(&name) {
                if let Some(Ok(Event::Apply(map) | Event::InitApply(map))) = events.next().await {
                    seen.insert(map.name_any());
                }
            }
        };
        tokio::time::timeout(SOON, patient)
            .await
            .expect("the watcher sees every object");
    }
    assert!(
        through.proxy.tally().len() > 3,
        "{:?}",
        through.proxy.tally()
    );
}

type Events = BoxStream<'static, watcher::Result<Event<ConfigMap>>>;

fn watch(through: &Through) -> Events {
    watcher(through.maps.clone(), watcher::Config::default()).boxed()
}

async fn until_event(events: &mut Events, wanted: impl Fn(&Event<ConfigMap>) -> bool) {
    let found = async {
        loop {
            match events.next().await {
                Some(Ok(event)) if wanted(&event) => return,
                _ => {}
            }
        }
    };
    tokio::time::timeout(SOON, found)
        .await
        .expect("the event comes");
}

async fn until_error(events: &mut Events) -> watcher::Error {
    let found = async {
        loop {
            if let Some(Err(error)) = events.next().await {
                return error;
            }
        }
    };
    tokio::time::timeout(SOON, found)
        .await
        .expect("the watch ends with an error")
}

/// A token of the namespace's default service account, which may edit.
async fn token(ns: &TestNamespace) -> String {
    let binding = json!({
        "metadata": {"name": "edit"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": ns.name()}],
    });
    let binding: RoleBinding = serde_json::from_value(binding).unwrap();
    ns.api()
        .create(&PostParams::default(), &binding)
        .await
        .unwrap();
    let accounts: Api<ServiceAccount> = ns.api();
    let (params, request) = (PostParams::default(), TokenRequest::default());
    let answer = accounts
        .create_token_request("default", &params, &request)
        .await
        .unwrap();
    answer.status.unwrap().token.unwrap()
}
