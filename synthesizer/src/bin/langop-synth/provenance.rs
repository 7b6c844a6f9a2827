//! Where code comes from: statements as files, and the check of them by public keys. Asks nobody.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use langop_dsl::{clean, hash::sha256_hex, instructions};
use langop_proto::v1::SynthesizeResponse;
use langop_provenance::{Claim, KeyError, Keyring, Refusal, Verified, verify};

use crate::{
    args::{SynthesizeArgs, VerifyArgs},
    input::{self, InputError},
    report,
};

/// Why there is no statement that holds.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProvenanceError {
    #[error(transparent)]
    Input(#[from] InputError),
    #[error("{} cannot be used as public keys", input::name(.path))]
    Keys {
        path: PathBuf,
        #[source]
        source: KeyError,
    },
    #[error("cannot write {}", .path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "the synthesizer signs nothing: give it a key by LANGOP_SIGNING_KEY_FILE, or ask without --provenance and --keys"
    )]
    Unsigned,
    #[error("it is not shown where the code comes from")]
    Refused(#[from] Refusal),
}

/// Writes the statement of an answer, and checks it first, as the command line asks.
pub(crate) fn of_answer(
    args: &SynthesizeArgs,
    agent: &str,
    instructions: &str,
    response: &SynthesizeResponse,
) -> Result<(), ProvenanceError> {
    let is_asked = args.provenance.is_some() || args.keys.is_some();
    if !is_asked || response.code.is_empty() {
        return Ok(());
    }
    if response.provenance.is_empty() {
        return Err(ProvenanceError::Unsigned);
    }
    if let Some(keys) = &args.keys {
        let code = &response.code;
        check(&response.provenance, keys, agent, code, instructions)?;
    }
    args.provenance.as_ref().map_or(Ok(()), |path| {
        let text = format!("{}\n", response.provenance);
        fs::write(path, text).map_err(|source| ProvenanceError::Write {
            path: path.clone(),
            source,
        })
    })
}

/// Checks a statement in a file, and says what it tells.
pub(crate) fn of_files(args: &VerifyArgs) -> Result<String, ProvenanceError> {
    let (code, agent, text) = input::verify(args)?;
    let envelope = input::text(&args.provenance)?;
    let verified = check(envelope.trim_end(), &args.keys, &agent, &code, &text)?;
    Ok(told(&verified))
}

fn check(
    envelope: &str,
    keys: &Path,
    agent: &str,
    code: &str,
    text: &str,
) -> Result<Verified, ProvenanceError> {
    let pem = input::bytes(keys)?;
    let keys = Keyring::from_pem(&pem).map_err(|source| ProvenanceError::Keys {
        path: keys.to_owned(),
        source,
    })?;
    let claim = Claim {
        agent,
        code_hash: &sha256_hex(code.as_bytes()),
        instructions_hash: &instructions::hash(text),
    };
    Ok(verify(envelope, &keys, &claim)?)
}

/// What a statement that holds says.
fn told(verified: &Verified) -> String {
    let predicate = &verified.statement.predicate;
    format!(
        "the code of '{}' was made ({}) at {} by {} ({}) from these instructions\nsigned by key {}\n",
        clean(&predicate.agent),
        predicate.outcome.as_str(),
        predicate.synthesized_at,
        clean(&predicate.model),
        clean(&predicate.provider),
        report::short(&verified.key_id),
    )
}
