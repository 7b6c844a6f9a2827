//! Turns one sentence into tokens: words, numbers, clock times. Knows how things are written, not what they mean.

use super::super::text::closing_quote;

/// A piece of a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// Letters, lower-case.
    Word(String),
    /// A whole number, in digits or in words.
    Number(u32),
    /// A number and a half, such as `1.5`.
    AndHalf(u32),
    /// `1st`, `first`.
    Ordinal(u8),
    /// `9:30`, `5pm`.
    Clock(Time),
    /// Words joined by a slash, as written: perhaps a time zone.
    Slashed(String),
    /// Anything that ends a clause: comma, semicolon, colon, parenthesis.
    Comma,
    /// A hyphen or dash.
    Dash,
    /// Something else: a quote, a path, an address, a symbol.
    Other,
}

/// A time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Time {
    /// 0 to 23.
    pub(super) hour: u8,
    /// 0 to 59.
    pub(super) minute: u8,
    pub(super) said: Said,
}

/// How sure the hour is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Said {
    /// With am or pm, or as noon or midnight.
    Exactly,
    /// As `9:30`, read on the 24-hour clock.
    OnTheClock,
    /// As a bare `9`.
    HourOnly,
}

impl Time {
    pub(super) fn exactly(hour: u8, minute: u8) -> Self {
        Self {
            hour,
            minute,
            said: Said::Exactly,
        }
    }

    /// The same in the other half of the day: 12 is midnight with am.
    fn with_meridiem(self, meridiem: &str) -> Option<Self> {
        let is_twelve_hour = (1..=12).contains(&self.hour);
        is_twelve_hour.then(|| {
            Self::exactly(
                self.hour % 12 + if meridiem == "pm" { 12 } else { 0 },
                self.minute,
            )
        })
    }
}

/// Whether `word` is one of `words`, which spaces separate.
pub(super) fn is_one_of(word: &str, words: &str) -> bool {
    words.split_ascii_whitespace().any(|one| one == word)
}

/// The tokens of `sentence`.
pub(super) fn tokens(sentence: &str) -> Vec<Token> {
    let mut lexer = Lexer {
        rest: sentence,
        tokens: Vec::new(),
    };
    while !lexer.rest.is_empty() {
        lexer.next();
    }
    with_meridiems(lexer.tokens)
}

struct Lexer<'a> {
    rest: &'a str,
    tokens: Vec<Token>,
}

impl<'a> Lexer<'a> {
    fn next(&mut self) {
        let trimmed = self.rest.trim_start();
        let starts_chunk = trimmed.len() < self.rest.len() || self.tokens.is_empty();
        self.rest = trimmed;
        let Some(first) = trimmed.chars().next() else {
            return;
        };
        if starts_chunk && self.chunk() {
            return;
        }
        if first.is_ascii_digit() {
            self.number();
        } else if first.is_alphabetic() {
            self.word();
        } else {
            self.symbol(first);
        }
    }

    fn take(&mut self, bytes: usize, token: Token) {
        self.rest = &self.rest[bytes..];
        self.tokens.push(token);
    }

    /// What is one thing up to the next space: addresses, paths, dates, time zones, `a.m.`
    fn chunk(&mut self) -> bool {
        let whole = self
            .rest
            .split(char::is_whitespace)
            .next()
            .unwrap_or_default();
        let opened = whole.trim_start_matches(['(', '[']);
        let chunk = opened.trim_end_matches([',', '.', ';', ':', '!', '?', ')', ']']);
        let end = whole.len() - opened.len() + chunk.len();
        let token = match chunk.to_lowercase().as_str() {
            "a.m" => Token::Word("am".to_owned()),
            "p.m" => Token::Word("pm".to_owned()),
            _ if is_address(chunk) || is_date(chunk) => Token::Other,
            _ if chunk.contains('/') => return self.slashed(chunk, end),
            _ => return false,
        };
        self.take(end, token);
        true
    }

    fn slashed(&mut self, chunk: &'a str, end: usize) -> bool {
        let parts: Vec<&str> = chunk.split('/').collect();
        if parts
            .iter()
            .all(|part| !part.is_empty() && part.chars().all(char::is_alphabetic))
            && parts[0].len() <= 3
        {
            // `Mon/Wed/Fri`: a list
            for part in parts {
                self.tokens.push(Token::Word(part.to_lowercase()));
                self.tokens.push(Token::Comma);
            }
            self.tokens.pop();
            self.rest = &self.rest[end..];
            return true;
        }
        let is_named = chunk.starts_with(|c: char| c.is_ascii_uppercase());
        self.take(
            end,
            if is_named {
                Token::Slashed(chunk.to_owned())
            } else {
                Token::Other
            },
        );
        true
    }

    fn word(&mut self) {
        let is_joined = |c: char| c.is_alphabetic() || c == '-';
        let joined = prefix(self.rest, is_joined);
        if let Some(number) = number_word(&joined.to_lowercase()) {
            return self.take(joined.len(), Token::Number(number));
        }
        let letters = prefix(self.rest, |c| c.is_alphabetic() || matches!(c, '\'' | '’'));
        let word = letters.to_lowercase().replace('’', "'");
        let token = ordinal_word(&word).map_or(Token::Word(word), Token::Ordinal);
        self.take(letters.len(), token);
    }

