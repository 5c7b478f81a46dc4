//! `--check`: the programs, the processor, the memory, the disks and the network of the host.

use std::fs;
use std::path::{Path, PathBuf};

use checkpoint::criu::requirements::{Protocol, Requirements};
use checkpoint::external_mounts::Maker;
use checkpoint::host::{ports, program};
use checkpoint::root_process::Origin;
use checkpoint::{PAGE, architecture};
use nix::sys::statvfs::statvfs;

use super::restore::{Findings, Form, Restore, release};

/// Checks that the runtime can restore images of the runtime that made them.
pub fn runtime(required: &Requirements, restore: &Restore, runtime: &str, findings: &mut Findings) {
    let (Some(made), Some(maker)) = (required.maker, Maker::of(runtime)) else { return };
    if made == maker {
        return;
    }
    let (made, name) = (made.name(), maker.name());
    let text = format!("checkpoint: {made} made the images, and {name} cannot restore them");
    match &restore.form {
        Form::Archive(archive) => {
            findings
                .needs(text, format!("ckpt-unpack --bundle DIR --runtime {name} {}", cli::escape(archive)));
        }
        Form::Bundle(_) => {
            findings.fails(text, format!("restore with {made}, or unpack the archive with --runtime {name}"));
        }
    }
}

/// Checks that CRIU can read the images.
pub fn criu(
    required: &Requirements,
    restore: &Restore,
    criu: Option<u32>,
    program: &str,
    findings: &mut Findings,
) {
    // Without CRIU there is a finding already.
    let Some(criu) = criu else { return };
    let shown = |number: u32| format!("{}.{}", number / 10_000, number / 100 % 100);
    if let Some(needed) = required.criu.filter(|needed| criu < *needed) {
        let needed = shown(needed);
        return findings.fails(
            format!("{program} {}: cannot read the images, which need {needed} or newer", shown(criu)),
            format!("install criu {needed} or newer, or name it with --criu"),
        );
    }
    if let Some(made_by) = restore.made_by.criu.filter(|made_by| criu / 100 < made_by / 100) {
        let made_by = shown(made_by);
        findings.fails(
            format!("{program} {}: is older than criu {made_by}, which made the images", shown(criu)),
            format!("install criu {made_by} or newer, or name it with --criu"),
        );
    }
}

/// Checks the architecture, and the version of the kernel.
pub fn kernel(required: &Requirements, restore: &Restore, findings: &mut Findings) {
    let host = architecture();
    if let Some(images) = required.architecture.filter(|images| *images != host) {
        findings.fails(
            format!("checkpoint: the processes are for {images}, and this host is {host}"),
            format!("restore on a host with {images}"),
        );
    }
    let running = fs::read_to_string("/proc/sys/kernel/osrelease").ok().as_deref().and_then(release);
    if let (Some(made_by), Some(running)) = (restore.made_by.kernel, running) {
        if running < made_by {
            let [made_by, running] = [made_by, running].map(|(major, minor)| format!("{major}.{minor}"));
            findings.needs(
                format!("kernel {running}: is older than {made_by}, on which the images were made"),
                format!("if the restore fails, boot kernel {made_by} or newer"),
            );
        }
    }
}

/// Asks CRIU whether the processor has the features that the images record.
pub fn cpu(required: &Requirements, restore: &Restore, criu: &str, findings: &mut Findings) {
    let Some(images) = restore.image_path.as_deref().and_then(Path::to_str).filter(|_| required.cpu) else {
        return;
    };
    if let Err(e) = program::output(criu, &["cpuinfo", "check", "--images-dir", images]) {
        let last = e.lines().last().unwrap_or_default();
        findings.fails(
            format!("checkpoint/cpuinfo.img: the processor lacks features of the other host: {last}"),
            format!("restore on a host with the same processor; details: {criu} cpuinfo check --images-dir {images}"),
        );
    }
}

/// Checks that the memory of the processes fits into the memory of the host.
pub fn memory(pages: u64, findings: &mut Findings) {
    let Ok(text) = fs::read_to_string("/proc/meminfo") else { return };
    let kilobytes = |name: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim_start_matches(':').trim().trim_end_matches("kB").trim().parse().ok()
    };
    let (Some(memory), swap) = (kilobytes("MemAvailable"), kilobytes("SwapFree").unwrap_or(0)) else {
        return;
    };
    let (needed, free) = (pages.saturating_mul(PAGE), (memory + swap).saturating_mul(1024));
    if needed > free {
        findings.fails(
            format!("the processes need {needed} bytes of memory, and {free} are available"),
            "end other programs, or add swap",
        );
    }
}

/// Checks that the content of the archive fits into the directories.
pub fn space(restore: &Restore, findings: &mut Findings) {
    for (dir, needed) in &restore.written {
        // The last component may not exist yet.
        let existing = dir.ancestors().find(|dir| dir.exists()).map_or(PathBuf::from("."), Path::to_path_buf);
        let Ok(status) = statvfs(&existing) else { continue };
        let free = status.blocks_available().saturating_mul(status.fragment_size());
        if *needed > free {
            findings.fails(
                format!("{}: needs {needed} bytes, and {free} are free", cli::display_path(dir)),
                "free space, or use another directory",
            );
        }
    }
}

/// Checks that the addresses and ports of the container's sockets are free, unless CRIU creates
/// another network namespace.
pub fn network(required: &Requirements, restore: &Restore, findings: &mut Findings) {
    if required.connections > 0 {
        findings
            .passed
            .push(format!("{} TCP connections: restore with --tcp-established", required.connections));
    }
    let joined = restore.network.clone();
    let namespace = match (required.network, &restore.form) {
        (Some(Origin::Host), _) => None,
        (Some(Origin::External), Form::Bundle(_)) if joined.is_some() => joined,
        _ => return,
    };
    let sockets: Vec<_> = required.sockets.iter().copied().collect();
    let refused = match ports::refused(&sockets, namespace.as_deref()) {
        Ok(refused) => refused,
        Err(e) => {
            let name = namespace.map(cli::display_path).unwrap_or_default();
            return findings.fails(format!("{name}: {e}"), "create the network namespace: ip netns add NAME");
        }
    };
    for (socket, e) in refused {
        let (name, flag) = match socket.protocol {
            Protocol::Tcp => ("tcp", "t"),
            Protocol::Udp => ("udp", "u"),
        };
        let (address, port) = (socket.address, socket.address.port());
        match e.kind() {
            std::io::ErrorKind::AddrInUse => findings.fails(
                format!("{name} port {address}: in use"),
                format!("end the program that uses it: ss -l{flag}np 'sport = :{port}'"),
            ),
            std::io::ErrorKind::AddrNotAvailable => findings.fails(
                format!("{name} address {address}: no network interface has it"),
                format!("ip address add {} dev INTERFACE", address.ip()),
            ),
            // For example, an ordinary user cannot bind low ports.
            _ => findings.passed.push(format!("{name} port {address}: not checked: {e}")),
        }
    }
}
