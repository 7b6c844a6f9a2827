//! What the demo prints: one place, so that it looks like one voice.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the front end of a command-line program"
)]

/// A thing that begins now.
pub(crate) fn step(text: &str) {
    println!("▸ {text}");
}

/// Something worth knowing.
pub(crate) fn note(text: &str) {
    println!("  {text}");
}

/// A part of the show.
pub(crate) fn headline(text: &str) {
    println!(
        "\n━━ {text} {}",
        "━".repeat(76_usize.saturating_sub(text.chars().count()))
    );
}

/// Text as it is, indented.
pub(crate) fn block(text: &str) {
    for line in text.lines() {
        println!("    {line}");
    }
}

/// A thing that went wrong.
pub(crate) fn warn(text: &str) {
    eprintln!("✗ {text}");
}
