//! Gives agent code another name by syntax position. Every byte outside the name stays.

use std::ops::Range;

use ruby_prism::{CallNode, Node, ParseResult};

use crate::names::{NameError, agent_name};
use crate::parse::is_bounded;
use crate::source::{Span, with_ruby};

/// Why code cannot be renamed.
#[derive(Debug, thiserror::Error)]
pub enum RenameError {
    /// The new name is illegal.
    #[error("the new name is illegal")]
    BadName(#[source] NameError),
    /// The code is larger or nested deeper than [`crate::parse`] reads.
    #[error("the code is too large or nested too deep; check it first")]
    Unbounded,
    /// The code is not Ruby.
    #[error("the code has syntax errors; check it first")]
    Syntax,
    /// The code has none, or several.
    #[error("the code holds {found} agents, not one")]
    NotOneAgent {
        /// How many it has.
        found: usize,
    },
    /// The name is computed, or an unusual literal.
    #[error("the agent's name is not a plain string; write it as `agent 'my-agent' do`")]
    NotPlain,
    /// The parser could not run.
    #[error("the Ruby parser could not run")]
    Unavailable,
}

/// `code` with the agent's name replaced by `new_name`, which must satisfy [`agent_name`].
pub fn rename(code: &str, new_name: &str) -> Result<String, RenameError> {
    agent_name(new_name).map_err(RenameError::BadName)?;
    let span = agent_name_span(code)?;
    Ok([&code[..span.start], new_name, &code[span.end..]].concat())
}

/// The bytes of the agent's name, inside its quotes.
pub fn agent_name_span(code: &str) -> Result<Range<usize>, RenameError> {
    if !is_bounded(code) {
        return Err(RenameError::Unbounded);
    }
    let span = with_ruby(code, find).map_err(|_| RenameError::Unavailable)??;
    // the parser's offsets are only used to cut where they are on character boundaries
    code.get(span.range())
        .map(|_| span.range())
        .ok_or(RenameError::NotPlain)
}

fn find(ruby: &ParseResult<'_>) -> Result<Span, RenameError> {
    if ruby.is_failure() {
        return Err(RenameError::Syntax);
    }
    let program = ruby.node().as_program_node().ok_or(RenameError::Syntax)?;
    let agents: Vec<_> = program
        .statements()
        .body()
        .iter()
        .filter_map(|node| node.as_call_node())
        .filter(is_agent_call)
        .collect();
    let [agent] = &agents[..] else {
        return Err(RenameError::NotOneAgent {
            found: agents.len(),
        });
    };
    let name = agent
        .arguments()
        .and_then(|arguments| arguments.arguments().first());
    name.as_ref()
        .and_then(plain_name_span)
        .ok_or(RenameError::NotPlain)
}

/// Whether it is `agent …` and nobody's method.
pub(crate) fn is_agent_call(call: &CallNode<'_>) -> bool {
    call.receiver().is_none() && call.name().as_slice() == b"agent"
}

/// The content of a string in plain quotes: the only spelling whose bytes can be replaced by any
/// legal name.
pub(crate) fn plain_name_span(node: &Node<'_>) -> Option<Span> {
    let string = node.as_string_node()?;
    let opening = string.opening_loc()?;
    matches!(opening.as_slice(), b"'" | b"\"").then(|| string.content_loc().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn replaces_only_the_name() {
        let code = "# agent 'a' do\nrequire 'language_operator'\nagent(\"a\") { description 'agent \"a\"' }\n";
        let renamed = rename(code, "other-name").unwrap();
        assert_eq!(
            renamed,
            code.replace("agent(\"a\")", "agent(\"other-name\")")
        );
        assert_eq!(&code[agent_name_span(code).unwrap()], "a");
        assert_eq!(rename(&renamed, "a").unwrap(), code);
    }

    #[test]
    fn refuses_what_it_cannot_rename_exactly() {
        let error = |code: &str| rename(code, "new").map(drop).unwrap_err();
        assert!(matches!(
            rename("agent 'a' do\nend", "New'; x"),
            Err(RenameError::BadName(_))
        ));
        assert!(matches!(error("agent 'a' do"), RenameError::Syntax));
        assert!(matches!(error(&"(".repeat(200)), RenameError::Unbounded));
        assert!(matches!(error("x"), RenameError::NotOneAgent { found: 0 }));
        assert!(matches!(
            error("foo.agent 'a'"),
            RenameError::NotOneAgent { found: 0 }
        ));
        assert!(matches!(
            error("agent 'a'\nagent 'b'"),
            RenameError::NotOneAgent { found: 2 }
        ));
        for odd in [
            "agent <<~A do\n  a\nA\nend",
            "agent 'a' 'b'",
            "agent %q(a)",
            "agent A",
            "agent",
            "agent \"#{1}\"",
            "agent ?a",
        ] {
            assert!(matches!(error(odd), RenameError::NotPlain), "{odd}");
        }
    }

    proptest! {
        #[test]
        fn renaming_there_and_back_changes_nothing(
            old in "[a-z]([-a-z0-9]{0,20}[a-z0-9])?",
            new in "[a-z]([-a-z0-9]{0,20}[a-z0-9])?",
            before in "(# [ -~ß]{0,30}\n){0,3}",
            text in "[ !$-&(-\\[\\]-~ßü]{0,40}",
        ) {
            let code = format!("{before}agent '{old}' do\n  description '{text}'\nend # {old}\n");
            let renamed = rename(&code, &new).unwrap();
            let expected = format!("{before}agent '{new}' do\n  description '{text}'\nend # {old}\n");
            prop_assert_eq!(&renamed, &expected);
            prop_assert_eq!(rename(&renamed, &old).unwrap(), code);
        }
    }
}
