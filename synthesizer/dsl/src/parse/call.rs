//! Takes a call apart: one positional argument at most, keywords by name, and a block; anything
//! else is diagnosed.
//!
//! Every statement of the language is such a call; what the parts must be is decided by whoever
//! asked for the call.

use std::collections::BTreeMap;

use ruby_prism::{BlockNode, CallNode, Node, NodeList};

use super::{Reader, words};
use crate::diagnostic::DiagnosticCode;
use crate::source::Span;

/// The parts that a call may have.
pub(super) struct Shape {
    /// How to write it, for hints.
    pub(super) usage: &'static str,
    pub(super) positional: Part,
    pub(super) keywords: &'static [&'static str],
    pub(super) block: Part,
}

/// Whether a part must be there or must not.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Needed,
    None,
}

/// The parts that a call has.
pub(super) struct Parts<'pr> {
    pub(super) name_span: Span,
    /// The positional argument; absent only after a finding, or where the shape has none.
    pub(super) positional: Option<Node<'pr>>,
    /// By the shape's names.
    pub(super) keywords: BTreeMap<&'static str, Keyword<'pr>>,
    /// The statements of the block; absent only after a finding, or where the shape has none.
    pub(super) body: Option<Vec<Node<'pr>>>,
}

/// A keyword argument.
pub(super) struct Keyword<'pr> {
    pub(super) span: Span,
    pub(super) value: Node<'pr>,
}

/// The method name of a call, for comparing and for messages.
pub(super) fn name_of(call: &CallNode<'_>) -> String {
    String::from_utf8_lossy(call.name().as_slice()).into_owned()
}

/// Where the name of a call is.
pub(super) fn name_span(call: &CallNode<'_>) -> Span {
    call.message_loc().unwrap_or_else(|| call.location()).into()
}

