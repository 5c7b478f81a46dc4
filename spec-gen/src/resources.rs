//! Limits: cgroup resources, rlimits, sysctls.

use std::path::Path;

use anyhow::{Context, bail};
use cli::{Hint, usage};
use serde_json::{Value, json};

use crate::args::ResourceArgs;
use crate::devices::Node;
use crate::explain::Trace;
use crate::spec::Spec;
use crate::validate::is_page_size;
use crate::{cpu_list, namespaces, sysctl};

/// Bytes of a size with a unit: `512m`, `1.5g`; `-1` is no limit where that has a meaning.
///
/// # Errors
/// When it is no such number.
pub fn bytes(text: &str) -> Result<i64, String> {
    let lower = text.to_ascii_lowercase();
    let number = lower.strip_suffix("ib").or_else(|| lower.strip_suffix('b')).unwrap_or(&lower);
    let (number, shift) = match number.chars().last() {
        Some('k') => (&number[..number.len() - 1], 10),
        Some('m') => (&number[..number.len() - 1], 20),
        Some('g') => (&number[..number.len() - 1], 30),
        Some('t') => (&number[..number.len() - 1], 40),
        Some('p') => (&number[..number.len() - 1], 50),
        _ => (number, 0),
    };
    // One blank may separate the number from its unit, as in Go's units.
    let number = number.strip_suffix(' ').unwrap_or(number);
    const WANTED: &str = "expected a number, or one with k, m, g, t or p";
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let unit: i64 = 1 << shift;
    let value: i64 = whole.parse().map_err(|_| WANTED)?;
    let bytes = value.checked_mul(unit).ok_or("more than 63 bits hold")?;
    // Go's libraries take a fraction too; nobody means one of more digits than this.
    if fraction.is_empty()
        || fraction.len() > 6
        || !fraction.bytes().all(|b| b.is_ascii_digit())
        || bytes < 0 && number.contains('.')
    {
        return Err(WANTED.into());
    }
    let part: i64 = fraction.parse().map_err(|_| WANTED)?;
    // 10^6 times the largest unit, 2^50, is more than 63 bits hold.
    let part = i128::from(part) * i128::from(unit) / 10_i128.pow(fraction.len() as u32);
    let part = i64::try_from(part).map_err(|_| WANTED)?;
    bytes.checked_add(part).ok_or_else(|| "more than 63 bits hold".into())
}

/// Reads a size that cannot be below 0.
///
/// # Errors
/// Returns what was expected.
pub fn size(text: &str) -> Result<i64, String> {
    bytes(text).and_then(|size| if size < 0 { Err("expected a size from 0 on".into()) } else { Ok(size) })
}

/// Applies the flags.
///
/// # Errors
/// Returns an error that names the flag whose value is invalid.
pub fn apply(spec: &mut Spec, args: &ResourceArgs, trace: &mut Trace) -> anyhow::Result<()> {
    let mut limits = Limits { spec, trace };
    limits.set_memory(args)?;
    limits.set_cpu(args)?;
    // Runtimes do not agree on what 0 is; -1 is no limit to all of them.
    let pids = args.pids_limit.map(|n| json!(if n <= 0 { -1 } else { n }));
    limits.put("pids.limit", pids, "--pids-limit");
    limits.put("blockIO.weight", args.blkio_weight.map(limit), "--blkio-weight");
    set_block_io(spec, args, trace)?;
    for limit in &args.hugetlb {
        let expected = || usage(format!("--hugetlb {limit}: expected SIZE=BYTES"));
        let (size, value) = limit.split_once('=').ok_or_else(expected)?;
        let value = self::size(value).map_err(|_| expected())?;
        if !is_page_size(size) {
            return Err(usage(format!(
                "--hugetlb {limit}: expected a page size such as 64KB, 2MB or 1GB, found {size:?}"
            )));
        }
        put_hugepage_limit(spec, size, value.unsigned_abs());
        trace.because(spec, || format!("--hugetlb {limit}"));
    }
    for (path, flag, pairs) in [
        ("linux.resources.unified", "--cgroup-conf", &args.cgroup_conf),
        ("linux.sysctl", "--sysctl", &args.sysctl),
    ] {
        for pair in pairs {
            let (key, value) =
                pair.split_once('=').ok_or_else(|| usage(format!("{flag} {pair}: expected KEY=VALUE")))?;
            if flag == "--sysctl" {
                check_sysctl(spec, pair, key)?;
            }
            spec.object(path).insert(key.into(), json!(value));
            trace.because(spec, || format!("{flag} {pair}"));
        }
    }
    set_ulimits(spec, &args.ulimit, trace)?;
    if let Some(class) = &args.rdt_class {
        spec.set("linux.intelRdt.closID", class.as_str());
        trace.because(spec, || "--rdt-class".into());
    }
    if let Some(adj) = args.oom_score_adj {
        spec.set("process.oomScoreAdj", adj);
        trace.because(spec, || "--oom-score-adj".into());
    }
    Ok(())
}

