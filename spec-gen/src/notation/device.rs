//! Names of devices: `--device SRC[:DST][:rwm]`, and the names of CDI devices.

use cli::usage;

/// The value of `--device SRC[:DST][:rwm]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceFlag {
    pub source: String,
    pub destination: String,
    pub access: String,
}

impl DeviceFlag {
    /// Reads podman's notation.
    ///
    /// # Errors
    /// Returns an error if a path is not absolute or the value does not match the notation.
    pub fn parse(flag: &str) -> anyhow::Result<DeviceFlag> {
        let is_access = |s: &str| {
            let once = |c: char| "rwm".contains(c) && s.matches(c).count() == 1;
            !s.is_empty() && s.chars().all(once)
        };
        let parts: Vec<&str> = flag.split(':').collect();
        let (source, destination, access) = match parts[..] {
            [source] => (source, source, "rwm"),
            [source, access] if is_access(access) => (source, source, access),
            [source, destination] => (source, destination, "rwm"),
            [source, destination, access] if is_access(access) => (source, destination, access),
            _ => return Err(usage(format!("--device {flag}: expected SRC[:DST][:rwm]"))),
        };
        // As in podman, an empty destination means the source path: "/dev/zero::r".
        let destination = if destination.is_empty() { source } else { destination };
        if !source.starts_with('/') || !destination.starts_with('/') {
            return Err(usage(format!("--device {flag}: expected absolute paths")));
        }
        Ok(DeviceFlag { source: source.into(), destination: destination.into(), access: access.into() })
    }
}

/// Reports whether the value of `--device` names a CDI device rather than a path.
pub fn is_device_name(text: &str) -> bool {
    split_name(text).is_some()
}

/// Splits a full name, `VENDOR/CLASS=DEVICE`, into the kind `VENDOR/CLASS` and the device.
pub fn split_name(text: &str) -> Option<(&str, &str)> {
    let (kind, device) = text.split_once('=')?;
    let (vendor, class) = kind.split_once('/')?;
    let word = |s: &str, extra: &str| {
        s.starts_with(|c: char| c.is_ascii_alphanumeric())
            && s.chars().all(|c| c.is_ascii_alphanumeric() || extra.contains(c))
    };
    (word(vendor, "_-.") && word(class, "_-.") && word(device, "_-.:")).then_some((kind, device))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_parsed_as_podman_parses_them() {
        let wanted = |s: &str, d: &str, a: &str| DeviceFlag {
            source: s.into(),
            destination: d.into(),
            access: a.into(),
        };
        #[rustfmt::skip]
        let cases = [
            ("/dev/null", wanted("/dev/null", "/dev/null", "rwm")),
            ("/dev/null:r", wanted("/dev/null", "/dev/null", "r")),
            ("/dev/null:/dev/x", wanted("/dev/null", "/dev/x", "rwm")),
            ("/dev/null:/dev/x:rw", wanted("/dev/null", "/dev/x", "rw")),
            ("/dev/null::r", wanted("/dev/null", "/dev/null", "r")), ("/dev/null:", wanted("/dev/null", "/dev/null", "rwm")),
        ];
        for (flag, expected) in cases {
            assert_eq!(DeviceFlag::parse(flag).unwrap(), expected);
        }
        for bad in [
            "",
            "null",
            "/dev/null:/x:rwx",
            "/a:/b:r:w",
            "/dev/null:x",
            "/dev/null:rr",
            "/dev/null::",
            "/dev/null:/dev/x:",
            "/dev/null:dev/x",
        ] {
            assert!(DeviceFlag::parse(bad).is_err(), "{bad}");
        }
    }
}
