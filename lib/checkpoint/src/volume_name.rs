//! The name of a volume.

use std::fmt;
use std::str::FromStr;

/// A valid name of a volume. The name becomes a file name, so it cannot be a path.
///
/// The rule is podman's (`define.NameRegex`): a letter or digit, then letters, digits, `_`, `.` and
/// `-`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VolumeName(String);

impl VolumeName {
    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for VolumeName {
    type Err = String;

    fn from_str(name: &str) -> Result<VolumeName, String> {
        let first = name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
        let rest = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
        if first && rest && name.len() <= 251 {
            Ok(VolumeName(name.into()))
        } else {
            Err("expected a letter or digit, then letters, digits, '_', '.' or '-'".into())
        }
    }
}

impl fmt::Display for VolumeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_not_a_volume_name() {
        for name in ["", "a/b", ".."] {
            assert!(name.parse::<VolumeName>().is_err(), "{name}");
        }
    }
}
