//! What sentences say about when to run: puts those of their atoms together that belong together.
//! Where that is not clear it says so: no schedule is better than a wrong one.

use std::mem;

use super::grammar::{Atom, Says};
use super::spec::Spec;
use super::timing::{CONFLICT, EXCEPTION, INEXPRESSIBLE, Timing, Unclear, WHICH_TIME, agreed};

/// The schedule that the atoms of sentences say, without its time zone.
pub(super) fn read(sentences: &[Vec<Atom>]) -> Timing {
    let mut said = Said::default();
    for atoms in sentences {
        said.add(atoms)?;
    }
    let is_recurring = said.recurring.without(&["not"]) != Says::default();
    let when = if is_recurring {
        Some(Spec::read(&said.recurring)?)
    } else {
        agreed(said.hints.iter_mut().map(|hint| {
            hint.extend(&said.recurring);
            Spec::read(hint)
        }))?
    };
    match when {
        Some(spec) if spec.lacks_a_time() && said.has_stray_time => Err(WHICH_TIME),
        when => when.map(Spec::schedule).transpose(),
    }
}

#[derive(Default)]
struct Said {
    /// When to run.
    recurring: Says,
    /// Probably when, unless a sentence says otherwise.
    hints: Vec<Says>,
    /// A time that may or may not be when to run.
    has_stray_time: bool,
}

impl Said {
    /// Adds what one sentence says.
    fn add(&mut self, atoms: &[Atom]) -> Result<(), Unclear> {
        let of = |kinds: &'static str| atoms.iter().filter(move |atom| kinds.contains(atom.kind));
        let has_time = |kinds| of(kinds).any(|atom| atom.says.has("at"));
        let is_stray = of("S").next().is_some() || has_time("B");
        self.has_stray_time |= is_stray;
        let is_leading = of("RX").next().is_none();
        let (recurring, refining) = if is_leading { ("F", "L") } else { ("RX", "FL") };
        if of(recurring).next().is_none() {
            let unclear = of("L").find(|atom| atom.says.has("why"));
            let hints = of("H").map(|hint| unclear.unwrap_or(hint));
            self.hints.extend(hints.map(|hint| hint.says.clone()));
            self.has_stray_time |= has_time("L");
            return Ok(());
        }
        let mut says = Says::default();
        let mut is_new_thought = false;
        for atom in atoms {
            is_new_thought |= atom.kind == 'T';
            if recurring.contains(atom.kind) {
                add(&mut says, &atom.says, mem::take(&mut is_new_thought))?;
            }
        }
        for atom in of(refining) {
            refine(&mut says, &atom.says)?;
        }
        if is_stray && (says.has("every") || says.all("at").any(|times| times.contains('u'))) {
            return Err(WHICH_TIME);
        }
        add(&mut self.recurring, &says, true)
    }
}

/// Adds what stands elsewhere in a sentence, if it can only mean this.
fn refine(says: &mut Says, more: &Says) -> Result<(), Unclear> {
    let is_per = |units: &[char]| says.all("per").any(|per| per.starts_with(units));
    let is_meant = more.has("at")
        || more.has("why")
        || (more.has("hours") && says.has("every"))
        || (more.has("days") && is_per(&['w']))
        || (more.has("dates") && is_per(&['a', 'y']));
    if says.without(&["not"]) == Says::default() {
        return Err(EXCEPTION);
    }
    says.extend(more);
    is_meant.then_some(()).ok_or(INEXPRESSIBLE)
}

/// Adds what recurs, too; a new thought may not change on which days or how often.
fn add(says: &mut Says, more: &Says, is_new_thought: bool) -> Result<(), Unclear> {
    let [mine, its] = [&*says, more].map(|says| says.without(&["at", "not", "why"]));
    let is_one = mine == its || [&mine, &its].contains(&&Says::default());
    if is_new_thought && !is_one {
        return Err(CONFLICT);
    }
    says.extend(more);
    Ok(())
}
