//! The process: command, directory, environment, terminal.

use cli::usage;
use serde_json::json;

use crate::args::ProcessArgs;
use crate::run::Job;
use crate::spec::Spec;
use crate::{env, env_merge, init};

const HOME: &str = "HOME";

/// Applies the flags of the process that need no look-up.
///
/// # Errors
/// Names the flag that makes no sense.
pub fn apply(job: &mut Job<'_>) -> anyhow::Result<()> {
    let (args, command) = (&job.args.process, &job.args.args);
    let Job { spec, trace, container, .. } = job;
    set_command(spec, args, command, &container.entrypoint)?;
    trace.because(spec, || "--entrypoint, ARGS".into());
    init::apply(spec, args)?;
    trace.because(spec, || "--init".into());
    if let Some(dir) = &args.workdir {
        if !dir.starts_with('/') {
            return Err(usage(format!("--workdir {dir}: an absolute path is wanted")));
        }
        spec.set("process.cwd", dir.as_str());
        trace.because(spec, || format!("--workdir {dir}"));
    }
    if args.console_size.is_some() && args.tty == Some(false) {
        return Err(usage("--console-size has no effect with --tty=false"));
    }
    if let Some((width, height)) = args.console_size {
        spec.set("process.consoleSize", json!({ "height": height, "width": width }));
        trace.because(spec, || "--console-size".into());
    }
    if let Some(domain) = &args.personality {
        spec.set("linux.personality", json!({ "domain": domain }));
        trace.because(spec, || "--personality".into());
    }
    set_environment(job)?;
    let Job { spec, trace, .. } = job;
    if let Some(tty) = args.tty {
        spec.set("process.terminal", tty);
        if tty {
            env::set_default(spec, "TERM", "xterm");
        } else {
            spec.remove("process.consoleSize");
        }
        trace.because(spec, || format!("--tty={tty}"));
    }
    Ok(())
}

/// Applies the flags of the environment, and remembers whether one of them sets HOME: then it does not follow the user.
fn set_environment(job: &mut Job<'_>) -> anyhow::Result<()> {
    let args = &job.args.process;
    let Job { spec, trace, container, .. } = job;
    for flag in &args.env_merge {
        env_merge::apply(spec, flag).map_err(|e| usage(format!("{e:#}")))?;
        container.home_is_given |= env::name_of(flag) == HOME;
        container.secret_env.remove(env::name_of(flag));
        trace.because(spec, || format!("--env-merge {flag}"));
    }
    if args.unsetenv_all == Some(true) {
        spec.remove("process.env");
        container.secret_env.clear();
        trace.because(spec, || "--unsetenv-all".into());
    }
    for name in &args.unsetenv {
        env::unset(spec, name);
        container.secret_env.remove(name);
        trace.because(spec, || format!("--unsetenv {name}"));
    }
    if args.http_proxy == Some(true) {
        env::set_proxies(spec);
        trace.because(spec, || "--http-proxy".into());
    }
    if args.env_host == Some(true) {
        env::set_own(spec);
        trace.because(spec, || "--env-host".into());
    }
    for file in &args.env_file {
        env::each_line(file, "NAME=VALUE lines", &mut |at, line| {
            env::apply_flag(spec, line)?;
            container.home_is_given |= env::gives(line, HOME);
            container.secret_env.retain(|variable, _| !env::gives(line, variable));
            trace.because(spec, || format!("--env-file: {at}"));
            Ok(())
        })?;
    }
    for flag in &args.env {
        env::apply_flag(spec, flag).map_err(|e| usage(format!("{e:#}")))?;
        container.home_is_given |= env::gives(flag, HOME);
        container.secret_env.retain(|variable, _| !env::gives(flag, variable));
        trace.because(spec, || format!("--env {flag}"));
    }
    Ok(())
}

/// Sets the command. ARGS follow the entrypoint: that of the flag, or the image's.
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
        return Err(usage("--entrypoint: empty, and there are no ARGS"));
    }
    spec.set("process.args", words);
    Ok(())
}

/// Returns an entrypoint; podman and docker take one that is a single empty word for none.
pub fn without_empty_word(words: Vec<String>) -> Vec<String> {
    if words == [""] { Vec::new() } else { words }
}

/// One word, or a JSON array of words, as podman takes it.
fn command_words(text: &str) -> anyhow::Result<Vec<String>> {
    let words = match serde_json::from_str(text) {
        Ok(words) => words,
        // "[" is a program too, but quotes are those of a list.
        Err(_) if text.starts_with('[') && text.contains('"') => {
            return Err(usage(format!("--entrypoint {text}: expected an array of strings")));
        }
        Err(_) => vec![text.to_owned()],
    };
    Ok(without_empty_word(words))
}
