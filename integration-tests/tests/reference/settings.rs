//! docs/settings.md: every setting of both programs, as their command lines define it.

use std::fmt::Write as _;

use clap::{Arg, Command, CommandFactory as _};
use langop_operator::cli::Cli;
use langop_synthesizer::settings::Settings;

use crate::{WRITTEN, cell, hold};

const HEAD: &str = "# Settings

Each setting is a flag and an environment variable that means the same; an empty variable counts as unset; `--help` says what is here.
";

fn reference() -> String {
    let operator = Cli::command();
    let run = operator.find_subcommand("run").unwrap();
    format!(
        "{HEAD}{WRITTEN}\n{}\n{}",
        section("langop-operator run", run),
        section("langop-synthesizer", &Settings::command())
    )
}

fn section(title: &str, command: &Command) -> String {
    let mut text =
        format!("## {title}\n\n| variable | flag | default | what it is |\n|---|---|---|---|\n");
    let mut settings: Vec<&Arg> = command
        .get_arguments()
        .filter(|arg| !matches!(arg.get_id().as_str(), "help" | "version"))
        .collect();
    settings.sort_by_key(|arg| arg.get_env());
    for arg in settings {
        writeln!(text, "{}", row(arg)).unwrap();
    }
    text
}

fn row(arg: &Arg) -> String {
    let variable = arg
        .get_env()
        .map_or_else(String::new, |name| format!("`{}`", name.to_string_lossy()));
    let flag = arg
        .get_long()
        .map_or_else(String::new, |name| format!("`--{name}`"));
    let defaults = arg.get_default_values().iter();
    let defaults: Vec<_> = defaults
        .map(|value| format!("`{}`", value.to_string_lossy()))
        .collect();
    let help = arg.get_long_help().or(arg.get_help());
    let help = help.map(ToString::to_string).unwrap_or_default();
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    format!(
        "| {variable} | {flag} | {} | {}{} |",
        defaults.join(", "),
        cell(&help),
        choices(arg)
    )
}

fn choices(arg: &Arg) -> String {
    let values = arg.get_possible_values();
    if values.is_empty() || !arg.get_action().takes_values() {
        return String::new();
    }
    let names: Vec<_> = values
        .iter()
        .map(|value| format!("`{}`", value.get_name()))
        .collect();
    format!(" ({})", names.join(", "))
}

#[test]
fn the_reference_of_settings_is_what_the_programs_take() {
    hold("docs/settings.md", &reference());
}

#[test]
fn every_setting_says_what_it_is() {
    let operator = Cli::command();
    let run = operator.find_subcommand("run").unwrap();
    for command in [run, &Settings::command()] {
        for arg in command.get_arguments() {
            assert!(arg.get_help().is_some(), "{arg} of {}", command.get_name());
        }
    }
}
