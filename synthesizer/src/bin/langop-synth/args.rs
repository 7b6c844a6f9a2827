//! The command line. Parsing only: reading the files it names is `input`'s business.

use std::{path::PathBuf, time::Duration};

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::credentials::CredentialArgs;

const EXIT_CODES: &str = "\
Exit codes:
  0  done: the code is valid
  1  the code is invalid, no valid code could be made, or a statement does not hold for it
  2  wrong usage, a file that cannot be read, or a request that can never succeed
  3  the synthesizer cannot be reached or failed

Examples:
  langop-synth synthesize -f instructions.txt --tool email-tool='Sends e-mail' --model claude > agent.rb
  langop-synth synthesize -f agent.yaml tools.yaml > agent.rb     # a LanguageAgent, as kubectl applies it
  langop-synth validate agent.rb --tool email-tool --model claude
  langop-synth verify agent.rb -f instructions.txt --provenance agent.dsse --keys keys.pem
  langop-synth --endpoint synth-0:50051,synth-1:50051 validate agent.rb
  echo 'Every day at 9am, tell a joke' | langop-synth --output json synthesize -f -";

/// Asks a synthesizer for agent code, or to check some.
///
/// Code goes to standard output, everything else to standard error.
#[derive(Debug, Parser)]
#[command(name = "langop-synth", version, after_help = EXIT_CODES)]
pub(crate) struct Args {
    /// Address of the synthesizer: a URL, or host:port. Several, as a list or by repeating the
    /// flag, or a host with several addresses: its replicas; each request has one that knows it
    /// best, and the others stand in
    #[arg(
        long = "endpoint",
        global = true,
        env = "LANGOP_SYNTHESIZER_ENDPOINT",
        default_value = "http://127.0.0.1:50051",
        value_delimiter = ',',
        value_name = "URL"
    )]
    pub(crate) endpoints: Vec<String>,

    /// Longest time to wait for the answer
    #[arg(long, global = true, default_value = "2m", value_name = "DURATION", value_parser = duration)]
    pub(crate) timeout: Duration,

    /// What standard output holds: the code alone, or the whole answer
    #[arg(long, global = true, value_enum, default_value_t = Output::Human, value_name = "FORMAT")]
    pub(crate) output: Output,

    #[command(flatten)]
    pub(crate) credentials: CredentialArgs,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What standard output holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people and pipes: the code, or the prompt.
    Human,
    /// For programs: the whole answer as JSON.
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Makes agent code from instructions
    Synthesize(SynthesizeArgs),
    /// Checks agent code, without an LLM and without running it
    Validate(ValidateArgs),
    /// Condenses a persona
    Distill(DistillArgs),
    /// Checks by public keys where code comes from, without a synthesizer
    Verify(VerifyArgs),
    /// Prints a shell's completions; for bash: source <(langop-synth completions bash)
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Prints a manual page, for man -l -
    Man {
        /// A command's instead of the program's
        #[arg(value_name = "COMMAND")]
        command: Option<String>,
    },
}

#[derive(Debug, ClapArgs)]
pub(crate) struct SynthesizeArgs {
    /// File with the instructions, or files with a LanguageAgent as kubectl applies it (YAML or
    /// JSON); - is standard input. Tools, models and a persona that stand in the same files are
    /// offered with all that these say of them
    #[arg(short, long = "file", value_name = "FILE", required = true, num_args = 1..)]
    pub(crate) files: Vec<PathBuf>,

    /// Name of the agent; of several in a manifest, the one to take [default: the manifest's, else
    /// my-agent]
    #[arg(long)]
    pub(crate) name: Option<String>,

    #[command(flatten)]
    pub(crate) offer: OfferArgs,

    /// JSON file with who the agent is: {"name", "description", "systemPrompt", "tone", "language"}
    #[arg(long, value_name = "FILE")]
    pub(crate) persona_file: Option<PathBuf>,

    /// Code that ran before, to be changed as little as possible
    #[arg(long, value_name = "FILE", requires = "previous_instructions")]
    pub(crate) previous_code: Option<PathBuf>,

    /// Instructions that code was made from
    #[arg(long, value_name = "FILE", requires = "previous_code")]
    pub(crate) previous_instructions: Option<PathBuf>,

    /// Any text: another one asks for another answer to the same request
    #[arg(long, default_value = "")]
    pub(crate) variant: String,

