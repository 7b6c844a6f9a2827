//! What one sentence says about when to run: puts those of its atoms together that belong together.
//! Where that is not clear it says so: no schedule is better than a wrong one.

use super::grammar::Atom;
use super::meaning::meaning;
use super::spec::{CONFLICT, EXCEPTION, INEXPRESSIBLE, Spec, Unclear, WHICH_TIME};

/// Most atoms of a sentence: one with more is no instruction.
const MAX_ATOMS: usize = 32;
/// Where a clause begins.
const BEGINNINGS: [&str; 4] = [",", "-", "please", "then"];
/// After which a day or a time says when to run.
const RUN: [&str; 6] = ["execute", "run", "runs", "start", "trigger", "wake"];
/// Between two that recur: then they are two.
const THOUGHTS: [&str; 5] = ["also", "and", "but", "plus", "then"];

/// What one sentence says.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// When to run.
    pub(super) recurring: Option<Spec>,
    /// Probably when, unless another sentence says otherwise.
    pub(super) hint: Option<Spec>,
    /// It names a time that may or may not be when to run.
    pub(super) has_stray_time: bool,
}

/// Reads the atoms of one sentence.
pub(super) fn read(atoms: &[Atom]) -> Result<Reading, Unclear> {
    if atoms.len() > MAX_ATOMS {
        return Err(CONFLICT);
    }
    let of = |kind: char| atoms.iter().filter(move |atom| atom.kind == kind);
    let has_time = |atom: &Atom| atom.get("at").is_some();
    let has_stray_time = of('S').next().is_some() || of('B').any(has_time);
    let recurring = recurring(atoms);
    let is_except_only = recurring.iter().all(|atom| atom.kind == 'X');
    if recurring.is_empty() {
        let unclear = of('L').find(|atom| atom.get("why").is_some());
        return Ok(Reading {
            hint: of('H')
                .next()
                .map(|hint| meaning(unclear.unwrap_or(hint)))
                .transpose()?,
            has_stray_time: has_stray_time || of('L').any(has_time),
            recurring: None,
        });
    }
    let mut spec = together(atoms, &recurring)?;
    for atom in of('L').filter(|atom| !recurring.contains(atom)) {
        let more = meaning(atom)?;
        if is_except_only {
            return Err(EXCEPTION);
        }
        if !spec.is_refined_by(&more) {
            return Err(INEXPRESSIBLE);
        }
        spec = spec.and(more)?;
    }
    if has_stray_time && (spec.usual_times || spec.every.is_some()) {
        return Err(WHICH_TIME);
    }
    Ok(Reading {
        recurring: Some(spec),
        has_stray_time,
        hint: None,
    })
}

/// The atoms that say that something recurs: by themselves, else because a day or a time leads and
/// an agent has no other use for it, else because a day or time refines a hint ("a weekly report on
/// Friday").
fn recurring(atoms: &[Atom]) -> Vec<&Atom> {
    let all = |is: &dyn Fn(&Atom) -> bool| -> Vec<&Atom> {
        atoms.iter().filter(|atom| is(atom)).collect()
    };
    let by_themselves = all(&|atom| matches!(atom.kind, 'R' | 'X'));
    if !by_themselves.is_empty() {
        return by_themselves;
    }
    let leading = all(&|atom| {
        let times = atom.get("at").map_or(0, |times| times.matches('@').count());
        let says_when = times > 0 || atom.get("days").is_some();
        atom.kind == 'L' && says_when && (times > 1 || leads(&atom.before))
    });
    if !leading.is_empty() {
        return leading;
    }
    let has = |key| {
        atoms
            .iter()
            .any(|atom| atom.kind == 'L' && atom.get(key).is_some())
    };
    all(&|atom| {
        atom.kind == 'H'
            && match atom.get("per") {
                Some("daily") => has("at"),
                Some("weekly") => has("days"),
                _ => false,
            }
    })
}

fn leads(before: &[String]) -> bool {
    let is_run = |word: &String| RUN.contains(&word.as_str());
    match before {
        [.., run, it] if ["it", "off", "this", "up"].contains(&it.as_str()) => is_run(run),
        [.., last] => BEGINNINGS.contains(&last.as_str()) || is_run(last),
        [] => false,
    }
}

/// All that the recurring atoms say; two that differ and are two thoughts conflict.
fn together(atoms: &[Atom], recurring: &[&Atom]) -> Result<Spec, Unclear> {
    let mut spec: Option<Spec> = None;
    let mut is_new_thought = false;
    for atom in atoms {
        is_new_thought |= atom
            .before
            .iter()
            .any(|word| THOUGHTS.contains(&word.as_str()));
        if recurring.contains(&atom) {
            let both = spec.clone().unwrap_or_default().and(meaning(atom)?)?;
            if is_new_thought && spec.is_some_and(|spec| spec != both) {
                return Err(CONFLICT);
            }
            spec = Some(both);
            is_new_thought = false;
        }
    }
    Ok(spec.unwrap_or_default())
}
