//! Grafana boards and Prometheus alerts for what the operator and the synthesizer say of
//! themselves.
//!
//! Pure: makes texts, reads and writes nothing. The texts are committed with the chart
//! (`tests/files.rs` compares them), and `integration-tests/tests/guarantees/boards.rs` asks a real
//! Prometheus every expression in them but those of the collector's metrics. It must not depend on
//! the programs: they export metrics and know of no board.

pub mod alerts;
pub mod boards;
pub mod grafana;
pub mod promql;

/// A generated file of the chart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Below the chart's `files/`.
    pub path: String,
    /// All of it.
    pub text: String,
}

/// An expression of `PromQL`, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expression {
    /// Board and panel, or the alert.
    pub place: String,
    /// With the variables that Grafana replaces.
    pub text: String,
}

/// All files that are made from the boards and the alerts.
///
/// # Errors
/// If one of them cannot be written as JSON or YAML: a bug.
pub fn files() -> Result<Vec<File>, Box<dyn std::error::Error>> {
    let mut files = Vec::new();
    for board in boards::all() {
        files.push(File {
            path: format!("dashboards/{}.json", board.title.to_lowercase()),
            text: serde_json::to_string_pretty(&board)? + "\n",
        });
    }
    files.push(File {
        path: "alerts.yaml".to_owned(),
        text: alerts::yaml()?,
    });
    Ok(files)
}

/// Every expression that a Prometheus is asked, those of the alerts without their thresholds.
pub fn expressions() -> Vec<Expression> {
    let of_boards = boards::all().into_iter().flat_map(|board| {
        let title = board.title;
        let panels = board
            .panels
            .into_iter()
            .flat_map(grafana::Panel::with_inner);
        panels.flat_map(move |panel| {
            let place = format!("{title} / {}", panel.title);
            let texts = panel
                .targets
                .into_iter()
                .filter_map(grafana::Target::promql);
            texts.map(move |text| Expression {
                place: place.clone(),
                text,
            })
        })
    });
    let of_alerts = alerts::groups().into_iter().flat_map(|group| group.rules);
    let of_alerts = of_alerts.map(|alert| Expression {
        place: alert.alert.to_owned(),
        text: alert.measure,
    });
    of_boards.chain(of_alerts).collect()
}