    fn number(&mut self) {
        let digits = prefix(self.rest, |c| c.is_ascii_digit());
        let after = &self.rest[digits.len()..];
        if let Some((length, time)) = self.loose_clock(digits, after) {
            return self.take(length, Token::Clock(time));
        }
        let Some(number) = digits.parse::<u32>().ok().filter(|_| digits.len() <= 9) else {
            return self.take(digits.len(), Token::Other);
        };
        if let Some(clock) = clock(number, after) {
            return self.take(digits.len() + 3, clock);
        }
        if let Some(fraction) = after
            .strip_prefix('.')
            .map(|rest| prefix(rest, |c| c.is_ascii_digit()))
            .filter(|f| !f.is_empty())
        {
            let token = if fraction == "5" {
                Token::AndHalf(number)
            } else {
                Token::Other
            };
            return self.take(digits.len() + 1 + fraction.len(), token);
        }
        let suffix = prefix(after, char::is_alphabetic).to_lowercase();
        if let ("st" | "nd" | "rd" | "th", Ok(number)) = (suffix.as_str(), u8::try_from(number)) {
            return self.take(digits.len() + 2, Token::Ordinal(number));
        }
        if after.starts_with(['%', '/']) {
            return self.take(digits.len() + 1, Token::Other);
        }
        self.take(digits.len(), Token::Number(number));
    }

    /// `8.30am`, and after "at" also `8.30` and `0830`.
    fn loose_clock(&self, digits: &str, after: &str) -> Option<(usize, Time)> {
        let is_after_at = self.tokens.last() == Some(&Token::Word("at".to_owned()));
        let dotted = after
            .strip_prefix('.')
            .map(|rest| (prefix(rest, |c| c.is_ascii_digit()), rest));
        let (hour, minute, length) = match dotted {
            Some((minute, rest)) => {
                let follower = rest[minute.len()..].trim_start();
                let has_meridiem = ["am", "pm", "a.m", "p.m", "AM", "PM"]
                    .into_iter()
                    .any(|meridiem| follower.starts_with(meridiem));
                (
                    digits,
                    minute,
                    (is_after_at || has_meridiem).then_some(digits.len() + 3)?,
                )
            }
            None if is_after_at && digits.len() == 4 => (&digits[..2], &digits[2..], 4),
            None => return None,
        };
        let hour = hour.parse().ok().filter(|hour| *hour < 24)?;
        let minute_number = minute
            .parse()
            .ok()
            .filter(|number| minute.len() == 2 && *number < 60)?;
        Some((
            length,
            Time {
                hour,
                minute: minute_number,
                said: Said::OnTheClock,
            },
        ))
    }

    fn symbol(&mut self, first: char) {
        let length = first.len_utf8();
        let quoted = closing_quote(first)
            .and_then(|close| Some(self.rest[length..].find(close)? + close.len_utf8()));
        match (first, quoted) {
            (_, Some(quoted)) => self.take(length + quoted, Token::Other),
            (',' | ';' | ':' | '(' | ')' | '[' | ']' | '—' | '…', _) => {
                self.take(length, Token::Comma);
            }
            ('-' | '–' | '−', _) => self.take(length, Token::Dash),
            ('&', _) => self.take(length, Token::Word("and".to_owned())),
            ('@', _) => self.take(length, Token::Word("at".to_owned())),
            ('.' | '!' | '?' | '*' | '_' | '\'', _) => self.rest = &self.rest[length..],
            _ => self.take(length, Token::Other),
        }
    }
}

fn prefix(text: &str, belongs: impl Fn(char) -> bool) -> &str {
    &text[..text.find(|c| !belongs(c)).unwrap_or(text.len())]
}

fn is_address(chunk: &str) -> bool {
    let is_mail = chunk
        .find('@')
        .is_some_and(|at| at > 0 && at + 1 < chunk.len());
    chunk.contains("://")
        || is_mail
        || chunk.starts_with('/')
        || chunk.starts_with("./")
        || chunk.starts_with("~/")
}

/// `2026-01-31`, `31/01/2026`, `24/7`.
fn is_date(chunk: &str) -> bool {
    let starts_with_year = chunk.len() >= 7
        && chunk.as_bytes()[4..].starts_with(b"-")
        && chunk.bytes().take(4).all(|b| b.is_ascii_digit());
    let only_digits = chunk
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'/');
    starts_with_year || (only_digits && chunk.contains('/'))
}

fn clock(hour: u32, after: &str) -> Option<Token> {
    let minutes = prefix(after.strip_prefix(':')?, |c| c.is_ascii_digit());
    let minute = minutes
        .parse::<u8>()
        .ok()
        .filter(|minute| minutes.len() == 2 && *minute < 60)?;
    let hour = u8::try_from(hour).ok().filter(|hour| *hour < 24)?;
    Some(Token::Clock(Time {
        hour,
        minute,
        said: Said::OnTheClock,
    }))
}

