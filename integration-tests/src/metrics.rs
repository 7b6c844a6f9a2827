//! Reads the `OpenMetrics` text of a program's `/metrics`.

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
}
