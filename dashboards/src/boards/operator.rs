//! *Operator*: does it keep up with what changes, and does it get on?

use crate::{
    grafana::{Board, Panel, Target, Variable},
    promql::{OPERATOR, WINDOW, of, once, quantile, rate, sum},
};

const RECONCILES: &str = "langop_reconcile_duration_seconds";

pub(super) fn board() -> Board {
    Board::new(
        "Operator",
        "Does the operator keep up with what changes, and does it get on?",
        &[Variable::prometheus()],
    )
    .open(reconciles())
    .open(queue())
    .open(writes())
    .row("Kinds and syntheses", details())
}

fn per_second(metric: &str, matchers: &str) -> String {
    rate(&of(OPERATOR, metric, matchers), WINDOW)
}

fn buckets(metric: &str, matchers: &str) -> String {
    of(OPERATOR, &format!("{metric}_bucket"), matchers)
}

fn reconciles() -> Vec<Panel> {
    let latency = |q| quantile(q, "", &buckets(RECONCILES, ""), WINDOW);
    let outcomes = per_second(&format!("{RECONCILES}_count"), "");
    let steps = buckets(
        "langop_reconcile_step_duration_seconds",
        "kind=\"LanguageAgent\"",
    );
    vec![
        Panel::lines(
            "Latency of reconciles",
            "s",
            vec![
                Target::over_time(latency(0.5), "p50"),
                Target::over_time(latency(0.95), "p95"),
                Target::over_time(latency(0.99), "p99"),
            ],
        )
        .saying("Syntheses run beside reconciles and are not in it.")
        .from_zero(),
        Panel::stack(
            "Reconciles by outcome",
            "ops",
            vec![Target::over_time(sum("outcome", &outcomes), "{{outcome}}")],
        )
        .saying("failed and timeout are tried again; stalled waits for a person, who is told by the object's conditions."),
        Panel::lines(
            "Steps of an agent's reconcile, p95",
            "s",
            vec![Target::over_time(
                quantile(0.95, "step", &steps, WINDOW),
                "{{step}}",
            )],
        )
        .from_zero(),
    ]
}

fn queue() -> Vec<Panel> {
    let waits = buckets("langop_reconcile_queue_duration_seconds", "");
    vec![
        Panel::stack(
            "Objects that wait for their reconcile",
            "short",
            vec![Target::over_time(
                sum("kind", &of(OPERATOR, "langop_reconcile_queue", "")),
                "{{kind}}",
            )],
        ),
        Panel::lines(
            "How long they wait",
            "s",
            vec![
                Target::over_time(quantile(0.5, "", &waits, WINDOW), "p50"),
                Target::over_time(quantile(0.99, "", &waits, WINDOW), "p99"),
            ],
        )
        .saying("From the first trigger of an object to the beginning of its reconcile.")
        .from_zero(),
    ]
}

fn writes() -> Vec<Panel> {
    let writes = per_second("langop_api_writes_total", "");
    vec![
        Panel::stack(
            "Writes to the API server",
            "wps",
            vec![Target::over_time(
                sum("kind, verb", &writes),
                "{{verb}} {{kind}}",
            )],
        )
        .saying("In steady state nothing but the Lease."),
        Panel::lines(
            "Objects that are tried again",
            "short",
            vec![Target::over_time(
                sum("", &of(OPERATOR, "langop_reconcile_retrying", "")),
                "objects",
            )],
        )
        .saying(
            "Their last reconcile failed. The log says why; after 15 s their conditions do, too.",
        )
        .from_zero(),
        Panel::states(
            "Leader",
            ["stands by", "leads"],
            vec![Target::over_time(
                once("pod, instance", &of(OPERATOR, "langop_leader", "")),
                "{{pod}} {{instance}}",
            )],
        ),
    ]
}

fn details() -> Vec<Panel> {
    let calls = per_second("langop_synthesis_duration_seconds_count", "");
    vec![
        Panel::lines(
            "Latency by kind, p95",
            "s",
            vec![Target::over_time(
                quantile(0.95, "kind", &buckets(RECONCILES, ""), WINDOW),
                "{{kind}}",
            )],
        )
        .from_zero()
        .sized(8, 8),
        Panel::stack(
            "Calls of the synthesizer by outcome",
            "ops",
            vec![Target::over_time(sum("outcome", &calls), "{{outcome}}")],
        )
        .sized(8, 8),
        Panel::lines(
            "Calls of the synthesizer under way or queued",
            "short",
            vec![Target::over_time(
                sum("", &of(OPERATOR, "langop_synthesis_in_flight", "")),
                "calls",
            )],
        )
        .from_zero()
        .sized(8, 8),
    ]
}
