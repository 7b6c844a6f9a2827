//! What waits, for people.

use langop_dsl::clean;

use super::waiting::Waiting;
use crate::ui::tone::Tone;

/// What would change.
pub(crate) fn preview(agent: &str, waiting: &Waiting) -> String {
    let revision = waiting.revision.map_or_else(
        || "new code".to_owned(),
        |number| format!("revision {number}"),
    );
    let mut text = format!("{revision} of agent '{agent}' waits for approval\n");
    let rejected = waiting.rejected_by.as_deref();
    text += &rejected.map_or_else(String::new, |by| format!("rejected by '{}'\n", clean(by)));
    text.push('\n');
    let more = waiting.more.iter().map(|line| ('+', Tone::Bad, line));
    let less = waiting.less.iter().map(|line| ('-', Tone::Good, line));
    for (sign, tone, line) in more.chain(less) {
        text += &tone.paint(&format!("  {sign} {}", clean(line)));
        text.push('\n');
    }
    if waiting.more.is_empty() {
        text += "  it may do no more than now\n";
    }
    text + &format!(
        "\n`kubectl langop code {agent}{}` shows the code\n",
        of(waiting)
    )
}

fn of(waiting: &Waiting) -> String {
    waiting
        .revision
        .map_or_else(String::new, |number| format!(" --revision {number}"))
}
