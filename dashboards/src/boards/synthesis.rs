//! *Synthesis*: how long code takes and where, and what the LLM and the cache do. With a row of
//! traces for whoever has a Tempo.

use crate::{
    grafana::{Board, Panel, Target, Variable},
    promql::{SYNTHESIZER, WINDOW, of, quantile, rate, share, sum},
};

/// Answers that the LLM was asked for.
const ASKED: &str = "outcome!~\"cached|coalesced\"";
const LATENCY: &str = "langop_synthesis_duration_seconds";
const REQUESTS: &str = "langop_llm_request_duration_seconds";
/// Of the collector's spanmetrics connector with `histogram.unit: s`.
const SPANS: &str = "traces_span_metrics";

pub(super) fn board() -> Board {
    Board::new(
        "Synthesis",
        "How long does code take and where, and what do the LLM and the cache do?",
        &[
            Variable::prometheus(),
            Variable::tempo(),
            Variable::choice("slow", "Slow is from", &["10s", "1s", "5s", "30s", "60s"]),
        ],
    )
    .open(latency())
    .open(outcomes())
    .open(provider())
    .row("Traces", traces())
    .row("Service", service())
}

/// The rate of a metric of the synthesizer.
fn per_second(metric: &str, matchers: &str) -> String {
    rate(&of(SYNTHESIZER, metric, matchers), WINDOW)
}

fn buckets(metric: &str, matchers: &str) -> String {
    of(SYNTHESIZER, &format!("{metric}_bucket"), matchers)
}

fn latency() -> Vec<Panel> {
    let latency = |q| quantile(q, "", &buckets(LATENCY, ASKED), WINDOW);
    let stages = buckets("langop_synthesis_stage_duration_seconds", "");
    vec![
        Panel::lines(
            "Latency of syntheses",
            "s",
            vec![
                Target::over_time(latency(0.5), "p50"),
                Target::with_traces(latency(0.95), "p95"),
                Target::over_time(latency(0.99), "p99"),
            ],
        )
        .saying("Without answers from the cache. A point is one synthesis and opens its trace.")
        .from_zero(),
        Panel::lines(
            "Latency by stage, p95",
            "s",
            vec![Target::over_time(
                quantile(0.95, "stage", &stages, WINDOW),
                "{{stage}}",
            )],
        )
        .saying("Each stage once for every attempt: a repair asks the LLM again.")
        .from_zero(),
    ]
}

fn outcomes() -> Vec<Panel> {
    let count = format!("{LATENCY}_count");
    let all = sum("outcome", &per_second(&count, ""));
    let cache = |matchers| {
        sum(
            "",
            &per_second("langop_synthesis_cache_requests_total", matchers),
        )
    };
    let asked = sum("", &per_second(&count, ASKED));
    let repairs = sum("", &per_second("langop_synthesis_repairs_total", ""));
    let rejected = sum("", &per_second(&count, "outcome=\"rejected\""));
    vec![
        Panel::stack(
            "Requests by outcome",
            "reqps",
            vec![Target::over_time(all, "{{outcome}}")],
        ),
        Panel::lines(
            "Cache hit ratio",
            "percentunit",
            vec![Target::over_time(
                share(&cache("result=~\"hit|coalesced\""), &cache("")),
                "hits",
            )],
        )
        .saying("Requests that cost nothing: the answer was there, or on its way for an equal one.")
        .of_whole(),
        Panel::lines(
            "Repairs and rejections for each synthesis",
            "short",
            vec![
                Target::over_time(share(&repairs, &asked), "repairs"),
                Target::over_time(share(&rejected, &asked), "rejections"),
            ],
        )
        .saying("Invalid code that went back to the LLM, and code that was invalid to the end.")
        .from_zero(),
    ]
}

fn provider() -> Vec<Panel> {
    let errors = per_second(&format!("{REQUESTS}_count"), "outcome!=\"success\"");
    let latency = quantile(0.95, "provider, model", &buckets(REQUESTS, ""), WINDOW);
    let tokens = per_second("langop_synthesis_tokens_total", "");
    vec![
        Panel::stack(
            "Errors of the provider",
            "reqps",
            vec![Target::over_time(
                sum("provider, model, outcome", &errors),
                "{{provider}} {{model}}: {{outcome}}",
            )],
        )
        .saying("Single HTTP requests, repeats among them.")
        .or_else("0"),
        Panel::lines(
            "Latency of the provider, p95",
            "s",
            vec![Target::with_traces(latency, "{{provider}} {{model}}")],
        )
        .from_zero(),
        Panel::stack(
            "Tokens for each second",
            "short",
            vec![Target::over_time(
                sum("provider, model, type", &tokens),
                "{{provider}} {{model}}: {{type}}",
            )],
        ),
    ]
}

/// Needs a Tempo, and the collector's span metrics in the Prometheus.
fn traces() -> Vec<Panel> {
    let slow = "{ resource.service.name = \"langop-synthesizer\" && name = \"langop.synthesis.v1.SynthesisService/Synthesize\" && duration > $slow }";
    let ours = "service_name=\"langop-synthesizer\"";
    let duration = format!("{SPANS}_duration_seconds_bucket{{{ours}}}");
    let failed = format!("{SPANS}_calls_total{{{ours},status_code=\"STATUS_CODE_ERROR\"}}");
    vec![
        Panel::traces("Slow syntheses", slow.to_owned())
            .saying("Each line opens its trace.")
            .sized(24, 8),
        Panel::lines(
            "Latency by span, p95",
            "s",
            vec![Target::over_time(
                quantile(0.95, "span_name", &duration, WINDOW),
                "{{span_name}}",
            )],
        )
        .from_zero(),
        Panel::stack(
            "Spans that ended in an error",
            "reqps",
            vec![Target::over_time(
                sum("span_name", &rate(&failed, WINDOW)),
                "{{span_name}}",
            )],
        )
        .or_else("0"),
    ]
}

fn service() -> Vec<Panel> {
    let in_flight = of(SYNTHESIZER, "langop_synthesis_in_flight", "");
    let connections = of(SYNTHESIZER, "langop_grpc_connections", "");
    let refused = per_second("langop_grpc_connections_refused_total", "");
    let rpcs = per_second("langop_grpc_requests_total", "");
    vec![
        Panel::lines(
            "Under way",
            "short",
            vec![
                Target::over_time(sum("", &in_flight), "answers"),
                Target::over_time(sum("", &connections), "connections"),
            ],
        )
        .from_zero()
        .sized(8, 8),
        Panel::stack(
            "gRPC calls by code",
            "reqps",
            vec![Target::over_time(
                sum("method, code", &rpcs),
                "{{method}}: {{code}}",
            )],
        )
        .sized(8, 8),
        Panel::stack(
            "Refused connections",
            "reqps",
            vec![Target::over_time(sum("reason", &refused), "{{reason}}")],
        )
        .or_else("0")
        .sized(8, 8),
    ]
}
