//! Reads the `OpenMetrics` text of a program's `/metrics`.

use std::collections::{BTreeMap, BTreeSet};

/// Sum of the samples of `name` whose labels include all of `labels`; `None` if there is none.
///
/// Exemplars and timestamps are ignored. `name` is that of the sample, e.g. with `_total`.
pub fn metric_value(text: &str, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    text.lines()
        .filter_map(sample)
        .filter(|s| s.name == name && labels.iter().all(|(k, v)| s.has(k, v)))
        .map(|s| s.value)
        .reduce(|a, b| a + b)
}

/// What a page says of one metric.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Family {
    /// Without the `_total` of counters and the like.
    pub name: String,
    /// `counter`, `gauge` or `histogram`.
    pub kind: String,
    /// In words.
    pub help: String,
    /// Its labels and their values, but for the bounds of histograms.
    pub labels: BTreeMap<String, BTreeSet<String>>,
}

impl Family {
    /// As its samples are asked for: of a counter with `_total`.
    pub fn asked(&self) -> String {
        let suffix = if self.kind == "counter" { "_total" } else { "" };
        format!("{}{suffix}", self.name)
    }
}

/// All metrics of a page. Commas and quotes in the values of labels are not expected.
pub fn families(text: &str) -> Vec<Family> {
    let mut families: Vec<Family> = Vec::new();
    for line in text.lines() {
        if let Some(said) = line.strip_prefix("# HELP ") {
            let (name, help) = said.split_once(' ').unwrap_or((said, ""));
            families.push(Family {
                name: name.to_owned(),
                help: help.to_owned(),
                ..Family::default()
            });
        }
        let Some(family) = families.last_mut() else {
            continue;
        };
        if let Some(said) = line.strip_prefix("# TYPE ") {
            let kind = said.split_once(' ').map_or("", |(_, kind)| kind);
            kind.clone_into(&mut family.kind);
        } else if let Some(sample) = sample(line) {
            for label in sample.labels.split(',') {
                let Some((name, value)) = label.split_once('=') else {
                    continue;
                };
                if name != "le" {
                    let values = family.labels.entry(name.to_owned()).or_default();
                    values.insert(value.trim_matches('"').to_owned());
                }
            }
        }
    }
    families
}

struct Sample<'a> {
    name: &'a str,
    labels: &'a str,
    value: f64,
}

impl Sample<'_> {
    fn has(&self, key: &str, value: &str) -> bool {
        let wanted = format!("{key}=\"{value}\"");
        self.labels
            .match_indices(&wanted)
            .any(|(at, _)| at == 0 || self.labels[..at].ends_with(','))
    }
}

fn sample(line: &str) -> Option<Sample<'_>> {
    if line.starts_with('#') {
        return None;
    }
    // An exemplar has braces of its own, so the first closing one ends the labels.
    let (name, labels, rest) = if let Some((name, rest)) = line.split_once('{') {
        let (labels, rest) = rest.split_once('}')?;
        (name, labels, rest)
    } else {
        let (name, rest) = line.split_once(' ')?;
        (name, "", rest)
    };
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some(Sample {
        name,
        labels,
        value,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_summed_over_the_labels_not_asked_for() {
        let text = "# HELP calls\n# TYPE calls counter\n\
                    calls_total{method=\"A\",code=\"OK\"} 2 # {trace_id=\"f\"} 1.0\n\
                    calls_total{method=\"A\",code=\"UNAVAILABLE\"} 1\n\
                    calls_total{method=\"B\",code=\"OK\"} 7\nup 1\n# EOF\n";
        assert_eq!(
            metric_value(text, "calls_total", &[("method", "A")]),
            Some(3.0)
        );
        assert_eq!(
            metric_value(text, "calls_total", &[("method", "B"), ("code", "OK")]),
            Some(7.0)
        );
        assert_eq!(metric_value(text, "up", &[]), Some(1.0));
        assert_eq!(metric_value(text, "calls_total", &[("thod", "A")]), None);
    }

    #[test]
    fn a_page_is_metrics_with_labels() {
        let text = "# HELP calls Calls.\n# TYPE calls counter\n\
                    calls_total{method=\"A\",code=\"OK\"} 2 # {trace_id=\"f\"} 1.0\n\
                    calls_total{method=\"B\",code=\"OK\"} 2\n# HELP up Whether.\n\
                    # TYPE up histogram\nup_bucket{le=\"1.0\"} 1\nup_sum 1\n# EOF\n";
        let [calls, up] = &families(text)[..] else {
            panic!("{:?}", families(text));
        };
        assert_eq!(
            (calls.asked(), &*calls.help),
            ("calls_total".to_owned(), "Calls.")
        );
        let values = |name: &str| calls.labels[name].iter().cloned().collect::<String>();
        assert_eq!(
            (values("method"), values("code")),
            ("AB".to_owned(), "OK".to_owned())
        );
        assert_eq!(
            (&*up.name, &*up.kind, up.labels.len()),
            ("up", "histogram", 0)
        );
    }
}
