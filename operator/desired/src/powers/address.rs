//! Which words of a literal are addresses: mails, URLs, hosts, absolute paths, `#channel` and
//! `@name`. In doubt a word is one, because what is listed is only looked at once more.

use std::{collections::BTreeSet, net::IpAddr};

use langop_dsl::hash::sha256_hex;

/// Most bytes of an address that is kept as it is.
const MAX_KEPT: usize = 256;
/// Bytes of a longer one that stand before its hash.
const PREFIX: usize = 128;

/// The addresses in a text. Mails, URLs, paths, channels and names count wherever they stand; a
/// host, which many other words look like, only where it is all of the text.
pub(super) fn addresses(text: &str) -> BTreeSet<String> {
    let words = text
        .split(|c: char| c.is_whitespace() || ",;|<>()[]{}\"'`".contains(c))
        .map(|word| word.trim_end_matches(['.', ':', '!', '?']))
        .filter(|word| is_marked(word));
    let whole = Some(text.trim()).filter(|text| is_host(text));
    words.chain(whole).map(kept).collect()
}

/// Whether its characters say that it is an address.
fn is_marked(word: &str) -> bool {
    let names = |rest: &str| rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
    match word.chars().next() {
        // A slash alone is the root.
        Some('/') => true,
        Some('#' | '@') => names(&word[1..]),
        _ => {
            let mail = word.split_once('@');
            word.contains("://") || mail.is_some_and(|(_, host)| names(host))
        }
    }
}

/// A name with a dot whose last part is of letters, `localhost` or an IP address; with or without a
/// port and a path.
fn is_host(text: &str) -> bool {
    let authority = text.split(['/', '?']).next().unwrap_or_default();
    if text.parse::<IpAddr>().is_ok() {
        return true;
    }
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() => host,
        Some(_) => return false,
        None => authority,
    };
    let is_ip = host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    is_ip || host.eq_ignore_ascii_case("localhost") || is_dns_name(host.trim_end_matches('.'))
}

fn is_dns_name(host: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty()
            && part
                .chars()
                .all(|c| c.is_alphanumeric() || "-_".contains(c))
    };
    let top = host.rsplit_once('.').map_or("", |(_, top)| top);
    top.chars().count() >= 2 && top.chars().all(char::is_alphabetic) && host.split('.').all(is_part)
}

/// The text, or of a long one its beginning and its hash: another text is another address.
pub(super) fn kept(text: &str) -> String {
    if text.len() <= MAX_KEPT {
        return text.to_owned();
    }
    let start = &text[..text.floor_char_boundary(PREFIX)];
    format!("{start}… (sha256 {})", sha256_hex(text.as_bytes()))
}
