//! Reads literals, and the references `result(…)` and `item`. Strings are plain text: nothing is
//! interpolated or computed.

use std::collections::BTreeMap;

use ruby_prism::{CallNode, Integer, Node, NodeList};

use super::call::{Part, Shape, is_plain, name_of};
use super::parsed::MAX_VALUE_DEPTH;
use super::{Reader, words};
use crate::definition::{ITEM_KEY, RESULT_KEY, Value};
use crate::diagnostic::DiagnosticCode;
use crate::source::Span;

const RESULT: Shape = Shape {
    usage: "`result('Name of a step')`",
    positional: Part::Needed,
    keywords: &[],
    block: Part::None,
};

const ITEM: Shape = Shape {
    usage: "`item` alone",
    positional: Part::None,
    keywords: &[],
    block: Part::None,
};

const LITERALS: &str =
    "write a string, number, `true`, `false`, `nil`, array, hash, `result('step')` or `item`";

/// A step that is named somewhere.
pub(super) struct Reference {
    pub(super) step: String,
    pub(super) span: Span,
}

/// What the values of a step stand for: results of other steps, and its item.
#[derive(Default)]
pub(super) struct Uses {
    pub(super) results: Vec<Reference>,
    /// Where `item` is written.
    pub(super) items: Vec<Span>,
}

