//! Collects findings and turns them into the bounded, ordered list that is returned.

use super::parsed::{MAX_DIAGNOSTICS, Parsed};
use crate::definition::AgentDefinition;
use crate::diagnostic::{Diagnostic, DiagnosticCode, Severity};
use crate::source::{Source, Span};

#[derive(Debug, Default)]
pub(super) struct Findings {
    found: Vec<Finding>,
    errors: usize,
}

#[derive(Debug)]
struct Finding {
    span: Span,
    severity: Severity,
    code: DiagnosticCode,
    message: String,
    hint: String,
}

impl Findings {
    /// Whether there are so many that most will not be returned, and costly hints are not worth
    /// making.
    pub(super) fn are_many(&self) -> bool {
        self.found.len() > 4 * MAX_DIAGNOSTICS
    }

    /// Whether there are so many errors that reading on is of no use.
    pub(super) fn are_enough(&self) -> bool {
        self.errors > 4 * MAX_DIAGNOSTICS
    }

    pub(super) fn error(
        &mut self,
        span: Span,
        code: DiagnosticCode,
        message: String,
        hint: String,
    ) {
        self.errors += 1;
        self.found.push(Finding {
            span,
            severity: Severity::Error,
            code,
            message,
            hint,
        });
    }

    pub(super) fn warning(
        &mut self,
        span: Span,
        code: DiagnosticCode,
        message: String,
        hint: String,
    ) {
        self.found.push(Finding {
            span,
            severity: Severity::Warning,
            code,
            message,
            hint,
        });
    }

    /// The answer: at most [`MAX_DIAGNOSTICS`], errors before warnings where some must go, in the
    /// order of the code.
    pub(super) fn finish(
        mut self,
        source: &Source<'_>,
        definition: Option<AgentDefinition>,
    ) -> Parsed {
        let is_valid = self.errors == 0;
        self.found
            .sort_by_key(|finding| (finding.severity, finding.span));
        self.found.truncate(MAX_DIAGNOSTICS);
        self.found.sort_by_key(|finding| finding.span);
        Parsed {
            definition: definition.filter(|_| is_valid),
            diagnostics: self
                .found
                .into_iter()
                .map(|finding| finding.place(source))
                .collect(),
        }
    }
}

impl Finding {
    fn place(self, source: &Source<'_>) -> Diagnostic {
        let place = source.place(self.span);
        Diagnostic {
            severity: self.severity,
            code: self.code,
            message: self.message,
            line: place.line,
            column: place.column,
            length: place.length,
            hint: Some(self.hint),
        }
    }
}
