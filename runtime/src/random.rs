//! Randomness: identities and jitter. Seeded by the system through the standard library's hasher;
//! nothing here guards a secret that is worth more than a run.

use std::{
    hash::{BuildHasher as _, RandomState},
    time::Duration,
};

/// 128 bits in hex.
pub fn identity() -> String {
    format!("{:016x}{:016x}", word(), word())
}

/// 48 bits in hex, short enough for a tag in a prompt.
pub fn fence() -> String {
    format!("{:012x}", word() >> 16)
}

/// Between half of `pause` and all of it.
pub fn jittered(pause: Duration) -> Duration {
    let share = u32::try_from(word() % 512).unwrap_or_default();
    pause / 2 + pause / 1024 * share
}

fn word() -> u64 {
    RandomState::new().hash_one(0_u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_differ_and_jitter_is_bounded() {
        let some: std::collections::BTreeSet<_> = (0..100).map(|_| identity()).collect();
        assert_eq!(some.len(), 100);
        assert!(some.iter().all(|identity| identity.len() == 32));
        let pause = Duration::from_secs(4);
        for _ in 0..100 {
            let pause = jittered(pause);
            assert!((2_000..=4_000).contains(&pause.as_millis()), "{pause:?}");
        }
    }
}
