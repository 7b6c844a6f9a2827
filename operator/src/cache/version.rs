//! Resource versions, as far as they can be compared. Pure.

/// Resource versions of one kind are numbers that grow (KEP-5504; etcd's revision before it).
/// Anything else is not compared.
pub(crate) fn parse_version(text: &str) -> Option<u64> {
    text.parse().ok()
}

/// Whether `incoming` is certainly older than `held`.
pub(crate) fn is_older(incoming: Option<u64>, held: Option<u64>) -> bool {
    matches!((incoming, held), (Some(incoming), Some(held)) if incoming < held)
}
