# Short names for what CONTRIBUTING.md describes. `just --list` shows them; none does more than its line says.

# Everything that must hold before a change lands
ci:
    .ci/run

# Format and lints
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --locked -- -D warnings

# All tests, or those of one target: `just test behaviour ownership`
test target="" filter="":
    cargo test --workspace --locked {{ if target == "" { "" } else { "--test " + target } }} {{ filter }}

# Unit tests only
unit filter="":
    cargo test --workspace --locked --lib {{ filter }}

# Each crate by itself, which shows features that one crate borrows from another
each:
    cargo metadata --no-deps --format-version 1 | jq -r '.packages[].name' | xargs -I{} cargo check --locked -p {}

# CRDs, boards, alerts and the pages of reference, written anew from the code
generate:
    cargo run --quiet --bin langop-operator -- crds > deploy/crds.yaml
    LANGOP_UPDATE=1 cargo test --locked -p langop-dashboards --test files
    LANGOP_UPDATE=1 cargo test --workspace --locked --test reference

# The main job, from nothing
demo *args:
    cargo demo {{ args }}

# Licences, bans and advisories (needs cargo-deny)
deny:
    cargo deny check

# API documentation, with broken links denied
doc:
    RUSTDOCFLAGS="-D rustdoc::broken_intra_doc_links" cargo doc --workspace --no-deps --locked

# The documentation as a book in target/book (needs mdbook)
book:
    mdbook build
