//! The process: arguments, directory, terminal.

use crate::args::ProcessArgs;
use crate::env;
use crate::spec::Spec;

/// Applies the flags that need no look-up.
pub fn apply(spec: &mut Spec, args: &ProcessArgs, command: &[String]) -> anyhow::Result<()> {
    if !command.is_empty() {
        spec.set("process.args", command.to_vec());
    }
    if let Some(dir) = &args.workdir {
        if !dir.starts_with('/') {
            anyhow::bail!("--workdir {dir}: an absolute path is wanted");
        }
        spec.set("process.cwd", dir.as_str());
    }
    if let Some(tty) = args.tty {
        spec.set("process.terminal", tty);
        if tty {
            env::set_default(spec, "TERM", "xterm");
        } else {
            spec.remove("process.consoleSize");
        }
    }
    for file in &args.env_file {
        let input = cli::Input::open(Some(file), "NAME=VALUE lines")?;
        let name = input.name().to_owned();
        let text = cli::read_document(input, &name, 1 << 20)?;
        env::apply_file(spec, &text, &name)?;
    }
    for flag in &args.env {
        env::apply_flag(spec, flag)?;
    }
    Ok(())
}
