//! Boards and alerts ask for what the programs export: a real Prometheus scrapes them while agents
//! are made, run and fail, and has an answer to every question.

use std::collections::BTreeSet;

use langop_api::LanguageAgent;
use langop_dashboards::{
    boards, expressions,
    grafana::{Panel, Target},
    promql,
};
use langop_integration_tests::{
    Collector, ControlPlane, FakeLlm, FaultMode, FaultProxy, OtlpReceiver, Reply, Synthesizer,
    TestEnv,
    env::{SOON, agent_yaml},
    metrics::metric_value,
    otlp::Span,
    programs::LeaderElection,
    prometheus::Prometheus,
    telemetry_page::TelemetryPage,
    wait, workspace_root,
};
use langop_runtime::{outcome::Outcome, tokens::Tokens};
use serde_json::json;
use tokio::net::TcpStream;

use crate::{
    executions::{account, scheduled},
    kubelet,
};

/// Of the collector's, which is here if asked for.
const OF_THE_COLLECTOR: &str = "traces_span_metrics_";
/// Connections that the synthesizer takes from one address; the operator needs one.
const CONNECTIONS: usize = 8;

/// The programs, and what looks at them.
struct Observed {
    env: TestEnv,
    proxy: FaultProxy,
    otlp: OtlpReceiver,
    /// On the way to it, if asked for.
    collector: Option<Collector>,
    prometheus: Prometheus,
}

impl Observed {
    async fn new() -> Self {
        let cp = ControlPlane::shared().await;
        let proxy = FaultProxy::start(cp, "boards", 1).await.unwrap();
        let otlp = OtlpReceiver::start().await.unwrap();
        let collector = Collector::if_wanted(otlp.endpoint()).await.unwrap();
        let endpoint = otlp.endpoint().to_owned();
        let endpoint = collector.as_ref().map_or(endpoint, Collector::endpoint);
        let llm = FakeLlm::start().await.unwrap();
        let synthesizer = Synthesizer::asking(&llm)
            .otlp(&endpoint)
            .env(
                "LANGOP_MAX_CONNECTIONS_PER_ADDRESS",
                &CONNECTIONS.to_string(),
            )
            .start()
            .await
            .unwrap();
        let url = synthesizer.grpc_url().to_owned();
        let env = TestEnv::with("boards", llm, synthesizer, |operator| {
            operator
                .synthesizer(&url)
                .otlp(&endpoint)
                .leader_election(LeaderElection::On)
                .synthesis_backoff("1s", "2s")
                .through(&proxy)
        })
        .await;
        let mut jobs = vec![
            (promql::OPERATOR, env.operator.admin_url()),
            (promql::SYNTHESIZER, env.synthesizer.admin_url()),
        ];
        let of_spans = collector.as_ref().map(Collector::metrics_url);
        jobs.extend(of_spans.as_deref().map(|url| ("collector", url)));
        let rules = workspace_root().unwrap();
        let rules = rules.join("charts/language-operator/files/alerts.yaml");
        let prometheus = Prometheus::scraping(&jobs, &rules).await.unwrap();
        env.with_tool_and_model().await;
        // No node takes its pods, so they end as the test says.
        scheduled(&env, "clerk", ", nodeSelector: {tests/room: nowhere}").await;
        Self {
            env,
            proxy,
            otlp,
            collector,
            prometheus,
        }
    }

    /// All that boards show, once; `round` counts from 1.
    async fn live(&self, round: u32) {
        self.synthesize(round).await;
        self.run_jobs(round).await;
        self.fail_to_write(round).await;
        self.fill_the_synthesizer(round).await;
        self.prometheus.scrapes().await.unwrap();
    }

    async fn synthesize(&self, round: u32) {
        let env = &self.env;
        let instructions = format!("work in round {round}");
        // The second asks the same, and gets it from the cache.
        for name in ["first", "second"] {
            let name = format!("{name}-{round}");
            env.apply(&agent_yaml(&name, &instructions)).await;
            env.until_ready(&name).await;
        }
        let prose = || Reply::Text("I would rather not.".to_owned());
        for (name, replies) in [
            ("mended", vec![prose()]),
            ("limited", vec![Reply::status(429)]),
            ("rejected", vec![prose(), prose(), prose()]),
            ("locked", vec![Reply::status(401)]),
        ] {
            let name = format!("{name}-{round}");
            for reply in replies {
                env.llm.reply(reply);
            }
            env.apply(&agent_yaml(&name, &format!("be {name}"))).await;
            // Those without code are tried again, and have some then.
            env.until_ready(&name).await;
        }
        let metric = "langop_synthesis_duration_seconds_count";
        for outcome in ["rejected", "disabled"] {
            self.until_counted(metric, outcome, round).await;
        }
    }

