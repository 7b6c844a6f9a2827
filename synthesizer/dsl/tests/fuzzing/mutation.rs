//! Makes new inputs of known ones: the same for the same seed, on every machine. A small stand-in for a fuzzer, guided by
//! nothing but its dictionary.

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

/// `count` inputs made of `seeds` and `words`.
pub(crate) fn mutations<'a>(
    seeds: &'a [Vec<u8>],
    words: &'a [&'a str],
    seed: u64,
    count: usize,
) -> impl Iterator<Item = Vec<u8>> + 'a {
    let mut random = Random(seed);
    std::iter::repeat_with(move || {
        let mut input = random.pick(seeds).clone();
        for _ in 0..=random.below(MOST_CHANGES) {
            change(&mut input, seeds, words, &mut random);
        }
        input
    })
    .take(count)
}

fn change(input: &mut Vec<u8>, seeds: &[Vec<u8>], words: &[&str], random: &mut Random) {
    let at = random.range(input.len());
    match random.below(6) {
        0 => drop(input.drain(at)),
        1 => drop(input.splice(at.start..at.start, random.pick(words).bytes())),
        2 => drop(input.splice(at, random.pick(words).bytes())),
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
