//! Grafana's dashboard model, as far as our boards need it, and where panels stand. Knows no
//! metric.
//!
//! The source of the shapes is Grafana's dashboard JSON, schema version 39 (Grafana 11).

use std::iter;

use serde::Serialize;
use serde_json::{Value, json};

/// Columns of a board.
const COLUMNS: u8 = 24;
/// The variable that holds the Prometheus.
pub const PROMETHEUS: &str = "datasource";
/// The variable that holds the Tempo.
pub const TEMPO: &str = "tempo";

/// A board: one question, and the panels that answer it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Board {
    /// Stays, so that links and stars do.
    pub uid: String,
    /// A word.
    pub title: &'static str,
    /// The question.
    pub description: &'static str,
    tags: [&'static str; 1],
    schema_version: u32,
    editable: bool,
    graph_tooltip: u8,
    refresh: &'static str,
    time: Value,
    templating: Value,
    links: Value,
    /// Open panels, then rows with panels in them.
    pub panels: Vec<Panel>,
}

/// What a board is asked for.
#[derive(Debug, Clone, Serialize)]
pub struct Variable(Value);

/// A panel, or a row.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Panel {
    id: u32,
    /// What it is drawn as; `row` for a row.
    pub r#type: &'static str,
    /// What it shows.
    pub title: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'static str,
    grid_pos: Position,
    /// Of a row: whether its panels are hidden until somebody opens it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collapsed: Option<bool>,
    /// Of a row: its panels.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub panels: Vec<Self>,
    /// What it asks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<Target>,
    #[serde(skip_serializing_if = "Option::is_none")]
    datasource: Option<DataSource>,
    #[serde(skip_serializing_if = "Option::is_none")]
    field_config: Option<FieldConfig>,
    #[serde(skip_serializing_if = "Value::is_null")]
    options: Value,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    transformations: Vec<Value>,
}

#[derive(Debug, Clone, Copy, Default, Serialize)]
struct Position {
    x: u8,
    y: u32,
    w: u8,
    h: u8,
}

#[derive(Debug, Clone, Serialize)]
struct DataSource {
    r#type: &'static str,
    uid: String,
}

impl DataSource {
    fn prometheus() -> Self {
        Self {
            r#type: "prometheus",
            uid: format!("${{{PROMETHEUS}}}"),
        }
    }

    fn tempo() -> Self {
        Self {
            r#type: "tempo",
            uid: format!("${{{TEMPO}}}"),
        }
    }
}

#[derive(Debug, Clone, Serialize)]
struct FieldConfig {
    defaults: Field,
    overrides: Vec<Value>,
}

#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Field {
    unit: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    min: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    no_value: Option<&'static str>,
    #[serde(skip_serializing_if = "Value::is_null")]
    custom: Value,
}

/// What a panel asks.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum Target {
    /// A Prometheus.
    #[serde(rename_all = "camelCase")]
    Prometheus {
        /// A letter.
        ref_id: String,
        /// `PromQL`.
        expr: String,
        /// How a series is named, with its labels in braces.
        legend_format: &'static str,
        /// Whether traces are shown as points.
        exemplar: bool,
        /// Now only, instead of over the time shown.
        instant: bool,
        /// `time_series` or `table`.
        format: &'static str,
    },
    /// A Tempo.
    #[serde(rename_all = "camelCase")]
    Tempo {
        /// A letter.
        ref_id: String,
        /// `TraceQL`.
        query: String,
        /// Always `traceql`.
        query_type: &'static str,
        /// `traces`, a line each, or `spans`.
        table_type: &'static str,
        /// The most lines.
        limit: u32,
    },
}

impl Target {
    /// Over time.
    pub fn over_time(expr: String, legend: &'static str) -> Self {
        Self::Prometheus {
            ref_id: String::new(),
            expr,
            legend_format: legend,
            exemplar: false,
            instant: false,
            format: "time_series",
        }
    }