/// Rejects a kernel parameter that every runtime refuses to set: one of the host, or of a namespace that the container
/// shares with the host.
fn check_sysctl(spec: &Spec, pair: &str, key: &str) -> anyhow::Result<()> {
    match sysctl::namespace(key) {
        Some(kind) if namespaces::find(spec, kind).is_some() => Ok(()),
        Some(kind) => Err(usage(format!(
            "--sysctl {pair}: the container has no {kind} namespace of its own to set it in"
        ))),
        None => {
            let error =
                usage(format!("--sysctl {pair}: {key} belongs to no namespace and would change the host"));
            Err(Hint::on(error, "set it on the host with sysctl(8)"))
        }
    }
}

/// Limits of the cgroup, each with the flag as its reason.
struct Limits<'a> {
    spec: &'a mut Spec,
    trace: &'a mut Trace,
}

/// Returns the value of a limit: `null`, which removes it, where the flag says 0 or less.
///
/// podman takes these for no limit, but runtimes may take them literally: crun kills a container whose memory limit is 0.
fn limit<N: PartialOrd + Default + Into<Value>>(number: N) -> Value {
    if number > N::default() { number.into() } else { Value::Null }
}

impl Limits<'_> {
    /// Sets a key of `linux.resources`, or removes it where the value is `null`.
    fn put(&mut self, path: &str, value: Option<Value>, flag: &str) {
        let path = format!("linux.resources.{path}");
        match value {
            None => return,
            Some(Value::Null) => {
                self.spec.remove(&path);
            }
            Some(value) => self.spec.set(&path, value),
        }
        self.trace.because(self.spec, || flag.to_owned());
    }

    fn set_memory(&mut self, args: &ResourceArgs) -> anyhow::Result<()> {
        self.put("memory.limit", args.memory.map(limit), "--memory");
        self.put("memory.reservation", args.memory_reservation.map(limit), "--memory-reservation");
        // podman's rule: as much swap as memory. Without a limit of memory there is none of both together.
        let swap = args.memory_swap.or(args.memory.map(|m| m.max(0).saturating_mul(2)));
        self.put("memory.swap", swap.map(limit), "--memory-swap, or twice --memory");
        let swappiness = args.memory_swappiness.map(|n| if n < 0 { Value::Null } else { n.into() });
        self.put("memory.swappiness", swappiness, "--memory-swappiness");
        self.put("memory.disableOOMKiller", args.oom_kill_disable.map(Value::Bool), "--oom-kill-disable");
        self.check_swap(args)
    }

    /// Checks `--memory-swap` by podman's rules, which are those of runc and crun: it limits memory and swap together.
    fn check_swap(&self, args: &ResourceArgs) -> anyhow::Result<()> {
        let Some(swap) = args.memory_swap.filter(|swap| *swap > 0) else { return Ok(()) };
        let memory = self.spec.get("linux.resources.memory.limit").and_then(Value::as_i64);
        match memory.filter(|memory| *memory > 0) {
            None => {
                let error = usage("--memory-swap limits memory and swap together, and memory has no limit");
                Err(Hint::on(error, "add --memory BYTES"))
            }
            Some(memory) if swap < memory => Err(usage(format!(
                "--memory-swap: {swap} bytes of memory and swap are less than the limit of memory, {memory} bytes"
            ))),
            Some(_) => Ok(()),
        }
    }

    fn set_cpu(&mut self, args: &ResourceArgs) -> anyhow::Result<()> {
        self.put("cpu.shares", args.cpu_shares.map(limit), "--cpu-shares");
        if let Some(cpus) = args.cpus {
            if args.cpu_period.is_some() || args.cpu_quota.is_some() {
                return Err(usage("--cpus says the same as --cpu-period and --cpu-quota"));
            }
            let period = if cpus > 0.0 { json!(100_000) } else { Value::Null };
            self.put("cpu.period", Some(period), "--cpus");
            // The flag's parser has bounded it.
            self.put("cpu.quota", Some(limit((cpus * 100_000.0).round() as i64)), "--cpus");
        }
        self.put("cpu.period", args.cpu_period.map(limit), "--cpu-period");
        self.put("cpu.quota", args.cpu_quota.map(limit), "--cpu-quota");
        self.put("cpu.realtimePeriod", args.cpu_rt_period.map(limit), "--cpu-rt-period");
        self.put("cpu.realtimeRuntime", args.cpu_rt_runtime.map(limit), "--cpu-rt-runtime");
        for (key, flag, list) in [
            ("cpu.cpus", "--cpuset-cpus", &args.cpuset_cpus),
            ("cpu.mems", "--cpuset-mems", &args.cpuset_mems),
        ] {
            let Some(list) = list else { continue };
            let value = if list.is_empty() { Value::Null } else { list.as_str().into() };
            if !list.is_empty() {
                cpu_list::check(list).map_err(|e| usage(format!("{flag} {list}: {e}")))?;
            }
            self.put(key, Some(value), flag);
        }
        Ok(())
    }
}

