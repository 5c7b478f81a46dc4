//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use checkpoint::VolumeName;
use checkpoint::compress::Bound;
use checkpoint::pod::ContainerName;
use clap::{ArgGroup, Command, CommandFactory, Parser};
use cli::args::{Bounds, Common, Durable, Ids, Progress, Size, name_value, rewritten};
use cli::{Habit, offer};
use regex::bytes::Regex;
use tartree::{Devices, ExtractOptions};

use crate::inspection_args::{Inspected, MemoryRange, OneArchive, pattern};

/// Flags of `podman container restore` and tar.
pub const HABITS: &[Habit] = &[
    Habit {
        verb: "",
        typed: &["--import", "-f", "--file", "-i", "--input", "-x"],
        instead: "ckpt-unpack --bundle DIR ARCHIVE",
    },
    Habit { verb: "", typed: &["-C", "--directory"], instead: "--bundle DIR" },
    Habit { verb: "", typed: &["-t"], instead: "--list" },
    Habit { verb: "", typed: &["-O", "--to-stdout"], instead: "--cat MEMBER [PATH]" },
    Habit { verb: "", typed: &["--json"], instead: "--json goes with --list, --show, --search or --compare" },
    // Commands of checkpointctl.
    Habit {
        verb: "",
        typed: &[
            "inspect",
            "--inspect",
            "--ps-tree",
            "--ps-tree-cmd",
            "--files",
            "--sockets",
            "--mounts",
            "--stats",
        ],
        instead: "--show",
    },
    Habit { verb: "", typed: &["--ps-tree-env"], instead: "--show --env" },
    Habit { verb: "", typed: &["--format", "--all"], instead: "--show, or --show --json" },
    Habit { verb: "", typed: &["memparse"], instead: "--search REGEX, or --dump-memory PID" },
    Habit { verb: "", typed: &["diff", "--diff"], instead: "--compare A B" },
    Habit { verb: "", typed: &["-n", "--name"], instead: "runc restore NAME" },
    Habit { verb: "", typed: &["--tcp-established"], instead: "runc restore --tcp-established" },
    Habit { verb: "", typed: &["--file-locks"], instead: "runc restore --file-locks" },
    Habit {
        verb: "",
        typed: &["-p", "--publish"],
        instead: "netstatus restore --to netavark --publish HOST:CONTAINER",
    },
    Habit { verb: "", typed: &["--ignore-static-ip"], instead: "netstatus restore --ignore-static-ip" },
    Habit { verb: "", typed: &["--ignore-static-mac"], instead: "netstatus restore --ignore-static-mac" },
];

/// Unpack a checkpoint archive into a bundle, a root file system and volumes
#[derive(Parser, Debug)]
#[command(
    name = "ckpt-unpack",
    version,
    group = ArgGroup::new("action").args(["bundle", "list", "verify", "show", "cat", "search", "dump_memory", "compare", "check"]).required(true).multiple(true),
    after_help = "Examples:\n  \
        ckpt-unpack --bundle web --rootfs rootfs --volume data=/srv/data < web.ckpt\n  \
        ckpt-unpack --show < web.ckpt\n  \
        ssh host cat web.ckpt | ckpt-unpack --verify\n\nSee ckpt-unpack(1)."
)]
pub struct Args {
    #[command(flatten)]
    pub one_archive: OneArchive,
    #[command(flatten)]
    pub verb: Verb,
    /// Read the archive ARCHIVE, or an OCI image that contains one (file or directory) [default:
    /// standard input]
    #[arg(value_name = "ARCHIVE", help_heading = "Input")]
    pub archive: Option<PathBuf>,
    /// Read the image REF, if the input has several images
    #[arg(long, value_name = "REF", help_heading = "Input", hide_short_help = true)]
    pub tag: Option<String>,
    /// Read the archive of the container NAME, if the input is a pod archive
    #[arg(long, value_name = "NAME", help_heading = "Input", conflicts_with = "cleanup")]
    pub container: Option<ContainerName>,
    /// Refuse an archive with unknown members [default: keep them as files in the bundle]
    #[arg(long, help_heading = "Input", hide_short_help = true)]
    pub refuse_unknown: bool,
    #[command(flatten)]
    pub inspected: Inspected,
    #[command(flatten)]
    pub output: Output,
    #[command(flatten)]
    pub include: Include,
    #[command(flatten)]
    pub ownership: Ownership,
    #[command(flatten)]
    pub limits: Limits,
    #[command(flatten)]
    pub host: Host,
    #[command(flatten)]
    pub progress: Progress,
    #[command(flatten)]
    pub common: Common,
}

