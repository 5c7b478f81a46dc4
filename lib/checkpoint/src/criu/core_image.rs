//! The architecture in the image of a process, `core-N.img`.

use super::image_file;
use super::messages::CoreEntry;

pub use super::image_file::IMAGE_LIMIT;

/// The architectures in the order of their numbers in CRIU (core.proto, `march`), starting with
/// number 1, by their names in Go (GOARCH).
const ARCHITECTURES: [&str; 8] =
    ["amd64", "arm", "arm64", "ppc64le", "s390x", "mips64le", "loong64", "riscv64"];

/// Returns whether `name` is the name of the image of a process.
pub fn is_core(name: &str) -> bool {
    let number = name.strip_prefix("core-").and_then(|rest| rest.strip_suffix(".img"));
    number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

/// Returns the architecture of the process in the image `name` as OCI images name it. Returns
/// `None` if the image is damaged or the architecture is unknown.
pub fn architecture(name: &str, image: &[u8]) -> Option<&'static str> {
    let core: CoreEntry = image_file::messages(name, image).ok()?.pop()?;
    name_of(core.mtype)
}

/// Returns the name of an architecture as OCI images name it.
pub(super) fn name_of(mtype: i32) -> Option<&'static str> {
    ARCHITECTURES.get(usize::try_from(mtype).ok()?.checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_architecture_is_named_as_in_go() {
        let image = |mtype: u8| [&[0x19, 0x43, 0x56, 0x54, 0, 0, 0, 0, 2, 0, 0, 0, 8], &[mtype][..]].concat();
        for (mtype, expected) in [(0, None), (1, Some("amd64")), (3, Some("arm64")), (9, None)] {
            assert_eq!(architecture("core-1.img", &image(mtype)), expected);
        }
        assert_eq!(architecture("core-1.img", b"x"), None);
        assert!(is_core("core-12.img"));
        assert!(!is_core("core-.img") && !is_core("core-1x.img") && !is_core("mm-1.img"));
    }
}
