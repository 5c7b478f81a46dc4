//! Matches the wildcards of fnmatch(3), all of which also match `/`.

/// Returns whether `pattern` has an unescaped wildcard.
pub fn has_wildcard(pattern: &[u8]) -> bool {
    let mut rest = pattern;
    while let Some((element, after)) = element(rest) {
        if !matches!(element, Element::Char(_)) {
            return true;
        }
        rest = after;
    }
    false
}

/// Removes the backslashes that escape another character.
pub fn unescape(pattern: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(pattern.len());
    let mut rest = pattern;
    while let [first, after @ ..] = rest {
        match (first, after) {
            (b'\\', [escaped, after @ ..]) => {
                plain.push(*escaped);
                rest = after;
            }
            _ => {
                plain.push(*first);
                rest = after;
            }
        }
    }
    plain
}

/// Returns whether `pattern` matches the complete `text`.
///
/// The time is at most proportional to the product of both lengths, because only the last `*` is
/// retried.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut pattern, mut text) = (pattern, text);
    // Where to continue after a mismatch: at the pattern after the last `*`, and one character
    // later in the text than at the previous attempt.
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        match (element(pattern), character(text)) {
            (Some((Element::Star, after)), _) => {
                retry = Some((after, text));
                pattern = after;
                continue;
            }
            (Some((element, after)), Some((c, rest))) if element.takes(c) => {
                (pattern, text) = (after, rest);
                continue;
            }
            (None, None) => return true,
            _ => {}
        }
        let Some((after, from)) = retry else { return false };
        let Some((_, from)) = character(from) else { return false };
        retry = Some((after, from));
        (pattern, text) = (after, from);
    }
}

enum Element<'a> {
    Star,
    Any,
    Class { negated: bool, body: &'a [u8] },
    Char(u32),
}

impl Element<'_> {
    fn takes(&self, c: u32) -> bool {
        match self {
            Element::Star => false,
            Element::Any => true,
            Element::Class { negated, body } => holds(body, c) != *negated,
            Element::Char(own) => *own == c,
        }
    }
}

/// Returns the first element of a pattern and the rest.
fn element(pattern: &[u8]) -> Option<(Element<'_>, &[u8])> {
    match pattern {
        [b'*', rest @ ..] => Some((Element::Star, rest)),
        [b'?', rest @ ..] => Some((Element::Any, rest)),
        [b'[', rest @ ..] => match class(rest) {
            Some(class) => Some(class),
            None => Some((Element::Char(u32::from(b'[')), rest)),
        },
        [b'\\', rest @ ..] if !rest.is_empty() => {
            let (c, rest) = character(rest)?;
            Some((Element::Char(c), rest))
        }
        _ => {
            let (c, rest) = character(pattern)?;
            Some((Element::Char(c), rest))
        }
    }
}

/// Parses a character class after its `[`. Returns `None` if the class is not closed; the `[` is
/// then an ordinary character.
fn class(rest: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let (negated, body) = match rest {
        [b'!' | b'^', body @ ..] => (true, body),
        body => (false, body),
    };
    // A `]` in the first position is a member of the class.
    let mut at = usize::from(body.first() == Some(&b']'));
    loop {
        match body.get(at..)? {
            [b']', ..] => break,
            [b'[', b':', name @ ..] => match name.windows(2).position(|end| end == b":]") {
                Some(length) => at += length + 4,
                None => at += 1,
            },
            [b'\\', _, ..] => at += 2,
            [_, ..] => at += 1,
            [] => return None,
        }
    }
    Some((Element::Class { negated, body: body.get(..at)? }, body.get(at + 1..)?))
}

/// Returns whether the class contains `c`.
fn holds(body: &[u8], c: u32) -> bool {
    let mut rest = body;
    while !rest.is_empty() {
        if let [b'[', b':', name @ ..] = rest {
            if let Some(length) = name.windows(2).position(|end| end == b":]") {
                if named(&name[..length], c) {
                    return true;
                }
                rest = &name[length + 2..];
                continue;
            }
        }
        let Some((first, after)) = member(rest) else { return false };
        rest = after;
        let mut last = first;
        if let [b'-', range @ ..] = rest {
            // A `-` in the last position is a member of the class.
            if let Some((end, after)) = member(range) {
                (last, rest) = (end, after);
            }
        }
        if (first..=last).contains(&c) {
            return true;
        }
    }
    false
}

fn member(rest: &[u8]) -> Option<(u32, &[u8])> {
    match rest {
        [b'\\', escaped @ ..] if !escaped.is_empty() => character(escaped),
        _ => character(rest),
    }
}

/// Returns whether `c` is in the POSIX character class `name`.
fn named(name: &[u8], c: u32) -> bool {
    let Some(c) = char::from_u32(c) else { return false };
    match name {
        b"alpha" => c.is_alphabetic(),
        b"digit" => c.is_ascii_digit(),
        b"alnum" => c.is_alphanumeric(),
        b"upper" => c.is_uppercase(),
        b"lower" => c.is_lowercase(),
        b"space" => c.is_whitespace(),
        b"blank" => c == ' ' || c == '\t',
        b"punct" => c.is_ascii_punctuation(),
        b"xdigit" => c.is_ascii_hexdigit(),
        b"cntrl" => c.is_control(),
        b"print" => !c.is_control(),
        b"graph" => !c.is_control() && !c.is_whitespace(),
        _ => false,
    }
}

/// Returns the first character of UTF-8 text and the rest. If the text does not begin with a valid
/// character, returns its first byte, encoded so that it equals no character.
fn character(text: &[u8]) -> Option<(u32, &[u8])> {
    let first = *text.first()?;
    for length in 1..=4.min(text.len()) {
        if let Some(c) = std::str::from_utf8(&text[..length]).ok().and_then(|text| text.chars().next()) {
            return Some((u32::from(c), &text[length..]));
        }
    }
    Some((u32::from(first) | 0x8000_0000, &text[1..]))
}