/// Sets weights and rates of devices.
fn set_block_io(spec: &mut Spec, args: &ResourceArgs, trace: &mut Trace) -> anyhow::Result<()> {
    for device in &args.blkio_weight_device {
        let limit = weight(device).with_context(|| format!("--blkio-weight-device {device}"))?;
        spec.list_mut("linux.resources.blockIO.weightDevice").push(limit);
        trace.because(spec, || format!("--blkio-weight-device {device}"));
    }
    for (key, flag, rates) in [
        ("throttleReadBpsDevice", "--device-read-bps", &args.device_read_bps),
        ("throttleWriteBpsDevice", "--device-write-bps", &args.device_write_bps),
        ("throttleReadIOPSDevice", "--device-read-iops", &args.device_read_iops),
        ("throttleWriteIOPSDevice", "--device-write-iops", &args.device_write_iops),
    ] {
        for rate in rates {
            let limit = throttle(rate).with_context(|| format!("{flag} {rate}"))?;
            spec.list_mut(&format!("linux.resources.blockIO.{key}")).push(limit);
            trace.because(spec, || flag.to_owned());
        }
    }
    Ok(())
}

/// Sets limits of the process; `host` removes those there are, so that it has the limits of whoever starts it.
fn set_ulimits(spec: &mut Spec, flags: &[String], trace: &mut Trace) -> anyhow::Result<()> {
    if flags.iter().any(|flag| flag == "host") {
        if let Some(other) = flags.iter().find(|flag| *flag != "host") {
            return Err(usage(format!(
                "--ulimit {other} has no effect with --ulimit host, which sets no limit"
            )));
        }
        spec.remove("process.rlimits");
        trace.because(spec, || "--ulimit host".into());
    }
    for flag in flags.iter().filter(|flag| *flag != "host") {
        let (kind, soft, hard) = ulimit(flag).map_err(|e| usage(format!("--ulimit {flag}: {e:#}")))?;
        put_rlimit(spec, &kind, soft, hard);
        trace.because(spec, || format!("--ulimit {flag}"));
    }
    Ok(())
}

/// Sets the limit of huge pages of one size.
pub fn put_hugepage_limit(spec: &mut Spec, size: &str, limit: u64) {
    let list = spec.list_mut("linux.resources.hugepageLimits");
    list.retain(|l| l["pageSize"] != size);
    list.push(json!({ "pageSize": size, "limit": limit }));
}

/// Sets a limit of the process, in the place of the one of its type.
pub fn put_rlimit(spec: &mut Spec, kind: &str, soft: u64, hard: u64) {
    let list = spec.list_mut("process.rlimits");
    let value = json!({ "type": kind, "hard": hard, "soft": soft });
    match list.iter_mut().find(|l| l["type"] == kind) {
        Some(there) => *there = value,
        None => list.push(value),
    }
}

/// Reads `DEVICE:RATE`.
fn throttle(text: &str) -> anyhow::Result<Value> {
    let parsed =
        text.rsplit_once(':').and_then(|(path, rate)| Some((path, bytes(rate).ok().filter(|r| *r >= 0)?)));
    let (path, rate) = parsed.ok_or_else(|| usage("expected DEVICE:RATE"))?;
    let node = node(path)?;
    Ok(json!({ "major": node.major, "minor": node.minor, "rate": rate }))
}

/// Reads `DEVICE:WEIGHT`.
fn weight(text: &str) -> anyhow::Result<Value> {
    let weight = |text: &str| text.parse::<u16>().ok().filter(|w| (10..=1000).contains(w));
    let parsed = text.rsplit_once(':').and_then(|(path, number)| Some((path, weight(number)?)));
    let (path, weight) = parsed.ok_or_else(|| usage("expected DEVICE:WEIGHT, a weight from 10 to 1000"))?;
    let node = node(path)?;
    Ok(json!({ "major": node.major, "minor": node.minor, "weight": weight }))
}

