//! The words of diagnostics: what a piece of Ruby is called, clipped quotes, and near misses. No
//! rule lives here.

use ruby_prism::Node;

use crate::clean::clean;

/// Longest quote of code in a message, in characters.
pub(super) const SHORT: usize = 60;

/// Longest message taken from elsewhere, in characters.
pub(super) const LONG: usize = 300;

/// Most names listed in a hint.
pub(super) const MOST_NAMES: usize = 10;

/// `text` on one line, cut where it is longer than `longest`.
pub(super) fn clip(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        Some((end, _)) => clean(&text[..end]) + "…",
        None => clean(text),
    }
}

/// `text` clipped and in backquotes.
pub(super) fn code(text: &str) -> String {
    format!("`{}`", clip(text, SHORT))
}

/// Names in backquotes, separated by commas, cut after the first few.
pub(super) fn names<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    let mut names = names.into_iter();
    let mut listed: Vec<String> = names.by_ref().take(MOST_NAMES).map(code).collect();
    if names.next().is_some() {
        listed.push("…".to_owned());
    }
    listed.join(", ")
}

/// The one of `known` that `word` most likely meant.
pub(super) fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let word = clip(word, SHORT).to_lowercase();
    let length = word.chars().count();
    let allowed = (length / 3).min(3);
    let near = known
        .into_iter()
        .filter(|candidate| candidate.chars().count().abs_diff(length) <= allowed);
    let distances = near.map(|candidate| (distance(&word, &candidate.to_lowercase()), candidate));
    distances
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// How many letters must be put in, taken out or changed.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(2 * SHORT).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let changed = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// What people call this piece of Ruby, and what to write instead where that can be said.
pub(super) fn kind(node: &Node<'_>) -> (&'static str, Option<&'static str>) {
    kind_of_text(node)
        .or_else(|| kind_of_literal(node))
        .or_else(|| kind_of_definition(node))
        .or_else(|| kind_of_variable(node))
        .or_else(|| kind_of_flow(node))
        .unwrap_or(("this Ruby", None))
}

fn kind_of_text(node: &Node<'_>) -> Option<(&'static str, Option<&'static str>)> {
    Some(match node {
        Node::InterpolatedStringNode { .. } | Node::InterpolatedSymbolNode { .. } => (
            "string interpolation",
            Some("write the text literally; for a `#` before `{` write `\\#`"),
        ),
        Node::XStringNode { .. } | Node::InterpolatedXStringNode { .. } => {
            ("a shell command", Some("call a tool with `use_tool`"))
        }
        Node::RegularExpressionNode { .. } | Node::InterpolatedRegularExpressionNode { .. } => {
            ("a regular expression", Some("write it as a string"))
        }
        _ => return None,
    })
}

fn kind_of_literal(node: &Node<'_>) -> Option<(&'static str, Option<&'static str>)> {
    Some(match node {
        Node::StringNode { .. } => ("a string", None),
        Node::SymbolNode { .. } => ("a symbol", None),
        Node::IntegerNode { .. } => ("an integer", None),
        Node::FloatNode { .. } => ("a float", None),
        Node::RationalNode { .. } | Node::ImaginaryNode { .. } => {
            ("such a number", Some("write an integer or a float"))
        }
        Node::TrueNode { .. } | Node::FalseNode { .. } => ("a boolean", None),
        Node::NilNode { .. } => ("`nil`", None),
        Node::ArrayNode { .. } => ("an array", None),
        Node::HashNode { .. } | Node::KeywordHashNode { .. } => ("a hash", None),
        Node::RangeNode { .. } => ("a range", Some("write an array")),
        Node::SplatNode { .. } | Node::AssocSplatNode { .. } => {
            ("a splat", Some("write each value"))
        }
        Node::ImplicitNode { .. } => ("a key without value", Some("write the value after the key")),
        Node::ParenthesesNode { .. } => {
            ("a parenthesized expression", Some("remove the parentheses"))
        }
        _ => return None,
    })
}