    /// Over time, with the traces of single observations.
    pub fn with_traces(expr: String, legend: &'static str) -> Self {
        Self::Prometheus {
            ref_id: String::new(),
            expr,
            legend_format: legend,
            exemplar: true,
            instant: false,
            format: "time_series",
        }
    }

    /// As it is now.
    pub fn now(expr: String, legend: &'static str) -> Self {
        Self::Prometheus {
            ref_id: String::new(),
            expr,
            legend_format: legend,
            exemplar: false,
            instant: true,
            format: "time_series",
        }
    }

    /// As it is now, a line for each series.
    pub fn lines(expr: String) -> Self {
        Self::Prometheus {
            ref_id: String::new(),
            expr,
            legend_format: "",
            exemplar: false,
            instant: true,
            format: "table",
        }
    }

    /// Traces that match.
    pub fn traces(query: String) -> Self {
        Self::Tempo {
            ref_id: String::new(),
            query,
            query_type: "traceql",
            table_type: "traces",
            limit: 20,
        }
    }

    /// The `PromQL`, if that is what it asks.
    pub fn promql(self) -> Option<String> {
        match self {
            Self::Prometheus { expr, .. } => Some(expr),
            Self::Tempo { .. } => None,
        }
    }

    /// The `TraceQL`, if that is what it asks.
    pub fn traceql(self) -> Option<String> {
        match self {
            Self::Tempo { query, .. } => Some(query),
            Self::Prometheus { .. } => None,
        }
    }

    /// Whether it asks for the traces of single observations.
    pub fn has_exemplars(&self) -> bool {
        matches!(self, Self::Prometheus { exemplar: true, .. })
    }

    fn name(&mut self, letter: char) {
        let (Self::Prometheus { ref_id, .. } | Self::Tempo { ref_id, .. }) = self;
        *ref_id = letter.to_string();
    }
}

impl Board {
    /// A board without panels, under `langop-TITLE`.
    pub fn new(title: &'static str, description: &'static str, variables: &[Variable]) -> Self {
        let link = json!({
            "type": "dashboards", "title": "Language Operator", "tags": ["langop"], "asDropdown": true, "keepTime": true,
        });
        Self {
            uid: format!("langop-{}", title.to_lowercase()),
            title,
            description,
            tags: ["langop"],
            schema_version: 39,
            editable: true,
            graph_tooltip: 1,
            refresh: "30s",
            time: json!({"from": "now-6h", "to": "now"}),
            templating: json!({ "list": variables }),
            links: json!([link]),
            panels: Vec::new(),
        }
    }

    /// Panels that are seen at once, in lines from left to right.
    #[must_use]
    pub fn open(mut self, panels: Vec<Panel>) -> Self {
        self.panels.extend(panels);
        self.placed()
    }

    /// Panels below a title, seen when somebody opens it.
    #[must_use]
    pub fn row(mut self, title: &'static str, panels: Vec<Panel>) -> Self {
        self.panels.push(Panel::row(title, panels));
        self.placed()
    }

    fn placed(mut self) -> Self {
        place(&mut self.panels, 0);
        let mut ids = 1..;
        for panel in &mut self.panels {
            panel.id = ids.next().unwrap_or_default();
            // Where they are when the row is opened; what follows is pushed down then.
            place(&mut panel.panels, panel.grid_pos.y + 1);
            for inner in &mut panel.panels {
                inner.id = ids.next().unwrap_or_default();
            }
        }
        self
    }
}

/// Puts panels into lines from `y` on.
fn place(panels: &mut [Panel], mut y: u32) {
    let (mut x, mut height) = (0, 0);
    for panel in panels {
        let position = &mut panel.grid_pos;
        if x + position.w > COLUMNS {
            y += u32::from(height);
            (x, height) = (0, 0);
        }
        (position.x, position.y) = (x, y);
        x += position.w;
        height = height.max(position.h);
    }
}

