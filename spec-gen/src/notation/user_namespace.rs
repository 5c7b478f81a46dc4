//! The modes of `--userns`.

use std::fmt;

use crate::notation::namespace::Mode;

/// What `--userns` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserNs {
    /// As for every namespace.
    Mode(Mode),
    /// The user has the same id inside, or the one that is given.
    KeepId { uid: Option<u32>, gid: Option<u32> },
    /// The user himself is not in the container.
    NoMap,
}

impl UserNs {
    /// Reads podman's notation.
    ///
    /// # Errors
    /// With what would have been accepted.
    pub fn parse(text: &str) -> Result<UserNs, String> {
        const WANTED: &str = "keep-id[:uid=N,gid=N] is wanted";
        let (word, options) = text.split_once(':').map_or((text, None), |(w, o)| (w, Some(o)));
        match (word, options) {
            ("keep-id", options) => {
                let (mut uid, mut gid) = (None, None);
                for option in options.into_iter().flat_map(|o| o.split(',')) {
                    let (key, value) = option.split_once('=').ok_or(WANTED)?;
                    let id = value.parse::<u32>().ok().filter(|id| *id < i32::MAX as u32).ok_or(WANTED)?;
                    match key {
                        "uid" => uid = Some(id),
                        "gid" => gid = Some(id),
                        _ => return Err(WANTED.into()),
                    }
                }
                Ok(UserNs::KeepId { uid, gid })
            }
            ("nomap", None) => Ok(UserNs::NoMap),
            ("auto", _) => {
                Err("which ids are free, only the container's manager knows: give them with --uidmap".into())
            }
            _ => Mode::parse(text).map(UserNs::Mode).map_err(|e| format!("{e}, or keep-id, nomap")),
        }
    }

    /// The namespace it is.
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
    fn words_are_podmans() {
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