impl Reader<'_> {
    /// Reads `node` as a plain call of one of `allowed`, else says what `place` allows.
    pub(super) fn statement<'pr>(
        &mut self,
        node: &Node<'pr>,
        place: &str,
        allowed: &[&str],
    ) -> Option<CallNode<'pr>> {
        if self.findings.are_enough() {
            return None;
        }
        let Some(call) = node.as_call_node() else {
            let (kind, advice) = words::kind(node);
            self.outside(node, kind, &in_place(advice, place, allowed));
            return None;
        };
        if !is_plain(&call) {
            self.outside(
                node,
                "calling a method on something",
                &in_place(None, place, allowed),
            );
            return None;
        }
        let name = name_of(&call);
        if allowed.contains(&name.as_str()) {
            return Some(call);
        }
        let meant = words::nearest(&name, allowed.iter().copied())
            .map(|meant| format!("did you mean `{meant}`?"));
        let message = format!(
            "{} is not part of the agent language here",
            words::code(&name)
        );
        let hint = in_place(meant.as_deref(), place, allowed);
        self.findings.error(
            name_span(&call),
            DiagnosticCode::OutsideLanguage,
            message,
            hint,
        );
        None
    }

    /// Diagnoses a node that the language does not have at this place.
    pub(super) fn outside(&mut self, node: &Node<'_>, kind: &str, hint: &str) {
        let message = format!("{kind} is not part of the agent language here");
        self.findings.error(
            node.location().into(),
            DiagnosticCode::OutsideLanguage,
            message,
            hint.to_owned(),
        );
    }

    /// The parts of `call`, checked against `shape`.
    pub(super) fn parts<'pr>(&mut self, call: &CallNode<'pr>, shape: &Shape) -> Parts<'pr> {
        let mut parts = Parts {
            name_span: name_span(call),
            positional: None,
            keywords: BTreeMap::new(),
            body: None,
        };
        let arguments = call.arguments().map(|arguments| arguments.arguments());
        for argument in arguments.iter().flat_map(NodeList::iter) {
            if self.findings.are_enough() {
                break;
            }
            match argument.as_keyword_hash_node() {
                Some(keywords) => keywords
                    .elements()
                    .iter()
                    .for_each(|element| self.keyword(&element, shape, &mut parts)),
                None => self.positional(argument, shape, &mut parts),
            }
        }
        if shape.positional == Part::Needed && parts.positional.is_none() {
            let message = format!("`{}` needs a value", name_of(call));
            self.findings.error(
                parts.name_span,
                DiagnosticCode::MissingArgument,
                message,
                usage(shape),
            );
        }
        parts.body = self.block(call, shape);
        parts
    }

    fn positional<'pr>(&mut self, argument: Node<'pr>, shape: &Shape, parts: &mut Parts<'pr>) {
        if shape.positional == Part::Needed && parts.positional.is_none() {
            parts.positional = Some(argument);
            return;
        }
        let (kind, _) = words::kind(&argument);
        let message = format!("{kind} is one argument too many");
        self.findings.error(
            argument.location().into(),
            DiagnosticCode::UnexpectedArgument,
            message,
            usage(shape),
        );
    }

    fn keyword<'pr>(&mut self, element: &Node<'pr>, shape: &Shape, parts: &mut Parts<'pr>) {
        if self.findings.are_enough() {
            return;
        }
        let Some(pair) = element.as_assoc_node() else {
            let (kind, advice) = words::kind(element);
            return self.outside(element, kind, advice.unwrap_or("write each keyword"));
        };
        let span = Span::from(pair.key().location());
        let Some(name) = pair
            .key()
            .as_symbol_node()
            .map(|key| String::from_utf8_lossy(key.unescaped()).into_owned())
        else {
            return self.outside(&pair.key(), "a key that is not a name", &usage(shape));
        };
        let Some(known) = shape.keywords.iter().copied().find(|known| *known == name) else {
            let meant = words::nearest(&name, shape.keywords.iter().copied());
            let hint =
                meant.map_or_else(|| usage(shape), |meant| format!("did you mean `{meant}:`?"));
            let message = format!("the keyword {} is unknown here", words::code(&name));
            return self
                .findings
                .error(span, DiagnosticCode::UnknownKeyword, message, hint);
        };
        if parts.keywords.contains_key(known) {
            let message = format!("`{known}:` is given twice");
            return self.findings.error(
                span,
                DiagnosticCode::Duplicate,
                message,
                "keep one of them".to_owned(),
            );
        }
        parts.keywords.insert(
            known,
            Keyword {
                span,
                value: pair.value(),
            },
        );
    }

    fn block<'pr>(&mut self, call: &CallNode<'pr>, shape: &Shape) -> Option<Vec<Node<'pr>>> {
        let block = call.block();
        match (block.as_ref().and_then(Node::as_block_node), shape.block) {
            (Some(block), Part::Needed) => self.body(&block),
            (Some(block), Part::None) => {
                let message = format!("`{}` takes no block", name_of(call));
                self.findings.error(
                    block.location().into(),
                    DiagnosticCode::UnexpectedArgument,
                    message,
                    usage(shape),
                );
                None
            }
            (None, needed) => {
                if let Some(argument) = block {
                    self.outside(&argument, "a block argument", &usage(shape));
                } else if needed == Part::Needed {
                    let message = format!("`{}` needs a block", name_of(call));
                    self.findings.error(
                        name_span(call),
                        DiagnosticCode::MissingArgument,
                        message,
                        usage(shape),
                    );
                }
                None
            }
        }
    }

    fn body<'pr>(&mut self, block: &BlockNode<'pr>) -> Option<Vec<Node<'pr>>> {
        if let Some(parameters) = block.parameters() {
            self.outside(
                &parameters,
                "a block parameter",
                "write `do` without parameters",
            );
        }
        let Some(body) = block.body() else {
            return Some(Vec::new());
        };
        if let Some(statements) = body.as_statements_node() {
            return Some(statements.body().iter().collect());
        }
        let (kind, advice) = words::kind(&body);
        self.outside(&body, kind, advice.unwrap_or("remove it"));
        None
    }
}

/// Whether it is `name …`: no receiver, no assignment. (`a.b`, `a&.b`, `a[b]`, `!a` and operators
/// have a receiver.)
pub(super) fn is_plain(call: &CallNode<'_>) -> bool {
    call.receiver().is_none() && call.call_operator_loc().is_none() && call.equal_loc().is_none()
}

fn usage(shape: &Shape) -> String {
    format!("write {}", shape.usage)
}

fn in_place(advice: Option<&str>, place: &str, allowed: &[&str]) -> String {
    let names = words::names(allowed.iter().copied());
    match advice {
        Some(advice) => format!("{advice} ({place} may hold {names})"),
        None => format!("{place} may hold {names}"),
    }
}
