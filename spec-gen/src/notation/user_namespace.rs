//! The modes of `--userns`.

use std::fmt;

use crate::notation::namespace::Mode;

/// The value of `--userns`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserNs {
    /// A mode that every namespace flag accepts.
    Mode(Mode),
    /// The user has the same ID inside the container as outside, or the given ID.
    KeepId { uid: Option<u32>, gid: Option<u32> },
    /// The user's own ID is not mapped into the container.
    NoMap,
}

impl UserNs {
    /// Reads podman's notation.
    ///
    /// # Errors
    /// Returns an error that states what was expected.
    pub fn parse(text: &str) -> Result<UserNs, String> {
        const EXPECTED: &str = "expected keep-id[:uid=N,gid=N]";
        let (word, options) = text.split_once(':').map_or((text, None), |(w, o)| (w, Some(o)));
        match (word, options) {
            ("keep-id", options) => {
                let (mut uid, mut gid) = (None, None);
                for option in options.into_iter().flat_map(|o| o.split(',')) {
                    let (key, value) = option.split_once('=').ok_or(EXPECTED)?;
                    let id = value.parse::<u32>().ok().filter(|id| *id < i32::MAX as u32).ok_or(EXPECTED)?;
                    match key {
                        "uid" => uid = Some(id),
                        "gid" => gid = Some(id),
                        _ => return Err(EXPECTED.into()),
                    }
                }
                Ok(UserNs::KeepId { uid, gid })
            }
            ("nomap", None) => Ok(UserNs::NoMap),
            ("auto", _) => {
                Err("only the container engine knows which IDs are free; pass them with --uidmap".into())
            }
            _ => Mode::parse(text).map(UserNs::Mode).map_err(|e| format!("{e}, or keep-id, nomap")),
        }
    }

    /// Returns the mode of the user namespace, which is a new namespace unless `--userns` names an
    /// existing one.
    pub fn mode(&self) -> Mode {
        match self {
            UserNs::Mode(mode) => mode.clone(),
            UserNs::KeepId { .. } | UserNs::NoMap => Mode::Private,
        }
    }
}

impl fmt::Display for UserNs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UserNs::Mode(mode) => write!(f, "{mode}"),
            UserNs::KeepId { .. } => f.write_str("keep-id"),
            UserNs::NoMap => f.write_str("nomap"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_parsed_as_podman_parses_them() {
        assert_eq!(UserNs::parse("keep-id"), Ok(UserNs::KeepId { uid: None, gid: None }));
        assert_eq!(UserNs::parse("keep-id:uid=7,gid=8"), Ok(UserNs::KeepId { uid: Some(7), gid: Some(8) }));
        assert_eq!(UserNs::parse("nomap"), Ok(UserNs::NoMap));
        assert_eq!(UserNs::parse("host"), Ok(UserNs::Mode(Mode::Host)));
        for bad in [
            "keep-id:",
            "keep-id:uid=x",
            "keep-id:pid=1",
            "keep-id:uid=4294967295",
            "nomap:x",
            "auto",
            "auto:size=5",
            "x",
        ] {
            assert!(UserNs::parse(bad).is_err(), "{bad}");
        }
    }
}
