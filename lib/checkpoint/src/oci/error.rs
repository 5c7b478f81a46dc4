//! The error of an image that cannot be used.

use crate::error::Error;

/// Returns an error about the image itself.
pub(super) fn image_error(what: impl ToString) -> Error {
    Error::member("image", what)
}
