//! The value of `--volumes-from`.

use std::path::PathBuf;

/// The value of `--volumes-from`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumesFrom {
    pub file: PathBuf,
    /// `ro` or `rw`, for all volumes.
    pub access: Option<&'static str>,
    pub relabel: bool,
}

impl VolumesFrom {
    /// Reads `FILE[:OPTIONS]`, with the options that podman accepts.
    ///
    /// # Errors
    /// Returns an error that states what was expected.
    pub fn parse(text: &str) -> Result<VolumesFrom, String> {
        let (file, options) =
            text.rsplit_once(':').map_or((text, None), |(file, options)| (file, Some(options)));
        let mut wanted = VolumesFrom { file: file.into(), access: None, relabel: false };
        for option in options.into_iter().flat_map(|o| o.split(',')) {
            match option {
                "ro" | "rw" if wanted.access.is_some() => return Err("more than one of ro and rw".into()),
                "ro" => wanted.access = Some("ro"),
                "rw" => wanted.access = Some("rw"),
                "z" if wanted.relabel => return Err("z is given twice".into()),
                "z" => wanted.relabel = true,
                other => return Err(format!("{other:?}: the options are ro, rw and z")),
            }
        }
        if file.is_empty() { Err("expected FILE[:OPTIONS]".into()) } else { Ok(wanted) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_those_of_podman_without_duplicates() {
        let wanted = |access, relabel| Ok(VolumesFrom { file: "f".into(), access, relabel });
        assert_eq!(VolumesFrom::parse("f"), wanted(None, false));
        assert_eq!(VolumesFrom::parse("f:z,ro"), wanted(Some("ro"), true));
        for bad in ["", ":ro", "f:", "f:U", "f:ro,rw", "f:z,z", "f:Z", "f:ro,"] {
            assert!(VolumesFrom::parse(bad).is_err(), "{bad}");
        }
    }
}
