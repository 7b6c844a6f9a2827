//! Tries an oracle on a committed corpus and on a fixed number of changed inputs: the same on every
//! machine. A small stand-in for a fuzzer, guided by nothing but its dictionary.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;

/// Any number; another one tries other inputs.
const SEED: u64 = 20_261_124;

/// Rounds of changes for one input.
const MOST_CHANGES: usize = 4;

/// xorshift64*.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(number).unwrap_or(0) % bound.max(1)
    }

    fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    /// A part of something so long, short ones more often than long ones.
    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length + 1);
        let most = self.below(length + 1 - start);
        start..start + self.below(most + 1)
    }
}

/// Calls `oracle` with each input of `folder`'s corpus of that name and with `count` more, changed
/// with words of `dictionary`.
pub(crate) fn holds(
    folder: &Path,
    corpus: &str,
    dictionary: &str,
    count: usize,
    oracle: impl Fn(&[u8]),
) {
    let seeds = inputs(&folder.join("corpus").join(corpus));
    let words = words(&folder.join("words").join(dictionary));
    for input in seeds.iter().cloned().chain(changed(&seeds, &words, count)) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| oracle(&input))) {
            eprintln!("{corpus} fails for {:?}", String::from_utf8_lossy(&input));
            resume_unwind(panic);
        }
    }
}

fn inputs(folder: &Path) -> Vec<Vec<u8>> {
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 5, "{} holds too little", folder.display());
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

/// The words of a dictionary of libFuzzer: one a line in double quotes, with `\\`, `\"` and `\xAB`.
fn words(file: &Path) -> Vec<Vec<u8>> {
    let text =
        fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let quoted = text
        .lines()
        .filter_map(|line| line.strip_prefix('"')?.strip_suffix('"'));
    let words: Vec<_> = quoted.map(word).collect();
    assert!(words.len() >= 5, "{} holds too little", file.display());
    words
}

fn word(quoted: &str) -> Vec<u8> {
    let mut word = Vec::new();
    let mut rest = quoted.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let byte;
        (byte, rest) = match (first, after) {
            (b'\\', [b'x', hex @ ..]) => {
                let digits = std::str::from_utf8(&hex[..2]).unwrap();
                (u8::from_str_radix(digits, 16).unwrap(), &hex[2..])
            }
            (b'\\', [escaped, after @ ..]) => (*escaped, after),
            (plain, after) => (*plain, after),
        };
        word.push(byte);
    }
    word
}

/// `count` inputs made of `seeds` and `words`.
fn changed(seeds: &[Vec<u8>], words: &[Vec<u8>], count: usize) -> impl Iterator<Item = Vec<u8>> {
    let mut random = Random(SEED);
    std::iter::repeat_with(move || {
        let mut input = random.pick(seeds).clone();
        for _ in 0..=random.below(MOST_CHANGES) {
            change(&mut input, seeds, words, &mut random);
        }
        input
    })
    .take(count)
}

fn change(input: &mut Vec<u8>, seeds: &[Vec<u8>], words: &[Vec<u8>], random: &mut Random) {
    let at = random.range(input.len());
    match random.below(6) {
        0 => drop(input.drain(at)),
        1 => drop(input.splice(at.start..at.start, random.pick(words).iter().copied())),
        2 => drop(input.splice(at, random.pick(words).iter().copied())),
        3 => {
            let other = random.pick(seeds);
            let part = random.range(other.len());
            input.splice(at, other[part].iter().copied());
        }
        4 => {
            let part = input[at.clone()].repeat(1 + random.below(8));
            input.splice(at, part);
        }
        _ => {
            if let Some(byte) = input.get_mut(at.start) {
                *byte = u8::try_from(random.below(256)).unwrap_or(0);
            }
        }
    }
}
