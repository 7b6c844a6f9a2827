//! What the operator did in a span of time, told apart so that a test can name all of it. Reads the audit log's events, judges nothing.

use std::collections::BTreeMap;

use langop_integration_tests::{AuditEvent, audit};

/// The operator's writes of one span of time.
#[derive(Debug)]
pub(crate) struct Deeds {
    /// `verb resource name` of each write of a child, sorted. A code ConfigMap's hash is a `*`; a write that failed says its status.
    pub children: Vec<String>,
    /// How often each `resource name` had its status written.
    pub statuses: BTreeMap<String, usize>,
    /// All of them, in order.
    pub writes: Vec<AuditEvent>,
}

impl Deeds {
    pub(crate) fn of(writes: Vec<AuditEvent>) -> Self {
        let mut deeds = Self {
            children: Vec::new(),
            statuses: BTreeMap::new(),
            writes: Vec::new(),
        };
        for write in &writes {
            match (write.subresource.as_str(), write.resource.as_str()) {
                ("status", resource) => {
                    *deeds
                        .statuses
                        .entry(format!("{resource} {}", write.name))
                        .or_default() += 1;
                }
                // Which they are, the audit log does not say: see `World::news`.
                ("", "events") => {}
                _ => deeds.children.push(line(write)),
            }
        }
        deeds.children.sort();
        deeds.writes = writes;
        deeds
    }

    /// Nothing at all was written.
    #[track_caller]
    pub(crate) fn assert_none(&self) {
        assert!(
            self.writes.is_empty(),
            "expected no writes, saw:\n{}",
            audit::pretty(&self.writes)
        );
    }

    /// Exactly these children were written, each so often as it is named; and no status more often than a few happenings explain: some
    /// of them fall together, but a loop is hot within a second.
    #[track_caller]
    pub(crate) fn assert_children(&self, expected: &[&str]) {
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

/// Most writes of one object's status for one change: seen, asked, answered, rolling out, rolled out; and as many for what pods do.
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
