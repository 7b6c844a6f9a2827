//! Files and flags into requests. Bounded: a file larger than any message is refused before it is
//! read into one.

mod manifest;
mod tool_file;

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use langop_proto::{
    limits,
    v1::{
        AgentRef, DistillPersonaRequest, Model, Persona, PreviousCode, SynthesizeOptions,
        SynthesizeRequest, Tool, ValidateCodeRequest,
    },
};
use serde::{Deserialize, de::DeserializeOwned};

use self::{
    manifest::{Manifest, ManifestError, Objects},
    tool_file::ToolFile,
};
use crate::args::{DistillArgs, OfferArgs, Pair, SynthesizeArgs, ValidateArgs, VerifyArgs};

/// The agent's name where nothing says another one.
const NAME: &str = "my-agent";

/// Why there is no request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InputError {
    #[error("cannot read {}", name(.path))]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is larger than {} bytes", name(.path), limits::MESSAGE)]
    TooLarge { path: PathBuf },
    #[error("{} is not UTF-8 text; save it as UTF-8", name(.path))]
    NotText { path: PathBuf },
    #[error("{} is not the JSON that is expected here", name(.path))]
    Json {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
    #[error("{} cannot be used as a manifest", name(.path))]
    Manifest {
        path: PathBuf,
        #[source]
        source: ManifestError,
    },
    #[error("standard input can be read only once; name a file for the others")]
    StdinTwice,
}

/// What a file is called in messages.
pub(crate) fn name(path: &Path) -> String {
    if is_stdin(path) {
        "standard input".to_owned()
    } else {
        path.display().to_string()
    }
}

fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

/// The request for `synthesize`, and what people should know of it.
pub(crate) fn synthesize(
    args: &SynthesizeArgs,
) -> Result<(SynthesizeRequest, Vec<String>), InputError> {
    let files = [
        args.offer.tools_file.as_ref(),
        args.persona_file.as_ref(),
        args.previous_code.as_ref(),
        args.previous_instructions.as_ref(),
    ];
    only_one_stdin(args.files.iter().chain(files.into_iter().flatten()))?;
    let previous = match (&args.previous_code, &args.previous_instructions) {
        (Some(code), Some(instructions)) => Some(PreviousCode {
            code: text(code)?,
            instructions: text(instructions)?,
        }),
        _ => None,
    };
    let mut agent = agent(&args.files, args.name.as_deref())?;
    // Flags say what to offer instead.
    let (tools, models) = (tools(&args.offer)?, models(&args.offer.models));
    if !tools.is_empty() {
        agent.tools = tools;
    }
    if !models.is_empty() {
        agent.models = models;
    }
    if let Some(path) = &args.persona_file {
        agent.persona = Some(persona(path)?);
    }
    let request = SynthesizeRequest {
        agent: Some(AgentRef {
            name: agent.name,
            namespace: agent.namespace,
        }),
        instructions: agent.instructions,
        tools: agent.tools,
        models: agent.models,
        persona: agent.persona,
        previous,
        options: Some(SynthesizeOptions {
            variant: args.variant.clone(),
            max_repairs: args.max_repairs,
            max_tokens: None,
        }),
    };
    Ok((request, agent.notes))
}

/// Manifests, or a text that is nothing but instructions.
fn agent(files: &[PathBuf], name: Option<&str>) -> Result<Manifest, InputError> {
    let mut objects = Objects::default();
    for file in files {
        let text = text(file)?;
        // Of several files none is a text.
        if files.len() > 1 || manifest::is_manifest(&text) {
            let read = objects.add(&text);
            read.map_err(|source| unusable(file, source))?;
        } else {
            return Ok(Manifest {
                name: name.unwrap_or(NAME).to_owned(),
                instructions: text,
                ..Manifest::default()
            });
        }
    }
    let first = files.first().map_or(Path::new("-"), PathBuf::as_path);
    let agent = objects.agent(name);
    agent.map_err(|source| unusable(first, source))
}

fn unusable(path: &Path, source: ManifestError) -> InputError {
    InputError::Manifest {
        path: path.to_owned(),
        source,
    }
}

/// For `verify`: the code, the agent's name and its instructions.
pub(crate) fn verify(args: &VerifyArgs) -> Result<(String, String, String), InputError> {
    let files = [&args.code, &args.provenance, &args.keys];
    only_one_stdin(args.files.iter().chain(files))?;
    let agent = agent(&args.files, args.name.as_deref())?;
    Ok((text(&args.code)?, agent.name, agent.instructions))
}

