//! Rendezvous (highest random weight) hashing: every client orders the replicas of a key alike,
//! without talking to the others.
//!
//! Source: Thaler and Ravishankar, "A name-based mapping scheme for rendezvous", 1996.

use sha2::{Digest as _, Sha256};

/// The names in the order in which a key prefers them.
pub(super) fn by_preference<'a>(
    key: &[u8],
    names: impl Iterator<Item = &'a String>,
) -> Vec<String> {
    let mut ranked: Vec<(u64, &String)> = names.map(|name| (weight(key, name), name)).collect();
    // The name breaks ties, so that all clients agree even then.
    ranked.sort_unstable_by(|a, b| b.cmp(a));
    ranked.into_iter().map(|(_, name)| name.clone()).collect()
}

/// The same on every client and in every version: part of the contract.
fn weight(key: &[u8], name: &str) -> u64 {
    let hash: [u8; 32] = Sha256::new()
        .chain_update(key)
        .chain_update(name.as_bytes())
        .finalize()
        .into();
    let mut first = [0; 8];
    first.copy_from_slice(&hash[..8]);
    u64::from_be_bytes(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_spread_evenly_and_a_loss_moves_only_its_own() {
        let three: Vec<String> = ["http://a", "http://b", "http://c"]
            .map(String::from)
            .into();
        let two = &three[..2];
        let mut homes = [0; 3];
        for key in 0..3000_u32 {
            let ranked = by_preference(&key.to_be_bytes(), three.iter());
            let home = three.iter().position(|name| *name == ranked[0]).unwrap();
            homes[home] += 1;
            let without = by_preference(&key.to_be_bytes(), two.iter());
            let expected = ranked.iter().find(|name| two.contains(name)).unwrap();
            assert_eq!(&without[0], expected);
        }
        assert!(
            homes.iter().all(|count| (850..1150).contains(count)),
            "{homes:?}"
        );
    }

    #[test]
    fn the_order_is_part_of_the_contract() {
        let names: Vec<String> = [
            "http://10.0.0.1:50051",
            "http://10.0.0.2:50051",
            "http://10.0.0.3:50051",
        ]
        .map(String::from)
        .into();
        let order = by_preference(b"key", names.iter());
        assert_eq!(
            order,
            [
                "http://10.0.0.2:50051",
                "http://10.0.0.1:50051",
                "http://10.0.0.3:50051"
            ]
        );
        assert_eq!(by_preference(b"key", names.iter().rev()), order);
    }
}
