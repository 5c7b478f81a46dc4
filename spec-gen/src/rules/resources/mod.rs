//! Resource limits: cgroup resources, rlimits, sysctls.

mod block_io;
pub mod cgroup_path;
pub mod rlimits;

use anyhow::Context;
use cli::{Hint, usage};
use serde_json::{Value, json};

use crate::args::ResourceArgs;
use crate::notation::limits;
use crate::runtime_spec::explain::Trace;
use crate::runtime_spec::key::{self, Key};
use crate::runtime_spec::validate::is_page_size;
use crate::runtime_spec::{Spec, cpu_list, namespaces, sysctl};

/// Applies the flags for resources.
///
/// # Errors
/// Returns an error that names the flag whose value is invalid.
pub fn apply(spec: &mut Spec, args: &ResourceArgs, trace: &mut Trace) -> anyhow::Result<()> {
    let mut cgroup = Limits { spec, trace };
    cgroup.set_memory(args)?;
    cgroup.set_cpu(args)?;
    // Runtimes disagree about 0. All runtimes treat -1 as no limit.
    let pids = args.pids_limit.map(|n| json!(if n <= 0 { -1 } else { n }));
    cgroup.put(key::LINUX_RESOURCES_PIDS_LIMIT, pids, "--pids-limit");
    cgroup.put(key::LINUX_RESOURCES_BLOCK_IO_WEIGHT, args.blkio_weight.map(limit), "--blkio-weight");
    block_io::set(spec, args, trace)?;
    for limit in &args.hugetlb {
        let expected = || usage(format!("--hugetlb {limit}: expected SIZE=BYTES"));
        let (size, value) = limit.split_once('=').ok_or_else(expected)?;
        let value = limits::size(value).map_err(|_| expected())?;
        if !is_page_size(size) {
            return Err(usage(format!(
                "--hugetlb {limit}: expected a page size such as 64KB, 2MB or 1GB, found {size:?}"
            )));
        }
        put_hugepage_limit(spec, size, value.unsigned_abs());
        trace.because(spec, || format!("--hugetlb {limit}"));
    }
    for (map, flag, pairs) in [
        (key::LINUX_RESOURCES_UNIFIED, "--cgroup-conf", &args.cgroup_conf),
        (key::LINUX_SYSCTL, "--sysctl", &args.sysctl),
    ] {
        for pair in pairs {
            let (key, value) =
                pair.split_once('=').ok_or_else(|| usage(format!("{flag} {pair}: expected KEY=VALUE")))?;
            if flag == "--sysctl" {
                check_sysctl(spec, pair, key)?;
            }
            spec.object(map).insert(key.into(), json!(value));
            trace.because(spec, || format!("{flag} {pair}"));
        }
    }
    rlimits::set(spec, &args.ulimit, trace)?;
    if let Some(class) = &args.rdt_class {
        spec.set(key::LINUX_INTEL_RDT_CLOS_ID, class.as_str());
        trace.because(spec, || "--rdt-class".into());
    }
    if let Some(adj) = args.oom_score_adj {
        spec.set(key::PROCESS_OOM_SCORE_ADJ, adj);
        trace.because(spec, || "--oom-score-adj".into());
    }
    Ok(())
}

/// Rejects a kernel parameter that no runtime sets: one of the host, or of a namespace that the
/// container shares with the host.
fn check_sysctl(spec: &Spec, pair: &str, key: &str) -> anyhow::Result<()> {
    match sysctl::namespace(key) {
        Some(kind) if namespaces::find(spec, kind).is_some() => Ok(()),
        Some(kind) => {
            Err(usage(format!("--sysctl {pair}: the container has no {kind} namespace of its own")))
        }
        None => {
            let error =
                usage(format!("--sysctl {pair}: {key} belongs to no namespace and would change the host"));
            Err(Hint::on(error, "set it on the host with sysctl(8)"))
        }
    }
}

/// Sets limits of the cgroup. The flag is recorded as the reason.
struct Limits<'a> {
    spec: &'a mut Spec,
    trace: &'a mut Trace,
}

/// Returns the value of a limit. If the flag is 0 or less, returns `null`, which removes the limit.
///
/// podman treats these values as no limit, but a runtime may apply them: crun kills a container
/// whose memory limit is 0.
fn limit<N: PartialOrd + Default + Into<Value>>(number: N) -> Value {
    if number > N::default() { number.into() } else { Value::Null }
}

