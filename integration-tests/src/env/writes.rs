//! Summarizes the operator's writes in an interval of the audit log, so that a test can name all of
//! them.

use std::collections::BTreeMap;

use crate::audit::{self, AuditEvent};

/// The operator's writes of one span of time.
#[derive(Debug)]
pub struct WriteSummary {
    /// `verb resource name` of each write of a child, sorted. A code ConfigMap's hash is a `*`; a
    /// write that failed says its status.
    pub children: Vec<String>,
    /// How often each `resource name` had its status written.
    pub statuses: BTreeMap<String, usize>,
    /// All of them, in order.
    pub writes: Vec<AuditEvent>,
}

impl WriteSummary {
    /// From the audit log's events.
    pub fn of(writes: Vec<AuditEvent>) -> Self {
        let mut summary = Self {
            children: Vec::new(),
            statuses: BTreeMap::new(),
            writes: Vec::new(),
        };
        for write in &writes {
            match (write.subresource.as_str(), write.resource.as_str()) {
                ("status", resource) => {
                    *summary
                        .statuses
                        .entry(format!("{resource} {}", write.name))
                        .or_default() += 1;
                }
                // Which they are, the audit log does not say: see [`super::TestEnv::new_events`].
                ("", "events") => {}
                _ => summary.children.push(line(write)),
            }
        }
        summary.children.sort();
        summary.writes = writes;
        summary
    }

    /// Asserts that nothing at all was written.
    ///
    /// # Panics
    /// If anything was.
    #[track_caller]
    pub fn assert_none(&self) {
        assert!(
            self.writes.is_empty(),
            "expected no writes, saw:\n{}",
            audit::pretty(&self.writes)
        );
    }

    /// Asserts that exactly these children were written, each as often as it is named, and no
    /// status more often than a few changes explain: some of them coincide, but a loop is hot
    /// within a second.
    ///
    /// # Panics
    /// If there were others, or fewer.
    #[track_caller]
    pub fn assert_children(&self, expected: &[&str]) {
        assert_eq!(
            self.children,
            expected,
            "in full:\n{}",
            audit::pretty(&self.writes)
        );
        assert!(
            self.statuses.values().all(|times| *times <= STATUSES),
            "a status was written again and again:\n{}",
            audit::pretty(&self.writes)
        );
    }
}

/// Most writes of one object's status for one change: seen, asked, answered, rolling out, rolled
/// out; and as many for what pods do.
const STATUSES: usize = 10;

fn line(write: &AuditEvent) -> String {
    let subresource = match write.subresource.as_str() {
        "" => String::new(),
        subresource => format!("/{subresource}"),
    };
    let name = match write.name.split_once("-code-") {
        Some((agent, _)) => format!("{agent}-code-*"),
        None => write.name.clone(),
    };
    let failed = match write.code {
        200..=299 => String::new(),
        code => format!(" ({code})"),
    };
    format!(
        "{} {}{subresource} {name}{failed}",
        write.verb, write.resource
    )
}
