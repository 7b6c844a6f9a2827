//! Code as text with positions, and the one place that runs the Ruby parser. Knows nothing of the
//! agent language.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use ruby_prism::{Location, Options, ParseResult, parse_with_options};

/// Stack for parsing. prism recurses up to 10,000 levels deep (`PRISM_DEPTH_MAXIMUM`) before it
/// gives up with a diagnostic; an unoptimised build was measured to take 4 to 8 MiB for that, more
/// than the 2 MiB of a usual thread. Only what is touched becomes memory; ordinary code touches a
/// few pages.
const STACK_BYTES: usize = 64 << 20;

/// The parser got no stack, or died.
#[derive(Debug, thiserror::Error)]
#[error("the Ruby parser could not run")]
pub(crate) struct ParserUnavailable;

/// Parses `code` and hands the result to `read`, on a stack that no nesting overflows. The stack is
/// of its own but the thread is not: starting one was measured to cost as much as parsing 200
/// lines.
pub(crate) fn with_ruby<T>(
    code: &str,
    read: impl FnOnce(&ParseResult<'_>) -> T,
) -> Result<T, ParserUnavailable> {
    let run = || {
        let options = Options::default()
            .encoding("UTF-8")
            .encoding_locked(true)
            .build();
        read(&parse_with_options(code.as_bytes(), &options))
    };
    // nothing is seen of a broken state: whatever `read` had in hand is given up with it
    catch_unwind(AssertUnwindSafe(|| stacker::grow(STACK_BYTES, run)))
        .map_err(|_| ParserUnavailable)
}

/// A range of bytes in the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Span {
    pub(crate) const START: Self = Self { start: 0, end: 0 };

    /// The one byte at `start`.
    pub(crate) fn one(start: usize) -> Self {
        Self {
            start,
            end: start + 1,
        }
    }

    pub(crate) fn range(self) -> Range<usize> {
        self.start..self.end
    }
}

impl From<Location<'_>> for Span {
    fn from(location: Location<'_>) -> Self {
        Self {
            start: location.start() as usize,
            end: location.end() as usize,
        }
    }
}

/// Where a span is, as people count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// From 1.
    pub(crate) line: u32,
    /// In characters, from 1.
    pub(crate) column: u32,
    /// In characters on that line, at least 1.
    pub(crate) length: u32,
}

/// The code and where its lines start.
pub(crate) struct Source<'a> {
    code: &'a str,
    line_starts: Vec<usize>,
}

impl<'a> Source<'a> {
    pub(crate) fn new(code: &'a str) -> Self {
        let after_newlines = code
            .bytes()
            .enumerate()
            .filter(|(_, byte)| *byte == b'\n')
            .map(|(index, _)| index + 1);
        Self {
            code,
            line_starts: std::iter::once(0).chain(after_newlines).collect(),
        }
    }

    pub(crate) fn code(&self) -> &'a str {
        self.code
    }

    /// The line that holds `offset`, without its end.
    pub(crate) fn line_text(&self, offset: usize) -> &'a str {
        let line = self.line_starts.partition_point(|start| *start <= offset);
        let end = self
            .line_starts
            .get(line)
            .map_or(self.code.len(), |next| next - 1);
        &self.code[self.line_starts[line - 1]..end]
    }

    /// The code in `span`; empty where the span is not on character boundaries.
    pub(crate) fn text(&self, span: Span) -> &'a str {
        self.code.get(span.range()).unwrap_or_default()
    }

    pub(crate) fn line(&self, offset: usize) -> u32 {
        count(self.line_starts.partition_point(|start| *start <= offset))
    }

    pub(crate) fn place(&self, span: Span) -> Place {
        let start = self.boundary(span.start);
        let line = self
            .line_starts
            .partition_point(|line_start| *line_start <= start);
        let line_start = self.line_starts[line - 1];
        let line_end = self
            .line_starts
            .get(line)
            .map_or(self.code.len(), |next| next - 1);
        let marked_end = self.boundary(span.end).clamp(start, line_end.max(start));
        Place {
            line: count(line),
            column: count(self.code[line_start..start].chars().count() + 1),
            length: count(self.code[start..marked_end].chars().count().max(1)),
        }
    }

    /// The nearest character boundary at or before `offset`.
    fn boundary(&self, offset: usize) -> usize {
        self.code.floor_char_boundary(offset)
    }
}

/// Positions fit because code is bounded; a larger one saturates.
fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_lines_and_characters() {
        let source = Source::new("a\nßü = 1\n\nlast");
        let place = |start, end| {
            let place = source.place(Span { start, end });
            (place.line, place.column, place.length)
        };
        assert_eq!(place(0, 1), (1, 1, 1));
        assert_eq!(place(2, 6), (2, 1, 2), "two characters, four bytes");
        assert_eq!(place(7, 100), (2, 4, 3), "cut at the end of the line");
        assert_eq!(place(3, 3), (2, 1, 1), "inside a character");
        assert_eq!(place(12, 16), (4, 1, 4));
        assert_eq!(place(999, 1000), (4, 5, 1), "past the end");
    }
}
