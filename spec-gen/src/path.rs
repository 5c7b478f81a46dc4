//! Paths in the container as text, and the conversion of host paths to text.

/// Returns an absolute path without `.`, `..`, double or trailing slashes. Does not access the
/// filesystem.
pub fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// Reports whether `path` is `dir` or below it.
pub fn is_below(path: &str, dir: &str) -> bool {
    let (path, dir) = (clean(path), clean(dir));
    dir == "/" || path == dir || path.strip_prefix(dir.as_str()).is_some_and(|rest| rest.starts_with('/'))
}

/// Returns a path as text for config.json.
///
/// # Errors
/// Returns an error if the path is not UTF-8.
pub fn utf8(path: impl Into<std::path::PathBuf>) -> anyhow::Result<String> {
    let path = path.into().into_os_string();
    path.into_string()
        .map_err(|p| anyhow::anyhow!("{}: not UTF-8, which config.json cannot hold", cli::display_path(p)))
}