impl Reader<'_> {
    /// A literal string that says something.
    pub(super) fn words(&mut self, node: &Node<'_>, what: &str) -> Option<String> {
        let text = self.text(node, what)?;
        if text.trim().is_empty() {
            let message = format!("{what} is empty");
            self.findings.error(
                node.location().into(),
                DiagnosticCode::Empty,
                message,
                "write some text, or remove it".to_owned(),
            );
            return None;
        }
        Some(text)
    }

    /// A literal string, however it is spelled.
    pub(super) fn text(&mut self, node: &Node<'_>, what: &str) -> Option<String> {
        if self.findings.are_enough() {
            return None;
        }
        let mut bytes = Vec::new();
        if !collect_text(node, &mut bytes) {
            self.wrong_type(node, what, "a string", "a literal string");
            return None;
        }
        self.utf8(node, bytes)
    }

    fn utf8(&mut self, node: &Node<'_>, bytes: Vec<u8>) -> Option<String> {
        let span = Span::from(node.location());
        match String::from_utf8(bytes) {
            Ok(text) if text.contains('\0') => {
                self.findings.error(
                    span,
                    DiagnosticCode::NullByte,
                    "the text holds a NUL".to_owned(),
                    "remove it".to_owned(),
                );
                None
            }
            Ok(text) => Some(text),
            Err(_) => {
                let message = "the escapes in this text make bytes that are not UTF-8".to_owned();
                let hint = "write the characters themselves, or `\\u{…}`".to_owned();
                self.findings
                    .error(span, DiagnosticCode::NotUtf8, message, hint);
                None
            }
        }
    }

    /// A symbol such as `:scheduled`.
    pub(super) fn symbol(&mut self, node: &Node<'_>, what: &str) -> Option<String> {
        let Some(symbol) = node.as_symbol_node() else {
            self.wrong_type(node, what, "a symbol", "a symbol such as `:scheduled`");
            return None;
        };
        self.utf8(node, symbol.unescaped().to_vec())
    }

    /// Diagnoses a literal of another type, or Ruby that is no literal at all.
    pub(super) fn wrong_type(&mut self, node: &Node<'_>, what: &str, expected: &str, write: &str) {
        let (kind, advice) = words::kind(node);
        let hint = advice.map_or_else(|| format!("write {write}"), str::to_owned);
        match node {
            Node::StringNode { .. }
            | Node::SymbolNode { .. }
            | Node::IntegerNode { .. }
            | Node::FloatNode { .. }
            | Node::TrueNode { .. }
            | Node::FalseNode { .. }
            | Node::NilNode { .. }
            | Node::ArrayNode { .. }
            | Node::HashNode { .. } => {
                let message = format!("{what} must be {expected}, not {kind}");
                self.findings.error(
                    node.location().into(),
                    DiagnosticCode::WrongType,
                    message,
                    hint,
                );
            }
            Node::CallNode { .. } => {
                self.outside(node, &format!("calling a method for {what}"), &hint);
            }
            _ => self.outside(node, kind, &hint),
        }
    }

    /// The hash of a tool's parameters.
    pub(super) fn params(
        &mut self,
        node: &Node<'_>,
        uses: &mut Uses,
    ) -> Option<BTreeMap<String, Value>> {
        let Some(hash) = node.as_hash_node() else {
            self.wrong_type(node, "`params`", "a hash", "`params: { key: 'value' }`");
            return None;
        };
        self.object(&hash.elements(), uses, 1)
    }

    /// A literal or a reference.
    pub(super) fn value(&mut self, node: &Node<'_>, uses: &mut Uses) -> Option<Value> {
        self.value_at(node, uses, 0)
    }

    fn value_at(&mut self, node: &Node<'_>, uses: &mut Uses, depth: usize) -> Option<Value> {
        if self.findings.are_enough() {
            return None;
        }
        match node {
            Node::NilNode { .. } => Some(Value::Null),
            Node::TrueNode { .. } => Some(Value::Bool(true)),
            Node::FalseNode { .. } => Some(Value::Bool(false)),
            Node::IntegerNode { .. } | Node::FloatNode { .. } => self.number(node),
            Node::StringNode { .. } | Node::InterpolatedStringNode { .. } => {
                self.text(node, "the value").map(Value::String)
            }
            Node::ArrayNode { .. } | Node::HashNode { .. } if depth >= MAX_VALUE_DEPTH => {
                self.too_deep(node)
            }
            Node::ArrayNode { .. } => {
                self.array(&node.as_array_node()?.elements(), uses, depth + 1)
            }
            Node::HashNode { .. } => self
                .object(&node.as_hash_node()?.elements(), uses, depth + 1)
                .map(Value::Object),
            Node::CallNode { .. } => self.reference_in(&node.as_call_node()?, uses),
            Node::SymbolNode { .. } => {
                self.outside(node, "a symbol as a value", "write it as a string");
                None
            }
            other => {
                let (kind, advice) = words::kind(other);
                self.outside(other, kind, advice.unwrap_or(LITERALS));
                None
            }
        }
    }

    fn too_deep(&mut self, node: &Node<'_>) -> Option<Value> {
        let message = format!("values are nested deeper than {MAX_VALUE_DEPTH}");
        self.findings.error(
            node.location().into(),
            DiagnosticCode::TooDeep,
            message,
            "write flatter values".to_owned(),
        );
        None
    }

    fn number(&mut self, node: &Node<'_>) -> Option<Value> {
        let (number, problem, hint) = match node.as_integer_node() {
            Some(integer) => (
                to_i64(&integer.value()).map(serde_json::Number::from),
                "the number is too large",
                "write an integer of 64 bits, or a string",
            ),
            None => (
                float(self.source.text(node.location().into())),
                "the float is too large, too small or too exact",
                "write at most 15 digits and a value below 1e15, or a string",
            ),
        };
        if number.is_none() {
            self.findings.error(
                node.location().into(),
                DiagnosticCode::OutOfRange,
                problem.to_owned(),
                hint.to_owned(),
            );
        }
        number.map(Value::Number)
    }

    fn array(&mut self, elements: &NodeList<'_>, uses: &mut Uses, depth: usize) -> Option<Value> {
        // read all before giving up, so that every element is diagnosed
        let items: Vec<_> = elements
            .iter()
            .map(|element| self.value_at(&element, uses, depth))
            .collect();
        items.into_iter().collect::<Option<_>>().map(Value::Array)
    }

    fn object(
        &mut self,
        elements: &NodeList<'_>,
        uses: &mut Uses,
        depth: usize,
    ) -> Option<BTreeMap<String, Value>> {
        let mut entries = BTreeMap::new();
        let mut is_complete = true;
        for element in elements {
            match self.entry(&element, uses, depth) {
                Some((key, value)) if !entries.contains_key(&key) => {
                    drop(entries.insert(key, value));
                }
                Some((key, _)) => self.duplicate_key(&element, &key),
                None => is_complete = false,
            }
        }
        is_complete.then_some(entries)
    }

    fn entry(
        &mut self,
        element: &Node<'_>,
        uses: &mut Uses,
        depth: usize,
    ) -> Option<(String, Value)> {
        if self.findings.are_enough() {
            return None;
        }
        let Some(pair) = element.as_assoc_node() else {
            let (kind, advice) = words::kind(element);
            self.outside(element, kind, advice.unwrap_or("write `key: value`"));
            return None;
        };
        let key = self.key(&pair.key());
        let value = self.value_at(&pair.value(), uses, depth);
        Some((key?, value?))
    }

    fn key(&mut self, node: &Node<'_>) -> Option<String> {
        let key = match node.as_symbol_node() {
            Some(symbol) => self.utf8(node, symbol.unescaped().to_vec()),
            None => self.text(node, "a key"),
        }?;
        if key == RESULT_KEY || key == ITEM_KEY {
            let message = format!("the key `{key}` is reserved");
            let hint = "for the result of a step write `result('step')`, for the item `item`";
            let hint = hint.to_owned();
            self.findings.error(
                node.location().into(),
                DiagnosticCode::ReservedKey,
                message,
                hint,
            );
            return None;
        }
        Some(key)
    }

    fn duplicate_key(&mut self, element: &Node<'_>, key: &str) {
        let message = format!("the key {} is given twice", words::code(key));
        self.findings.error(
            element.location().into(),
            DiagnosticCode::Duplicate,
            message,
            "keep one of them".to_owned(),
        );
    }

    /// `result('step')` or `item`.
    fn reference_in(&mut self, call: &CallNode<'_>, uses: &mut Uses) -> Option<Value> {
        match name_of(call).as_str() {
            "result" if is_plain(call) => self.result(call, uses),
            "item" if is_plain(call) => {
                self.parts(call, &ITEM);
                if call.arguments().is_some() || call.block().is_some() {
                    return None;
                }
                uses.items.push(call.location().into());
                Some(Value::Item)
            }
            name => {
                let what = if is_plain(call) {
                    words::code(name)
                } else {
                    "calling a method or operator".to_owned()
                };
                self.outside(&call.as_node(), &what, LITERALS);
                None
            }
        }
    }

    fn result(&mut self, call: &CallNode<'_>, uses: &mut Uses) -> Option<Value> {
        let node = self.parts(call, &RESULT).positional?;
        let step = self.words(&node, "the step's name")?;
        uses.results.push(Reference {
            step: step.clone(),
            span: node.location().into(),
        });
        Some(Value::Result { step })
    }
}

