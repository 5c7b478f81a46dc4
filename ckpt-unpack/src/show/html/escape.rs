//! Makes texts from other machines safe in HTML.

use std::fmt::{self, Write};

/// Displays a text for an HTML page: as an element's content, or as an attribute in double quotes.
/// Control characters, and those that reorder text, are escaped as on a terminal.
pub struct Escaped<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in cli::escape(self.0).chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_and_control_characters_are_escaped() {
        let text = "<script>'&\"\0\u{202e}\n</script>";
        let escaped = "&lt;script&gt;&#39;&amp;&quot;\\x00\\u{202e}\\n&lt;/script&gt;";
        assert_eq!(Escaped(text).to_string(), escaped);
    }
}
