//! The mount options of podman's flags: which are valid together, and the defaults of each class of mount.

use anyhow::bail;

/// Which defaults a mount gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MountClass {
    Bind,
    /// A named volume: what one container puts into it must not give another one privileges or devices.
    Named,
    Tmpfs,
    Other,
}

/// One option of each class may be given.
const CLASSES: [(&str, &[&str]); 9] = [
    ("rw or ro", &["rw", "ro"]),
    (
        "propagation",
        &["private", "rprivate", "slave", "rslave", "shared", "rshared", "unbindable", "runbindable"],
    ),
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
/// podman also appends noexec, nosuid and nodev where the file system of the source is mounted so. That
/// reads the host, and the kernel keeps those flags for a bind mount by itself outside a user namespace.
///
/// # Errors
/// On an unknown option, or two of one class.
pub fn complete(options: Vec<String>, kind: MountClass) -> anyhow::Result<Vec<String>> {
    for (class, members) in CLASSES {
        if options.iter().filter(|o| members.contains(&o.as_str())).count() > 1 {
            bail!("more than one option of {class}");
        }
    }
    for option in &options {
        check_option(option, kind)?;
    }
    // A file system of the kernel's own has no defaults of podman's.
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
    // Manager's words that no runtime knows.
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
                // Words of Docker Desktop that mean nothing on Linux.
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
