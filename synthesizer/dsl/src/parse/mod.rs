//! The front end: agent code in, a definition or diagnostics out. Never panics, never runs code, bounded in time.
//!
//! Whitelist: every node of the Ruby syntax tree is read by the one place that allows it, or diagnosed. Here is the entry
//! and the order of the checks; `agent`, `steps` and `values` read, `call` takes calls apart, `graph` checks dependencies.

mod agent;
mod call;
mod findings;
mod graph;
mod limits;
mod scan;
mod schedule;
mod steps;
mod values;
mod words;

use jiff::Timestamp;
use ruby_prism::ParseResult;

pub use limits::{MAX_CODE_BYTES, MAX_DIAGNOSTICS, MAX_VALUE_DEPTH};

use crate::definition::AgentDefinition;
use crate::diagnostic::{Diagnostic, DiagnosticCode};
use crate::source::{Source, Span, with_ruby};
use findings::Findings;

/// Most syntax errors read. The parser may report several per byte.
const MOST_SYNTAX_ERRORS: usize = 4 * MAX_DIAGNOSTICS;

/// What the request offers, by name. Code may use nothing else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offer {
    /// Tools; code may leave out a `-tool` at the end.
    pub tools: Vec<String>,
    /// Models.
    pub models: Vec<String>,
}

impl Offer {
    /// The offered name of the tool that code calls `name`: the same, else the one with `-tool` appended.
    pub fn tool(&self, name: &str) -> Option<&str> {
        let is = |wanted: &str| {
            self.tools
                .iter()
                .find(|tool| *tool == wanted)
                .map(String::as_str)
        };
        is(name).or_else(|| is(&format!("{name}-tool")))
    }

    /// The offered name of the model that code calls `name`: the same.
    pub fn model(&self, name: &str) -> Option<&str> {
        self.models
            .iter()
            .find(|model| *model == name)
            .map(String::as_str)
    }
}

/// What came of parsing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// Present exactly when no diagnostic is an error.
    pub definition: Option<AgentDefinition>,
    /// In the order of the code, at most [`MAX_DIAGNOSTICS`]; errors are kept before warnings.
    pub diagnostics: Vec<Diagnostic>,
}

/// What the readers share: the code, what it may use, and what was found.
struct Reader<'a> {
    source: &'a Source<'a>,
    offer: &'a Offer,
    now: Timestamp,
    findings: Findings,
}

/// Parses `code`, which may use what `offer` holds; its schedule must fire within five years of `now`.
pub fn parse(code: &str, offer: &Offer, now: Timestamp) -> Parsed {
    let source = Source::new(code);
    let mut findings = Findings::default();
    let definition = if limits::check(code, &mut findings) {
        read(&source, offer, now, &mut findings)
    } else {
        None
    };
    findings.finish(&source, definition)
}

/// As [`parse`], for bytes that may not be text.
pub fn parse_bytes(code: &[u8], offer: &Offer, now: Timestamp) -> Parsed {
    match std::str::from_utf8(code) {
        Ok(code) => parse(code, offer, now),
        Err(error) => limits::not_utf8(code, error.valid_up_to()),
    }
}

/// Whether `code` is small and flat enough for the parser.
pub(crate) fn is_bounded(code: &str) -> bool {
    limits::check(code, &mut Findings::default())
}

fn read(
    source: &Source<'_>,
    offer: &Offer,
    now: Timestamp,
    findings: &mut Findings,
) -> Option<AgentDefinition> {
    let mut reader = Reader {
        source,
        offer,
        now,
        findings: std::mem::take(findings),
    };
    let outcome = with_ruby(source.code(), |ruby| {
        let definition = reader.ruby(ruby);
        (definition, reader.findings)
    });
    match outcome {
        Ok((definition, found)) => {
            *findings = found;
            definition
        }
        Err(error) => {
            findings.error(
                Span::START,
                DiagnosticCode::Unchecked,
                error.to_string(),
                "try again".to_owned(),
            );
            None
        }
    }
}

impl Reader<'_> {
    fn ruby(&mut self, ruby: &ParseResult<'_>) -> Option<AgentDefinition> {
        if ruby.is_failure() {
            self.syntax_errors(ruby);
            return None;
        }
        self.comments(ruby);
        let node = ruby.node();
        let program = node.as_program_node()?;
        self.program(&program)
    }

    fn syntax_errors(&mut self, ruby: &ParseResult<'_>) {
        for error in ruby.errors().take(MOST_SYNTAX_ERRORS) {
            let span = Span::from(error.location());
            let message = words::clip(&String::from_utf8_lossy(error.message()), words::LONG);
            self.findings.error(
                span,
                DiagnosticCode::SyntaxError,
                message,
                self.syntax_hint(span),
            );
        }
    }

    fn syntax_hint(&self, span: Span) -> String {
        let line = self.source.line_text(span.start).trim_start();
        if line.starts_with("```") || line.starts_with("~~~") {
            "write only the code, without Markdown fences".to_owned()
        } else {
            "write valid Ruby: close every quote, bracket and `do`".to_owned()
        }
    }

    fn comments(&mut self, ruby: &ParseResult<'_>) {
        for comment in ruby.comments() {
            let span = Span::from(comment.location());
            if self.source.line(span.start) <= 2 && limits::names_encoding(self.source.text(span)) {
                let message = "an encoding comment is not part of the agent language".to_owned();
                let hint = "remove it: code is UTF-8".to_owned();
                self.findings
                    .error(span, DiagnosticCode::OutsideLanguage, message, hint);
            }
        }
        if let Some(data) = ruby.data_loc() {
            let message = "`__END__` is not part of the agent language".to_owned();
            self.findings.error(
                data.into(),
                DiagnosticCode::OutsideLanguage,
                message,
                "remove it and all after it".to_owned(),
            );
        }
    }
}
