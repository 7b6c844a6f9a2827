//! Runs rendered code with the system's Ruby, which only notes what it is told, and compares: a
//! reader of our own cannot show that others read the same.

#![expect(clippy::print_stderr, reason = "what is left out must be seen")]

use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Stdio};
use std::{env, fs};

use langop_dsl::{AgentDefinition, render};
use serde_json::{Value, json};

/// Asserts that Ruby notes exactly these definitions in what is rendered of them. Where there is no
/// Ruby it says so, except in CI, where that is a failure.
pub(crate) fn notes_what_is_defined(definitions: &[AgentDefinition]) {
    assert!(definitions.len() >= 20, "too few to show anything");
    let folder = tempfile::tempdir().unwrap();
    for (number, definition) in definitions.iter().enumerate() {
        let file = folder.path().join(format!("{number:06}.rb"));
        fs::write(file, render(definition)).unwrap();
    }
    let Some(notes) = run(folder.path()) else {
        return;
    };
    let notes: Vec<Value> = notes
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(notes.len(), definitions.len());
    for (noted, definition) in notes.into_iter().zip(definitions) {
        // through text, as both are read: so all floats have one way to be written
        let written = serde_json::to_string(definition).unwrap();
        let written: Value = serde_json::from_str(&written).unwrap();
        assert_eq!(noted, json!([written]), "{}", render(definition));
    }
}

/// What the recorder prints for the files in `folder`.
fn run(folder: &Path) -> Option<String> {
    let recorder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorder/recorder.rb");
    // the encoding of texts that are read is the environment's, that of code is its own
    let output = Command::new("ruby")
        .args(["-W0", "-E", "UTF-8:UTF-8"])
        .arg(recorder)
        .arg(folder)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output();
    match output {
        Ok(output) => {
            assert!(
                output.status.success(),
                "the recorder ended with {}",
                output.status
            );
            Some(String::from_utf8(output.stdout).unwrap())
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let advice = "no `ruby` on PATH: install it, on Debian `apt-get install --no-install-recommends ruby`";
            assert!(env::var_os("CI").is_none(), "{advice}");
            eprintln!(
                "LEFT OUT: whether Ruby reads code as it was checked is not tested here; {advice}"
            );
            None
        }
        Err(error) => panic!("ruby cannot be run: {error}"),
    }
}
