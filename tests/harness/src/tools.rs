//! Where the six programs are.

use std::path::PathBuf;

/// The tool `name` as cargo has built it, or in the directory `TOOLS_BIN`.
///
/// # Panics
/// When it is not there: `cargo test` builds the tools of its own package only.
pub fn tool(name: &str) -> PathBuf {
    let dir = match std::env::var_os("TOOLS_BIN") {
        Some(dir) => PathBuf::from(dir),
        None => {
            let test = std::env::current_exe().expect("the test knows its own path");
            // target/debug/deps/TEST
            test.ancestors().nth(2).expect("a test lies in target/PROFILE/deps").to_owned()
        }
    };
    let path = dir.join(name);
    assert!(path.is_file(), "{}: not built; run: cargo build --workspace", path.display());
    path
}
