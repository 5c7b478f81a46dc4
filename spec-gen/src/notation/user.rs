//! `USER[:GROUP]` of flags, and numeric IDs.

use anyhow::bail;

/// The largest ID that a lookup may return. In some places, glibc and Go treat IDs as signed 32-bit
/// integers.
pub const MAX_ID: u64 = 0x7fff_ffff;

/// Checks `USER[:GROUP]`. Names are looked up later, in the root file system.
///
/// # Errors
/// Returns an error if a numeric ID is above [`MAX_ID`].
pub fn user(arg: &str) -> Result<String, String> {
    for part in arg.split(':').take(2) {
        as_number(part).map_err(|e| format!("{e:#}"))?;
    }
    Ok(arg.to_owned())
}

/// Checks a group name or numeric group ID.
///
/// # Errors
/// Returns an error if a numeric ID is above [`MAX_ID`].
pub fn group(arg: &str) -> Result<String, String> {
    as_number(arg).map_err(|e| format!("{e:#}"))?;
    Ok(arg.to_owned())
}

/// Parses `text` as a number. Returns `None` if it is not a number. Signs and leading zeros are
/// accepted, as in Go's `Atoi`.
///
/// # Errors
/// Returns an error if the number is above [`MAX_ID`].
pub fn as_number(text: &str) -> anyhow::Result<Option<u32>> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(None);
    }
    match text.parse::<i64>() {
        Ok(n) if (0..=MAX_ID as i64).contains(&n) => Ok(u32::try_from(n).ok()),
        _ => bail!("uids and gids must be in range 0-{MAX_ID}"),
    }
}
