//! The rlimits of the process.

use cli::usage;
use serde_json::json;

use crate::notation::limits::ulimit;
use crate::runtime_spec::Spec;
use crate::runtime_spec::explain::Trace;
use crate::runtime_spec::key;

/// Sets rlimits of the process. `host` removes all rlimits, so that the process inherits the
/// rlimits of the runtime.
pub fn set(spec: &mut Spec, flags: &[String], trace: &mut Trace) -> anyhow::Result<()> {
    if flags.iter().any(|flag| flag == "host") {
        if let Some(other) = flags.iter().find(|flag| *flag != "host") {
            return Err(usage(format!(
                "--ulimit {other} has no effect with --ulimit host, which sets no limit"
            )));
        }
        spec.remove(key::PROCESS_RLIMITS);
        trace.because(spec, || "--ulimit host".into());
    }
    for flag in flags.iter().filter(|flag| *flag != "host") {
        let (kind, soft, hard) = ulimit(flag).map_err(|e| usage(format!("--ulimit {flag}: {e:#}")))?;
        put(spec, &kind, soft, hard);
        trace.because(spec, || format!("--ulimit {flag}"));
    }
    Ok(())
}

/// Sets an rlimit, and replaces one of the same type.
pub fn put(spec: &mut Spec, kind: &str, soft: u64, hard: u64) {
    let list = spec.list_mut(key::PROCESS_RLIMITS);
    let value = json!({ "type": kind, "hard": hard, "soft": soft });
    match list.iter_mut().find(|l| l["type"] == kind) {
        Some(there) => *there = value,
        None => list.push(value),
    }
}

/// Sets podman's default rlimits: 1048576 open files and processes, or spec-gen's own limits if
/// these are lower.
pub fn set_default(spec: &mut Spec) -> anyhow::Result<()> {
    use nix::sys::resource::{Resource, getrlimit};
    const WANTED: u64 = 1_048_576;
    for (kind, resource) in
        [("RLIMIT_NOFILE", Resource::RLIMIT_NOFILE), ("RLIMIT_NPROC", Resource::RLIMIT_NPROC)]
    {
        let list = spec.list(key::PROCESS_RLIMITS);
        if !list.iter().any(|l| l["type"] == kind) {
            let (_, own) = getrlimit(resource)?;
            let limit = WANTED.min(own);
            spec.list_mut(key::PROCESS_RLIMITS).push(json!({ "type": kind, "hard": limit, "soft": limit }));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn podmans_default_limits_do_not_replace_limits() {
        use nix::sys::resource::{Resource, getrlimit};
        let nofile = json!({"type": "RLIMIT_NOFILE", "hard": 7, "soft": 5});
        let core = json!({"type": "RLIMIT_CORE", "hard": 1, "soft": 1});
        let mut spec = Spec::new(json!({"process": {"rlimits": [core, nofile]}}));
        set_default(&mut spec).unwrap();
        let own = getrlimit(Resource::RLIMIT_NPROC).unwrap().1.min(1 << 20);
        let nproc = json!({"type": "RLIMIT_NPROC", "hard": own, "soft": own});
        assert_eq!(spec.list(key::PROCESS_RLIMITS), [core, nofile, nproc.clone()]);
        let mut spec = Spec::new(json!({}));
        set_default(&mut spec).unwrap();
        let own = getrlimit(Resource::RLIMIT_NOFILE).unwrap().1.min(1 << 20);
        let nofile = json!({"type": "RLIMIT_NOFILE", "hard": own, "soft": own});
        assert_eq!(spec.list(key::PROCESS_RLIMITS), [nofile, nproc]);
    }
}
