//! Completion as kubectl asks its plugins for it: the words of the line in, the last of them to be
//! completed; candidates out, one a line, and then what the shell is to do without one.

use std::time::Duration;

use clap::{Arg, Command, CommandFactory as _};

use crate::{
    args::Cli,
    kind::Kind,
    world::{Connect, World},
};

/// For the shell: these are all, offer no files.
const NO_FILES: &str = ":4\n";
/// For the shell: offer files.
const FILES: &str = ":0\n";
/// Longest time to ask the API server for names; people wait.
const PATIENCE: Duration = Duration::from_secs(2);

/// What can stand at the cursor.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    /// One of these, with what it is.
    OneOf(Vec<(String, String)>),
    /// The name of an agent.
    Agent,
    File,
}

/// The answer to kubectl.
pub(crate) async fn answer(words: &[String]) -> String {
    let (last, before) = words
        .split_last()
        .map_or(("", words), |(last, before)| (last.as_str(), before));
    match wanted(before, last) {
        Wanted::File => FILES.to_owned(),
        Wanted::OneOf(all) => lines(all, last),
        Wanted::Agent => {
            let names = tokio::time::timeout(PATIENCE, agents(before)).await;
            let names = names.ok().flatten().unwrap_or_default();
            lines(
                names
                    .into_iter()
                    .map(|name| (name, String::new()))
                    .collect(),
                last,
            )
        }
    }
}

fn lines(mut all: Vec<(String, String)>, begun: &str) -> String {
    all.retain(|(word, _)| word.starts_with(begun));
    let lines: Vec<String> = all
        .into_iter()
        .map(|(word, about)| {
            if about.is_empty() {
                format!("{word}\n")
            } else {
                format!("{word}\t{about}\n")
            }
        })
        .collect();
    lines.concat() + NO_FILES
}

fn wanted(before: &[String], last: &str) -> Wanted {
    let mut program = Cli::command();
    program.build();
    let mut words = before.iter().map(String::as_str);
    let mut command: Option<&Command> = None;
    let mut open: Option<&Arg> = None;
    while let Some(word) = words.next() {
        let here = command.unwrap_or(&program);
        if word.starts_with('-') {
            open = flag(here, word).filter(|arg| arg.get_action().takes_values());
            if open.is_some() && words.len() > 0 {
                words.next();
                open = None;
            }
        } else if command.is_none() {
            command = program.find_subcommand(word);
        }
    }
    if let Some(arg) = open {
        return values(arg);
    }
    match command {
        _ if last.starts_with('-') => Wanted::OneOf(flags(command.unwrap_or(&program))),
        None => Wanted::OneOf(commands(&program)),
        // Its name is what there is not yet.
        Some(command) if command.get_name() == "new" => Wanted::OneOf(Vec::new()),
        Some(command) if command.get_positionals().next().is_some() => Wanted::Agent,
        Some(_) => Wanted::OneOf(Vec::new()),
    }
}

fn flag<'a>(command: &'a Command, word: &str) -> Option<&'a Arg> {
    command.get_arguments().find(|arg| {
        let long = arg
            .get_long()
            .is_some_and(|long| word.strip_prefix("--") == Some(long));
        let short = arg
            .get_short()
            .is_some_and(|short| word.strip_prefix('-') == Some(&short.to_string()));
        long || short
    })
}

fn values(arg: &Arg) -> Wanted {
    let values = arg.get_possible_values();
    match (values.is_empty(), arg.get_id().as_str()) {
        (false, _) => {
            let names = values
                .iter()
                .map(|value| (value.get_name().to_owned(), String::new()));
            Wanted::OneOf(names.collect())
        }
        (true, "paths" | "file" | "prices" | "keys" | "kubeconfig") => Wanted::File,
        (true, _) => Wanted::OneOf(Vec::new()),
    }
}

fn flags(command: &Command) -> Vec<(String, String)> {
    let flags = command.get_arguments().filter_map(|arg| {
        let about = arg.get_help().map(ToString::to_string).unwrap_or_default();
        Some((format!("--{}", arg.get_long()?), about))
    });
    flags.collect()
}

fn commands(program: &Command) -> Vec<(String, String)> {
    let commands = program.get_subcommands().map(|command| {
        let about = command.get_about().map(ToString::to_string);
        (command.get_name().to_owned(), about.unwrap_or_default())
    });
    commands.collect()
}

/// Names of agents, where the flags so far say. That there are none to be had is no error here.
async fn agents(before: &[String]) -> Option<Vec<String>> {
    let value = |long: &str, short: &str| {
        let at = before
            .iter()
            .position(|word| word == long || word == short)?;
        before.get(at + 1).cloned()
    };
    let connect = Connect {
        namespace: value("--namespace", "-n"),
        context: value("--context", "--context"),
        kubeconfig: value("--kubeconfig", "--kubeconfig").map(Into::into),
    };
    let world = World::connect(&connect).await.ok()?;
    let agents = world.list(Kind::Agent, false).await.ok()?;
    Some(
        agents
            .into_iter()
            .filter_map(|agent| agent.metadata.name)
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(line: &str) -> Wanted {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let (last, before) = words.split_last().unwrap();
        wanted(before, last)
    }

    fn names(wanted: Wanted) -> Vec<String> {
        match wanted {
            Wanted::OneOf(all) => all.into_iter().map(|(name, _)| name).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_can_stand_at_the_cursor_follows_from_the_words_before() {
        assert!(names(at("")).contains(&"why".to_owned()));
        assert!(names(at("-n demo ")).contains(&"get".to_owned()));
        assert!(names(at("get --")).contains(&"--all-namespaces".to_owned()));
        assert_eq!(
            names(at("get -o ")),
            ["table", "wide", "json", "yaml", "name"]
        );
        assert_eq!(at("why "), Wanted::Agent);
        assert_eq!(at("why -o json "), Wanted::Agent);
        assert_eq!(at("lint -f "), Wanted::File);
        assert_eq!(names(at("get ")), [""; 0]);
        assert_eq!(names(at("new ")), [""; 0]);
        assert_eq!(at("new daily -f "), Wanted::File);
        assert_eq!(at("trace "), Wanted::Agent);
    }

    #[test]
    fn candidates_begin_with_what_is_there_and_end_with_a_word_to_the_shell() {
        let all = [("run", "Runs"), ("resume", ""), ("why", "")];
        let all = all.map(|(word, about)| (word.to_owned(), about.to_owned()));
        assert_eq!(lines(all.into(), "r"), "run\tRuns\nresume\n:4\n");
    }
}
