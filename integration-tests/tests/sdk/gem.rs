//! The gem as a file: what is in it works where nothing else is.

use langop_integration_tests::workspace_root;

use super::ruby::{Gem, run, run_well, sources};

#[tokio::test]
async fn it_is_installed_into_an_empty_place_and_works_from_there() {
    let gem = Gem::installed().await;
    let code = "require 'langop'; puts $LOADED_FEATURES.grep(/langop/), Langop::VERSION";
    let said = run_well(gem.command("ruby").args(["-e", code])).await;
    assert!(
        said.trim_end().ends_with(env!("CARGO_PKG_VERSION")),
        "{said}"
    );
    assert!(
        !said.contains("sdk/ruby"),
        "nothing is of the sources: {said}"
    );
    let other = "require 'language_operator'; p Langop::Dsl.agent('a') { objectives ['x'] }.name";
    assert_eq!(
        run_well(gem.command("ruby").args(["-e", other])).await,
        "\"a\"\n"
    );
}

/// Whoever gets the gem alone gets the license with it: a copy, since a gem holds no links.
#[test]
fn its_license_is_that_of_the_repository() {
    let license = |folder: &std::path::Path| std::fs::read(folder.join("LICENSE")).unwrap();
    assert_eq!(license(&sources()), license(workspace_root().unwrap()));
}

#[tokio::test]
async fn its_programs_say_how_they_are_used() {
    let gem = Gem::installed().await;
    for (program, arguments, code, says) in [
        (
            "langop-agent-ruby",
            vec!["--help"],
            0,
            "Usage: langop-agent-ruby",
        ),
        ("langop-agent-ruby", vec!["--version"], 0, "langop-agent "),
        (
            "langop-agent-ruby",
            vec!["--odd"],
            2,
            "Usage: langop-agent-ruby",
        ),
        (
            "langop-agent-ruby",
            vec![],
            3,
            "set AGENT_CODE_PATH or INSTRUCTIONS",
        ),
        ("langop-tool-server", vec![], 2, "Usage: langop-tool-server"),
        ("langop-tool-server", vec!["/nowhere.rb"], 3, "/nowhere.rb"),
    ] {
        let mut command = gem.command(program);
        let said = run(command.args(&arguments).env("PORT", "1")).await;
        assert_eq!(
            said.code,
            Some(code),
            "{program} {arguments:?}: {}",
            said.text
        );
        assert!(
            said.text.contains(says),
            "{program} {arguments:?}: {}",
            said.text
        );
    }
}