fn node(path: &str) -> anyhow::Result<Node> {
    match Node::read(Path::new(path)).with_context(|| path.to_owned())? {
        Some(node) => Ok(node),
        None => bail!("{path}: not a device node"),
    }
}

const RLIMITS: [&str; 16] = [
    "AS",
    "CORE",
    "CPU",
    "DATA",
    "FSIZE",
    "LOCKS",
    "MEMLOCK",
    "MSGQUEUE",
    "NICE",
    "NOFILE",
    "NPROC",
    "RSS",
    "RTPRIO",
    "RTTIME",
    "SIGPENDING",
    "STACK",
];

/// Reads `NAME=SOFT[:HARD]`; `-1` and `unlimited` are no limit.
fn ulimit(text: &str) -> anyhow::Result<(String, u64, u64)> {
    let (name, limits) = text.split_once('=').context("expected NAME=SOFT[:HARD]")?;
    let Some(kind) = rlimit_type(name) else {
        bail!("{name} is not one of {}", RLIMITS.join(" ").to_lowercase());
    };
    let number = |n: &str| match n {
        "-1" | "unlimited" => Ok(u64::MAX),
        n => n.parse().with_context(|| format!("expected a number, -1 or unlimited, found {n}")),
    };
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    let (soft, hard) = (number(soft)?, number(hard)?);
    if soft > hard {
        bail!("the soft limit is above the hard one");
    }
    Ok((kind, soft, hard))
}

/// The type of a limit as the runtime-spec has it, from its name in any case, with or without `RLIMIT_`.
pub fn rlimit_type(name: &str) -> Option<String> {
    let upper = name.to_ascii_uppercase();
    let short = upper.strip_prefix("RLIMIT_").unwrap_or(&upper);
    RLIMITS.contains(&short).then(|| format!("RLIMIT_{short}"))
}

/// podman's limits where none are given: a million files and processes, or what spec-gen itself may have.
pub fn default_rlimits(spec: &mut Spec) -> anyhow::Result<()> {
    use nix::sys::resource::{Resource, getrlimit};
    const WANTED: u64 = 1_048_576;
    for (kind, resource) in
        [("RLIMIT_NOFILE", Resource::RLIMIT_NOFILE), ("RLIMIT_NPROC", Resource::RLIMIT_NPROC)]
    {
        let list = spec.list("process.rlimits");
        if !list.iter().any(|l| l["type"] == kind) {
            let (_, own) = getrlimit(resource)?;
            let limit = WANTED.min(own);
            spec.list_mut("process.rlimits").push(json!({ "type": kind, "hard": limit, "soft": limit }));
        }
    }
    Ok(())
}

/// Raises the score to spec-gen's own where it is lower, which an ordinary user may not ask for; the score that was asked for.
///
/// # Errors
/// When the kernel does not tell spec-gen's.
pub fn raise_oom_score(spec: &mut Spec) -> anyhow::Result<Option<i64>> {
    const OWN: &str = "/proc/self/oom_score_adj";
    let Some(wanted) = spec.get("process.oomScoreAdj").and_then(Value::as_i64) else { return Ok(None) };
    let own: i64 = std::fs::read_to_string(OWN).context(OWN)?.trim().parse().context(OWN)?;
    if wanted >= own {
        return Ok(None);
    }
    spec.set("process.oomScoreAdj", own);
    Ok(Some(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_and_an_end() {
        for (text, expected) in [
            ("0", 0),
            ("512", 512),
            ("10m", 10 << 20),
            ("1G", 1 << 30),
            ("2kb", 2048),
            ("1MiB", 1 << 20),
            ("-1", -1),
            ("1.5g", 3 << 29),
            ("0.25k", 256),
            ("1.5", 1),
        ] {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
        for bad in [
            "",
            "m",
            "1x",
            "9223372036854775807k",
            "1.5.1g",
            ".5g",
            "1.g",
            "1.-5g",
            "-1.5g",
            "1.0000001t",
            "8388607.9999999t",
            "é",
        ] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ulimits_are_named_as_in_the_shell() {
        assert_eq!(ulimit("nofile=10:20").unwrap(), ("RLIMIT_NOFILE".into(), 10, 20));
        assert_eq!(ulimit("RLIMIT_CORE=unlimited").unwrap(), ("RLIMIT_CORE".into(), u64::MAX, u64::MAX));
        for bad in ["nofile", "nofile=", "x=1", "core=2:1", "core=-2"] {
            assert!(ulimit(bad).is_err(), "{bad}");
        }
    }
}
