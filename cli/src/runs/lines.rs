//! Lines of logs: those of the reference runtime are JSON and name their step; all others stay as
//! they are.

use langop_dsl::clean;
use serde_json::Value;

use crate::ui::tone::Tone;

/// One line, as far as it can be read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line {
    time: Option<String>,
    level: Option<String>,
    step: Option<String>,
    text: String,
}

impl Line {
    /// Reads a line.
    pub(crate) fn of(raw: &str) -> Self {
        let Ok(Value::Object(fields)) = serde_json::from_str(raw) else {
            return Self {
                time: None,
                level: None,
                step: None,
                text: clean(raw),
            };
        };
        let text = |key: &str| fields.get(key).and_then(Value::as_str).map(clean);
        let message = text("message").unwrap_or_else(|| clean(raw));
        let details = ["tool", "operation", "outcome", "error"]
            .into_iter()
            .filter_map(|key| Some(format!(" {key}={}", text(key)?)));
        Self {
            time: text("timestamp"),
            level: text("level"),
            step: text("step").filter(|step| !step.is_empty()),
            text: std::iter::once(message.clone()).chain(details).collect(),
        }
    }

    /// Whether a step of this name wrote it.
    pub(crate) fn is_of(&self, step: &str) -> bool {
        self.step.as_deref() == Some(step)
    }

    /// For people; `pod` where lines of several pods are mixed.
    pub(crate) fn render(&self, pod: Option<&str>) -> String {
        let tone = match self.level.as_deref() {
            Some("ERROR") => Tone::Bad,
            Some("WARN") => Tone::Waiting,
            _ => Tone::Plain,
        };
        let parts = [
            pod.map(|pod| Tone::Faint.paint(pod)),
            self.time.as_deref().map(|time| Tone::Faint.paint(time)),
            self.level.as_deref().map(|level| tone.paint(level)),
            self.step
                .as_deref()
                .map(|step| Tone::Strong.paint(&format!("[{step}]"))),
            Some(self.text.clone()),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        format!("{}\n", parts.join(" "))
    }
}
