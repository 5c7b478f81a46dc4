//! A checkpoint in containerd's own form, which `ctr containers checkpoint` writes and `ctr
//! containers restore` reads: an image index that lists the parts of the checkpoint by their media
//! types (containerd `core/images/mediatypes.go`, `client/container_checkpoint_opts.go`).

mod any;
mod archive;
mod parts;
mod write;

use serde_json::Value;

pub(super) use archive::archive;
pub use parts::Parts;
pub(super) use parts::base;
pub use write::CheckpointImage;

/// The media type of the tar of CRIU's images.
const CRIU: &str = "application/vnd.containerd.container.criu.checkpoint.criu.tar";
/// The media type of the spec, which is wrapped in a protobuf `Any`.
const CONFIG: &str = "application/vnd.containerd.container.checkpoint.config.v1+proto";
/// The media types of the layer with the changes of the root file system.
const LAYERS: [&str; 6] = [
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.zstd",
];
/// The annotation of the index with the name of the runtime.
const RUNTIME: &str = "io.containerd.checkpoint.runtime";
/// The annotation of the index with the name of the snapshotter. Each checkpoint has it.
const SNAPSHOTTER: &str = "io.containerd.checkpoint.snapshotter";
/// The annotation of the index with the name of the container's image.
const IMAGE: &str = "org.opencontainers.image.ref.name";

/// Returns whether `index` is a checkpoint and not a list of images.
pub(super) fn is_checkpoint(index: &Value) -> bool {
    let manifests = index["manifests"].as_array().into_iter().flatten();
    let has_part = |manifest: &Value| matches!(manifest["mediaType"].as_str(), Some(CRIU | CONFIG));
    index["annotations"][SNAPSHOTTER].is_string() || manifests.into_iter().any(has_part)
}
