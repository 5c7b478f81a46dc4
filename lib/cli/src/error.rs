//! Errors that [`run`](crate::run()) treats specially: mistakes on the command line, and errors
//! with a hint.

use std::fmt;

/// A mistake on the command line that clap cannot detect, such as flags that contradict each other.
/// The exit status is 2.
#[derive(Debug)]
pub struct Usage(pub String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Returns a [`Usage`] error with this text.
pub fn usage(text: impl Into<String>) -> anyhow::Error {
    anyhow::Error::new(Usage(text.into()))
}

/// An error with a hint, which is printed as a `hint:` line below the error.
#[derive(Debug)]
pub struct Hint {
    /// What the user can do: a command or a flag.
    pub hint: String,
    error: anyhow::Error,
}

impl Hint {
    /// Attaches `hint` to `error`.
    pub fn on(error: impl Into<anyhow::Error>, hint: impl Into<String>) -> anyhow::Error {
        anyhow::Error::new(Hint { hint: hint.into(), error: error.into() })
    }
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.error)
    }
}

impl std::error::Error for Hint {}

/// Returns whether `error` is a mistake on the command line, with or without a hint.
pub(crate) fn is_usage(error: &anyhow::Error) -> bool {
    error.chain().any(|e| e.is::<Usage>() || e.downcast_ref::<Hint>().is_some_and(|h| h.error.is::<Usage>()))
}
