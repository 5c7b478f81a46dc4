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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn each_field_changes_its_part_of_the_labels() {
        let process = "system_u:system_r:container_t:s0:c1,c2";
        let mount = "system_u:object_r:container_file_t:s0:c1,c2";
        #[rustfmt::skip]
        let cases = [
            ("user", "me_u", "me_u:system_r:container_t:s0:c1,c2", mount),
            ("role", "me_r", "system_u:me_r:container_t:s0:c1,c2", mount),
            ("type", "spc_t", "system_u:system_r:spc_t:s0:c1,c2", mount),
            ("level", "s0:c9", "system_u:system_r:container_t:s0:c9", "system_u:object_r:container_file_t:s0:c9"),
            ("filetype", "etc_t", process, "system_u:object_r:etc_t:s0:c1,c2"),
        ];
        for (field, value, expected_process, expected_mount) in cases {
            let mut spec =
                Spec::new(json!({"process": {"selinuxLabel": process}, "linux": {"mountLabel": mount}}));
            assert!(set_field(&mut spec, field, value).unwrap(), "{field}");
            assert_eq!(spec.text(key::PROCESS_SELINUX_LABEL), Some(expected_process), "{field}");
            assert_eq!(spec.text(key::LINUX_MOUNT_LABEL), Some(expected_mount), "{field}");
            assert!(is_field(field));
        }
        assert!(!is_field("range") && !is_field(""));
    }

    #[test]
    fn a_field_without_a_label_is_an_error_only_with_selinux() {
        let set = |spec: Value| set_field(&mut Spec::new(spec), "type", "spc_t").ok();
        let expected = if selinux::is_enabled() { None } else { Some(false) };
        assert_eq!(set(json!({})), expected);
        // A label without this field cannot be completed either.
        assert_eq!(set(json!({"process": {"selinuxLabel": "system_u:system_r"}})), expected);
    }
}