impl Variable {
    /// The Prometheus to ask.
    pub fn prometheus() -> Self {
        Self::data_source(PROMETHEUS, "prometheus", "Prometheus")
    }

    /// The Tempo to ask.
    pub fn tempo() -> Self {
        Self::data_source(TEMPO, "tempo", "Tempo")
    }

    fn data_source(name: &str, kind: &str, label: &str) -> Self {
        Self(json!({"type": "datasource", "name": name, "label": label, "query": kind}))
    }

    /// Values of a label, any number of them; at first all.
    pub fn label_values(name: &str, title: &str, selector: &str) -> Self {
        Self(json!({
            "type": "query", "name": name, "label": title, "datasource": DataSource::prometheus(),
            "query": {"query": format!("label_values({selector}, {name})"), "refId": "A"},
            "refresh": 2, "sort": 1, "multi": true, "includeAll": true, "allValue": ".*",
            "current": {"text": "All", "value": "$__all"},
        }))
    }

    /// One of these; at first the first.
    pub fn choice(name: &str, title: &str, values: &[&str]) -> Self {
        let option = |value: &&str| json!({"text": value, "value": value, "selected": Some(value) == values.first()});
        let options: Vec<_> = values.iter().map(option).collect();
        Self(json!({
            "type": "custom", "name": name, "label": title, "query": values.join(","),
            "current": options.first(), "options": options,
        }))
    }
}

impl Panel {
    fn new(
        r#type: &'static str,
        title: &'static str,
        unit: &'static str,
        targets: Vec<Target>,
    ) -> Self {
        let letters = 'A'..='Z';
        let mut targets = targets;
        for (target, letter) in targets.iter_mut().zip(letters) {
            target.name(letter);
        }
        let is_tempo = matches!(targets.first(), Some(Target::Tempo { .. }));
        let datasource = if is_tempo {
            DataSource::tempo()
        } else {
            DataSource::prometheus()
        };
        let defaults = Field {
            unit,
            ..Field::default()
        };
        Self {
            id: 0,
            r#type,
            title,
            description: "",
            grid_pos: Position {
                w: 12,
                h: 8,
                ..Position::default()
            },
            collapsed: None,
            panels: Vec::new(),
            targets,
            datasource: Some(datasource),
            field_config: Some(FieldConfig {
                defaults,
                overrides: Vec::new(),
            }),
            options: Value::Null,
            transformations: Vec::new(),
        }
    }

    fn row(title: &'static str, panels: Vec<Self>) -> Self {
        Self {
            grid_pos: Position {
                w: COLUMNS,
                h: 1,
                ..Position::default()
            },
            collapsed: Some(true),
            panels,
            datasource: None,
            field_config: None,
            ..Self::new("row", title, "", Vec::new())
        }
    }

    /// Lines over time.
    pub fn lines(title: &'static str, unit: &'static str, targets: Vec<Target>) -> Self {
        let mut panel = Self::new("timeseries", title, unit, targets);
        panel.options = json!({
            "legend": {"displayMode": "list", "placement": "bottom"},
            "tooltip": {"mode": "multi", "sort": "desc"},
        });
        panel.with_custom(json!({"fillOpacity": 10, "showPoints": "never"}))
    }

    /// Areas over time, one on the other.
    pub fn stack(title: &'static str, unit: &'static str, targets: Vec<Target>) -> Self {
        let custom =
            json!({"fillOpacity": 40, "showPoints": "never", "stacking": {"mode": "normal"}});
        Self::lines(title, unit, targets)
            .from_zero()
            .with_custom(custom)
    }

    /// Numbers as they are now, with a line of how they were.
    pub fn numbers(title: &'static str, unit: &'static str, targets: Vec<Target>) -> Self {
        let mut panel = Self::new("stat", title, unit, targets);
        panel.options = json!({
            "reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "none", "graphMode": "area", "textMode": "value_and_name",
        });
        panel
    }

