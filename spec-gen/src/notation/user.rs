//! `USER[:GROUP]` of flags, and numeric IDs.

use anyhow::bail;

/// The largest id a look-up may give: glibc and Go treat ids as signed 32-bit in places.
pub const MAX_ID: u64 = 0x7fff_ffff;

/// `USER[:GROUP]`, of which names are looked up later.
///
/// # Errors
/// When a number is none that a look-up may give.
pub fn user(arg: &str) -> Result<String, String> {
    for part in arg.split(':').take(2) {
        as_number(part).map_err(|e| format!("{e:#}"))?;
    }
    Ok(arg.to_owned())
}

/// A group, likewise.
///
/// # Errors
/// As [`user`].
pub fn group(arg: &str) -> Result<String, String> {
    as_number(arg).map_err(|e| format!("{e:#}"))?;
    Ok(arg.to_owned())
}

/// The number a text is, if it is one: signs and leading zeros count, as Go's `Atoi` has it.
///
/// # Errors
/// When it is out of range.
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
