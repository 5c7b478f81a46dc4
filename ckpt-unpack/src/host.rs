//! `--cleanup`, `--print-stats` and `--mount-label`: the host and the bundle before and
//! after a restore.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;
use checkpoint::config_dump::ConfigDump;
use checkpoint::stats::{Stats, log_duration};
use cli::{Exit, Hint, Session};
use nix::libc;
use xattr::FileExt;

/// The files that podman deletes after a restore (libpod `Container.restore`). config.json,
/// config.dump and spec.dump stay.
const RESTORED: [&str; 12] = [
    "checkpoint",
    "deleted.files",
    "deleted.files0",
    "devshm-checkpoint.tar",
    "dump.log",
    "network.status",
    "pre-checkpoint",
    "restore.log",
    "rootfs-diff.tar",
    "stats-dump",
    "stats-restore",
    "volumes",
];

/// Removes files from the bundle that are not needed after a restore.
pub fn cleanup(bundle: &Path, session: &Session) -> anyhow::Result<Exit> {
    let meta = fs::metadata(bundle).with_context(|| cli::display_path(bundle))?;
    if !meta.is_dir() {
        anyhow::bail!("{}: not a directory", cli::display_path(bundle));
    }
    cli::remove_from(bundle, &RESTORED, session)?;
    Ok(Exit::Done)
}

/// Prints CRIU's statistics of the restore if the bundle has them, and otherwise the statistics of
/// the dump.
pub fn print_stats(bundle: &Path) -> anyhow::Result<()> {
    let found = [("stats-restore", "restore.log"), ("stats-dump", "dump.log")]
        .into_iter()
        .find(|(name, _)| bundle.join(name).is_file());
    let Some((name, log)) = found else {
        let e =
            anyhow::anyhow!("{}: contains neither stats-restore nor stats-dump", cli::display_path(bundle));
        return Err(Hint::on(e, "to have them written: --work-path BUNDLE with the runtime"));
    };
    let path = bundle.join(name);
    let object = cli::display_path(&path);
    let file = fs::File::open(&path).with_context(|| object.clone())?;
    let stats = Stats::read(&object, &cli::read_document(file, &object, Stats::LIMIT)?)?;
    let log = Some(bundle.join(log)).filter(|log| log.is_file()).and_then(|log| fs::File::open(log).ok());
    let runtime = log.and_then(|log| log_duration(&log).ok().flatten());
    let config = fs::File::open(bundle.join("config.dump")).ok();
    let config = config.and_then(|file| cli::read_document(file, "config.dump", ConfigDump::LIMIT).ok());
    let config = config.and_then(|bytes| ConfigDump::read(&bytes).ok()).unwrap_or_default();
    let id = config.text("id").unwrap_or_default();
    writeln!(std::io::stdout(), "{:#}", stats.report(id, runtime, runtime))?;
    Ok(())
}

/// Creates an empty `restore.log` with the container's SELinux label, because CRIU writes to it
/// from inside the container.
pub fn labelled_log(dir: &Path, label: &str) -> anyhow::Result<()> {
    let path = dir.join("restore.log");
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).custom_flags(libc::O_NOFOLLOW);
    let file = options.open(&path).with_context(|| "restore.log")?;
    let value = [label.as_bytes(), b"\0"].concat();
    file.set_xattr("security.selinux", &value)
        .with_context(|| format!("restore.log: label {label}"))
        .map_err(|e| Hint::on(e, "if SELinux is disabled, leave out --mount-label"))
}
