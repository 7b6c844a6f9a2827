//! Every command on a page is run by a test, word for word, or has a reason here why not.

use std::{collections::BTreeSet, fs};

use langop_integration_tests::{Page, pages, workspace_root};

use crate::links;

/// Of a block: its page, how its first command begins, and who runs it.
type Entry = (&'static str, &'static str, Runs);

enum Runs {
    /// The test in this file, which reads the block from the page.
    Test(&'static str),
    /// Whoever runs the commands of this page, each of which is there, too.
    SameAs(&'static str),
    /// Nobody, for this reason.
    Nobody(&'static str),
}

use Runs::{Nobody, SameAs, Test};

const COMMANDS: &[Entry] = &[
    (
        "README.md",
        "cargo images",
        SameAs("docs/getting-started.md"),
    ),
    (
        "README.md",
        "sed 's/ghcr.io/",
        SameAs("docs/getting-started.md"),
    ),
    (
        "docs/getting-started.md",
        "cargo images",
        Test("integration-tests/tests/install.rs"),
    ),
    (
        "docs/getting-started.md",
        "kubectl create namespace",
        Test("integration-tests/tests/install.rs"),
    ),
    (
        "docs/getting-started.md",
        "sed 's/ghcr.io/",
        Test("integration-tests/tests/install.rs"),
    ),
    (
        "docs/getting-started.md",
        "kubectl create job",
        Test("integration-tests/tests/install.rs"),
    ),
    (
        "README.md",
        "cargo demo",
        Nobody(
            "`.ci/run` does both: the demo until it has shown everything, and the tests, of which this is one",
        ),
    ),
    (
        "CONTRIBUTING.md",
        "cargo test",
        Nobody(
            "each builds or tests everything; `.ci/run` is the last of them and does what the others do",
        ),
    ),
    (
        "docs/living-with-agents.md",
        "kubectl get lagent",
        Test("integration-tests/tests/behaviour/living_with_agents.rs"),
    ),
    (
        "docs/kubectl-langop.md",
        "cargo build --release -p langop-cli",
        Nobody("builds for release what integration-tests/tests/cli runs as it is built for tests"),
    ),
    (
        "docs/kubectl-langop.md",
        "kubectl langop approve clerk",
        Nobody(
            "integration-tests/tests/guarantees/approval.rs does both, as four users and with the question that is asked",
        ),
    ),
    (
        "docs/ad-hoc-synthesis.md",
        "cargo build --bins",
        Nobody("builds the programs that a test finds built"),
    ),
    (
        "docs/ad-hoc-synthesis.md",
        "SYNTHESIS_PROVIDER=template",
        Test("integration-tests/tests/docs/typed.rs"),
    ),
    (
        "docs/ad-hoc-synthesis.md",
        "service=",
        Test("integration-tests/tests/docs/typed.rs"),
    ),
    (
        "docs/client.md",
        "cargo build --bins",
        Nobody("chat/tests/front starts the program so, beside a model that it brings"),
    ),
    (
        "docs/callers.md",
        "openssl rand",
        Test("integration-tests/tests/docs/typed.rs"),
    ),
    (
        "docs/provenance.md",
        "openssl genpkey",
        Test("provenance/tests/openssl.rs"),
    ),
    (
        "docs/provenance.md",
        "kubectl get lagent",
        Test("integration-tests/tests/behaviour/living_with_agents.rs"),
    ),
    (
        "docs/powers.md",
        "kubectl get configmap",
        Test("integration-tests/tests/behaviour/living_with_agents.rs"),
    ),
    (
        "docs/observability.md",
        "helm upgrade langop",
        Test("integration-tests/tests/chart/release.rs"),
    ),
    (
        "docs/autoscaling.md",
        "helm upgrade langop",
        Test("integration-tests/tests/chart/release.rs"),
    ),
    (
        "docs/autoscaling.md",
        "kubectl get --raw",
        Test("integration-tests/tests/chart/autoscaling.rs"),
    ),
    (
        "docs/provenance.md",
        "kubectl -n langop-system create secret generic langop-signing",
        Test("integration-tests/tests/chart/release.rs"),
    ),
    (
        "docs/upgrading.md",
        "helm upgrade langop",
        Test("integration-tests/tests/chart/release.rs"),
    ),
    (
        "docs/upgrading.md",
        "helm rollback langop",
        Test("integration-tests/tests/chart/release.rs"),
    ),
    (
        "docs/upgrading.md",
        "helm uninstall",
        Test("integration-tests/tests/chart/release.rs"),
    ),
    (
        "docs/provenance.md",
        "langop-synth synthesize",
        Test("integration-tests/tests/docs/typed.rs"),
    ),
    (
        "docs/release.md",
        "cosign verify ",
        Nobody("asks about a published release, and there is none yet"),
    ),
    (
        "docs/release.md",
        "cosign verify-blob",
        Nobody("asks about a published release, and there is none yet"),
    ),
    (
        "docs/release.md",
        "kubectl krew install",
        Nobody(
            "downloads from a published release; integration-tests/tests/release.rs installs from such files",
        ),
    ),
    (
        "docs/release.md",
        "cargo images --out",
        Nobody(
            "needs two machines; images/src/index.rs tests what the last command does with what they made",
        ),
    ),
    (
        "docs/release.md",
        "cargo images check",
        Nobody("takes as long as two release builds; whoever releases runs it"),
    ),
];

/// Pages all of whose blocks are run by the test in this file, which has names for them.
const WHOLE: [(&str, &str); 1] = [(
    "sdk/ruby/README.md",
    "integration-tests/tests/sdk/readme.rs",
)];

/// Languages of blocks in use; a command under another name would be seen by nobody.
const LANGUAGES: [&str; 9] = [
    "sh",
    "console",
    "yaml",
    "json",
    "text",
    "ruby",
    "rust",
    "toml",
    "dockerfile",
];

#[test]
fn every_block_of_commands_is_run_by_a_test_or_has_a_reason() {
    let mut found = BTreeSet::new();
    let mut wrong = Vec::new();
    for page in links::pages() {
        if WHOLE.iter().any(|(whole, _)| *whole == page.path) {
            continue;
        }
        for block in page.typed() {
            let of_block = |entry: &&Entry| entry.0 == page.path && block.begins_with(entry.1);
            match COMMANDS.iter().filter(of_block).collect::<Vec<_>>()[..] {
                [(page, beginning, _)] => assert!(found.insert((page, beginning)), "twice"),
                _ => wrong.push(format!("{}:\n{}", page.path, block.text)),
            }
        }
        for block in &page.blocks {
            let is_known = LANGUAGES.contains(&block.language.as_str());
            assert!(
                is_known,
                "{}: {:?}; there are {LANGUAGES:?}",
                page.path, block.language
            );
        }
    }
    assert!(
        wrong.is_empty(),
        "no entry, or several: {}",
        wrong.join("\n")
    );
    let is_left = |entry: &&Entry| !found.contains(&(&entry.0, &entry.1));
    let left: Vec<_> = COMMANDS
        .iter()
        .filter(is_left)
        .map(|(page, of, _)| (page, of))
        .collect();
    assert!(left.is_empty(), "no block is as these say: {left:#?}");
}

#[test]
fn whoever_runs_a_block_reads_it_from_its_page() {
    for (page, beginning, runs) in COMMANDS {
        match runs {
            Test(file) => {
                let source = fs::read_to_string(workspace_root().unwrap().join(file)).unwrap();
                assert!(
                    source.contains(&format!("{page}\"")),
                    "{file} does not read {page}"
                );
                let quoted = format!("\"{beginning}");
                assert!(
                    source.contains(&quoted),
                    "{file} does not look for {beginning}"
                );
            }
            SameAs(other) => {
                let block = Page::read(page).unwrap();
                let block = block.block(beginning).unwrap();
                let other = Page::read(other).unwrap();
                let there: Vec<_> = other.typed().flat_map(|block| block.text.lines()).collect();
                for line in block.text.lines() {
                    assert!(there.contains(&line), "{}: no {line}", other.path);
                }
            }
            Nobody(reason) => assert!(reason.split(' ').count() > 4, "{reason}"),
        }
    }
    for (page, file) in WHOLE {
        let (_, name) = page.rsplit_once('/').unwrap();
        let source = fs::read_to_string(workspace_root().unwrap().join(file)).unwrap();
        assert!(source.contains(name), "{file} does not read {page}");
    }
    assert_eq!(pages::TYPED, ["sh", "console"]);
}
