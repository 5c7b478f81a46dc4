//! Checks operands and flags before anything is written.

use std::collections::BTreeSet;
use std::fs::{self, Metadata};
use std::io::Read;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use checkpoint::Member;
use checkpoint::compress::Bound;
use checkpoint::tar_input::TarInput;
use cli::args::{Ineffective, reject_ineffective};
use cli::same_file::{is_input, resolve_file};
use cli::{Hint, Session, usage};
use tartree::{ENOUGH, FileKind, Item, Limits, Reader};

use crate::args::{Args, ExtraFamily, Include};
use crate::bundle::{self, Bundle};

/// Rejects flags that contradict each other.
pub fn check_flags(args: &Args) -> anyhow::Result<()> {
    let is_program = |path: &&PathBuf| {
        ["runc", "crun", "podman", "docker"].iter().any(|name| path.as_path() == Path::new(name))
            && !path.exists()
    };
    if let Some(program) = args.input.streams.iter().find(is_program) {
        let program = program.display();
        let e = usage(format!("{program}: expected a member stream, found the name of a program"));
        return Err(Hint::on(e, format!("put -- before the command: -- {program} checkpoint …")));
    }
    reject_ineffective([Ineffective {
        flag: "--raw-members",
        given: args.input.raw_members,
        ineffective: args.input.streams.is_empty(),
        reason: "without a member stream",
    }])
}

/// Returns whether standard input is a pipe that `-` does not name, as in `vol-archive ... |
/// ckpt-pack` without the final `-`.
pub fn has_unread_pipe(streams: &[PathBuf]) -> bool {
    let stdin = || fs::metadata("/proc/self/fd/0").map(|meta| meta.file_type());
    !streams.iter().any(|path| path == Path::new("-"))
        && stdin().is_ok_and(|kind| kind.is_fifo() || kind.is_socket())
}

/// Returns the flag that leaves out a member.
pub fn ignored_by(member: &Member, include: &Include) -> Option<&'static str> {
    match member {
        Member::RootfsDiff | Member::DeletedFiles | Member::DeletedFiles0 if include.ignore_rootfs => {
            Some("--ignore-rootfs")
        }
        Member::Volume(_) if include.ignore_volumes => Some("--ignore-volumes"),
        _ => None,
    }
}

/// Rejects files of `--member` whose first bytes show that their kind is not the kind of the
/// member.
pub fn check_kinds(files: &[(Member, PathBuf)]) -> anyhow::Result<()> {
    for (member, path) in files {
        let expected = match member {
            Member::RootfsDiff => "the diff of a root file system",
            Member::Volume(_) => "the tar of a volume",
            Member::DevShm => "the tar of /dev/shm",
            Member::NetworkStatus | Member::DeletedFiles | Member::DeletedFiles0 => {
                check_list(member, path)?;
                continue;
            }
            _ => continue,
        };
        let object = || cli::display_path(path);
        let mut tar = TarInput::open(bundle::open(path)?, true, Bound::default()).with_context(object)?;
        tar.expect(expected, false).with_context(object)?;
    }
    Ok(())
}

/// Rejects a list of deletions next to a diff without removals, for containerd: it reads only the
/// removals or whiteouts in the diff, and the deleted files would come back.
pub fn check_deletions(files: &[(Member, PathBuf)], family: Option<ExtraFamily>) -> anyhow::Result<()> {
    let path = |member: &Member| files.iter().find(|(m, _)| m == member).map(|(_, path)| path);
    let lists = [Member::DeletedFiles, Member::DeletedFiles0];
    let (Some(diff), Some(list)) = (path(&Member::RootfsDiff), lists.iter().find_map(path)) else {
        return Ok(());
    };
    if family != Some(ExtraFamily::Containerd) {
        return Ok(());
    }
    let object = || cli::display_path(diff);
    let file = bundle::open(diff)?;
    let input = TarInput::skipping(&file, Bound::default()).with_context(object)?;
    let mut reader = Reader::skipping(input, Limits::default());
    while let Some(item) = reader.next().with_context(object)? {
        if let Item::Removal(_) = item {
            return Ok(());
        }
    }
    let list = cli::display_path(list);
    let e = anyhow::anyhow!("{list}: containerd ignores this list, and rootfs-diff.tar has no removals");
    Err(Hint::on(e, "make the diff again on the node: rootfs-diff create --format oci --rootfs DIR"))
}

