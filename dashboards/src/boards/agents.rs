//! *Agents*: which are not Ready and why, how their runs ended, and what they cost.

use crate::{
    grafana::{Board, Panel, Target, Variable},
    promql::{OPERATOR, growth, of, once, share, sum},
};

/// Long enough for agents that run seldom.
const HOUR: &str = "1h";
const CHOSEN: &str = "namespace=~\"$namespace\"";
/// Input tokens have those from the provider's cache among them.
const SPENT: &str = "namespace=~\"$namespace\",type=~\"input|output\"";

pub(super) fn board() -> Board {
    let namespaces = of(OPERATOR, "langop_agent_executions", "");
    Board::new(
        "Agents",
        "Which agents are not Ready and why, how do their runs end, and what do they cost?",
        &[
            Variable::prometheus(),
            Variable::label_values("namespace", "Namespace", &namespaces),
        ],
    )
    .open(readiness())
    .open(runs())
    .open(tokens())
}

fn readiness() -> Vec<Panel> {
    let phases = once("phase", &of(OPERATOR, "langop_agents", ""));
    let reasons = of(OPERATOR, "langop_agents_not_ready", CHOSEN);
    let reasons = sum("reason", &once("namespace, reason", &reasons));
    let metric = "langop_agent_not_ready_timestamp_seconds";
    let since = once("namespace, name, reason", &of(OPERATOR, metric, CHOSEN));
    vec![
        Panel::numbers(
            "Agents by phase",
            "short",
            vec![Target::over_time(phases, "{{phase}}")],
        )
        .saying("In all namespaces that the operator works in.")
        .sized(8, 9),
        Panel::table(
            "Who is not Ready, and why",
            &["namespace", "name", "reason"],
            ("Since", "dateTimeFromNow"),
            Target::lines(format!("{since} * 1000")),
        )
        .saying("The 100 that wait longest. The message is in the condition: kubectl describe lagent NAME.")
        .or_else("All are Ready")
        .sized(16, 9),
        Panel::stack(
            "Not Ready by reason",
            "short",
            vec![Target::over_time(reasons, "{{reason}}")],
        )
        .or_else("0"),
    ]
}

/// Runs that ended in the last hour.
fn ended(by: &str, matchers: &str) -> String {
    let counts = of(OPERATOR, "langop_agent_executions", matchers);
    sum(by, &once("namespace, result", &growth(&counts, HOUR)))
}

fn runs() -> Vec<Panel> {
    let failed = format!("{CHOSEN},result=\"failed\"");
    let failing = share(&ended("namespace", &failed), &ended("namespace", CHOSEN));
    vec![
        Panel::stack(
            "Runs that ended in the last hour",
            "short",
            vec![Target::over_time(ended("result", CHOSEN), "{{result}}")],
        )
        .saying("Jobs of scheduled agents, and ends of containers of the others."),
        Panel::lines(
            "Share of failed runs in the last hour",
            "percentunit",
            vec![Target::over_time(failing, "{{namespace}}")],
        )
        .of_whole(),
    ]
}

fn tokens() -> Vec<Panel> {
    let of_runs = of(OPERATOR, "langop_agent_run_tokens", SPENT);
    let of_syntheses = of(OPERATOR, "langop_agent_synthesis_tokens", SPENT);
    let by_namespace = |inner: &str| sum("namespace", &once("namespace, type", inner));
    let lately = |metric: &str| by_namespace(&growth(metric, HOUR));
    vec![
        Panel::stack(
            "Tokens of runs in the last hour",
            "short",
            vec![Target::over_time(lately(&of_runs), "{{namespace}}")],
        )
        .saying("As the agents' runtimes report them."),
        Panel::stack(
            "Tokens of syntheses in the last hour",
            "short",
            vec![Target::over_time(lately(&of_syntheses), "{{namespace}}")],
        ),
        Panel::bars(
            "Tokens so far, of the agents that exist",
            "short",
            vec![
                Target::now(by_namespace(&of_runs), "{{namespace}}: runs"),
                Target::now(by_namespace(&of_syntheses), "{{namespace}}: syntheses"),
            ],
        ),
    ]
}