impl Limits<'_> {
    /// Sets a key of `linux.resources`, or removes it if the value is `null`.
    fn put(&mut self, key: Key, value: Option<Value>, flag: &str) {
        match value {
            None => return,
            Some(Value::Null) => {
                self.spec.remove(key);
            }
            Some(value) => self.spec.set(key, value),
        }
        self.trace.because(self.spec, || flag.to_owned());
    }

    fn set_memory(&mut self, args: &ResourceArgs) -> anyhow::Result<()> {
        self.put(key::LINUX_RESOURCES_MEMORY_LIMIT, args.memory.map(limit), "--memory");
        self.put(
            key::LINUX_RESOURCES_MEMORY_RESERVATION,
            args.memory_reservation.map(limit),
            "--memory-reservation",
        );
        // podman's default allows as much swap as memory. Without a memory limit, their sum has no
        // limit either.
        let swap = args.memory_swap.or(args.memory.map(|m| m.max(0).saturating_mul(2)));
        self.put(key::LINUX_RESOURCES_MEMORY_SWAP, swap.map(limit), "--memory-swap, or twice --memory");
        let swappiness = args.memory_swappiness.map(|n| if n < 0 { Value::Null } else { n.into() });
        self.put(key::LINUX_RESOURCES_MEMORY_SWAPPINESS, swappiness, "--memory-swappiness");
        self.put(
            key::LINUX_RESOURCES_MEMORY_DISABLE_OOM_KILLER,
            args.oom_kill_disable.map(Value::Bool),
            "--oom-kill-disable",
        );
        self.check_swap(args)
    }

    /// Checks `--memory-swap`, which limits memory and swap together, by the rules of podman, runc
    /// and crun.
    fn check_swap(&self, args: &ResourceArgs) -> anyhow::Result<()> {
        let Some(swap) = args.memory_swap.filter(|swap| *swap > 0) else { return Ok(()) };
        let memory = self.spec.get(key::LINUX_RESOURCES_MEMORY_LIMIT).and_then(Value::as_i64);
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
        self.put(key::LINUX_RESOURCES_CPU_SHARES, args.cpu_shares.map(limit), "--cpu-shares");
        if let Some(cpus) = args.cpus {
            if args.cpu_period.is_some() || args.cpu_quota.is_some() {
                return Err(usage("--cpus conflicts with --cpu-period and --cpu-quota"));
            }
            let period = if cpus > 0.0 { json!(100_000) } else { Value::Null };
            self.put(key::LINUX_RESOURCES_CPU_PERIOD, Some(period), "--cpus");
            // The parser of the flag has bounded the value.
            self.put(
                key::LINUX_RESOURCES_CPU_QUOTA,
                Some(limit((cpus * 100_000.0).round() as i64)),
                "--cpus",
            );
        }
        self.put(key::LINUX_RESOURCES_CPU_PERIOD, args.cpu_period.map(limit), "--cpu-period");
        self.put(key::LINUX_RESOURCES_CPU_QUOTA, args.cpu_quota.map(limit), "--cpu-quota");
        self.put(key::LINUX_RESOURCES_CPU_REALTIME_PERIOD, args.cpu_rt_period.map(limit), "--cpu-rt-period");
        self.put(
            key::LINUX_RESOURCES_CPU_REALTIME_RUNTIME,
            args.cpu_rt_runtime.map(limit),
            "--cpu-rt-runtime",
        );
        for (key, flag, list) in [
            (key::LINUX_RESOURCES_CPU_CPUS, "--cpuset-cpus", &args.cpuset_cpus),
            (key::LINUX_RESOURCES_CPU_MEMS, "--cpuset-mems", &args.cpuset_mems),
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

/// Sets the limit for huge pages of one size.
pub fn put_hugepage_limit(spec: &mut Spec, size: &str, limit: u64) {
    let list = spec.list_mut(key::LINUX_RESOURCES_HUGEPAGE_LIMITS);
    list.retain(|l| l["pageSize"] != size);
    list.push(json!({ "pageSize": size, "limit": limit }));
}

/// Raises the OOM score adjustment to spec-gen's own if it is lower, because an ordinary user may
/// not lower it. Returns the requested value if it was raised.
///
/// # Errors
/// Returns an error if spec-gen's own value cannot be read.
pub fn raise_oom_score(spec: &mut Spec) -> anyhow::Result<Option<i64>> {
    const OWN: &str = "/proc/self/oom_score_adj";
    let Some(wanted) = spec.get(key::PROCESS_OOM_SCORE_ADJ).and_then(Value::as_i64) else { return Ok(None) };
    let own: i64 = std::fs::read_to_string(OWN).context(OWN)?.trim().parse().context(OWN)?;
    if wanted >= own {
        return Ok(None);
    }
    spec.set(key::PROCESS_OOM_SCORE_ADJ, own);
    Ok(Some(wanted))
}