/// Rejects a file that is not a list of files or networks, such as a tar.
fn check_list(member: &Member, path: &Path) -> anyhow::Result<()> {
    let mut first = Vec::new();
    bundle::open(path)?
        .take(ENOUGH as u64)
        .read_to_end(&mut first)
        .with_context(|| cli::display_path(path))?;
    let Some(found) = FileKind::in_bytes(&first) else { return Ok(()) };
    let fits = match member {
        // The list consists of paths, which may contain any bytes.
        Member::DeletedFiles0 => !found.is_tar() && !found.is_compressed(),
        Member::DeletedFiles if found.is_empty() => true,
        _ => found.is_json() || found.is_any_text(),
    };
    if !fits {
        anyhow::bail!("{}: expected the content of {member}, found {found}", cli::display_path(path));
    }
    Ok(())
}

/// Rejects an output that is also an input, because it would replace that input, such as the only
/// copy of a dump.
pub fn check_output(
    args: &Args,
    files: &[(Member, PathBuf)],
    bundle: &Bundle,
    image_path: &Path,
    from_bundle: &[&str],
) -> anyhow::Result<()> {
    let directories: Vec<PathBuf> = [image_path.to_owned()]
        .into_iter()
        .chain(["checkpoint", "pre-checkpoint", "artifacts"].map(|name| bundle.path(name)))
        .collect();
    let named = ["config.json", "config.dump", "spec.dump", "dump.log"];
    let in_bundle = named.iter().chain(from_bundle).map(|name| bundle.path(name));
    refuse_output(args, files, &directories, args.container.state.iter().cloned().chain(in_bundle))
}

/// Rejects an output that is in one of `directories`, or is a member stream, a file of `--member`
/// or one of `inputs`.
pub fn refuse_output(
    args: &Args,
    files: &[(Member, PathBuf)],
    directories: &[PathBuf],
    inputs: impl Iterator<Item = PathBuf>,
) -> anyhow::Result<()> {
    let Some(output) = args.output.output.as_deref().filter(|path| *path != Path::new("-")) else {
        return Ok(());
    };
    let refused = |input: String| {
        let error = usage(format!("--output: {}: is an input, {input}", cli::display_path(output)));
        Err(Hint::on(error, "choose another file: -o FILE"))
    };
    if let Some(target) = resolve_file(output) {
        for directory in directories {
            if fs::canonicalize(directory).is_ok_and(|real| target.starts_with(real)) {
                return refused(format!("in the directory {}", cli::display_path(directory)));
            }
        }
    }
    // The output replaces only a regular file. A pipe or /dev/null may be named as both.
    let Some(existing) = fs::metadata(output).ok().filter(Metadata::is_file) else { return Ok(()) };
    let operands =
        args.input.streams.iter().chain(files.iter().map(|(_, path)| path)).chain(&args.incremental.base);
    for input in operands.cloned().chain(inputs) {
        if is_input(&input, &existing) {
            return refused(cli::display_path(&input));
        }
    }
    Ok(())
}

/// Warns of members that ckpt-unpack has left in the bundle and that are not packed. They are
/// packed only if they are given, because they may be older than the dump.
pub fn warn_of_left_out(
    bundle: &Bundle,
    written: &BTreeSet<Member>,
    files: &[(Member, PathBuf)],
    include: &Include,
    session: &Session,
) {
    if include.pre_checkpoint {
        return;
    }
    let has_diff = files.iter().any(|(member, _)| *member == Member::RootfsDiff);
    for member in [Member::DevShm, Member::DeletedFiles, Member::DeletedFiles0] {
        let path = bundle.path(&member.to_string());
        // A diff from a stream comes with its own deletion list, if it has deletions.
        let is_relevant = member == Member::DevShm || has_diff;
        if !is_relevant
            || written.contains(&member)
            || ignored_by(&member, include).is_some()
            || !path.is_file()
        {
            continue;
        }
        let path = cli::display_path(&path);
        session.warn_with_hint(
            format_args!("{path}: not packed, neither a member stream nor --member contains it"),
            format_args!("to pack it: --member {member}={path}"),
        );
    }
}
