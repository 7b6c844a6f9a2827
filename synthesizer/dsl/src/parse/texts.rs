//! Where the texts and comments of code are: what stands there is words, not syntax. Knows nothing
//! of the agent language.

use ruby_prism::{
    Location, ParseResult, RegularExpressionNode, StringNode, SymbolNode, Visit, XStringNode,
};

use crate::source::Span;

/// The places, in source order.
#[derive(Default)]
pub(super) struct Texts(Vec<Span>);

impl Texts {
    pub(super) fn of(ruby: &ParseResult<'_>) -> Self {
        let mut texts = Self::default();
        texts.visit(&ruby.node());
        for comment in ruby.comments() {
            texts.add(comment.location());
        }
        texts.0.sort_unstable();
        texts
    }

    /// Whether the byte at `offset` is in one.
    pub(super) fn hold(&self, offset: usize) -> bool {
        // the texts of heredocs do not overlap others either: only what surrounds them does
        let next = self.0.partition_point(|span| span.start <= offset);
        next.checked_sub(1)
            .and_then(|last| self.0.get(last))
            .is_some_and(|span| offset < span.end)
    }

    fn add(&mut self, location: Location<'_>) {
        self.0.push(location.into());
    }
}

impl<'pr> Visit<'pr> for Texts {
    fn visit_string_node(&mut self, node: &StringNode<'pr>) {
        self.add(node.content_loc());
    }

    fn visit_x_string_node(&mut self, node: &XStringNode<'pr>) {
        self.add(node.content_loc());
    }

    fn visit_regular_expression_node(&mut self, node: &RegularExpressionNode<'pr>) {
        self.add(node.content_loc());
    }

    fn visit_symbol_node(&mut self, node: &SymbolNode<'pr>) {
        // a bare one is a word of the syntax
        let quote = node.opening_loc();
        if quote.is_some_and(|quote| quote.as_slice() != b":") {
            self.add(node.location());
        }
    }
}
