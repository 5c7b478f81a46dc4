//! Checks the mount options of podman's flags against each other, and adds the defaults.

use anyhow::bail;

use crate::runtime_spec::names::PROPAGATIONS;

/// The class of a mount, which decides its default options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MountClass {
    Bind,
    /// A named volume. Its defaults keep one container from giving another setuid files or devices.
    Named,
    Tmpfs,
    Other,
}

/// Classes of options that exclude each other.
const CLASSES: [(&str, &[&str]); 9] = [
    ("rw or ro", &["rw", "ro"]),
    ("propagation", &PROPAGATIONS),
    ("exec or noexec", &["exec", "noexec"]),
    ("suid or nosuid", &["suid", "nosuid"]),
    ("dev or nodev", &["dev", "nodev"]),
    ("z or Z", &["z", "Z"]),
    ("bind or rbind", &["bind", "rbind"]),
    ("copy or nocopy", &["copy", "nocopy"]),
    ("tmpcopyup or notmpcopyup", &["tmpcopyup", "notmpcopyup"]),
];

/// Checks the options and appends podman's defaults.
///
/// podman also appends noexec, nosuid and nodev if the file system of the source is mounted with
/// them. This function does not read the host: outside a user namespace the kernel keeps these
/// flags for a bind mount.
///
/// # Errors
/// Returns an error for an unknown option or for two options of one class.
pub fn complete(options: Vec<String>, kind: MountClass) -> anyhow::Result<Vec<String>> {
    for (class, members) in CLASSES {
        if options.iter().filter(|o| members.contains(&o.as_str())).count() > 1 {
            bail!("more than one option of {class}");
        }
    }
    for option in &options {
        check_option(option, kind)?;
    }
    // podman adds no defaults to other file systems such as devpts.
    if kind == MountClass::Other {
        return Ok(options);
    }
    let has = |class: usize| options.iter().any(|o| CLASSES[class].1.contains(&o.as_str()));
    let mut defaults = Vec::new();
    if !has(0) {
        defaults.push("rw");
    }
    if !has(1) {
        let alone =
            matches!(kind, MountClass::Bind | MountClass::Named) && options.iter().any(|o| o == "bind");
        defaults.push(if alone { "private" } else { "rprivate" });
    }
    let further: &[(usize, &str)] = match kind {
        MountClass::Tmpfs => &[(3, "nosuid"), (4, "nodev"), (8, "tmpcopyup")],
        MountClass::Named => &[(3, "nosuid"), (4, "nodev"), (6, "rbind")],
        MountClass::Bind => &[(6, "rbind")],
        MountClass::Other => &[],
    };
    defaults.extend(further.iter().filter(|(class, _)| !has(*class)).map(|(_, option)| *option));
    let mut all = options;
    all.extend(defaults.into_iter().map(str::to_owned));
    // Options for the container engine, which no runtime knows.
    all.retain(|o| {
        !matches!(
            o.as_str(),
            "notmpcopyup" | "copy" | "nocopy" | "cached" | "delegated" | "consistent" | "consistency"
        ) && !o.starts_with("consistency=")
    });
    Ok(all)
}

fn check_option(option: &str, kind: MountClass) -> anyhow::Result<()> {
    let name = option.split_once('=').map_or(option, |(name, _)| name);
    let known = CLASSES.iter().any(|(_, members)| members.contains(&option))
        || matches!(
            option,
            "U" | "O"
                // Options of Docker Desktop without effect on Linux.
                | "cached"
                | "delegated"
                | "consistent"
                | "no-dereference"
                | "sync"
                | "dirsync"
                | "noatime"
                | "relatime"
                | "nodiratime"
                | "strictatime"
        )
        || matches!(name, "idmap" | "subpath" | "consistency" | "upperdir" | "workdir")
        || kind == MountClass::Tmpfs
            && matches!(
                name,
                "size" | "mode" | "uid" | "gid" | "nr_inodes" | "nr_blocks" | "huge" | "noswap"
            )
        || kind == MountClass::Other
            && matches!(name, "uid" | "gid" | "mode" | "max" | "newinstance" | "ptmxmode");
    if !known {
        bail!("{option}: not a mount option");
    }
    if kind != MountClass::Tmpfs && matches!(option, "tmpcopyup" | "notmpcopyup") {
        bail!("{option}: only for tmpfs");
    }
    Ok(())
}
