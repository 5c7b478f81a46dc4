//! precreate hooks: programs that filter the complete spec before it is written.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::runtime_spec::{Spec, schema};

/// Runs a precreate hook, with the spec on its standard input and the new spec on its standard
/// output.
///
/// # Errors
/// Returns an error if the hook cannot be started, fails, exceeds its time limit, or does not write
/// a spec.
pub fn filter(spec: &Spec, hook: &Value) -> anyhow::Result<Value> {
    let path = hook["path"].as_str().unwrap_or_default();
    filter_by(path, hook, spec).with_context(|| format!("precreate hook {path}"))
}

fn filter_by(path: &str, hook: &Value, spec: &Spec) -> anyhow::Result<Value> {
    let texts = |key: &str| -> Vec<&str> {
        hook.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
    };
    let args = texts("args");
    let mut command = Command::new(path);
    if let Some((name, rest)) = args.split_first() {
        use std::os::unix::process::CommandExt;
        command.arg0(name).args(rest);
    }
    command.env_clear().stdin(Stdio::piped()).stdout(Stdio::piped());
    for entry in texts("env") {
        if let Some((name, value)) = entry.split_once('=') {
            command.env(name, value);
        }
    }
    let mut child = command.spawn()?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let text = serde_json::to_vec(spec.value())?;
    let writer = std::thread::spawn(move || stdin.map_or(Ok(()), |mut stdin| stdin.write_all(&text)));
    let reader = std::thread::spawn(move || {
        let mut output = Vec::new();
        stdout.map_or(Ok(0), |stdout| stdout.take(MAX_FILTERED + 1).read_to_end(&mut output)).map(|_| output)
    });
    let timeout = hook.get("timeout").and_then(Value::as_u64).map(Duration::from_secs);
    let status = wait(&mut child, timeout)?;
    // A filter may exit before it has read its input. Its exit status decides.
    let _ = writer.join();
    let output = reader.join().map_err(|_| anyhow::anyhow!("cannot read its output"))??;
    if !status.success() {
        bail!("{status}");
    }
    if output.len() as u64 > MAX_FILTERED {
        bail!("its output is longer than {MAX_FILTERED} bytes");
    }
    let mut value = strict_json::document(&output).context("output")?;
    schema::check(&mut value).context("output")?;
    if value.get("ociVersion").is_none() {
        bail!("output: not an OCI spec: the key ociVersion is missing");
    }
    Ok(value)
}

const MAX_FILTERED: u64 = 16 << 20;

fn wait(
    child: &mut std::process::Child,
    timeout: Option<Duration>,
) -> anyhow::Result<std::process::ExitStatus> {
    let Some(timeout) = timeout else { return Ok(child.wait()?) };
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if start.elapsed() >= timeout {
            child.kill()?;
            child.wait()?;
            bail!("still running after {} s, killed", timeout.as_secs());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_precreate_hook_is_killed_after_its_timeout() {
        let hook = json!({"path": "/bin/sleep", "args": ["sleep", "60"], "timeout": 0});
        let start = Instant::now();
        let error = format!("{:#}", filter(&Spec::new(json!({})), &hook).unwrap_err());
        assert!(error.contains("killed") && start.elapsed() < Duration::from_secs(30), "{error}");
    }

    #[test]
    fn a_filter_that_writes_too_much_is_reported() {
        let script = format!("head -c {} /dev/zero", MAX_FILTERED + 1);
        let hook = json!({"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"]});
        let error = format!("{:#}", filter(&Spec::new(json!({})), &hook).unwrap_err());
        assert_eq!(error, "precreate hook /bin/sh: its output is longer than 16777216 bytes");
    }
}