/// Returns the command line for shell completions: the flags with the values that their parsers
/// accept.
pub fn completed() -> Command {
    Args::command().mut_arg("runtime", |arg| offer(arg, ["runc", "crun"]))
}

#[derive(clap::Args, Debug)]
#[command(next_help_heading = "What to do")]
pub struct Verb {
    /// Create the bundle DIR; an existing one may contain any files except members
    #[arg(short, long, value_name = "DIR", conflicts_with = "Inspection")]
    pub bundle: Option<PathBuf>,
    #[command(flatten)]
    pub inspection: Inspection,
    /// Check whether this host can restore a container: with ARCHIVE this one, with --bundle an
    /// unpacked one; write nothing
    #[arg(long, conflicts_with_all = ["Inspection", "cleanup"])]
    pub check: bool,
    /// Remove files from the bundle that are not needed after a restore
    #[arg(long, requires = "bundle", conflicts_with = "Inspection", hide_short_help = true)]
    pub cleanup: bool,
}

/// Actions that need no bundle and inspect an archive. Only one action can be given.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "What to do")]
#[group(multiple = false)]
pub struct Inspection {
    /// List the members
    #[arg(long)]
    pub list: bool,
    /// Check the complete archive and report every problem; write nothing
    #[arg(long)]
    pub verify: bool,
    /// Describe the container: image, sizes, processes, memory, files, sockets, mounts, and what a
    /// restore needs; of several archives or of a directory, print one table
    #[arg(long)]
    pub show: bool,
    /// Write MEMBER, or the file PATH in the tar MEMBER, to standard output, decompressed
    #[arg(long, value_names = ["MEMBER", "PATH"], num_args = 1..=2)]
    pub cat: Vec<OsString>,
    /// Search the memory of the processes for the regular expression REGEX
    #[arg(long, value_name = "REGEX", value_parser = pattern, hide_short_help = true)]
    pub search: Option<Regex>,
    /// Write the memory of process PID, or the addresses START to END of it, to standard output
    #[arg(long, value_name = "PID[:START-END]", hide_short_help = true)]
    pub dump_memory: Option<MemoryRange>,
    /// Compare the archives A and B: processes, memory, files, sockets, mounts, environment, spec
    #[arg(long, num_args = 2, value_names = ["A", "B"], conflicts_with = "archive", hide_short_help = true)]
    pub compare: Vec<PathBuf>,
}

#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Output")]
pub struct Output {
    /// Apply the changes to the root file system DIR [default: write them into the bundle]
    #[arg(long, value_name = "DIR", conflicts_with = "Inspection")]
    pub rootfs: Option<PathBuf>,
    /// Leave the root file system as it is, and write the changes into DIR as a layer of an overlay
    #[arg(
        long,
        value_name = "DIR",
        requires = "rootfs",
        conflicts_with = "Inspection",
        hide_short_help = true
    )]
    pub layer: Option<PathBuf>,
    /// Write the layer for an overlay that is mounted with userxattr, as in a user namespace
    #[arg(long, requires = "layer", conflicts_with = "Inspection", hide_short_help = true)]
    pub userxattr: bool,
    /// Extract the volume NAME into DIR (repeatable) [default: write volumes into the bundle as
    /// tars]
    #[arg(long, value_name = "NAME=DIR", value_parser = volume, conflicts_with = "Inspection")]
    pub volume: Vec<(VolumeName, PathBuf)>,
    /// Extract the content of /dev/shm into DIR [default: write it into the bundle as a tar]
    #[arg(long, value_name = "DIR", conflicts_with = "Inspection")]
    pub shm: Option<PathBuf>,
    /// Also write and delete in file systems that are mounted below these directories
    #[arg(long, conflicts_with = "Inspection", hide_short_help = true)]
    pub cross_mounts: bool,
    /// Create an empty restore.log in the bundle with the SELinux label LABEL, for CRIU to write to
    #[arg(long, value_name = "LABEL", conflicts_with = "Inspection", hide_short_help = true)]
    pub mount_label: Option<String>,
    #[command(flatten)]
    pub durable: Durable,
    /// With --list, --show, --search or --compare: print one JSON document instead of text
    #[arg(long, conflicts_with_all = ["verify", "check"])]
    pub json: bool,
    /// Print CRIU's statistics as JSON: of the restore if the bundle has them, else of the dump
    #[arg(long, conflicts_with = "Inspection", hide_short_help = true)]
    pub print_stats: bool,
}

