//! Keys as docs/provenance.md has people make them, by the very commands of that page.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, path::Path, process::Command};

use langop_provenance::{Keyring, SigningKey};

/// The block of the page that makes keys.
fn commands() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/provenance.md");
    let page = fs::read_to_string(page).unwrap();
    let beginning = "openssl genpkey";
    let (_, block) = page.split_once(&format!("```sh\n{beginning}")).unwrap();
    let (block, _) = block.split_once("```").unwrap();
    format!("{beginning}{block}")
}

#[test]
fn the_commands_of_the_page_make_keys_that_fit() {
    if Command::new("openssl").arg("version").output().is_err() {
        // The form of its files is held by the unit tests, too.
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let run = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &commands()])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(run.status.success(), "{run:?}");
    let read = |name: &str| fs::read(folder.path().join(name)).unwrap();
    let key = SigningKey::from_pem(&read("key.pem")).unwrap();
    let keys = Keyring::from_pem(&read("public.pem")).unwrap();
    assert_eq!(keys.key_ids().collect::<Vec<_>>(), [key.id()]);
    let told = String::from_utf8(run.stdout).unwrap();
    assert_eq!(told.split_whitespace().next(), Some(key.id()), "{told}");
    assert_eq!(key.public_pem().into_bytes(), read("public.pem"));
}
