//! Rejects flags and operands that have no effect on the requested action.

use std::path::Path;

use cli::args::{Effect, reject_given, reject_without_effect};
use cli::{Hint, usage};

use crate::args::Args;

/// What the tool is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Unpack,
    Cleanup,
    List,
    Verify,
    Show,
    Cat,
    Search,
    DumpMemory,
    Compare,
    CheckArchive,
    CheckBundle,
    CheckHost,
}

use Action::*;

/// The actions that read an archive.
const READING: &[Action] = &[Unpack, List, Verify, Show, Cat, Search, DumpMemory, Compare, CheckArchive];
const CHECKING: &[Action] = &[CheckArchive, CheckBundle, CheckHost];

impl Args {
    fn action(&self) -> Action {
        let verb = &self.verb;
        let inspection = &verb.inspection;
        match () {
            () if inspection.list => List,
            () if inspection.verify => Verify,
            () if inspection.show => Show,
            () if !inspection.cat.is_empty() => Cat,
            () if inspection.search.is_some() => Search,
            () if inspection.dump_memory.is_some() => DumpMemory,
            () if !inspection.compare.is_empty() => Compare,
            // --check reads an archive, a bundle, or only the host.
            () if verb.check && verb.bundle.is_some() => CheckBundle,
            () if verb.check && self.archive.is_some() => CheckArchive,
            () if verb.check => CheckHost,
            () if verb.cleanup => Cleanup,
            () => Unpack,
        }
    }

    /// Rejects flags and operands that have no effect on the requested action. The test
    /// `flags_of_ckpt_unpack_have_an_effect_or_are_rejected` requires a row for each flag.
    ///
    /// # Errors
    /// Returns a usage error that names the first such flag.
    pub fn reject_without_effect(&self) -> anyhow::Result<()> {
        let Args { output, include, inspected, ownership, limits, host, .. } = self;
        self.refuse_standard_input_twice()?;
        let flag = |flag, given, on, reason| Effect { flag, given, on, reason };
        let json = Some("without --list, --show, --search or --compare");
        let action = self.action();
        reject_without_effect(
            action,
            action.name(),
            [
                flag("ARCHIVE", self.archive.is_some(), READING, None),
                flag("--tag", self.tag.is_some(), READING, None),
                flag("--container", self.container.is_some(), READING, None),
                flag("--refuse-unknown", self.refuse_unknown, READING, None),
                flag("--max-size", limits.bounds.max_size.is_some(), READING, None),
                flag("--max-entries", limits.bounds.max_entries.is_some(), READING, None),
                flag("--max-memory", limits.max_memory.is_some(), READING, None),
                flag("--without-config", include.without_config, &[Unpack, CheckArchive], None),
                flag("--ignore-rootfs", include.ignore_rootfs, &[Unpack, CheckArchive], None),
                flag("--ignore-volumes", include.ignore_volumes, &[Unpack, CheckArchive], None),
                flag("--rootfs", output.rootfs.is_some(), &[Unpack, CheckArchive, CheckBundle], None),
                flag("--volume", !output.volume.is_empty(), &[Unpack, CheckArchive], None),
                flag("--shm", output.shm.is_some(), &[Unpack, CheckArchive], None),
                flag("--layer", output.layer.is_some(), &[Unpack], None),
                flag("--userxattr", output.userxattr, &[Unpack], None),
                flag("--uidmap", !ownership.ids.uidmap.is_empty(), &[Unpack], None),
                flag("--gidmap", !ownership.ids.gidmap.is_empty(), &[Unpack], None),
                flag("--no-same-owner", ownership.no_same_owner, &[Unpack], None),
                flag("--no-devices", limits.no_devices, &[Unpack], None),
                flag("--cross-mounts", output.cross_mounts, &[Unpack], None),
                flag("--fsync", output.durable.fsync, &[Unpack], None),
                flag("--mount-label", output.mount_label.is_some(), &[Unpack], None),
                flag("--previous", !include.previous.is_empty(), &[Unpack], None),
                flag("--base", !include.base.is_empty(), &[Unpack, Verify], None),
                flag("--print-stats", output.print_stats, &[Unpack, Cleanup], None),
                flag("--criu", host.criu.is_some(), CHECKING, Some("without --check")),
                flag("--pod", host.pod, CHECKING, Some("without --check")),
                flag("--env", inspected.env, &[Show], Some("without --show")),
                flag("--html", inspected.html, &[Show], Some("without --show")),
                flag("--pid", inspected.pid.is_some(), &[Search], Some("without --search")),
                flag("--context", inspected.context.is_some(), &[Search], Some("without --search")),
                flag("--hex", inspected.hex, &[DumpMemory], Some("without --dump-memory")),
                flag("--json", output.json, &[List, Show, Search, Compare], json),
            ],
        )?;
        if !inspected.html {
            reject_given(&[("--redact", inspected.redact)], "without --html")?;
        }
        if output.rootfs.is_none() && output.volume.is_empty() && output.shm.is_none() {
            let extracting = [
                ("--uidmap", !ownership.ids.uidmap.is_empty()),
                ("--gidmap", !ownership.ids.gidmap.is_empty()),
                ("--no-same-owner", ownership.no_same_owner),
                ("--no-devices", limits.no_devices),
                ("--cross-mounts", output.cross_mounts),
            ];
            reject_given(&extracting, "without --rootfs, --volume or --shm")?;
        }
        Ok(())
    }

    /// Rejects `-` for a second input: standard input is read once.
    fn refuse_standard_input_twice(&self) -> anyhow::Result<()> {
        let is_stdin = |path: &Path| path == Path::new("-");
        let mut holder = self.archive.as_deref().is_none_or(is_stdin).then_some("ARCHIVE");
        for (flag, paths) in [("--base", &self.include.base), ("--previous", &self.include.previous)] {
            for _ in paths.iter().filter(|path| is_stdin(path)) {
                if let Some(holder) = holder {
                    let e = usage(format!("{flag} -: standard input is already {holder}"));
                    return Err(Hint::on(e, "give the name of a file"));
                }
                holder = Some(flag);
            }
        }
        Ok(())
    }
}

impl Action {
    /// Returns the flags that request the action, for messages.
    fn name(self) -> &'static str {
        match self {
            Unpack => "--bundle",
            Cleanup => "--cleanup",
            List => "--list",
            Verify => "--verify",
            Show => "--show",
            Cat => "--cat",
            Search => "--search",
            DumpMemory => "--dump-memory",
            Compare => "--compare",
            CheckArchive => "--check",
            CheckBundle => "--check --bundle",
            CheckHost => "--check and without ARCHIVE",
        }
    }
}