#[derive(clap::Args, Debug)]
#[command(next_help_heading = "What to include")]
pub struct Include {
    /// Skip config.dump and spec.dump
    #[arg(long, hide_short_help = true)]
    pub without_config: bool,
    /// Skip the changes of the root file system
    #[arg(long, conflicts_with = "rootfs")]
    pub ignore_rootfs: bool,
    /// Skip volumes
    #[arg(long, conflicts_with = "volume")]
    pub ignore_volumes: bool,
    /// Read the memory pages that ARCHIVE leaves out from the earlier archive FILE (repeatable: if
    /// FILE needs other archives, give them first)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["list", "show", "check"])]
    pub base: Vec<PathBuf>,
    /// Read the images of the pre-checkpoint from the archive FILE; repeat for several rounds in their
    /// order, or name the bundle that holds them
    #[arg(long, value_name = "FILE", conflicts_with = "Inspection", hide_short_help = true)]
    pub previous: Vec<PathBuf>,
}

#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Ownership")]
pub struct Ownership {
    #[command(flatten)]
    pub ids: Ids,
    /// Give all files outside the bundle to the user who unpacks, and clear the setuid and setgid
    /// bits
    #[arg(long, conflicts_with_all = ["uidmap", "gidmap", "Inspection"], hide_short_help = true)]
    pub no_same_owner: bool,
}

#[derive(clap::Args, Debug)]
pub struct Limits {
    #[command(flatten)]
    pub bounds: Bounds,
    /// Allow one decompressor SIZE bytes of memory, such as for the window of zstd [default: 128M]
    #[arg(long, value_name = "SIZE", help_heading = "Limits", hide_short_help = true)]
    pub max_memory: Option<Size>,
    /// Skip device nodes and report them; in volumes, users other than root always skip them
    #[arg(long, help_heading = "Limits", conflicts_with = "Inspection", hide_short_help = true)]
    pub no_devices: bool,
}

impl Limits {
    /// Returns the limits for the archive and for each tar in it.
    pub fn of_tars(&self) -> tartree::Limits {
        self.bounds.limits()
    }

    /// Returns the limit on decompressed bytes. Each pass over the archive needs a new limit.
    pub fn bound(&self) -> Bound {
        Bound::new(self.bounds.content_bytes(), self.max_memory.map(|size| size.0))
    }
}

impl Ownership {
    /// Returns the options for volumes. A root file system differs only in its device nodes.
    ///
    /// # Errors
    /// Returns a usage error if the ID maps are invalid.
    pub fn options(&self, limits: &Limits, cross_mounts: bool) -> anyhow::Result<ExtractOptions> {
        let (ids, devices) = (self.ids.maps()?, Devices::in_volume(limits.no_devices));
        let no_same_owner = self.no_same_owner;
        Ok(ExtractOptions { ids, no_same_owner, devices, cross_mounts, ..ExtractOptions::default() })
    }
}

#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Host")]
pub struct Host {
    /// With --check: check the CRIU program PROGRAM [default: criu]
    #[arg(long, value_name = "PROGRAM", hide_short_help = true)]
    pub criu: Option<String>,
    /// Restore with the runtime NAME: check it, or with --bundle convert images of another runtime
    /// [--check: runc]
    #[arg(long, value_name = "NAME", conflicts_with_all = ["list", "verify", "show", "cat", "search", "dump_memory", "compare", "cleanup"], hide_short_help = true)]
    pub runtime: Option<String>,
    /// With --check: check that a container in a pod can be restored
    #[arg(long, hide_short_help = true)]
    pub pod: bool,
}

impl Output {
    /// Returns the directory that gets the changes of the root file system.
    pub fn changed_rootfs(&self) -> Option<&PathBuf> {
        self.layer.as_ref().or(self.rootfs.as_ref())
    }
}

fn volume(text: &str) -> Result<(VolumeName, PathBuf), String> {
    let (name, dir) = name_value(text)?;
    let name = name.parse().map_err(|e| match rewritten(text) {
        Some(pair) => format!("expected NAME=DIR, write {pair}"),
        None => e,
    })?;
    Ok((name, dir))
}