/// The request for `validate`.
pub(crate) fn validate(args: &ValidateArgs) -> Result<ValidateCodeRequest, InputError> {
    only_one_stdin(
        [Some(&args.file), args.offer.tools_file.as_ref()]
            .into_iter()
            .flatten(),
    )?;
    Ok(ValidateCodeRequest {
        code: bytes(&args.file)?,
        tools: tools(&args.offer)?,
        models: models(&args.offer.models),
    })
}

/// The request for `distill`.
pub(crate) fn distill(args: &DistillArgs) -> Result<DistillPersonaRequest, InputError> {
    let file = args
        .file
        .as_deref()
        .map(persona)
        .transpose()?
        .unwrap_or_default();
    let pick = |flag: &Option<String>, field: String| flag.clone().unwrap_or(field);
    let persona = Persona {
        name: pick(&args.name, file.name),
        description: pick(&args.description, file.description),
        system_prompt: pick(&args.system_prompt, file.system_prompt),
        tone: pick(&args.tone, file.tone),
        language: pick(&args.language, file.language),
    };
    Ok(DistillPersonaRequest {
        persona: Some(persona),
        max_tokens: None,
    })
}

fn only_one_stdin<'a>(files: impl Iterator<Item = &'a PathBuf>) -> Result<(), InputError> {
    if files.filter(|file| is_stdin(file)).count() > 1 {
        Err(InputError::StdinTwice)
    } else {
        Ok(())
    }
}

fn models(models: &[Pair]) -> Vec<Model> {
    models
        .iter()
        .map(|pair| Model {
            name: pair.name.clone(),
            model: pair.value.clone(),
        })
        .collect()
}

fn tools(offer: &OfferArgs) -> Result<Vec<Tool>, InputError> {
    let flags = offer.tools.iter().map(|pair| Tool {
        name: pair.name.clone(),
        description: pair.value.clone(),
        operations: Vec::new(),
    });
    let mut tools: Vec<Tool> = flags.collect();
    if let Some(path) = &offer.tools_file {
        tools.extend(json::<Vec<ToolFile>>(path)?.into_iter().map(Tool::from));
    }
    Ok(tools)
}

/// A persona as it stands in a file.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[derive(Default)]
struct PersonaFile {
    name: String,
    description: String,
    system_prompt: String,
    tone: String,
    language: String,
}

fn persona(path: &Path) -> Result<Persona, InputError> {
    let PersonaFile {
        name,
        description,
        system_prompt,
        tone,
        language,
    } = json(path)?;
    Ok(Persona {
        name,
        description,
        system_prompt,
        tone,
        language,
    })
}

fn json<T: DeserializeOwned>(path: &Path) -> Result<T, InputError> {
    let bytes = bytes(path)?;
    serde_json::from_slice(&bytes).map_err(|source| InputError::Json {
        path: path.to_owned(),
        source,
    })
}

pub(crate) fn text(path: &Path) -> Result<String, InputError> {
    String::from_utf8(bytes(path)?).map_err(|_| InputError::NotText {
        path: path.to_owned(),
    })
}

pub(crate) fn bytes(path: &Path) -> Result<Vec<u8>, InputError> {
    let unreadable = |source| InputError::Read {
        path: path.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    let most = limits::MESSAGE as u64 + 1;
    if is_stdin(path) {
        io::stdin()
            .lock()
            .take(most)
            .read_to_end(&mut bytes)
            .map_err(unreadable)?;
    } else {
        File::open(path)
            .and_then(|file| file.take(most).read_to_end(&mut bytes))
            .map_err(unreadable)?;
    }
    if bytes.len() > limits::MESSAGE {
        Err(InputError::TooLarge {
            path: path.to_owned(),
        })
    } else {
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed<T: DeserializeOwned>(json: &str) -> Result<T, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn tools_of_a_file() {
        let file = r#"[{"name": "email", "operations": [{"name": "send", "inputSchema": {"required": ["to"]}}]}]"#;
        let tools: Vec<Tool> = parsed::<Vec<ToolFile>>(file)
            .unwrap()
            .into_iter()
            .map(Tool::from)
            .collect();
        assert_eq!(
            tools[0].operations[0].input_schema,
            r#"{"required":["to"]}"#
        );
        for bad in [
            "{}",
            r#"[{"description": "no name"}]"#,
            r#"[{"name": "x", "opertions": []}]"#,
            r#"[{"name": "x", "operations": [{"name": "y", "inputSchema": "z"}]}]"#,
        ] {
            assert!(parsed::<Vec<ToolFile>>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn personas_of_a_file() {
        assert_eq!(
            parsed::<PersonaFile>(r#"{"systemPrompt": "Be kind."}"#)
                .unwrap()
                .system_prompt,
            "Be kind."
        );
        assert!(parsed::<PersonaFile>(r#"{"system_prompt": "x"}"#).is_err());
    }
}
