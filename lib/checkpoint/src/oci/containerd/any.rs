//! The protobuf message `google.protobuf.Any`, in which containerd stores the spec.

use prost::Message;

use crate::error::{Error, Result};

/// The type of a spec (containerd `pkg/oci/spec.go`). Versions since 1.0 write this name.
const SPEC: &str = "types.containerd.io/opencontainers/runtime-spec/1/Spec";

/// A message of any type (any.proto).
#[derive(Clone, PartialEq, Message)]
struct Any {
    /// The name of the type.
    #[prost(string, tag = "1")]
    type_url: String,
    /// The message.
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// Returns the spec in `message`. `name` is the name of the message for errors.
///
/// # Errors
/// Returns an error if `message` is not an `Any`, or does not hold a spec.
pub(super) fn spec(name: &str, message: &[u8]) -> Result<Vec<u8>> {
    let any = Any::decode(message).map_err(|e| Error::member(name, e))?;
    if any.type_url != SPEC {
        return Err(Error::member(name, format!("expected a {SPEC}, found {:?}", any.type_url)));
    }
    Ok(any.value)
}

/// Returns the message that holds `spec`.
pub(super) fn of_spec(spec: Vec<u8>) -> Vec<u8> {
    Any { type_url: SPEC.into(), value: spec }.encode_to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_spec_is_returned() {
        let any = |kind: &str| Any { type_url: kind.into(), value: b"{}".to_vec() }.encode_to_vec();
        assert_eq!(spec("x", &any(SPEC)).unwrap(), b"{}");
        for (message, error) in [
            (any("containerd.runc.v1.CheckpointOptions"), "expected a types.containerd.io"),
            (b"{\"ociVersion\"".to_vec(), "failed to decode"),
            (any(SPEC)[..20].to_vec(), "failed to decode"),
        ] {
            let e = spec("x", &message).unwrap_err().to_string();
            assert!(e.starts_with("x: ") && e.contains(error), "{e}");
        }
    }
}
