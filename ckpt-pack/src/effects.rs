//! Rejects flags and operands that have no effect on the requested action.

use checkpoint::compress::Compression;
use cli::args::{Effect, reject_without_effect};
use cli::{Hint, usage};

use crate::args::{Args, Format, Layers};
use crate::precopy;

/// What the tool is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Check,
    Prepare,
    Cleanup,
    Precopy,
    Pack,
    /// Packs while the command dumps the container.
    Live,
    Copy,
    Pod,
}

use Action::*;

/// The actions that pack a dump.
const DUMP: &[Action] = &[Pack, Live];
/// The actions that pack the archive of a container.
const CONTAINER: &[Action] = &[Pack, Live, Copy];
/// The actions that pack members from streams and files.
const MEMBERS: &[Action] = &[Pack, Live, Copy, Pod];
/// The actions that write an output.
const WRITING: &[Action] = &[Pack, Live, Copy, Pod, Precopy];

impl Args {
    fn action(&self) -> Action {
        let verb = &self.verb;
        match () {
            () if verb.check => Check,
            () if verb.prepare => Prepare,
            () if verb.cleanup => Cleanup,
            () if verb.precopy => Precopy,
            () if self.input.from_archive.is_some() => Copy,
            () if self.pod.pod_config.is_some() => Pod,
            () if self.live.is_given() => Live,
            () => Pack,
        }
    }

    /// Rejects flags and operands that have no effect on the requested action. The test
    /// `flags_of_ckpt_pack_have_an_effect_or_are_rejected` requires a row for each flag.
    ///
    /// # Errors
    /// Returns a usage error that names the first such flag.
    pub fn reject_without_effect(&self) -> anyhow::Result<()> {
        let Args { input, include, container, compress, image, live, check, limits, output, .. } = self;
        let action = self.action();
        if action == Check && !input.streams.is_empty() {
            let error = usage("--check inspects this host and reads no archive");
            return Err(Hint::on(error, "ckpt-unpack --verify ARCHIVE"));
        }
        if action != Pod && !self.pod.container.is_empty() {
            let error = usage("--container has no effect without --pod-config");
            return Err(Hint::on(error, "add --pod-config FILE"));
        }
        let flag = |flag, given, on, reason| Effect { flag, given, on, reason };
        let copied = Some("without --from-archive");
        let has_base = !self.incremental.base.is_empty();
        let read: &[Action] = if has_base { &[Copy, Pod, Pack] } else { &[Copy, Pod] };
        let limited = Some("without --from-archive, --base or --container");
        // An image has the version of CRIU as an annotation.
        let asking: &[Action] = if image.format == Format::Oci { &[Check, Pack, Live] } else { &[Check] };
        let asked = (action == Pack || action == Live).then_some("without --check or --format oci");
        let pid = Some("without --check, --precopy or COMMAND");
        reject_without_effect(
            action,
            action.name(),
            [
                flag("MEMBERS", !input.streams.is_empty(), MEMBERS, None),
                flag("COMMAND", live.is_given(), &[Live], None),
                flag("--base", has_base, &[Pack, Live, Copy], None),
                flag("--bundle", input.bundle.is_some(), &[Prepare, Cleanup, Pack, Live], None),
                flag("--image-path", input.image_path.is_some(), DUMP, None),
                flag("--member", !input.member.is_empty(), MEMBERS, None),
                flag("--raw-members", input.raw_members, MEMBERS, None),
                flag("--ignore-rootfs", include.ignore_rootfs, CONTAINER, None),
                flag("--ignore-volumes", include.ignore_volumes, CONTAINER, None),
                flag("--keep-zeros", include.keep_zeros, DUMP, None),
                flag("--pre-checkpoint", include.pre_checkpoint, DUMP, None),
                flag("--with-previous", include.with_previous, DUMP, None),
                flag("--id", container.id.is_some(), CONTAINER, None),
                flag("--name", container.name.is_some(), CONTAINER, None),
                flag("--rootfs-image", container.rootfs_image.is_some(), CONTAINER, None),
                flag("--state", container.state.is_some(), &[Pack, Live, Precopy], None),
                flag("--runtime", container.runtime.is_some(), &[Pack, Live, Copy, Check], None),
                flag("--volume", !container.volume.is_empty(), CONTAINER, None),
                flag("--network", !container.network.is_empty(), DUMP, None),
                flag("--keep-hooks", container.keep_hooks, DUMP, None),
                flag("--criu", check.criu.is_some(), asking, asked),
                flag("--level", compress.level.is_some(), WRITING, None),
                flag("--threads", compress.threads.is_some(), WRITING, None),
                flag("--compress", compress.compress != Compression::None, WRITING, None),
                flag("--format", image.format != Format::Archive, CONTAINER, None),
                flag("--layers", image.layers != Layers::One, CONTAINER, None),
                flag("--tag", image.tag.is_some(), CONTAINER, None),
                flag("--annotations", image.annotations.is_some(), CONTAINER, None),
                flag("--annotation", !image.annotation.is_empty(), MEMBERS, None),
                flag("--print-stats", image.print_stats, DUMP, None),
                flag("--output", output.output.is_some(), WRITING, None),
                flag("--fsync", output.fsync, WRITING, None),
                flag("--from-tag", input.from_tag.is_some(), &[Copy], copied),
                flag("--refuse-unknown", input.refuse_unknown, &[Copy], copied),
                flag("--max-size", limits.bounds.max_size.is_some(), read, limited),
                flag("--max-entries", limits.bounds.max_entries.is_some(), read, limited),
                flag("--max-memory", limits.max_memory.is_some(), read, limited),
                // clap ignores `requires` if the required flag conflicts with another given flag.
                flag("--pod", check.pod, &[Check], Some("without --check")),
                flag("--pid", check.pid.is_some(), &[Check, Precopy, Live], pid),
                flag("--mount-label", check.mount_label.is_some(), &[Prepare], Some("without --prepare")),
            ],
        )?;
        self.incremental.reject_without_effect(action == Copy, live.is_given())?;
        precopy::reject_without_effect(self)?;
        if !live.is_given() {
            cli::args::reject_given(&live.needing_command(), "without COMMAND")?;
        }
        if include.keep_zeros && image.format != Format::Archive {
            let error = usage("--keep-zeros has no effect on an image, which has no holes");
            return Err(Hint::on(error, "leave out --keep-zeros"));
        }
        Ok(())
    }
}

impl Action {
    /// Returns the flags that request the action, for messages.
    fn name(self) -> &'static str {
        match self {
            Check => "--check",
            Prepare => "--prepare",
            Cleanup => "--cleanup",
            Precopy => "--precopy",
            Pack => "--bundle",
            Live => "COMMAND",
            Copy => "--from-archive",
            Pod => "--pod-config",
        }
    }
}
