//! No crate has an import circle: no module that reaches itself through the modules it names. Read
//! from the sources, tests left out.
//!
//! A module depends on each module that its paths name: `crate::`, `super::`, `self::` and those of
//! its own children, in `use`, in code and in macros. A parent that only declares a child does not
//! depend on it.
//!
//! The sources are read by a lexer of our own, because paths need no more: `syn` as a dependency of
//! a test is built with debug info, and with it every derive macro and all that uses one, anew.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests are tests, too"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// A module's names from the root of its crate.
type Module = Vec<String>;

/// What is in every module, but tests.
type Sources = BTreeMap<Module, Vec<Token>>;

/// Which modules a module names.
type Imports = BTreeMap<Module, BTreeSet<Module>>;

/// What matters of Rust's tokens: literals, lifetimes and comments are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// An identifier or a keyword.
    Word(String),
    /// `::`
    Colons,
    /// One character of anything else.
    Sign(char),
}

use Token::{Colons, Sign, Word};

#[test]
fn no_crate_has_an_import_circle() {
    let mut wrong = String::new();
    for (name, root) in roots() {
        let imports = imports(&read(&root));
        for circle in circles(&imports) {
            let _ = writeln!(wrong, "{name}: a circle of {}:", circle.len());
            describe(&circle, &imports, &mut wrong);
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn a_circle_is_found_in_uses_in_code_and_in_macros() {
    let circles_in = |source: &str| {
        let mut sources = Sources::new();
        let tokens = without_tests(&tokens(source));
        collect(&tokens, Path::new(""), &Module::new(), &mut sources);
        let circles = circles(&imports(&sources));
        circles.iter().map(BTreeSet::len).collect::<Vec<_>>()
    };
    let back = "mod b { fn g() { crate::a::f() } }";
    for there in [
        "mod a { use super::b; }",
        "mod a { use crate::{x, b::{g as h, y}}; }",
        "mod a { type T = super::b::T; }",
        "mod a { fn f() { warn!(why = %crate::b::g()) } }",
        r##"mod a { const A: char = '"'; const B: &str = r#"""#; use super::b; }"##,
    ] {
        assert_eq!(circles_in(&format!("{there} {back}")), [2], "{there}");
    }
    for open in [
        "mod a { mod b; }",
        "mod a { use b::g; use std::b; }",
        "mod a { #[cfg(test)] mod tests { use crate::b; } }",
        "mod a { #[cfg(test)] fn f() { super::b::g() } }",
        "mod a { impl A { #[cfg(test)] #[inline] fn f(&self) { super::b::g() } } }",
        "mod a { #[cfg(test)] use super::{b, c}; }",
        "mod a { mod c { use crate::a::{d::D as _}; } mod d {} fn f() { c::g() } }",
        "mod a { fn f<'a>(_: &'a str) { \"crate::b::g\"; } // crate::b::g\n }",
    ] {
        assert_eq!(
            circles_in(&format!("{open} {back}")),
            [0_usize; 0],
            "{open}"
        );
    }
    let child = "mod a { pub fn f() { b::g() } mod b { use super::f; } }";
    assert_eq!(circles_in(child), [2], "a parent and its child");
}

/// Name and file of every library and program of the workspace, the name being the file's within
/// the project.
fn roots() -> Vec<(String, PathBuf)> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--locked", "--offline"])
        .args(["--format-version", "1"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{message}");
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let project = Path::new(metadata["workspace_root"].as_str().unwrap());
    let packages = metadata["packages"].as_array().unwrap();
    let targets = packages
        .iter()
        .flat_map(|package| package["targets"].as_array().unwrap());
    let is_product = |target: &&Value| {
        let kinds = target["kind"].as_array().unwrap();
        kinds.iter().any(|kind| kind == "lib" || kind == "bin")
    };
    let roots = targets.filter(is_product).map(|target| {
        let root = PathBuf::from(target["src_path"].as_str().unwrap());
        let name = root.strip_prefix(project).unwrap();
        (name.display().to_string(), root)
    });
    roots.collect()
}

fn read(root: &Path) -> Sources {
    let mut sources = Sources::new();
    let folder = root.parent().unwrap();
    collect(&parse(root), folder, &Module::new(), &mut sources);
    sources
}

fn parse(file: &Path) -> Vec<Token> {
    let source =
        fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    without_tests(&tokens(&source))
}

fn tokens(source: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        if let Some(length) = skipped(rest) {
            rest = &rest[length..];
        } else if first.is_alphabetic() || first == '_' {
            let is_end = |c: char| !c.is_alphanumeric() && c != '_';
            let end = rest.find(is_end).unwrap_or(rest.len());
            tokens.push(Word(rest[..end].to_owned()));
            rest = &rest[end..];
        } else if let Some(after) = rest.strip_prefix("::") {
            tokens.push(Colons);
            rest = after;
        } else {
            tokens.push(Sign(first));
            rest = &rest[first.len_utf8()..];
        }
    }
    tokens
}

/// The length of white space, a comment, a literal or a lifetime that the text begins with.
fn skipped(text: &str) -> Option<usize> {
    let first = text.chars().next()?;
    let until = |from: usize, end: &str| {
        text[from..]
            .find(end)
            .map_or(text.len(), |at| from + at + end.len())
    };
    if first.is_whitespace() {
        return Some(first.len_utf8());
    }
    if text.starts_with("//") {
        return Some(until(2, "\n"));
    }
    if text.starts_with("/*") {
        return Some(until(2, "*/"));
    }
    let raw = text.strip_prefix('b').unwrap_or(text).strip_prefix('r');
    if let Some(hashes) = raw.map(|raw| raw.chars().take_while(|c| *c == '#').count()) {
        let start = text.find('r').unwrap_or_default() + 1 + hashes;
        if text[start..].starts_with('"') {
            return Some(until(start + 1, &format!("\"{}", "#".repeat(hashes))));
        }
    }
    let quoted = text.strip_prefix('b').unwrap_or(text);
    let before = text.len() - quoted.len();
    match quoted.chars().next()? {
        '"' => Some(before + 1 + quote_end(&quoted[1..], '"')),
        '\'' if is_character(quoted) => Some(before + 1 + quote_end(&quoted[1..], '\'')),
        // A lifetime's name is no path's beginning.
        '\'' => Some(before + 1),
        _ => None,
    }
}

/// Whether that quote begins a character and no lifetime.
fn is_character(text: &str) -> bool {
    let mut characters = text.chars().skip(1);
    characters.next() == Some('\\') || characters.next() == Some('\'')
}

/// The length up to the end of a quoted text, with its quote.
fn quote_end(text: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (at, character) in text.char_indices() {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            _ if character == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// All but the items that are there for tests only.
fn without_tests(tokens: &[Token]) -> Vec<Token> {
    let attribute: Vec<Token> = [
        Sign('#'),
        Sign('['),
        Word("cfg".into()),
        Sign('('),
        Word("test".into()),
        Sign(')'),
        Sign(']'),
    ]
    .into();
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if tokens[at..].starts_with(&attribute) {
            at += attribute.len();
            at += item_length(&tokens[at..]);
        } else {
            kept.push(tokens[at].clone());
            at += 1;
        }
    }
    kept
}

/// The length of the item that is next, with its attributes: to a semicolon or the end of a body. A
/// `use` has braces and ends by its semicolon.
fn item_length(tokens: &[Token]) -> usize {
    let mut depth = 0_usize;
    let mut is_use = false;
    for (at, token) in tokens.iter().enumerate() {
        match token {
            Word(word) if depth == 0 && word == "use" => is_use = true,
            Sign('(' | '[' | '{') => depth += 1,
            Sign(close @ (')' | ']' | '}')) => {
                depth = depth.saturating_sub(1);
                if depth == 0 && *close == '}' && !is_use {
                    return at + 1;
                }
            }
            Sign(';' | ',') if depth == 0 => return at + 1,
            _ => {}
        }
    }
    tokens.len()
}

/// Sorts tokens into their modules. `folder` is where the files of the module's children are.
fn collect(tokens: &[Token], folder: &Path, module: &Module, sources: &mut Sources) {
    let mut own = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let [Word(keyword), Word(name), opening, ..] = &tokens[at..] else {
            own.push(tokens[at].clone());
            at += 1;
            continue;
        };
        let folder = folder.join(name);
        let child = child(module, name);
        match (keyword.as_str(), opening) {
            ("mod", Sign(';')) => {
                // The fixtures have no files.
                let tokens = if folder.is_relative() {
                    Vec::new()
                } else {
                    parse(&file_of(&folder))
                };
                collect(&tokens, &folder, &child, sources);
                at += 3;
            }
            ("mod", Sign('{')) => {
                let length = item_length(&tokens[at..]);
                let body = &tokens[at + 3..at + length - 1];
                collect(body, &folder, &child, sources);
                at += length;
            }
            _ => {
                own.push(tokens[at].clone());
                at += 1;
            }
        }
    }
    sources.insert(module.clone(), own);
}

fn file_of(folder: &Path) -> PathBuf {
    let beside = folder.with_extension("rs");
    if beside.is_file() {
        beside
    } else {
        folder.join("mod.rs")
    }
}

fn imports(sources: &Sources) -> Imports {
    let imports = sources.iter().map(|(module, tokens)| {
        let mut names = Names {
            module,
            sources,
            found: BTreeSet::new(),
        };
        names.all(tokens);
        (module.clone(), names.found)
    });
    imports.collect()
}

/// Collects the modules that one module names.
struct Names<'a> {
    module: &'a Module,
    sources: &'a Sources,
    found: BTreeSet<Module>,
}

impl Names<'_> {
    fn all(&mut self, tokens: &[Token]) {
        let mut at = 0;
        while at < tokens.len() {
            at += match &tokens[at..] {
                [Word(word), rest @ ..] if word == "use" => 1 + self.uses(&[], rest),
                // The rest of a path whose beginning is no name.
                [Colons, Word(_), ..] => 2,
                [Word(_), ..] => {
                    let (path, length) = path(&tokens[at..]);
                    self.path(&path);
                    length
                }
                _ => 1,
            };
        }
    }

    /// The tree of a `use` after what is `before` it; gives its length.
    fn uses(&mut self, before: &[String], tokens: &[Token]) -> usize {
        let (path, length) = path(tokens);
        let path = [before, &path].concat();
        if tokens.get(length) != Some(&Sign('{')) {
            self.path(&[path, vec!["*".to_owned()]].concat());
            return length;
        }
        let mut at = length + 1;
        loop {
            match tokens.get(at) {
                None => return at,
                Some(Sign('}')) => return at + 1,
                // The other name is no part of a path.
                Some(Word(word)) if word == "as" => at += 2,
                Some(Word(_)) => at += self.uses(&path, &tokens[at..]),
                Some(_) => at += 1,
            }
        }
    }

    /// A path of two parts or more; one alone is a name of something local.
    fn path(&mut self, parts: &[String]) {
        let mut module = match parts {
            [] | [_] => return,
            [first, ..] if first == "crate" => Module::new(),
            [first, ..] if first == "self" || first == "super" => self.module.clone(),
            [first, ..] if self.sources.contains_key(&child(self.module, first)) => {
                self.module.clone()
            }
            // Of another crate, or of what a `use` has brought.
            _ => return,
        };
        for part in parts {
            match part.as_str() {
                "crate" | "self" => {}
                "super" => drop(module.pop()),
                part if self.sources.contains_key(&child(&module, part)) => {
                    module.push(part.to_owned());
                }
                _ => break,
            }
        }
        if module != *self.module {
            self.found.insert(module);
        }
    }
}

/// The path that tokens begin with, and its length, with the `::` before a group or a generic.
fn path(tokens: &[Token]) -> (Vec<String>, usize) {
    let mut parts = Vec::new();
    let mut at = 0;
    while let Some(Word(part)) = tokens.get(at) {
        parts.push(part.clone());
        at += 1;
        if tokens.get(at) != Some(&Colons) {
            break;
        }
        at += 1;
    }
    (parts, at.max(1))
}

fn child(module: &Module, name: &str) -> Module {
    [module.as_slice(), &[name.to_owned()]].concat()
}

/// The sets of modules that all reach each other, the largest first.
fn circles(imports: &Imports) -> Vec<BTreeSet<Module>> {
    let reached: BTreeMap<_, _> = imports
        .keys()
        .map(|module| (module, reached_from(module, imports)))
        .collect();
    let circle_of = |module: &Module| {
        let reached_back = reached[module].iter();
        let circle = reached_back.filter(|other| reached[*other].contains(module));
        circle.cloned().collect::<BTreeSet<_>>()
    };
    let distinct: BTreeSet<_> = imports.keys().map(circle_of).collect();
    let mut circles: Vec<_> = distinct
        .into_iter()
        .filter(|circle| !circle.is_empty())
        .collect();
    circles.sort_by_key(|circle| std::cmp::Reverse(circle.len()));
    circles
}

fn reached_from(module: &Module, imports: &Imports) -> BTreeSet<Module> {
    let mut reached = BTreeSet::new();
    let mut next = vec![module];
    while let Some(module) = next.pop() {
        for other in &imports[module] {
            if reached.insert(other.clone()) {
                next.push(other);
            }
        }
    }
    reached
}

fn describe(circle: &BTreeSet<Module>, imports: &Imports, text: &mut String) {
    let name = |module: &Module| {
        [&["crate".to_owned()], module.as_slice()]
            .concat()
            .join("::")
    };
    for module in circle {
        let named: Vec<_> = imports[module].intersection(circle).map(name).collect();
        let _ = writeln!(text, "  {} → {}", name(module), named.join(", "));
    }
}
