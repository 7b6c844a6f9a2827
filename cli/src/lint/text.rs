//! Remarks for people.

use std::fmt::Write as _;

use langop_dsl::clean;

use super::{
    document::{Remark, Severity},
    judge::Judged,
};
use crate::ui::tone::Tone;

/// The text, with a summary.
pub(crate) fn render(judged: &[Judged]) -> String {
    let mut text = String::new();
    for one in judged {
        let Judged {
            file, kind, name, ..
        } = one;
        let _ = writeln!(text, "{}: {} {}", clean(file), clean(kind), clean(name));
        for remark in &one.remarks {
            text += &line(remark);
        }
        if one.remarks.is_empty() {
            let _ = writeln!(text, "  {}", Tone::Good.paint("ok"));
        }
    }
    let count = |severity| {
        let remarks = judged.iter().flat_map(|one| &one.remarks);
        remarks.filter(|remark| remark.severity == severity).count()
    };
    let _ = writeln!(
        text,
        "\n{}: {}, {}",
        several(judged.len(), "object"),
        several(count(Severity::Error), "error"),
        several(count(Severity::Warning), "warning")
    );
    text
}

fn line(remark: &Remark) -> String {
    let (word, tone) = match remark.severity {
        Severity::Error => ("error", Tone::Bad),
        Severity::Warning => ("warning", Tone::Waiting),
        Severity::Note => ("note", Tone::Faint),
    };
    let path = match remark.path.as_str() {
        "" => String::new(),
        path => format!("{path}: "),
    };
    format!(
        "  {} {}\n",
        tone.paint(word),
        clean(&format!("{path}{}", remark.message))
    )
}

fn several(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}
