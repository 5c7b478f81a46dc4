//! Lists of processors and memory nodes in the kernel's format: `0-3,5`.

/// Checks a list.
///
/// # Errors
/// Returns an error that states what was expected.
pub fn check(list: &str) -> Result<(), String> {
    const EXPECTED: &str = "expected numbers and ranges, such as 0-3,5";
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        text.parse::<u32>().ok().filter(|_| digits)
    };
    for part in list.split(',').map(|part| part.trim_matches(' ')) {
        // The kernel accepts a trailing comma.
        if part.is_empty() {
            continue;
        }
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        // A stride selects some processors of each group: 0-7:2/4.
        let (last, stride) = last.split_once(':').map_or((last, None), |(last, stride)| (last, Some(stride)));
        let range = number(first).zip(number(last)).ok_or(EXPECTED)?;
        if range.0 > range.1 {
            return Err(format!("{part}: the range ends before it starts"));
        }
        if let Some(stride) = stride {
            let parts = stride.split_once('/').and_then(|(used, group)| number(used).zip(number(group)));
            if !part.contains('-') || parts.is_none_or(|(used, group)| used == 0 || used > group) {
                return Err(EXPECTED.into());
            }
        }
    }
    if list.bytes().any(|b| b.is_ascii_digit()) { Ok(()) } else { Err(EXPECTED.into()) }
}