/// Joins a time and the am or pm after it.
fn with_meridiems(tokens: Vec<Token>) -> Vec<Token> {
    let mut joined: Vec<Token> = Vec::with_capacity(tokens.len());
    for token in tokens {
        let meridiem = match &token {
            Token::Word(word) if matches!(word.as_str(), "am" | "pm") => Some(word.as_str()),
            _ => None,
        };
        let time = meridiem.and_then(|meridiem| bare_time(joined.last()?)?.with_meridiem(meridiem));
        if let Some(time) = time {
            joined.pop();
            joined.push(Token::Clock(time));
        } else {
            joined.push(token);
        }
    }
    joined
}

/// The time that a number or clock says without am or pm.
pub(super) fn bare_time(token: &Token) -> Option<Time> {
    match token {
        Token::Clock(time) if time.said == Said::OnTheClock => Some(*time),
        Token::Number(hour) => {
            let hour = u8::try_from(*hour).ok().filter(|hour| *hour < 24)?;
            Some(Time {
                hour,
                minute: 0,
                said: Said::HourOnly,
            })
        }
        _ => None,
    }
}

/// One to ninety-nine.
fn number_word(word: &str) -> Option<u32> {
    const SMALL: [&str; 20] = [
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
        "thirteen",
        "fourteen",
        "fifteen",
        "sixteen",
        "seventeen",
        "eighteen",
        "nineteen",
        "twenty",
    ];
    const TENS: [&str; 8] = [
        "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety",
    ];
    let find = |words: &[&str], word: &str| {
        words
            .iter()
            .position(|known| *known == word)
            .and_then(|at| u32::try_from(at).ok())
    };
    if let Some(at) = find(&SMALL, word) {
        return Some(at + 1);
    }
    let (tens, ones) = word.split_once('-').unwrap_or((word, ""));
    let tens = find(&TENS, tens)? * 10 + 20;
    if ones.is_empty() {
        Some(tens)
    } else {
        find(&SMALL[..9], ones).map(|at| tens + at + 1)
    }
}

/// `first` to `tenth`. Not `second`, which is also a unit: who expects an ordinal asks for it.
fn ordinal_word(word: &str) -> Option<u8> {
    match word {
        "first" => Some(1),
        "third" => Some(3),
        "fourth" => Some(4),
        "fifth" => Some(5),
        "sixth" => Some(6),
        "seventh" => Some(7),
        "eighth" => Some(8),
        "ninth" => Some(9),
        "tenth" => Some(10),
        "fifteenth" => Some(15),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(sentence: &str) -> String {
        let shown = tokens(sentence).into_iter().map(|token| match token {
            Token::Word(word) => word,
            Token::Number(number) => format!("#{number}"),
            Token::AndHalf(number) => format!("#{number}½"),
            Token::Ordinal(number) => format!("{number}."),
            Token::Clock(time) => format!(
                "{}:{:02}{}",
                time.hour,
                time.minute,
                if time.said == Said::Exactly { "!" } else { "" }
            ),
            Token::Slashed(text) => format!("/{text}"),
            Token::Comma => ",".to_owned(),
            Token::Dash => "-".to_owned(),
            Token::Other => "~".to_owned(),
        });
        shown.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn reads_what_people_write() {
        for (sentence, expected) in [
            ("Every 5 minutes, check!", "every #5 minutes , check"),
            ("every 5m or 1h30m", "every #5 m or #1 h #30 m"),
            ("twenty-five and ninety", "#25 and #90"),
            (
                "5pm 5 p.m. 12am 12:30 pm 09:05",
                "17:00! 17:00! 0:00! 12:30! 9:05",
            ),
            (
                "at 25:00 or 9:75 or 13 pm",
                "at #25 , #0 or #9 , #75 or #13 pm",
            ),
            (
                "the 1st, the 22nd and the third",
                "the 1. , the 22. and the 3.",
            ),
            (
                "Mon/Wed/Fri (Europe/Berlin)",
                "mon , wed , fri /Europe/Berlin ,",
            ),
            (
                "in Europe/Berlin, America/Argentina/Buenos_Aires",
                "in /Europe/Berlin , /America/Argentina/Buenos_Aires",
            ),
            (
                "watch /var/log/5m and me@example.com at https://x.y/z",
                "watch ~ and ~ at ~",
            ),
            ("24/7 on 2026-01-31 or 31/01/2026", "~ on ~ or ~"),
            (
                "say \"every day\" or `every hour` or “every week”",
                "say ~ or ~ or ~",
            ),
            (
                "half-hourly 1.5 hours 2.25 80% don’t",
                "half - hourly #1½ hours ~ ~ don't",
            ),
            ("99999999999 1000000000000000000000st", "~ ~ st"),
            ("@9am Mon-Fri & Sun", "at 9:00! mon - fri and sun"),
            (
                "8.30am, at 8.30, at 0830, or 8.30 and 0830",
                "8:30! , at 8:30 , at 8:30 , or ~ and #830",
            ),
        ] {
            assert_eq!(shown(sentence), expected, "{sentence}");
        }
    }
}