    async fn run_jobs(&self, round: u32) {
        let env = &self.env;
        let tokens = Tokens {
            input: 1000,
            output: 50,
            ..Tokens::default()
        };
        let good = account(Outcome::Succeeded, "done", tokens);
        for (name, exit_code, message) in [("good", 0, good.as_str()), ("bad", 3, "disk full")] {
            let job = format!("{name}-{round}");
            env.run_now("clerk", &job).await;
            let pod = env.pod_of_job(&job).await;
            kubelet::ended(env, &pod, exit_code, message).await;
        }
        let each = i64::from(round);
        env.until_counted("clerk", (2 * each, each, each)).await;
    }

    async fn fail_to_write(&self, round: u32) {
        let name = format!("first-{round}");
        self.proxy
            .set(FaultMode::Broken("/deployments/", "no writes today"));
        let changed = json!({"spec": {"env": [{"name": "ROUND", "value": round.to_string()}]}});
        self.env.patch::<LanguageAgent>(&name, changed).await;
        let metric = "langop_reconcile_duration_seconds_count";
        self.until_counted(metric, "failed", round).await;
        self.proxy.set(FaultMode::None);
        self.env.until_ready(&name).await;
    }

    /// More connections than one address may have.
    async fn fill_the_synthesizer(&self, round: u32) {
        let address = self.env.synthesizer.grpc_url().replace("http://", "");
        let mut held = Vec::new();
        for _ in 0..=CONNECTIONS {
            held.push(TcpStream::connect(&address).await.unwrap());
        }
        wait::until("a refused connection", SOON, async || {
            let page = self.env.synthesizer.metrics().await.unwrap();
            let refused = metric_value(&page, "langop_grpc_connections_refused_total", &[]);
            refused.filter(|count| *count >= f64::from(round))
        })
        .await
        .unwrap();
    }

    /// Waits until the operator has counted as much of an outcome.
    async fn until_counted(&self, metric: &str, outcome: &str, count: u32) {
        let what = format!("{count} {outcome} of {metric}");
        wait::until(&what, SOON, async || {
            let page = self.env.operator.metrics().await.unwrap();
            let counted = metric_value(&page, metric, &[("outcome", outcome)]);
            counted.filter(|counted| *counted >= f64::from(count))
        })
        .await
        .unwrap();
    }

    /// Questions that have no answer.
    async fn unanswered(&self) -> Vec<String> {
        let mut unanswered = Vec::new();
        for expression in expressions() {
            if self.collector.is_none() && expression.text.contains(OF_THE_COLLECTOR) {
                continue;
            }
            let asked = filled(&expression.text);
            let answer = self.prometheus.query(&asked).await.unwrap();
            if !answer.iter().any(|sample| sample.value.is_finite()) {
                unanswered.push(format!("{}: {asked}", expression.place));
            }
        }
        unanswered
    }
}

/// As Grafana fills in its variables.
fn filled(expression: &str) -> String {
    expression
        .replace("$__rate_interval", "5m")
        .replace("$namespace", ".*")
}

fn all_targets() -> Vec<Target> {
    let panels = boards::all().into_iter().flat_map(|board| board.panels);
    let panels = panels.flat_map(Panel::with_inner);
    panels.flat_map(|panel| panel.targets).collect()
}

#[tokio::test]
async fn every_question_of_boards_and_alerts_has_an_answer() {
    let observed = Observed::new().await;
    // Rates need what was there before to grow.
    for round in 1..=2 {
        observed.live(round).await;
    }
    the_agents_are_named(&observed).await;
    wait::until("an answer to every question", SOON, async || {
        let unanswered = observed.unanswered().await;
        if unanswered.is_empty() {
            Ok(())
        } else {
            Err(unanswered.join("\n"))
        }
    })
    .await
    .unwrap();
    let broken = wait::until("all alerts", SOON, async || {
        observed.prometheus.broken_rules().await
    });
    assert_eq!(broken.await.unwrap(), Vec::<String>::new());
    points_open_traces(&observed).await;
    traces_are_found_by_their_names(&observed.otlp.spans());
    all_that_is_exported_is_on_its_page(&observed).await;
}

