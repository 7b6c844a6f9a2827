//! Tools that speak over their standard input and output: an adapter in front of their command serves them
//! over HTTP. It is a static program that an init container copies into a volume, so that any image works
//! as it is.

use k8s_openapi::api::core::v1::{Container, EmptyDirVolumeSource, Volume, VolumeMount};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use langop_api::{LanguageToolSpec, names::env as names, tool::ToolTransport};

use crate::{
    env,
    pod::{self, ContainerInput, ResourceDefaults, RootFilesystem},
    settings::Settings,
};

/// Name of the init container and of its volume. Sidecars are called `tool-…`.
const NAME: &str = "stdio-adapter";
/// Where the volume is mounted.
const MOUNT_PATH: &str = "/langop";
/// The adapter there.
const PROGRAM: &str = "/langop/langop-tool";
/// Room for one static program, several times over.
const SIZE: &str = "32Mi";
/// It copies one file.
const RESOURCES: ResourceDefaults = ResourceDefaults {
    cpu_request: "10m",
    cpu_limit: "500m",
    memory_request: "16Mi",
    memory_limit: "64Mi",
    disk_request: SIZE,
    disk_limit: SIZE,
};

/// Whether a tool needs the adapter.
pub(crate) fn is_adapted(spec: &LanguageToolSpec) -> bool {
    spec.transport == ToolTransport::Stdio
}

/// Puts the adapter in front of a tool's command.
pub(crate) fn adapt(input: &mut ContainerInput, spec: &LanguageToolSpec) {
    let own = std::mem::take(&mut input.command);
    input.command = [PROGRAM, "--"].map(str::to_owned).into();
    input.command.extend(own);
    input.env.push(env::value(names::MCP_PATH, &spec.path));
    input.mounts.push(VolumeMount {
        read_only: Some(true),
        ..mount()
    });
}

/// The tool's own command, of a container's that may have the adapter in front.
pub(crate) fn own_command(command: &[String]) -> &[String] {
    match command {
        [program, dashes, own @ ..] if program == PROGRAM && dashes == "--" => own,
        own => own,
    }
}

/// The init container that brings the adapter, for pods with a tool that needs it.
pub(crate) fn installer(settings: &Settings) -> Container {
    Container {
        name: NAME.to_owned(),
        image: Some(settings.tool_adapter_image.clone()),
        args: Some(vec!["--install".to_owned(), PROGRAM.to_owned()]),
        // Our own quantities: they can be read.
        resources: pod::requirements(None, &RESOURCES).ok(),
        volume_mounts: Some(vec![mount()]),
        security_context: Some(pod::security_context(RootFilesystem::ReadOnly)),
        ..Container::default()
    }
}

/// The volume that [`installer`] writes.
pub(crate) fn volume() -> Volume {
    Volume {
        name: NAME.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource {
            size_limit: Some(Quantity(SIZE.to_owned())),
            medium: None,
        }),
        ..Volume::default()
    }
}

fn mount() -> VolumeMount {
    VolumeMount {
        name: NAME.to_owned(),
        mount_path: MOUNT_PATH.to_owned(),
        ..VolumeMount::default()
    }
}