    /// How often invalid code is sent back with its diagnostics, 0 to 2; unset: the synthesizer's
    /// default
    #[arg(long, value_name = "COUNT")]
    pub(crate) max_repairs: Option<u32>,

    /// Wait for the answer without showing progress
    #[arg(long)]
    pub(crate) no_stream: bool,

    /// File to write the signed statement to that says where the code comes from
    #[arg(long, value_name = "FILE")]
    pub(crate) provenance: Option<PathBuf>,

    /// PEM file with the public keys of the synthesizer: code without a statement signed by one of
    /// them is not given out
    #[arg(long, value_name = "FILE")]
    pub(crate) keys: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct VerifyArgs {
    /// File with the code; - is standard input
    #[arg(value_name = "CODE")]
    pub(crate) code: PathBuf,

    /// The instructions that the code is to be made from, as for synthesize
    #[arg(short, long = "file", value_name = "FILE", required = true, num_args = 1..)]
    pub(crate) files: Vec<PathBuf>,

    /// Name of the agent, as for synthesize
    #[arg(long)]
    pub(crate) name: Option<String>,

    /// File with the signed statement
    #[arg(long, value_name = "FILE")]
    pub(crate) provenance: PathBuf,

    /// PEM file with the public keys that count
    #[arg(long, value_name = "FILE")]
    pub(crate) keys: PathBuf,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ValidateArgs {
    /// File with the code; - is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    #[command(flatten)]
    pub(crate) offer: OfferArgs,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct DistillArgs {
    /// JSON file with the persona; - is standard input. The flags below win over it
    #[arg(short, long = "file", value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,

    /// Name of the persona
    #[arg(long)]
    pub(crate) name: Option<String>,

    /// One sentence about it
    #[arg(long)]
    pub(crate) description: Option<String>,

    /// How it behaves
    #[arg(long)]
    pub(crate) system_prompt: Option<String>,

    /// For example friendly
    #[arg(long)]
    pub(crate) tone: Option<String>,

    /// For example en
    #[arg(long)]
    pub(crate) language: Option<String>,
}

/// What the code may use.
#[derive(Debug, ClapArgs)]
pub(crate) struct OfferArgs {
    /// A tool that the code may use; may be repeated. Given any, a manifest's are not offered
    #[arg(long = "tool", value_name = "NAME[=DESCRIPTION]", value_parser = pair)]
    pub(crate) tools: Vec<Pair>,

    /// JSON file with more tools: [{"name", "description", "operations": [{"name", "description",
    /// "inputSchema"}]}]
    #[arg(long, value_name = "FILE")]
    pub(crate) tools_file: Option<PathBuf>,

    /// A model that the code may ask; may be repeated. Given any, a manifest's are not offered
    #[arg(long = "model", value_name = "NAME[=MODEL-ID]", value_parser = pair)]
    pub(crate) models: Vec<Pair>,
}

/// `NAME` or `NAME=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) name: String,
    pub(crate) value: String,
}

fn pair(text: &str) -> Result<Pair, String> {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    if name.trim().is_empty() {
        return Err("write a name before `=`".to_owned());
    }
    Ok(Pair {
        name: name.trim().to_owned(),
        value: value.to_owned(),
    })
}

fn duration(text: &str) -> Result<Duration, langop_dsl::ScheduleError> {
    langop_dsl::parse_duration(text).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn names_and_values() {
        for (text, name, value) in [("a", "a", ""), ("a=b=c d", "a", "b=c d"), (" a =", "a", "")] {
            assert_eq!(
                pair(text),
                Ok(Pair {
                    name: name.to_owned(),
                    value: value.to_owned()
                })
            );
        }
        assert!(pair("=x").is_err() && pair("").is_err());
    }

    #[test]
    fn wrong_usage_is_refused() {
        for arguments in [
            &["langop-synth"][..],
            &["langop-synth", "synthesize"],
            &[
                "langop-synth",
                "synthesize",
                "-f",
                "x",
                "--previous-code",
                "y",
            ],
            &["langop-synth", "synthesize", "-f", "x", "--timeout", "soon"],
            &["langop-synth", "validate"],
        ] {
            assert!(Args::try_parse_from(arguments).is_err(), "{arguments:?}");
        }
    }
}