/// Appends the text of a string literal, of several side by side, or of a heredoc; false if
/// anything in it is computed.
fn collect_text(node: &Node<'_>, bytes: &mut Vec<u8>) -> bool {
    if let Some(string) = node.as_string_node() {
        bytes.extend_from_slice(string.unescaped());
        return true;
    }
    // Strings side by side are parts too, and may be heredocs or multi-line strings with parts of
    // their own; the parser nests them no deeper.
    node.as_interpolated_string_node().is_some_and(|string| {
        string
            .parts()
            .iter()
            .all(|part| match part.as_interpolated_string_node() {
                Some(inner) => inner.parts().iter().all(|part| append_plain(&part, bytes)),
                None => append_plain(&part, bytes),
            })
    })
}

fn append_plain(node: &Node<'_>, bytes: &mut Vec<u8>) -> bool {
    node.as_string_node().is_some_and(|string| {
        bytes.extend_from_slice(string.unescaped());
        true
    })
}

/// The integer, if it fits.
pub(super) fn to_i64(integer: &Integer<'_>) -> Option<i64> {
    let (negative, digits) = integer.to_u32_digits();
    let magnitude = digits.iter().rev().try_fold(0_u64, |sum, digit| {
        sum.checked_mul(1 << 32)
            .and_then(|sum| sum.checked_add(u64::from(*digit)))
    })?;
    let magnitude = i128::from(magnitude);
    i64::try_from(if negative { -magnitude } else { magnitude }).ok()
}

/// The float, if every reader of JSON reads it back as the same. Read from the text, because Ruby's
/// notation is Rust's but for underscores.
fn float(text: &str) -> Option<serde_json::Number> {
    let float = text.replace('_', "").parse().ok()?;
    survives_json(float)
        .then(|| serde_json::Number::from_f64(float))
        .flatten()
}

/// Whether it is below 10^15 and at most 15 digits times a power of ten from -22 on. What is
/// printed of it is then a quotient of two exact floats, so that even readers that just divide, as
/// `serde_json` does by default, come to the same float.
fn survives_json(float: f64) -> bool {
    const MOST_DIGITS: usize = 15;
    const LEAST_POWER: i32 = -22;
    let text = format!("{float:e}");
    let Some((digits, exponent)) = text.split_once('e') else {
        return false;
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let count = whole.trim_start_matches('-').len() + fraction.len();
    let power = i32::try_from(fraction.len())
        .ok()
        .zip(exponent.parse::<i32>().ok())
        .map(|(fraction, exponent)| exponent - fraction);
    float.abs() < 1e15 && count <= MOST_DIGITS && power.is_some_and(|power| power >= LEAST_POWER)
}
