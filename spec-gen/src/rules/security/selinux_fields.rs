//! `--security-opt label=FIELD:VALUE`: the fields of SELinux labels.

use cli::{Hint, usage};

use crate::runtime_spec::Spec;
use crate::runtime_spec::key::{self, Key};
use crate::selinux;

/// The valid values of `--security-opt label=`.
pub const EXPECTED: &str =
    "expected label=disable, or label=FIELD:VALUE with a FIELD of user, role, type, level and filetype";

/// The fields of the labels of process and mounts that `--security-opt label=FIELD:VALUE` sets.
const FIELDS: [(&str, &[(Key, usize)]); 5] = [
    ("user", &[(key::PROCESS_SELINUX_LABEL, 0)]),
    ("role", &[(key::PROCESS_SELINUX_LABEL, 1)]),
    ("type", &[(key::PROCESS_SELINUX_LABEL, 2)]),
    ("level", &[(key::PROCESS_SELINUX_LABEL, 3), (key::LINUX_MOUNT_LABEL, 3)]),
    ("filetype", &[(key::LINUX_MOUNT_LABEL, 2)]),
];

/// Reports whether a label has a field of this name.
pub fn is_field(name: &str) -> bool {
    FIELDS.iter().any(|(field, _)| *field == name)
}

/// Sets a field of the labels in a spec. Returns whether a field was set: a host without SELinux
/// has no labels, and podman ignores the flag on such a host.
///
/// # Errors
/// Returns an error if the host has SELinux and the spec has no label: only the container engine
/// knows the other fields.
pub fn set_field(spec: &mut Spec, name: &str, value: &str) -> anyhow::Result<bool> {
    let places = FIELDS.iter().find(|(field, _)| *field == name).map_or(&[][..], |(_, places)| places);
    let mut is_set = false;
    for (key, index) in places {
        let Some(label) = spec.text(*key) else { continue };
        let mut fields: Vec<&str> = label.splitn(4, ':').collect();
        if let Some(field) = fields.get_mut(*index) {
            *field = value;
            let label = fields.join(":");
            spec.set(*key, label);
            is_set = true;
        }
    }
    if !is_set && selinux::is_enabled() {
        let error =
            usage(format!("--security-opt label={name}:{value}: cannot complete a partial SELinux label"));
        return Err(Hint::on(error, "pass the full labels with --selinux-label and --mount-label"));
    }
    Ok(is_set)
}