/// Who waits for something that is missing is named, in its own namespace, although the operator
/// was scraped in another.
async fn the_agents_are_named(observed: &Observed) {
    let env = &observed.env;
    env.apply(
        "{apiVersion: langop.io/v1alpha1, kind: LanguageAgent, metadata: {name: lost}, spec: {instructions: wait, toolRefs: [{name: nowhere}]}}",
    )
    .await;
    let named = wait::until("its name", SOON, async || {
        let metric = "langop_agent_not_ready_timestamp_seconds{name=\"lost\"}";
        let mut series = observed.prometheus.query(metric).await.unwrap();
        series.retain(|series| series.labels["reason"] != "Unknown");
        series.pop()
    });
    let named = named.await.unwrap();
    assert_eq!(named.labels["namespace"], env.ns.name());
    let agent = env.get::<LanguageAgent>("lost").await.unwrap();
    let conditions = agent.status.unwrap().conditions;
    let ready = conditions
        .iter()
        .find(|condition| condition.type_ == "Ready");
    assert_eq!(named.labels["reason"], ready.unwrap().reason);
}

/// A point of a latency is a trace that the collector has.
async fn points_open_traces(observed: &Observed) {
    let with_points = all_targets().into_iter().filter(is_with_points);
    let expressions: Vec<_> = with_points.filter_map(Target::promql).collect();
    assert_eq!(expressions.len(), 2, "{expressions:?}");
    for expression in expressions {
        let points = observed.prometheus.exemplars(&filled(&expression)).await;
        let points = points.unwrap();
        assert!(!points.is_empty(), "no points for {expression}");
        for point in points {
            let rpc = "langop.synthesis.v1.SynthesisService/Synthesize";
            let what = format!("the trace of a point {point:?} of {expression}");
            let found = observed.otlp.wait_for(&what, SOON, |spans| {
                let mut of_trace = spans
                    .iter()
                    .filter(|span| span.trace_id == point["trace_id"]);
                of_trace.any(|span| span.name == rpc).then_some(())
            });
            found.await.unwrap();
        }
    }
}

fn is_with_points(target: &Target) -> bool {
    matches!(target, Target::Prometheus { exemplar: true, .. })
}

/// Metrics, labels, spans and attributes, after all that has happened here.
async fn all_that_is_exported_is_on_its_page(observed: &Observed) {
    let pages = [
        observed.env.operator.metrics().await.unwrap(),
        observed.env.synthesizer.metrics().await.unwrap(),
    ];
    let spans = observed.otlp.spans();
    let mut untold = Vec::new();
    for (program, metrics) in [promql::OPERATOR, promql::SYNTHESIZER].iter().zip(pages) {
        let page = TelemetryPage::of(program).unwrap();
        let own = spans.iter().filter(|span| span.service == *program);
        let own: Vec<_> = own.cloned().collect();
        assert!(own.len() > 10, "{program}: {own:#?}");
        untold.extend(page.untold_metrics(&metrics));
        untold.extend(page.untold_spans(&own));
    }
    assert!(untold.is_empty(), "not in docs/metrics.md: {untold:#?}");
}

/// There is no Tempo here: what `TraceQL` names must be among what a Tempo would get.
fn traces_are_found_by_their_names(spans: &[Span]) {
    let services: BTreeSet<_> = spans.iter().map(|span| span.service.as_str()).collect();
    let names: BTreeSet<_> = spans.iter().map(|span| span.name.as_str()).collect();
    let queries: Vec<_> = all_targets()
        .into_iter()
        .filter_map(Target::traceql)
        .collect();
    assert!(!queries.is_empty());
    for query in queries {
        let inner = query
            .strip_prefix("{ ")
            .and_then(|query| query.strip_suffix(" }"));
        for condition in inner.unwrap().split(" && ") {
            match condition.split(' ').collect::<Vec<_>>()[..] {
                ["resource.service.name", "=", service] => {
                    assert!(services.contains(service.trim_matches('"')), "{condition}");
                }
                ["name", "=", name] => {
                    assert!(names.contains(name.trim_matches('"')), "{condition}");
                }
                ["duration", ">", "$slow"] => {}
                _ => panic!("an unknown condition: {condition}"),
            }
        }
    }
}
