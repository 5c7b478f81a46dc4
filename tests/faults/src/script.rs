//! Tables of shell scripts that run the tools. Each script has its own directory and mount
//! namespace.

use std::process::Command;

use harness::tools::tool;

/// Functions for the scripts: `fails TEXT COMMAND...`: the command exits with status 1 and reports
/// TEXT; `err` holds the report. `is EXPECTED FOUND`: both texts are the same.
const PRELUDE: &str = r#"
set -euo pipefail
fail() { echo "$*" >&2; exit 9; }
fails() {
    local text=$1 rc=0; shift
    "$@" 2> err || rc=$?
    [ $rc = 1 ] || fail "status $rc: $*: $(cat err)"
    grep -qF -e "$text" err || fail "no '$text' in: $(cat err)"
}
is() { [ "$1" = "$2" ] || fail "expected '$1', found '$2'"; }
acl() { getfacl -pnc -- "$1" | grep -v '^$' | paste -sd, -; }
"#;

/// Runs each script.
///
/// # Panics
/// Panics with a list of the scripts that fail.
pub fn all_pass(rows: &[(&str, &str)]) {
    let found: Vec<_> = rows.iter().filter_map(|(what, script)| failure(what, script)).collect();
    assert!(found.is_empty(), "{} of {}:\n{}", found.len(), rows.len(), found.join("\n"));
}

fn failure(what: &str, script: &str) -> Option<String> {
    // /tmp may be a tmpfs, whose xattrs are limited.
    let dir = tempfile::Builder::new().prefix("faults-").tempdir_in("/var/tmp").ok()?;
    let tools = tool("vol-archive").parent()?.to_owned();
    let path = format!("{}:{}", tools.display(), std::env::var("PATH").unwrap_or_default());
    let output = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "bash", "-c", &format!("{PRELUDE}\n{script}")])
        .current_dir(dir.path())
        .env("PATH", path)
        .output()
        .ok()?;
    (!output.status.success()).then(|| {
        let status = output.status.code();
        format!("{what}: status {status:?}: {}", String::from_utf8_lossy(&output.stderr).trim_end())
    })
}
