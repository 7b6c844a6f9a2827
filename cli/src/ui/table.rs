//! Tables as kubectl prints them: columns as wide as their widest cell, two or more spaces between.
//! A datum that is missing is a dash, never a zero.

use super::tone::Tone;

/// What stands where nothing is known.
pub(crate) const MISSING: &str = "-";

/// One cell. Its text came from outside: control characters are taken out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cell {
    text: String,
    tone: Tone,
    is_number: bool,
}

impl Cell {
    pub(crate) fn new(text: impl AsRef<str>) -> Self {
        Self {
            text: langop_dsl::clean(text.as_ref()).replace(['\n', '\t'], " "),
            ..Self::default()
        }
    }

    /// What is known, else a dash.
    pub(crate) fn known(text: Option<impl AsRef<str>>) -> Self {
        match text {
            Some(text) if !text.as_ref().is_empty() => Self::new(text),
            _ => Self::new(MISSING).toned(Tone::Faint),
        }
    }

    /// A number that is known, else a dash; to the right.
    pub(crate) fn number(number: Option<impl std::fmt::Display>) -> Self {
        Self {
            is_number: true,
            ..Self::known(number.map(|number| number.to_string()))
        }
    }

    pub(crate) fn toned(self, tone: Tone) -> Self {
        Self { tone, ..self }
    }
}

/// A table in the making.
#[derive(Debug)]
pub(crate) struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    pub(crate) fn new(head: &[&'static str]) -> Self {
        Self {
            head: head.to_vec(),
            rows: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, row: Vec<Cell>) {
        self.rows.push(row);
    }

    /// The lines; a head alone is no table.
    pub(crate) fn render(&self) -> String {
        self.render_below(&mut Vec::new())
    }

    /// The lines below others of the same columns, whose widths are `widths`: the head comes where
    /// there are none, and a column becomes as wide as it must and stays so.
    pub(crate) fn render_below(&self, widths: &mut Vec<usize>) -> String {
        if self.rows.is_empty() {
            return String::new();
        }
        let head = widths.is_empty().then(|| self.head());
        let lines: Vec<&Vec<Cell>> = head.iter().chain(&self.rows).collect();
        widths.resize(self.head.len(), 0);
        for (at, width) in widths.iter_mut().enumerate() {
            let cells = lines.iter().filter_map(|row| row.get(at));
            let widest = cells.map(|cell| cell.text.chars().count()).max();
            *width = widest.unwrap_or(0).max(*width);
        }
        lines.into_iter().map(|row| line(row, widths)).collect()
    }

    fn head(&self) -> Vec<Cell> {
        let titles = self.head.iter().enumerate();
        let cells = titles.map(|(at, title)| Cell {
            is_number: self.rows.iter().any(|row| row[at].is_number),
            ..Cell::new(title)
        });
        cells.collect()
    }
}

fn line(row: &[Cell], widths: &[usize]) -> String {
    let last = row.len().saturating_sub(1);
    let mut line = String::new();
    for (at, (cell, width)) in row.iter().zip(widths).enumerate() {
        let room = " ".repeat(width.saturating_sub(cell.text.chars().count()));
        let text = cell.tone.paint(&cell.text);
        if cell.is_number {
            line += &room;
            line += &text;
        } else {
            line += &text;
            if at < last {
                line += &room;
            }
        }
        if at < last {
            line += "   ";
        }
    }
    line.push('\n');
    line
}

/// The text, cut at `most` characters.
pub(crate) fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(most.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_fit_and_what_is_missing_is_a_dash() {
        let mut table = Table::new(&["NAME", "TOKENS", "LAST"]);
        table.push(vec![
            Cell::new("a"),
            Cell::number(Some(1200)),
            Cell::new("ok"),
        ]);
        table.push(vec![
            Cell::new("longer\u{1b}[2J"),
            Cell::number(None::<i64>),
            Cell::known(Some("")),
        ]);
        let text = anstream::adapter::strip_str(&table.render()).to_string();
        assert_eq!(
            text,
            "NAME         TOKENS   LAST\n\
             a              1200   ok\n\
             longer [2J        -   -\n"
        );
    }

    #[test]
    fn lines_below_others_keep_their_columns_and_have_no_second_head() {
        let mut widths = Vec::new();
        let mut lines = |name: &str| {
            let mut table = Table::new(&["NAME", "PHASE"]);
            table.push(vec![Cell::new(name), Cell::new("Running")]);
            table.render_below(&mut widths)
        };
        assert_eq!(lines("daily"), "NAME    PHASE\ndaily   Running\n");
        assert_eq!(lines("a"), "a       Running\n");
        assert_eq!(lines("longer"), "longer   Running\n");
        assert_eq!(lines("a"), "a        Running\n");
    }

    #[test]
    fn a_head_alone_is_nothing() {
        assert_eq!(Table::new(&["NAME"]).render(), "");
    }
}
