//! Values of Kubernetes quantities: `1024Mi` and `1Gi` are one amount.
//!
//! Source of the grammar and of the limits: apimachinery's `resource.Quantity` (at most 2^63-1 in
//! magnitude, at least one nano; what is finer is rounded up, away from zero).

use std::fmt;

/// An exact amount, in nano units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(i128);

/// A text that is no quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is not a quantity: write a number with an optional suffix, for example 500m, 2 or 1.5Gi"
)]
pub struct InvalidQuantity(pub String);

const NANO: i128 = 1_000_000_000;
/// The largest amount the API server keeps.
const MAX: i128 = i64::MAX as i128 * NANO;

/// The amount that a text means.
pub fn parse(text: &str) -> Result<Amount, InvalidQuantity> {
    amount(text).ok_or_else(|| InvalidQuantity(text.to_owned()))
}

impl fmt::Display for Amount {
    /// One text for each amount; not meant to be sent to the API server.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}n", self.0)
    }
}

fn amount(text: &str) -> Option<Amount> {
    let (negative, text) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let scaled = scale(whole, fraction, &multiplier(suffix)?);
    Some(Amount(if negative { -scaled } else { scaled }))
}

/// By how much a number is multiplied: `factor` · 10^`exponent`.
struct Multiplier {
    factor: i128,
    exponent: i32,
}

fn multiplier(suffix: &str) -> Option<Multiplier> {
    let binary = |power: u32| {
        Some(Multiplier {
            factor: 1_i128 << (10 * power),
            exponent: 0,
        })
    };
    let decimal = |exponent: i32| {
        Some(Multiplier {
            factor: 1,
            exponent,
        })
    };
    match suffix {
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "" => decimal(0),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        _ => decimal(
            suffix
                .strip_prefix(['e', 'E'])?
                .parse()
                .ok()
                .filter(|exponent: &i32| exponent.abs() <= 64)?,
        ),
    }
}

/// `whole.fraction` times the multiplier, in nano units, rounded up and bounded.
fn scale(whole: &str, fraction: &str, by: &Multiplier) -> i128 {
    // Eighteen digits after the point are beyond a nano even of 1Ei; the rest only decides the
    // rounding.
    let kept = fraction.len().min(18);
    let digits = whole.bytes().chain(fraction.bytes().take(kept));
    let number = digits
        .map(|digit| i128::from(digit - b'0'))
        .try_fold(0_i128, |sum, digit| sum.checked_mul(10)?.checked_add(digit));
    let rest = fraction.bytes().skip(kept).any(|digit| digit != b'0');
    let exponent = by.exponent + 9 - i32::try_from(kept).unwrap_or(18);
    let scaled = number
        .and_then(|number| number.checked_mul(by.factor))
        .and_then(|number| shift(number, exponent));
    scaled.map_or(MAX, |scaled| (scaled + i128::from(rest)).min(MAX))
}

/// `number` · 10^`exponent`, rounded up; `None` when too large.
fn shift(number: i128, exponent: i32) -> Option<i128> {
    let power = 10_i128.checked_pow(exponent.unsigned_abs());
    if exponent >= 0 {
        return if number == 0 {
            Some(0)
        } else {
            number.checked_mul(power?)
        };
    }
    let Some(power) = power else {
        return Some(i128::from(number > 0));
    };
    Some(number / power + i128::from(number % power > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_amount_has_many_texts() {
        for same in [
            &["1Gi", "1024Mi", "1073741824", "1048576Ki", "1.0Gi", "+1Gi"][..],
            &["1", "1000m", "1.", "1e0", "1000000u", "01"],
            &["0.5", "500m", ".5", "5e-1", "5E-1"],
            &["1.5Gi", "1536Mi"],
            &["0", "0m", "0Ei", "-0"],
            // Finer than a nano is rounded up; beyond 2^63-1 is cut.
            &["1n", "0.1n", "0.0000000001", "0.00000000000000000000000001"],
            &[
                "9223372036854775807",
                "10E",
                "8Ei",
                "1e30",
                "99999999999999999999999999999999",
            ],
            &["2E", "2e18", "2000P"],
        ] {
            for text in same {
                assert_eq!(parse(text), parse(same[0]), "{text} and {}", same[0]);
                assert!(parse(text).is_ok(), "{text}");
            }
        }
    }

    #[test]
    fn amounts_are_ordered() {
        let texts = [
            "-1", "0", "1n", "1m", "0.2", "1", "1k", "1Ki", "128Mi", "1G", "1Gi", "1Ei",
        ];
        let amounts: Vec<_> = texts.iter().map(|text| parse(text).unwrap()).collect();
        assert!(amounts.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "", ".", "1.2.3", "1Zi", "Gi", "1 Gi", "1e", "1e999", "--1", "0x10", "1K", "١",
        ] {
            assert_eq!(parse(text), Err(InvalidQuantity(text.into())), "{text}");
        }
    }
}