    /// Bars as they are now, the longest first.
    pub fn bars(title: &'static str, unit: &'static str, targets: Vec<Target>) -> Self {
        let mut panel = Self::new("bargauge", title, unit, targets);
        panel.options = json!({
            "reduceOptions": {"calcs": ["lastNotNull"]}, "orientation": "horizontal", "displayMode": "basic",
        });
        panel.from_zero()
    }

    /// A table of the labels `columns` and of the value as `value`, largest first or last.
    pub fn table(
        title: &'static str,
        columns: &[&str],
        value: (&str, &str),
        target: Target,
    ) -> Self {
        let mut panel = Self::new("table", title, "", vec![target]);
        let names = columns.iter().copied().chain(["Value"]);
        let order: serde_json::Map<_, _> = names
            .zip(0..)
            .map(|(name, nth)| (name.to_owned(), json!(nth)))
            .collect();
        let (name, unit) = value;
        panel.transformations = vec![json!({
            "id": "organize",
            "options": {"excludeByName": {"Time": true}, "indexByName": order, "renameByName": {"Value": name}},
        })];
        panel.options = json!({"sortBy": [{"displayName": name, "desc": false}]});
        if let Some(config) = &mut panel.field_config {
            config.overrides = vec![json!({
                "matcher": {"id": "byName", "options": name},
                "properties": [{"id": "unit", "value": unit}],
            })];
        }
        panel
    }

    /// A table of traces, each of which opens.
    pub fn traces(title: &'static str, query: String) -> Self {
        Self::new("table", title, "", vec![Target::traces(query)])
    }

    /// A state over time for each series: 1 or 0.
    pub fn states(title: &'static str, names: [&'static str; 2], targets: Vec<Target>) -> Self {
        let mut panel = Self::new("state-timeline", title, "", targets);
        let [off, on] = names;
        panel.options =
            json!({"showValue": "auto", "mergeValues": true, "legend": {"showLegend": false}});
        let mapping = json!({
            "type": "value",
            "options": {"0": {"text": off, "color": "text"}, "1": {"text": on, "color": "green"}},
        });
        if let Some(config) = &mut panel.field_config {
            config.overrides = vec![json!({
                "matcher": {"id": "byRegexp", "options": ".*"},
                "properties": [{"id": "mappings", "value": [mapping]}],
            })];
        }
        panel
    }

    /// Columns of 24, and lines.
    #[must_use]
    pub fn sized(mut self, width: u8, height: u8) -> Self {
        (self.grid_pos.w, self.grid_pos.h) = (width, height);
        self
    }

    /// What whoever looks should know.
    #[must_use]
    pub fn saying(mut self, description: &'static str) -> Self {
        self.description = description;
        self
    }

    /// The axis begins at 0.
    #[must_use]
    pub fn from_zero(mut self) -> Self {
        if let Some(config) = &mut self.field_config {
            config.defaults.min = Some(0);
        }
        self
    }

    /// The axis goes from nothing to all.
    #[must_use]
    pub fn of_whole(mut self) -> Self {
        if let Some(config) = &mut self.field_config {
            config.defaults.min = Some(0);
            config.defaults.max = Some(1);
        }
        self
    }

    /// No series means this, not that nothing is known.
    #[must_use]
    pub fn or_else(mut self, text: &'static str) -> Self {
        if let Some(config) = &mut self.field_config {
            config.defaults.no_value = Some(text);
        }
        self
    }

    fn with_custom(mut self, custom: Value) -> Self {
        if let Some(config) = &mut self.field_config {
            config.defaults.custom = custom;
        }
        self
    }

    /// It, and if it is a row its panels.
    pub fn with_inner(mut self) -> impl Iterator<Item = Self> {
        let inner = std::mem::take(&mut self.panels);
        iter::once(self).chain(inner)
    }
}
