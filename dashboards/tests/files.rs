//! The chart's files are what the code makes: written anew with `LANGOP_UPDATE=1`, compared
//! otherwise. And each board keeps the promises that can be read from it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests are tests, too"
)]

use std::{collections::BTreeSet, env, fs, path::PathBuf};

use langop_dashboards::{
    alerts,
    boards::{self, MAX_OPEN},
    expressions, files,
    grafana::{Panel, Target},
    promql,
};
use serde_json::Value;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[test]
fn the_charts_files_are_what_the_code_makes() {
    let folder = root().join("charts/language-operator/files");
    let made = files().unwrap();
    if env::var_os("LANGOP_UPDATE").is_some() {
        fs::create_dir_all(folder.join("dashboards")).unwrap();
        for file in &made {
            fs::write(folder.join(&file.path), &file.text).unwrap();
        }
    }
    for file in &made {
        let found = fs::read_to_string(folder.join(&file.path)).unwrap_or_default();
        assert!(
            found == file.text,
            "{} differs; write it anew: LANGOP_UPDATE=1 cargo test -p langop-dashboards",
            file.path
        );
    }
    let committed = fs::read_dir(folder.join("dashboards")).unwrap();
    assert_eq!(
        committed.count(),
        boards::all().len(),
        "a board is left over"
    );
}

#[test]
fn a_board_shows_at_most_eight_panels_until_somebody_opens_a_row() {
    for board in boards::all() {
        let rows = board.panels.iter().filter(|panel| panel.r#type == "row");
        assert!(rows.clone().all(|row| row.collapsed == Some(true)));
        let open = board.panels.len() - rows.count();
        assert!(open <= MAX_OPEN, "{} shows {open}", board.title);
    }
}

#[test]
fn panels_neither_overlap_nor_share_a_number() {
    for board in boards::all() {
        let title = board.title;
        let value = serde_json::to_value(&board).unwrap();
        let shown = value["panels"].as_array().unwrap();
        let mut ids = BTreeSet::new();
        for panels in shown
            .iter()
            .filter_map(|row| row["panels"].as_array())
            .chain([shown])
        {
            let mut taken = BTreeSet::new();
            for panel in panels {
                assert!(
                    ids.insert(panel["id"].as_u64().unwrap()),
                    "{title}: {panel}"
                );
                let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
                assert!(at("x") + at("w") <= 24, "{title}: {panel}");
                let columns = at("x")..at("x") + at("w");
                let cells = columns.flat_map(|x| (at("y")..at("y") + at("h")).map(move |y| (x, y)));
                for cell in cells {
                    assert!(taken.insert(cell), "{title}: {panel}");
                }
            }
        }
    }
}

#[test]
fn every_variable_of_a_question_is_one_of_the_board() {
    let of_grafana = ["__rate_interval"];
    for board in boards::all() {
        let value = serde_json::to_value(&board).unwrap();
        let variables = value["templating"]["list"].as_array().unwrap();
        let declared: BTreeSet<&str> = variables
            .iter()
            .map(|v| v["name"].as_str().unwrap())
            .collect();
        let mut used = BTreeSet::new();
        collect_variables(&value["panels"], &mut used);
        collect_variables(&value["templating"], &mut used);
        used.retain(|name| !of_grafana.contains(&name.as_str()));
        let used: BTreeSet<&str> = used.iter().map(String::as_str).collect();
        assert_eq!(used, declared, "{}", board.title);
    }
}

fn collect_variables(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => {
            for part in text.split('$').skip(1) {
                let part = part.trim_start_matches('{');
                let end = part.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                found.insert(part[..end.unwrap_or(part.len())].to_owned());
            }
            found.remove("__all");
        }
        Value::Array(values) => values
            .iter()
            .for_each(|value| collect_variables(value, found)),
        Value::Object(fields) => fields
            .values()
            .for_each(|value| collect_variables(value, found)),
        _ => {}
    }
}

#[test]
fn every_question_says_whose_metric_it_asks_for() {
    let jobs = [promql::OPERATOR, promql::SYNTHESIZER];
    for expression in expressions() {
        // The collector names the program otherwise.
        let own = expression
            .text
            .split("traces_span_metrics_")
            .next()
            .unwrap();
        let metrics = own.matches("langop_").count() + own.matches("up{").count();
        let named = jobs.map(|job| own.matches(&format!("{{job=\"{job}\"")).count());
        let named: usize = named.into_iter().sum();
        assert_eq!(metrics, named, "{expression:?}");
    }
}

#[test]
fn latencies_show_traces() {
    let panels = boards::all().into_iter().flat_map(|board| board.panels);
    let with_traces = |panel: &Panel| panel.targets.iter().any(is_with_traces);
    let titles: Vec<_> = panels
        .filter(with_traces)
        .map(|panel| panel.title)
        .collect();
    assert_eq!(
        titles,
        ["Latency of syntheses", "Latency of the provider, p95"]
    );
}

fn is_with_traces(target: &Target) -> bool {
    matches!(target, Target::Prometheus { exemplar: true, .. })
}

#[test]
fn every_alert_has_a_paragraph_in_the_runbook_and_no_other_is_left() {
    let page = fs::read_to_string(root().join("docs/runbook.md")).unwrap();
    let titles: Vec<_> = page
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .collect();
    let rules = alerts::groups().into_iter().flat_map(|group| group.rules);
    let alerts: Vec<_> = rules.map(|rule| rule.alert).collect();
    assert_eq!(titles, alerts);
    for paragraph in page.split("\n## ").skip(1) {
        for part in ["**Means.**", "**Look.**", "**Do.**"] {
            assert!(paragraph.contains(part), "{part} is missing: {paragraph}");
        }
    }
}
