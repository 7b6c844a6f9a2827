//! Checks a call of a tool against what the tool offers: which operation, and with which
//! parameters. Code may do nothing beyond that, so that the steps of a definition name all that an
//! agent may call.

use std::collections::BTreeMap;

use ruby_prism::Node;

use super::call::Parts;
use super::offer::{OfferedOperation, OfferedTool};
use super::schema::{self, Misfit, Rule};
use super::{Reader, words};
use crate::definition::Value;
use crate::diagnostic::DiagnosticCode;
use crate::source::Span;

impl Reader<'_> {
    /// The operation of `tool` that a call with these parts means by `action`; none where the tool
    /// does not tell its operations, or after a finding.
    pub(super) fn operation<'o>(
        &mut self,
        tool: &'o OfferedTool,
        parts: &Parts<'_>,
        action: Option<&str>,
    ) -> Option<&'o OfferedOperation> {
        let names = || tool.operations.iter().map(|operation| &*operation.name);
        let Some(keyword) = parts.keywords.get("action") else {
            return match &tool.operations[..] {
                [] => None,
                [only] => Some(only),
                _ => {
                    let message = format!(
                        "{} has several operations, and none is named",
                        words::code(&tool.name)
                    );
                    let hint = format!("write `action:` with one of {}", words::names(names()));
                    let rule = DiagnosticCode::MissingArgument;
                    self.findings.error(parts.name_span, rule, message, hint);
                    None
                }
            };
        };
        // one that is no text was diagnosed
        let action = action?;
        let known = tool
            .operations
            .iter()
            .find(|operation| operation.name == action);
        if known.is_none() && !tool.operations.is_empty() {
            let message = format!(
                "{} does not offer the operation {}",
                words::code(&tool.name),
                words::code(action)
            );
            let hint = self.one_of(action, names);
            let span = keyword.value.location().into();
            let rule = DiagnosticCode::UnknownOperation;
            self.findings.error(span, rule, message, hint);
        }
        known
    }

    /// Which of the names on offer was meant, or all of them.
    pub(super) fn one_of<'n, N: Iterator<Item = &'n str>>(
        &self,
        name: &str,
        offered: impl Fn() -> N,
    ) -> String {
        let meant = if self.findings.are_many() {
            None
        } else {
            words::nearest(name, offered())
        };
        match meant {
            Some(meant) => format!(
                "did you mean `{meant}`? Offered: {}",
                words::names(offered())
            ),
            None => format!("use one that is offered: {}", words::names(offered())),
        }
    }

    /// Diagnoses parameters that the operation does not take as they are.
    pub(super) fn params_fit(
        &mut self,
        operation: &OfferedOperation,
        params: &BTreeMap<String, Value>,
        parts: &Parts<'_>,
    ) {
        let written = parts.keywords.get("params").map(|keyword| &keyword.value);
        let misfits = schema::check(&operation.input_schema, params, &mut self.effort);
        for misfit in misfits {
            if self.findings.are_enough() {
                break;
            }
            let place = written.and_then(|node| place_of(node, &misfit));
            let whole = written.map(|node| node.location().into());
            let span = place.or(whole).unwrap_or(parts.name_span);
            let rule = match misfit.rule {
                Rule::Unknown => DiagnosticCode::UnknownParameter,
                Rule::Missing => DiagnosticCode::MissingParameter,
                Rule::Bad => DiagnosticCode::BadParameter,
            };
            let message = format!("{} of {}", misfit.message, words::code(&operation.name));
            self.findings.error(span, rule, message, misfit.hint);
        }
    }
}

/// Where the parameter is written in which the misfit is: its name if that is what is wrong, else
/// its value.
fn place_of(params: &Node<'_>, misfit: &Misfit) -> Option<Span> {
    let elements = params.as_hash_node()?.elements();
    let pair = elements
        .iter()
        .filter_map(|element| element.as_assoc_node())
        .find(|pair| {
            let key = pair.key();
            let text = match (key.as_symbol_node(), key.as_string_node()) {
                (Some(symbol), _) => symbol.unescaped().to_vec(),
                (None, Some(string)) => string.unescaped().to_vec(),
                (None, None) => return false,
            };
            Some(&text[..]) == misfit.parameter.as_deref().map(str::as_bytes)
        })?;
    let node = if misfit.rule == Rule::Unknown && misfit.is_of_the_parameter {
        pair.key()
    } else {
        pair.value()
    };
    Some(node.location().into())
}
