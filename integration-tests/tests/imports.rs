//! No crate has an import circle: no module that reaches itself through the modules it names. Read
//! from the sources, tests left out.
//!
//! A module depends on each module that its paths name: `crate::`, `super::`, `self::` and those of
//! its own children, in `use`, in code and in macros. A parent that only declares a child does not
//! depend on it.

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

use proc_macro2::{TokenStream, TokenTree};
use serde_json::Value;
use syn::{
    Attribute, Item, UseTree,
    visit::{self, Visit},
};

/// Circles still to be opened: the root file of a crate, and how many modules each of its circles
/// has, the largest first.
const STILL: &[(&str, &[usize])] = &[
    ("integration-tests/src/lib.rs", &[15]),
    ("integration-tests/src/bin/bench-synthesis/main.rs", &[3]),
];

/// A module's names from the root of its crate.
type Module = Vec<String>;

/// The items of every module, but those of tests.
type Sources = BTreeMap<Module, Vec<Item>>;

/// Which modules a module names.
type Imports = BTreeMap<Module, BTreeSet<Module>>;

#[test]
fn no_crate_has_an_import_circle() {
    let mut wrong = String::new();
    for (name, root) in roots() {
        let imports = imports(&read(&root));
        let circles = circles(&imports);
        let sizes: Vec<usize> = circles.iter().map(BTreeSet::len).collect();
        let known = STILL.iter().find(|(root, _)| *root == name);
        let known = known.map_or(&[][..], |(_, sizes)| sizes);
        if sizes != known {
            let _ = writeln!(wrong, "{name}: circles of {sizes:?}, not {known:?} modules");
            circles
                .iter()
                .for_each(|circle| describe(circle, &imports, &mut wrong));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn a_circle_is_found_in_uses_in_code_and_in_macros() {
    let circles_in = |source: &str| {
        let mut sources = Sources::new();
        let file = syn::parse_file(source).unwrap();
        collect(file.items, Path::new(""), &Module::new(), &mut sources);
        let circles = circles(&imports(&sources));
        circles.iter().map(BTreeSet::len).collect::<Vec<_>>()
    };
    let back = "mod b { fn g() { crate::a::f() } }";
    for there in [
        "mod a { use super::b; }",
        "mod a { use crate::{x, b::{g as h, y}}; }",
        "mod a { type T = super::b::T; }",
        "mod a { fn f() { warn!(why = %crate::b::g()) } }",
    ] {
        assert_eq!(circles_in(&format!("{there} {back}")), [2], "{there}");
    }
    for open in [
        "mod a { mod b; }",
        "mod a { use b::g; use std::b; }",
        "mod a { #[cfg(test)] mod tests { use crate::b; } }",
        "mod a { #[cfg(test)] fn f() { super::b::g() } }",
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
    collect(parse(root), folder, &Module::new(), &mut sources);
    sources
}

fn parse(file: &Path) -> Vec<Item> {
    let source = fs::read_to_string(file).unwrap();
    let parsed = syn::parse_file(&source);
    parsed
        .unwrap_or_else(|error| panic!("{}: {error}", file.display()))
        .items
}

/// Sorts items into their modules. `folder` is where the files of the module's children are.
fn collect(items: Vec<Item>, folder: &Path, module: &Module, sources: &mut Sources) {
    let mut own = Vec::new();
    for item in items {
        let Item::Mod(child) = item else {
            own.push(item);
            continue;
        };
        if is_of_tests(&child.attrs) {
            continue;
        }
        let name = child.ident.to_string();
        let folder = folder.join(&name);
        let items = match child.content {
            Some((_, items)) => items,
            // The fixtures have no files.
            None if folder.is_relative() => Vec::new(),
            None => {
                let beside = folder.with_extension("rs");
                let file = if beside.is_file() {
                    beside
                } else {
                    folder.join("mod.rs")
                };
                parse(&file)
            }
        };
        let module = [module.clone(), vec![name]].concat();
        collect(items, &folder, &module, sources);
    }
    sources.insert(module.clone(), own);
}

fn imports(sources: &Sources) -> Imports {
    let imports = sources.iter().map(|(module, items)| {
        let mut names = Names {
            module,
            sources,
            found: BTreeSet::new(),
        };
        items.iter().for_each(|item| names.visit_item(item));
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

    fn uses(&mut self, before: &[String], tree: &UseTree) {
        let with = |part: String| [before, &[part]].concat();
        match tree {
            UseTree::Path(path) => self.uses(&with(path.ident.to_string()), &path.tree),
            UseTree::Name(name) => self.path(&with(name.ident.to_string())),
            UseTree::Rename(name) => self.path(&with(name.ident.to_string())),
            UseTree::Glob(_) => self.path(&with("*".to_owned())),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.uses(before, tree)),
        }
    }

    fn tokens(&mut self, tokens: TokenStream) {
        let mut path = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Ident(ident) if colons == 2 && !path.is_empty() => {
                    path.push(ident.to_string());
                    colons = 0;
                }
                other => {
                    self.path(&path);
                    path.clear();
                    colons = 0;
                    match other {
                        TokenTree::Ident(ident) => path.push(ident.to_string()),
                        TokenTree::Group(group) => self.tokens(group.stream()),
                        _ => {}
                    }
                }
            }
        }
        self.path(&path);
    }
}

fn child(module: &Module, name: &str) -> Module {
    [module.as_slice(), &[name.to_owned()]].concat()
}

impl<'ast> Visit<'ast> for Names<'_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if !is_of_tests(&item.attrs) {
            visit::visit_item_fn(self, item);
        }
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        if !is_of_tests(&item.attrs) {
            visit::visit_item_impl(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !is_of_tests(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if !is_of_tests(&item.attrs) {
            self.uses(&[], &item.tree);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let parts: Vec<_> = path
            .segments
            .iter()
            .map(|part| part.ident.to_string())
            .collect();
        self.path(&parts);
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.tokens(call.tokens.clone());
    }
}

fn is_of_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute
                .parse_args::<syn::Path>()
                .is_ok_and(|path| path.is_ident("test"))
    })
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
    let _ = writeln!(text, "  a circle of {}:", circle.len());
    for module in circle {
        let named: Vec<_> = imports[module].intersection(circle).map(name).collect();
        let _ = writeln!(text, "    {} → {}", name(module), named.join(", "));
    }
}
