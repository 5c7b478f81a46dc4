//! `--env-merge NAME=VALUE`: sets a variable whose value refers to other variables, such as
//! `PATH=${PATH}:/opt/bin`.
//!
//! Values are written as in podman, which follows the shell: quotes, backslashes, `$NAME`,
//! `${NAME}`, `${NAME:-WORD}` and `${NAME:+WORD}`. The other operators of the
//! shell, which remove or replace text, are an error.

use anyhow::{Context, bail};

use crate::runtime_spec::{Spec, env};

/// Sets the variable.
///
/// # Errors
/// Returns an error if the value does not fit the notation.
pub fn apply(spec: &mut Spec, flag: &str) -> anyhow::Result<()> {
    let value = |name: &str| env::value(spec, name).unwrap_or_default().to_owned();
    let (name, word) = flag
        .split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .with_context(|| format!("--env-merge {flag}: expected NAME=VALUE"))?;
    let merged = expand(word, &value).with_context(|| format!("--env-merge {flag}"))?;
    env::set(spec, name, &merged);
    Ok(())
}

type Lookup<'a> = dyn Fn(&str) -> String + 'a;

fn expand(word: &str, value: &Lookup<'_>) -> anyhow::Result<String> {
    let mut text = String::new();
    let mut rest = word;
    let mut quoted = false;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '\'' if !quoted => {
                let (inside, after) = rest.split_once('\'').context("a quote is not closed")?;
                text.push_str(inside);
                rest = after;
            }
            '"' => quoted = !quoted,
            '\\' => {
                let next = rest.chars().next().context("expected a character after the backslash")?;
                // Inside double quotes a backslash is literal unless it precedes `$`, `"` or `\`.
                if quoted && !matches!(next, '$' | '"' | '\\') {
                    text.push('\\');
                }
                text.push(next);
                rest = &rest[next.len_utf8()..];
            }
            '$' => {
                let (put, after) = variable(rest, value)?;
                text.push_str(&put);
                rest = after;
            }
            c => text.push(c),
        }
    }
    if quoted {
        bail!("a quote is not closed");
    }
    Ok(text)
}

/// Returns the value of the variable whose name begins `rest`, and the text after the name.
fn variable<'a>(rest: &'a str, value: &Lookup<'_>) -> anyhow::Result<(String, &'a str)> {
    let Some(braced) = rest.strip_prefix('{') else {
        // A single digit is the name of a positional parameter, which is never set.
        if let Some(after) = rest.strip_prefix(|c: char| c.is_ascii_digit()) {
            return Ok((String::new(), after));
        }
        let (name, after) = rest.split_at(name_length(rest));
        // A dollar sign before any other character is literal.
        let put = if name.is_empty() { "$".to_owned() } else { value(name) };
        return Ok((put, after));
    };
    let (name, after) = braced.split_at(name_length(braced));
    if name.is_empty() {
        bail!("${{{braced}: expected the name of a variable");
    }
    if let Some(after) = after.strip_prefix('}') {
        return Ok((value(name), after));
    }
    let parts = after.split_once('}').and_then(|(operation, after)| {
        let set = !value(name).is_empty();
        let put = match (operation.get(..2)?, &operation[2..]) {
            (":-", word) => {
                if set {
                    value(name)
                } else {
                    word.to_owned()
                }
            }
            (":+", word) => {
                if set {
                    word.to_owned()
                } else {
                    String::new()
                }
            }
            _ => return None,
        };
        // A variable inside WORD is not supported: the search ends at the first closing brace.
        (!operation.contains('$')).then_some((put, after))
    });
    parts.with_context(|| format!("${{{braced}: expected ${{NAME}}, ${{NAME:-WORD}} or ${{NAME:+WORD}}"))
}

fn name_length(text: &str) -> usize {
    let is_first = |c: char| c.is_ascii_alphabetic() || c == '_';
    if !text.starts_with(is_first) {
        return 0;
    }
    text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::runtime_spec::key;

    use super::*;

    /// The results were recorded from podman 5.4.2 with an image that has these two variables.
    #[test]
    fn words_are_expanded_as_in_a_shell() {
        #[rustfmt::skip]
        let cases = [
            ("A=${A}:x", "A=a:x"), ("A=$A:x$B", "A=a:xb c"), ("NEW=${A}y", "NEW=ay"), ("A='$A'", "A=$A"), ("A=\"$B\"", "A=b c"),
            ("A=${A:-d}${U:-d}${A:+p}${U:+p}", "A=adp"), ("A=x\\$A", "A=x$A"), ("A=k=v", "A=k=v"), ("A=${U}", "A="), ("A=", "A="),
            ("A=${A} sp", "A=a sp"),
        ];
        for (flag, expected) in cases {
            let mut spec = Spec::new(json!({"process": {"env": ["A=a", "B=b c"]}}));
            apply(&mut spec, flag).unwrap();
            let env = spec.texts(key::PROCESS_ENV);
            assert!(env.iter().any(|e| e == expected), "{flag}: {env:?}");
        }
    }

    #[test]
    fn invalid_expansions_are_refused() {
        let mut spec = Spec::new(json!({"process": {"env": ["A=a"]}}));
        for flag in [
            "A",
            "=x",
            "A=${A",
            "A=${}",
            "A=${A%x}",
            "A=${A:?x}",
            "A=${A:-${B}}",
            "A='",
            "A=\"",
            "A=\\",
            "A=${A:é}",
        ] {
            assert!(apply(&mut spec, flag).is_err(), "{flag}");
            assert_eq!(spec.texts(key::PROCESS_ENV), ["A=a"]);
        }
        for (flag, value) in
            [("A=$", "A=$"), ("A=1$2x", "A=1x"), ("A=\"\\n\\\\\"", "A=\\n\\"), ("A=\"it's\"", "A=it's")]
        {
            apply(&mut spec, flag).unwrap();
            assert_eq!(spec.texts(key::PROCESS_ENV), [value], "{flag}");
        }
    }
}
