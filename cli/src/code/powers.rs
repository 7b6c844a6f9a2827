//! What code may do, in words, and what one may do that another may not: by the same list that the
//! operator stores and compares. From the checked definition, never from the code.

use langop_desired::powers::{CodePowers, Powers, Widening};

use super::stored::Revision;

/// What it calls and asks, a line each; nothing where the definition cannot be read.
pub(crate) fn told(revision: &Revision) -> Vec<String> {
    let code = revision.definition.as_ref().map(CodePowers::from);
    code.map(|code| code.told()).unwrap_or_default()
}

/// What is less and what is more in the second one, in words; `None` where a definition cannot be
/// read.
pub(crate) fn changes(old: &Revision, new: &Revision) -> Option<(Vec<String>, Vec<String>)> {
    let (old, new) = (of(old)?, of(new)?);
    let less = old.wider_than(&new);
    let less = less.iter().map(Widening::undone);
    let more = new.wider_than(&old);
    let more = more.iter().map(ToString::to_string);
    Some((less.collect(), more.collect()))
}

fn of(revision: &Revision) -> Option<Powers> {
    let code = CodePowers::from(revision.definition.as_ref()?);
    Some(Powers::of_code(&code, &revision.offered))
}
