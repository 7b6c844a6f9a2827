//! What the expressions have in common: whose metrics, rates and quantiles. Knows no board.

/// The scrape job of the operator, as the chart's `PodMonitor` names it.
pub const OPERATOR: &str = "langop-operator";
/// The scrape job of the synthesizer.
pub const SYNTHESIZER: &str = "langop-synthesizer";

/// The window of rates in boards, which Grafana fits to the scrape interval and the step.
pub const WINDOW: &str = "$__rate_interval";

/// `metric{job="job",matchers}`. Both programs have metrics of one name, so the job is never left
/// out.
pub fn of(job: &str, metric: &str, matchers: &str) -> String {
    let comma = if matchers.is_empty() { "" } else { "," };
    format!("{metric}{{job=\"{job}\"{comma}{matchers}}}")
}

/// The sum over all replicas, by these labels; none of them for one sum.
pub fn sum(by: &str, inner: &str) -> String {
    if by.is_empty() {
        format!("sum({inner})")
    } else {
        format!("sum by ({by}) ({inner})")
    }
}

/// What replicas all say alike counts once: a standby shows the same agents as the leader.
pub fn once(by: &str, inner: &str) -> String {
    format!("max by ({by}) ({inner})")
}

/// Per second, within `window`.
pub fn rate(selector: &str, window: &str) -> String {
    format!("rate({selector}[{window}])")
}

/// How much a sum over statuses has grown in `window`. It falls where an object is deleted, which
/// is nothing that happened.
pub fn growth(selector: &str, window: &str) -> String {
    format!("clamp_min(delta({selector}[{window}]), 0)")
}

/// A quantile of a histogram's buckets over all replicas, by further labels.
pub fn quantile(q: f64, by: &str, buckets: &str, window: &str) -> String {
    let comma = if by.is_empty() { "" } else { ", " };
    let sum = sum(&format!("le{comma}{by}"), &rate(buckets, window));
    format!("histogram_quantile({q}, {sum})")
}

/// A part of a whole, where there is any.
pub fn share(part: &str, whole: &str) -> String {
    format!("{part} / ({whole} > 0)")
}
