//! Writes the Rust types of those messages of the CRI that vhive reads or writes. All others pass through it as bytes.
//!
//! `cargo run --manifest-path crates/cri/proto/generate/Cargo.toml`

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use prost_types::DescriptorProto;

/// With everything that is in them.
const READ_OR_WRITTEN: &[&str] = &[
    "ContainerEventResponse",
    "ContainerStatsRequest",
    "ContainerStatsResponse",
    "ContainerStatusRequest",
    "ContainerStatusResponse",
    "CreateContainerRequest",
    "CreateContainerResponse",
    "ExecRequest",
    "ExecResponse",
    "ExecSyncRequest",
    "ExecSyncResponse",
    "AttachRequest",
    "ImageStatusRequest",
    "ImageStatusResponse",
    "ListContainerStatsRequest",
    "ListContainersRequest",
    "ListContainersResponse",
    "ListContainerStatsResponse",
    "ListPodSandboxRequest",
    "ListPodSandboxResponse",
    "PodSandboxStatusRequest",
    "PodSandboxStatusResponse",
    "RemoveContainerRequest",
    "RemovePodSandboxRequest",
    "ReopenContainerLogRequest",
    "RunPodSandboxRequest",
    "RunPodSandboxResponse",
    "RuntimeHandler",
    "StartContainerRequest",
    "StatusRequest",
    "StatusResponse",
    "StopContainerRequest",
    "StopPodSandboxRequest",
    "UpdateContainerResourcesRequest",
    "VersionRequest",
    "VersionResponse",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let out = proto.join("../src/proto");
    let mut files = protox::compile(["api.proto"], [&proto])?;
    for file in &mut files.file {
        file.service.clear();
        file.source_code_info = None;
        let needed = needed(&file.message_type, READ_OR_WRITTEN);
        file.message_type
            .retain(|message| needed.contains(message.name()));
        let enums = enums(&file.message_type);
        file.enum_type.retain(|it| enums.contains(it.name()));
    }
    prost_build::Config::new()
        .out_dir(&out)
        .btree_map(["."])
        .compile_fds(files)?;
    std::fs::rename(out.join("runtime.v1.rs"), out.join("runtime_v1.rs"))?;
    Ok(())
}

/// The messages of these names, and those that their fields are of.
fn needed(messages: &[DescriptorProto], roots: &[&str]) -> BTreeSet<String> {
    let all: BTreeMap<&str, &DescriptorProto> = messages.iter().map(|it| (it.name(), it)).collect();
    let mut needed = BTreeSet::new();
    let mut ahead: Vec<String> = roots.iter().map(|it| (*it).to_owned()).collect();
    while let Some(name) = ahead.pop() {
        let message = all.get(name.as_str());
        let message = message.unwrap_or_else(|| panic!("api.proto has no message {name}"));
        if needed.insert(name) {
            let types = types(message);
            ahead.extend(types.into_iter().filter(|it| all.contains_key(it.as_str())));
        }
    }
    needed
}

fn enums(messages: &[DescriptorProto]) -> BTreeSet<String> {
    messages.iter().flat_map(types).collect()
}

/// The plain names of what the fields of a message, and of its maps, are of.
fn types(message: &DescriptorProto) -> Vec<String> {
    let own = message.field.iter();
    let nested = message.nested_type.iter().flat_map(|it| &it.field);
    own.chain(nested)
        .filter_map(|field| field.type_name.as_deref())
        .filter_map(|name| name.rsplit('.').next())
        .map(ToOwned::to_owned)
        .collect()
}