fn kind_of_definition(node: &Node<'_>) -> Option<(&'static str, Option<&'static str>)> {
    Some(match node {
        Node::DefNode { .. } => ("a method definition", Some("write steps in `workflow`")),
        Node::ClassNode { .. } | Node::SingletonClassNode { .. } => ("a class definition", None),
        Node::ModuleNode { .. } => ("a module definition", None),
        Node::LambdaNode { .. } => ("a lambda", None),
        Node::BlockArgumentNode { .. } => ("a block argument", Some("write `do … end`")),
        Node::AliasMethodNode { .. }
        | Node::AliasGlobalVariableNode { .. }
        | Node::UndefNode { .. } => ("an alias", None),
        Node::PreExecutionNode { .. } | Node::PostExecutionNode { .. } => {
            ("`BEGIN` or `END`", None)
        }
        _ => return None,
    })
}

fn kind_of_variable(node: &Node<'_>) -> Option<(&'static str, Option<&'static str>)> {
    const LITERAL: Option<&str> = Some("write the value where it is used");
    Some(match node {
        Node::ConstantReadNode { .. }
        | Node::ConstantPathNode { .. }
        | Node::ConstantWriteNode { .. } => ("a constant", LITERAL),
        Node::LocalVariableReadNode { .. }
        | Node::LocalVariableWriteNode { .. }
        | Node::LocalVariableOperatorWriteNode { .. }
        | Node::LocalVariableOrWriteNode { .. }
        | Node::MultiWriteNode { .. } => ("a variable", LITERAL),
        Node::InstanceVariableReadNode { .. } | Node::InstanceVariableWriteNode { .. } => {
            ("an instance variable", LITERAL)
        }
        Node::ClassVariableReadNode { .. } | Node::ClassVariableWriteNode { .. } => {
            ("a class variable", LITERAL)
        }
        Node::GlobalVariableReadNode { .. }
        | Node::GlobalVariableWriteNode { .. }
        | Node::BackReferenceReadNode { .. }
        | Node::NumberedReferenceReadNode { .. } => ("a global variable", LITERAL),
        Node::SelfNode { .. } => ("`self`", None),
        Node::SourceFileNode { .. }
        | Node::SourceLineNode { .. }
        | Node::SourceEncodingNode { .. } => ("a name such as `__FILE__`", LITERAL),
        _ => return None,
    })
}

fn kind_of_flow(node: &Node<'_>) -> Option<(&'static str, Option<&'static str>)> {
    Some(match node {
        Node::IfNode { .. }
        | Node::UnlessNode { .. }
        | Node::CaseNode { .. }
        | Node::CaseMatchNode { .. } => (
            "a condition",
            Some("write it in words as `only_if:` of a step"),
        ),
        Node::WhileNode { .. } | Node::UntilNode { .. } | Node::ForNode { .. } => {
            ("a loop", Some("write each step"))
        }
        Node::BeginNode { .. } | Node::RescueModifierNode { .. } => ("`begin` or `rescue`", None),
        Node::AndNode { .. } | Node::OrNode { .. } => ("an `and` or `or`", None),
        Node::DefinedNode { .. } => ("`defined?`", None),
        Node::YieldNode { .. } | Node::SuperNode { .. } | Node::ForwardingSuperNode { .. } => {
            ("`yield` or `super`", None)
        }
        Node::ReturnNode { .. } | Node::BreakNode { .. } | Node::NextNode { .. } => {
            ("`return`, `break` or `next`", None)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_misses() {
        let known = [
            "description",
            "schedule",
            "mode",
            "objectives",
            "workflow",
            "constraints",
        ];
        for (word, meant) in [
            ("descripton", Some("description")),
            ("objective", Some("objectives")),
            ("Schedule", Some("schedule")),
            ("constraint", Some("constraints")),
            ("eval", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), meant, "{word}");
        }
        assert_eq!(distance("kitten", "sitting"), 3);
    }

    #[test]
    fn quotes_are_bounded() {
        assert_eq!(clip("a\nb", 10), "a b");
        assert_eq!(clip(&"ß".repeat(100), 3), "ßßß…");
        let many: Vec<String> = (0..20).map(|n| n.to_string()).collect();
        assert!(names(many.iter().map(String::as_str)).ends_with("`9`, …"));
    }
}
