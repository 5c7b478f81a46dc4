//! Finds the six programs.

use std::path::PathBuf;

/// Returns the path of the tool `name`, in the directory `$TOOLS_BIN` or else where cargo builds
/// it.
///
/// # Panics
/// Panics if the tool does not exist: `cargo test -p` builds only the tools of one package.
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
