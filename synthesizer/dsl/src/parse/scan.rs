//! Measures code before the Ruby parser sees it, because the parser's time grows with the square of
//! what is nested: tells plain code of the language, whose texts may be long, from everything else,
//! which must be short. Decides no rule of the language.
//!
//! One pass over the bytes. It knows few kinds of token and stops at the first that it does not
//! know for certain, so that what it takes for the inside of a text cannot be code to the parser:
//! then all from there on counts as other Ruby.

/// Words that may stand before a text. None can become a local variable in plain code without `=>`,
/// after which `<<` would be an operator and no heredoc.
const STATEMENTS: [&str; 12] = [
    "agent",
    "ask",
    "constraints",
    "description",
    "mode",
    "objectives",
    "require",
    "result",
    "schedule",
    "step",
    "use_tool",
    "workflow",
];

/// Longest number that is plain. No float needs more, and the parser's time grows with the square
/// of it.
const LONGEST_NUMBER: usize = 512;

/// Most tokens that are plain, line ends not counted: a statement of a usual length for each line
/// of the largest code.
const MOST_TOKENS: usize = 32 * 1024;

const LITERALS: [&str; 3] = ["true", "false", "nil"];

/// What the scan found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Measure {
    /// Where the code stops being plain.
    pub(super) other: Option<usize>,
    /// Where brackets and blocks, as far as they can be told, are first nested deeper than asked.
    pub(super) too_deep: Option<usize>,
}

/// Measures `code`; nesting counts as too deep beyond `deepest`.
pub(super) fn measure(code: &str, deepest: usize) -> Measure {
    let mut scan = Scan {
        bytes: code.as_bytes(),
        at: if code.starts_with('\u{feff}') { 3 } else { 0 },
        before: Before::Other,
        has_arrow: false,
        heredoc: None,
        open: Vec::new(),
        deepest,
        too_deep: None,
    };
    let other = scan.plain();
    for at in other.unwrap_or(code.len())..code.len() {
        match code.as_bytes()[at] {
            b'(' | b'[' | b'{' => scan.open(at, b'?'),
            b')' | b']' | b'}' => drop(scan.open.pop()),
            _ => {}
        }
    }
    Measure {
        other,
        too_deep: scan.too_deep,
    }
}

/// What stands before the next token, as far as it decides whether `<<` opens a heredoc.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    /// A word of [`STATEMENTS`], or `key:`; a heredoc may follow after a space.
    Word,
    /// An opening bracket or a comma.
    Opening,
    Other,
}

#[derive(Clone, Copy)]
struct Heredoc<'a> {
    terminator: &'a [u8],
    is_raw: bool,
}

struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
    before: Before,
    has_arrow: bool,
    /// Opened on this line; its text starts on the next.
    heredoc: Option<Heredoc<'a>>,
    /// What closes the brackets and blocks that are open, the innermost last: the first byte of
    /// `end` or a bracket.
    open: Vec<u8>,
    deepest: usize,
    too_deep: Option<usize>,
}

impl<'a> Scan<'a> {
    /// Moves as far as the code is plain; where it stops being so.
    fn plain(&mut self) -> Option<usize> {
        let mut tokens = 0;
        while let Some(byte) = self.bytes.get(self.at) {
            let start = self.at;
            tokens += usize::from(!byte.is_ascii_whitespace());
            if tokens > MOST_TOKENS || self.token().is_none() {
                return Some(start);
            }
        }
        None
    }

    fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(b'\n')
    }

    fn take_while(&mut self, wanted: fn(u8) -> bool) -> &'a [u8] {
        let rest = &self.bytes[self.at..];
        let length = rest
            .iter()
            .position(|byte| !wanted(*byte))
            .unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    /// Moves past one token; none if it is not known for certain.
    fn token(&mut self) -> Option<()> {
        match self.peek(0) {
            b' ' | b'\t' => self.advance(1, self.before),
            b'\n' => self.line_end(),
            b'\r' if self.peek(1) == b'\n' => self.advance(1, self.before),
            b'\\' => self.continuation(),
            b'#' => {
                self.take_while(|byte| byte != b'\n');
                Some(())
            }
            b'\'' => self.raw_text(),
            b'"' => self.text(),
            b'a'..=b'z' | b'_' => self.word(),
            b'0'..=b'9' => self.number(),
            b'(' => self.bracket(b')'),
            b'[' => self.bracket(b']'),
            b'{' => self.bracket(b'}'),
            close @ (b')' | b']' | b'}') => {
                self.close(close)?;
                self.advance(1, Before::Other)
            }
            b',' if self.before == Before::Opening => None,
            b',' => self.advance(1, Before::Opening),
            b';' => self.advance(1, Before::Other),
            b':' => self.colon(),
            b'=' if self.peek(1) == b'>' => {
                self.has_arrow = true;
                self.advance(2, Before::Other)
            }
            b'-' if self.peek(1).is_ascii_digit() => self.advance(1, Before::Other),
            b'<' => self.heredoc(),
            _ => None,
        }
    }

    #[expect(
        clippy::unnecessary_wraps,
        reason = "every way to move past a token answers alike"
    )]
    fn advance(&mut self, length: usize, before: Before) -> Option<()> {
        self.at += length;
        self.before = before;
        Some(())
    }

    fn bracket(&mut self, closed_by: u8) -> Option<()> {
        self.open(self.at, closed_by);
        self.advance(1, Before::Opening)
    }

    fn open(&mut self, at: usize, closed_by: u8) {
        self.open.push(closed_by);
        if self.open.len() > self.deepest && self.too_deep.is_none() {
            self.too_deep = Some(at);
        }
    }

    /// None if something else is to be closed first.
    fn close(&mut self, close: u8) -> Option<()> {
        (self.open.pop() == Some(close)).then_some(())
    }

    fn line_end(&mut self) -> Option<()> {
        self.advance(1, Before::Other)?;
        match self.heredoc.take() {
            Some(heredoc) => self.heredoc_text(heredoc),
            None => Some(()),
        }
    }

    /// A backslash at the end of a line.
    fn continuation(&mut self) -> Option<()> {
        let length = match (self.peek(1), self.peek(2)) {
            (b'\n', _) => 2,
            (b'\r', b'\n') => 3,
            _ => return None,
        };
        match self.heredoc {
            Some(_) => None,
            None => self.advance(length, self.before),
        }
    }

    fn word(&mut self) -> Option<()> {
        let start = self.at;
        let word = self.take_while(is_word);
        if self.peek(0) == b':' && self.peek(1) != b':' {
            return self.advance(1, Before::Word);
        }
        let is = |known: &&str| known.as_bytes() == word;
        self.before = if STATEMENTS.iter().any(is) {
            Before::Word
        } else {
            Before::Other
        };
        match word {
            b"do" => self.open(start, b'e'),
            b"end" => self.close(b'e')?,
            _ if self.before == Before::Word || LITERALS.iter().any(is) => {}
            _ => return None,
        }
        Some(())
    }

    /// `1_000`, `0xff`, `1.5` or `1e-3`, and nothing glued to it.
    fn number(&mut self) -> Option<()> {
        let start = self.at;
        let is_hex = (self.peek(0), self.peek(1)) == (b'0', b'x');
        if is_hex {
            self.at += 2;
            self.take_while(|byte| byte.is_ascii_hexdigit() || byte == b'_');
        } else {
            self.digits();
        }
        if !is_hex && self.peek(0) == b'.' && self.peek(1).is_ascii_digit() {
            self.at += 1;
            self.digits();
        }
        if !is_hex && matches!(self.peek(0), b'e' | b'E') {
            let signed = usize::from(matches!(self.peek(1), b'-' | b'+'));
            self.at += 1 + signed;
            self.digits();
        }
        self.before = Before::Other;
        (self.at - start <= LONGEST_NUMBER && !is_word(self.peek(0))).then_some(())
    }

    fn digits(&mut self) {
        self.take_while(|byte| byte.is_ascii_digit() || byte == b'_');
    }

    /// The colon of a symbol, or after a text that is a key.
    fn colon(&mut self) -> Option<()> {
        let is_argument = self.before != Before::Other;
        self.advance(1, Before::Other)?;
        match self.peek(0) {
            b'a'..=b'z' | b'_' if is_argument => {
                self.take_while(is_word);
                Some(())
            }
            b' ' | b'\n' | b'\'' | b'"' => Some(()),
            _ => None,
        }
    }

    /// `'…'`.
    fn raw_text(&mut self) -> Option<()> {
        self.quoted(b'\'', |scan| {
            scan.at += 1;
            Some(())
        })
    }

    /// `"…"`.
    fn text(&mut self) -> Option<()> {
        self.quoted(b'"', Self::escape)
    }

    fn quoted(&mut self, quote: u8, escape: fn(&mut Self) -> Option<()>) -> Option<()> {
        self.at += 1;
        loop {
            match self.bytes.get(self.at) {
                None => return Some(()),
                Some(b'\\') => {
                    self.at += 1;
                    escape(self)?;
                }
                Some(byte) if *byte == quote => return self.advance(1, Before::Other),
                // the parser would go on reading this text after the heredoc
                Some(b'\n') if self.heredoc.is_some() => return None,
                Some(b'#') if quote == b'"' && self.interpolates() => return None,
                Some(_) => self.at += 1,
            }
        }
    }

    fn interpolates(&self) -> bool {
        matches!(self.peek(1), b'{' | b'$' | b'@')
    }

    /// What follows a backslash; only what surely ends before the next quote.
    fn escape(&mut self) -> Option<()> {
        let next = self.peek(0);
        self.at += 1;
        match next {
            b'u' if self.peek(0) == b'{' => {
                self.at += 1;
                self.take_while(|byte| byte.is_ascii_hexdigit() || byte == b' ');
                (self.peek(0) == b'}').then(|| self.at += 1)
            }
            b'u' => {
                let digits = self.bytes.get(self.at..self.at + 4)?;
                digits
                    .iter()
                    .all(u8::is_ascii_hexdigit)
                    .then(|| self.at += 4)
            }
            b'\n' if self.heredoc.is_some() => None,
            plain => b"\"'\\#/ \n0nrtseabfvx".contains(&plain).then_some(()),
        }
    }

    /// `<<~NAME`, `<<~'NAME'` or `<<~"NAME"` where it can be nothing else.
    fn heredoc(&mut self) -> Option<()> {
        let after_space = self.at > 0 && matches!(self.bytes[self.at - 1], b' ' | b'\t');
        let is_argument = match self.before {
            Before::Word => after_space,
            Before::Opening => true,
            Before::Other => false,
        };
        let is_only = self.heredoc.is_none() && !self.has_arrow;
        if !is_argument || !is_only || (self.peek(1), self.peek(2)) != (b'<', b'~') {
            return None;
        }
        self.at += 3;
        let quote = Some(self.peek(0)).filter(|byte| matches!(byte, b'\'' | b'"'));
        self.at += usize::from(quote.is_some());
        let terminator = self.take_while(|byte| byte.is_ascii_uppercase() || byte == b'_');
        if terminator.is_empty() || quote.is_some_and(|quote| quote != self.peek(0)) {
            return None;
        }
        self.at += usize::from(quote.is_some());
        let is_raw = quote == Some(b'\'');
        self.heredoc = Some(Heredoc { terminator, is_raw });
        // a longer name, or a quote right after it, is something else
        let ends = matches!(
            self.peek(0),
            b'\n' | b'\r' | b' ' | b',' | b')' | b']' | b'}'
        );
        self.before = Before::Other;
        ends.then_some(())
    }

    /// The lines up to the one that holds only the terminator. One that nearly does is not known
    /// for certain.
    fn heredoc_text(&mut self, heredoc: Heredoc<'_>) -> Option<()> {
        while self.at < self.bytes.len() {
            let line = self.take_while(|byte| byte != b'\n');
            let indented = line.strip_suffix(b"\r").unwrap_or(line);
            let first = indented
                .iter()
                .position(|byte| !matches!(byte, b' ' | b'\t'));
            if &indented[first.unwrap_or(indented.len())..] == heredoc.terminator {
                return Some(());
            }
            let is_near = trimmed(line) == heredoc.terminator;
            if is_near || !(heredoc.is_raw || is_plain_line(line)) {
                return None;
            }
            self.at += 1;
        }
        Some(())
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Without anything at its ends that may count as space somewhere.
fn trimmed(line: &[u8]) -> &[u8] {
    let ends = |line: &&[u8]| line.iter().position(u8::is_ascii_graphic);
    let start = ends(&line).unwrap_or(line.len());
    let end = line
        .iter()
        .rposition(u8::is_ascii_graphic)
        .map_or(start, |last| last + 1);
    &line[start..end]
}

/// Whether a line of a heredoc interpolates nothing and has no escape that could reach into the
/// next line.
fn is_plain_line(line: &[u8]) -> bool {
    let mut bytes = line.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        let next = bytes.peek().copied();
        match (byte, next) {
            (b'\\', Some(b'"' | b'\'' | b'\\' | b'#' | b'n' | b't' | b's')) => {
                bytes.next();
            }
            (b'#', Some(b'{' | b'$' | b'@')) | (b'\\', _) => return false,
            _ => {}
        }
    }
    true
}
