//! File capabilities: maps the user ID in a `security.capability` attribute of version 3.
//!
//! The binary form is `struct vfs_ns_cap_data` in linux/capability.h, little endian. Capabilities
//! of version 2 have no user ID and are effective in every user namespace. Capabilities of version
//! 3 are effective in the user namespaces in which their user ID is root.

pub(crate) const NAME: &[u8] = b"security.capability";

const REVISION_MASK: u32 = 0xff00_0000;
const REVISION_2: u32 = 0x0200_0000;
const REVISION_3: u32 = 0x0300_0000;
const SIZE_2: usize = 20;
const SIZE_3: usize = 24;

/// Returns the attribute as a process in the container reads it. `to_container` maps a user ID of
/// the host.
///
/// Follows the kernel (cap_inode_getsecurity): capabilities for the container's root become version
/// 2. Capabilities that already have version 2 come from the host and are also effective in the
/// container, whether or not the container maps the host's root.
///
/// # Errors
/// Returns the user ID if `to_container` does not map it.
pub(crate) fn in_container(
    value: &[u8],
    to_container: impl Fn(u32) -> Option<u32>,
) -> Result<Option<Vec<u8>>, u32> {
    Ok(match root_id(value) {
        Some(Root::Host) => to_container(0).map(|root| with_root(value, root)),
        Some(Root::User(id)) => Some(with_root(value, to_container(id).ok_or(id)?)),
        None => None,
    })
}

/// Returns the attribute as the kernel stores it on the host when root in the container writes
/// `value`. `to_host` maps a user ID of the container.
///
/// Follows the kernel (cap_convert_nscap): version 2 becomes version 3 unless the container's root
/// is the host's root, because a container must not leave files with capabilities that are
/// effective on the host.
///
/// # Errors
/// Returns the user ID if `to_host` does not map it.
pub(crate) fn on_host(value: &[u8], to_host: impl Fn(u32) -> Option<u32>) -> Result<Option<Vec<u8>>, u32> {
    let id = match root_id(value) {
        Some(Root::Host) => 0,
        Some(Root::User(id)) => id,
        None => return Ok(None),
    };
    Ok(Some(with_root(value, to_host(id).ok_or(id)?)))
}

/// The root user that capabilities are for.
enum Root {
    /// The host's root: version 2.
    Host,
    /// Root of a user namespace: version 3.
    User(u32),
}

/// Returns the root user of the capabilities in `value`, or `None` if the kernel would reject the
/// value.
fn root_id(value: &[u8]) -> Option<Root> {
    let revision = u32::from_le_bytes(*value.first_chunk()?) & REVISION_MASK;
    match (revision, value.len()) {
        (REVISION_2, SIZE_2) => Some(Root::Host),
        (REVISION_3, SIZE_3) => Some(Root::User(u32::from_le_bytes(*value.last_chunk()?))),
        _ => None,
    }
}

/// Returns the same capabilities for root with the user ID `root`.
fn with_root(value: &[u8], root: u32) -> Vec<u8> {
    let mut changed = value[..SIZE_2].to_vec();
    let revision = if root == 0 { REVISION_2 } else { REVISION_3 };
    // The revision is the last byte of the first word. The other bytes hold flags.
    changed[3] = (revision >> 24) as u8;
    if root != 0 {
        changed.extend_from_slice(&root.to_le_bytes());
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETS: [u8; 16] = [0, 0x20, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80];

    fn value(first: [u8; 4], root: Option<u32>) -> Vec<u8> {
        let mut value = [&first[..], &SETS].concat();
        value.extend(root.into_iter().flat_map(u32::to_le_bytes));
        value
    }

    #[test]
    fn versions_are_converted_as_the_kernel_does() {
        let (v2, v3) = (|| value([1, 0, 0, 2], None), |root| value([1, 0, 0, 3], Some(root)));
        // Container IDs 0 to 9 are host IDs 1000 to 1009. Container ID 50 is the host's root.
        let to_container =
            |id: u32| if id == 0 { Some(50) } else { id.checked_sub(1000).filter(|&id| id < 10) };
        let to_host = |id: u32| if id == 50 { Some(0) } else { (id < 10).then_some(1000 + id) };
        for (host, container) in [(v3(1000), v2()), (v3(1005), v3(5)), (v2(), v3(50))] {
            assert_eq!(in_container(&host, to_container), Ok(Some(container.clone())), "{host:?}");
            assert_eq!(on_host(&container, to_host), Ok(Some(host)), "{container:?}");
        }
        // The host's root is not in the map.
        assert_eq!(in_container(&v2(), |_| None), Ok(None));
        assert_eq!(in_container(&v3(7), |_| None), Err(7));
        assert_eq!(on_host(&v2(), |_| None), Err(0));
        assert_eq!(on_host(&v3(7), |_| None), Err(7));
    }

    #[test]
    fn values_that_the_kernel_rejects_are_not_changed() {
        let bad = [vec![], vec![1, 0, 0], vec![3; 200], value([0, 0, 0, 1], None), value([0, 0, 0, 3], None)];
        for value in bad {
            assert_eq!(in_container(&value, Some), Ok(None), "{value:?}");
            assert_eq!(on_host(&value, Some), Ok(None), "{value:?}");
        }
    }
}
