//! Maps `--security-opt` to the equivalent flags.

use crate::args::SecurityArgs;
use crate::notation::boolean::boolean;
use crate::rules::security::selinux_fields;

/// Maps podman's `--security-opt` to the equivalent flags.
///
/// # Errors
/// Returns an error for an unknown option.
pub fn sort(args: &mut SecurityArgs) -> anyhow::Result<()> {
    let given = [
        ("seccomp", args.seccomp.is_some()),
        ("apparmor", args.apparmor.is_some()),
        ("no-new-privileges", args.no_new_privileges.is_some()),
    ];
    for option in std::mem::take(&mut args.security_opt) {
        let (key, value) = option.split_once(['=', ':']).unwrap_or((&option, ""));
        if given.contains(&(key, true)) {
            return Err(cli::usage(format!(
                "--security-opt {option} and --{key} set the same value: one of them would have no effect"
            )));
        }
        match (key, value) {
            ("no-new-privileges", _) if option == key => args.no_new_privileges = Some(true),
            ("no-new-privileges", value) if boolean(value).is_ok() => {
                args.no_new_privileges = boolean(value).ok()
            }
            ("systempaths", "unconfined") => args.unmask.push("ALL".into()),
            ("label", "disable") => {
                args.selinux_label = Some(String::new());
                args.mount_label = Some(String::new());
            }
            ("label", field) => match field.split_once(':') {
                Some((field, value)) if selinux_fields::is_field(field) && !value.is_empty() => {
                    args.label_fields.push((field.to_owned(), value.to_owned()));
                }
                _ => {
                    return Err(cli::usage(format!("--security-opt {option}: {}", selinux_fields::EXPECTED)));
                }
            },
            ("seccomp", value) if !value.is_empty() => args.seccomp = Some(value.to_owned()),
            ("apparmor", value) if !value.is_empty() => args.apparmor = Some(value.to_owned()),
            ("mask", value) if !value.is_empty() => args.mask.push(value.to_owned()),
            ("proc-opts", value) if !value.is_empty() => {
                args.proc_opts = value.split(',').map(str::to_owned).collect();
            }
            ("unmask", value) if !value.is_empty() => args.unmask.push(value.to_owned()),
            _ => return Err(cli::usage(format!("--security-opt {option}: not an option"))),
        }
    }
    Ok(())
}
