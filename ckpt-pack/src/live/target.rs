//! The container that the command dumps, found from the command line.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context;
use cli::{Hint, usage};

use crate::args::Args;
use crate::documents;

/// Returns the first process of the container: that of `--pid` or `--state`, or the one that the
/// runtime or podman reports.
///
/// # Errors
/// Returns a usage error if the command is unknown, or an error if the container has no process.
pub fn pid(args: &Args) -> anyhow::Result<u32> {
    if let Some(pid) = args.check.existing_pid()? {
        return Ok(pid);
    }
    // The documents read --state too, and a pipe can be read only once.
    if let Some(state) = args.container.state.as_deref().filter(|path| path.is_file()) {
        return documents::state_pid(state);
    }
    let command = &args.live.command;
    let pid = match (program(command), command.split_last()) {
        (Some("runc" | "crun"), Some((id, before))) => {
            let global = before.iter().take_while(|word| *word != "checkpoint");
            let words: Vec<&OsStr> =
                global.map(OsString::as_os_str).chain([OsStr::new("state"), id.as_os_str()]).collect();
            let state: serde_json::Value =
                serde_json::from_slice(&output(&words)?).with_context(|| shown(&words))?;
            state.get("pid").and_then(serde_json::Value::as_u64).and_then(|pid| u32::try_from(pid).ok())
        }
        (Some("podman"), Some((id, before))) => {
            let global = before.iter().take_while(|word| *word != "container");
            let inspect = ["container", "inspect", "--format", "{{.State.Pid}}"].map(OsStr::new);
            let words: Vec<&OsStr> =
                global.map(OsString::as_os_str).chain(inspect).chain([id.as_os_str()]).collect();
            String::from_utf8_lossy(&output(&words)?).trim().parse().ok()
        }
        _ => {
            let e =
                usage("the process of the container is unknown: expected runc, crun or podman as COMMAND");
            return Err(Hint::on(e, "add --pid PID, the first process of the container"));
        }
    };
    pid.filter(|&pid| pid > 0)
        .ok_or_else(|| anyhow::anyhow!("the container has no process: it is not running"))
}

/// Returns the image directory that the command names.
pub fn image_path(command: &[OsString]) -> Option<PathBuf> {
    let at = command.iter().position(|word| word.as_bytes().starts_with(b"--image-path"))?;
    match command[at].as_bytes().strip_prefix(b"--image-path") {
        Some(b"") => command.get(at + 1).map(PathBuf::from),
        Some([b'=', path @ ..]) => Some(Path::new(OsStr::from_bytes(path)).into()),
        _ => None,
    }
}

fn program(command: &[OsString]) -> Option<&str> {
    Path::new(command.first()?).file_name()?.to_str()
}

fn output(words: &[&OsStr]) -> anyhow::Result<Vec<u8>> {
    let Some((program, args)) = words.split_first() else { anyhow::bail!("expected a command") };
    let output = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| cli::display_path(Path::new(program)))?;
    if !output.status.success() {
        anyhow::bail!("{}: {}", shown(words), output.status);
    }
    Ok(output.stdout)
}

fn shown(words: &[&OsStr]) -> String {
    let words: Vec<String> = words.iter().map(|word| cli::display_path(Path::new(word))).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_path_of_the_command_is_found() {
        for (line, path) in [
            ("runc checkpoint --image-path /i web", Some("/i")),
            ("runc checkpoint --image-path=/i web", Some("/i")),
            ("runc checkpoint web", None),
            ("runc checkpoint --image-path", None),
        ] {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            assert_eq!(image_path(&words), path.map(PathBuf::from), "{line}");
        }
    }
}
