//! The front end: agent code in, a definition or diagnostics out. Never panics, never runs code,
//! bounded in time.
//!
//! Whitelist: every node of the Ruby syntax tree is read by the one place that allows it, or
//! diagnosed. Here is the entry and the order of the checks; `characters` looks at the text,
//! `agent`, `steps` and `values` read, `call` takes calls apart, `graph` checks dependencies,
//! `params` what a tool is given.

mod agent;
mod call;
mod characters;
mod findings;
mod graph;
mod limits;
mod offer;
mod params;
mod parsed;
mod scan;
mod schedule;
mod schema;
mod steps;
mod texts;
mod values;
mod words;

use jiff::Timestamp;
use ruby_prism::ParseResult;

pub use offer::{Offer, OfferedOperation, OfferedTool};
pub use parsed::{MAX_CODE_BYTES, MAX_DIAGNOSTICS, MAX_VALUE_DEPTH, Parsed};
pub use schema::misfit;

use crate::definition::AgentDefinition;
use crate::diagnostic::DiagnosticCode;
use crate::source::{Source, Span, with_ruby};
use findings::Findings;
use texts::Texts;

/// Most syntax errors read. The parser may report several per byte.
const MOST_SYNTAX_ERRORS: usize = 4 * MAX_DIAGNOSTICS;

/// What the readers share: the code, what it may use, and what was found.
struct Reader<'a> {
    source: &'a Source<'a>,
    offer: &'a Offer,
    now: Timestamp,
    findings: Findings,
    effort: schema::Effort,
}

/// Parses `code`, which may use what `offer` holds; its schedule must fire within five years of
/// `now`.
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
    limits::is_bounded(code)
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
        effort: schema::Effort::default(),
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
        if self.unicode_spaces(ruby) {
            // whatever else was found would be a consequence
            return None;
        }
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
            if self.source.line(span.start) <= 2
                && characters::may_name_encoding(self.source.text(span))
            {
                let message = "an encoding comment is not part of the agent language".to_owned();
                let hint =
                    "remove it: code is UTF-8, and no comment on the first two lines may hold `coding`"
                        .to_owned();
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

    /// Diagnoses spaces that Ruby takes for letters; whether there are any. In texts and comments
    /// they are what people see.
    fn unicode_spaces(&mut self, ruby: &ParseResult<'_>) -> bool {
        let code = self.source.code();
        let mut spaces = code
            .char_indices()
            .filter(|(_, c)| characters::is_unicode_space(*c))
            .peekable();
        if spaces.peek().is_none() {
            return false;
        }
        let texts = Texts::of(ruby);
        let mut are_any = false;
        for (start, c) in spaces.filter(|(start, _)| !texts.hold(*start)) {
            are_any = true;
            if self.findings.are_enough() {
                break;
            }
            characters::not_a_space(start, c, &mut self.findings);
        }
        are_any
    }
}
