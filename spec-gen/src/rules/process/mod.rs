//! The process: command, directory, environment, terminal.

mod env_merge;
pub mod environment;
pub mod init;
pub mod working_directory;

use cli::usage;
use serde_json::json;

use crate::args::ProcessArgs;
use crate::input::image_config::without_empty_word;
use crate::job::Job;
use crate::runtime_spec::key;
use crate::runtime_spec::{Spec, env};

/// Applies the flags for the process that need no lookup.
///
/// # Errors
/// Returns an error that names the invalid flag.
pub fn apply(job: &mut Job<'_>) -> anyhow::Result<()> {
    let (args, command) = (&job.args.process, &job.args.args);
    let Job { spec, trace, container, .. } = job;
    set_command(spec, args, command, &container.entrypoint)?;
    trace.because(spec, || "--entrypoint, ARGS".into());
    init::apply(spec, args)?;
    trace.because(spec, || "--init".into());
    if let Some(dir) = &args.workdir {
        if !dir.starts_with('/') {
            return Err(usage(format!("--workdir {dir}: expected an absolute path")));
        }
        spec.set(key::PROCESS_CWD, dir.as_str());
        trace.because(spec, || format!("--workdir {dir}"));
    }
    if args.console_size.is_some() && args.tty == Some(false) {
        return Err(usage("--console-size has no effect with --tty=false"));
    }
    if let Some((width, height)) = args.console_size {
        spec.set(key::PROCESS_CONSOLE_SIZE, json!({ "height": height, "width": width }));
        trace.because(spec, || "--console-size".into());
    }
    if let Some(domain) = &args.personality {
        spec.set(key::LINUX_PERSONALITY, json!({ "domain": domain }));
        trace.because(spec, || "--personality".into());
    }
    environment::apply_flags(job)?;
    let Job { spec, trace, .. } = job;
    if let Some(tty) = args.tty {
        spec.set(key::PROCESS_TERMINAL, tty);
        if tty {
            env::set_default(spec, "TERM", "xterm");
        } else {
            spec.remove(key::PROCESS_CONSOLE_SIZE);
        }
        trace.because(spec, || format!("--tty={tty}"));
    }
    Ok(())
}

/// Sets the command: ARGS after the entrypoint of the flag or of the image.
fn set_command(
    spec: &mut Spec,
    args: &ProcessArgs,
    command: &[String],
    entrypoint_of_image: &[String],
) -> anyhow::Result<()> {
    let mut words = match &args.entrypoint {
        Some(entrypoint) => command_words(entrypoint)?,
        None if command.is_empty() => return Ok(()),
        None => entrypoint_of_image.to_vec(),
    };
    words.extend(command.iter().cloned());
    if words.is_empty() {
        return Err(usage("--entrypoint is empty, and there are no ARGS"));
    }
    spec.set(key::PROCESS_ARGS, words);
    Ok(())
}

/// Parses a command: one word, or a JSON array of words, as podman does.
fn command_words(text: &str) -> anyhow::Result<Vec<String>> {
    let words = match serde_json::from_str(text) {
        Ok(words) => words,
        // "[" is the name of a program, but "[" with a quote is a malformed array.
        Err(_) if text.starts_with('[') && text.contains('"') => {
            return Err(usage(format!("--entrypoint {text}: expected an array of strings")));
        }
        Err(_) => vec![text.to_owned()],
    };
    Ok(without_empty_word(words))
}
