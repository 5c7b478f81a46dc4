//! `stats-dump` and `stats-restore`: CRIU's statistics of a dump and a restore
//! (criu/images/stats.proto).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use prost::Message;
use serde_json::{Value, json};

use super::image_file;
use crate::error::{Error, Result};

#[derive(Clone, PartialEq, Message)]
struct StatsEntry {
    #[prost(message, optional, tag = "1")]
    dump: Option<DumpStats>,
    #[prost(message, optional, tag = "2")]
    restore: Option<RestoreStats>,
}

/// The statistics of a dump, with times in microseconds.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct DumpStats {
    /// The time to stop all processes.
    #[prost(uint32, tag = "1")]
    pub freezing_time: u32,
    /// The time for which the processes were stopped.
    #[prost(uint32, tag = "2")]
    pub frozen_time: u32,
    /// The time to collect the memory.
    #[prost(uint32, tag = "3")]
    pub memdump_time: u32,
    /// The time to write the memory.
    #[prost(uint32, tag = "4")]
    pub memwrite_time: u32,
    /// The number of pages that were scanned.
    #[prost(uint64, tag = "5")]
    pub pages_scanned: u64,
    /// The number of pages that are in the pre-dump.
    #[prost(uint64, tag = "6")]
    pub pages_skipped_parent: u64,
    /// The number of pages that were written.
    #[prost(uint64, tag = "7")]
    pub pages_written: u64,
}

/// The statistics of a restore, with times in microseconds.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct RestoreStats {
    /// The number of pages that were compared with the pages of the parent process.
    #[prost(uint64, tag = "1")]
    pub pages_compared: u64,
    /// The number of pages that remained shared.
    #[prost(uint64, tag = "2")]
    pub pages_skipped_cow: u64,
    /// The time to create the processes.
    #[prost(uint32, tag = "3")]
    pub forking_time: u32,
    /// The time of the complete restore.
    #[prost(uint32, tag = "4")]
    pub restore_time: u32,
    /// The number of pages that were read.
    #[prost(uint64, tag = "5")]
    pub pages_restored: u64,
}

/// The statistics of a dump or a restore.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stats {
    /// The content of `stats-dump`.
    Dump(DumpStats),
    /// The content of `stats-restore`.
    Restore(RestoreStats),
}

impl Stats {
    /// The largest file that is read, in bytes. The files of CRIU have less than a hundred bytes.
    pub const LIMIT: u64 = crate::member::STATS_LIMIT;

    /// Parses the file `name`.
    ///
    /// # Errors
    /// Returns an error if the file is truncated or has no statistics.
    pub fn read(name: &str, bytes: &[u8]) -> Result<Stats> {
        let entries: Vec<StatsEntry> = image_file::messages(name, bytes)?;
        match entries.as_slice() {
            [StatsEntry { dump: Some(dump), .. }] => Ok(Stats::Dump(*dump)),
            [StatsEntry { restore: Some(restore), .. }] => Ok(Stats::Restore(*restore)),
            _ => Err(Error::member(name, "has no statistics of a dump or restore")),
        }
    }

    /// Returns the statistics with the keys of `podman container checkpoint --print-stats`.
    pub fn to_json(self) -> Value {
        match self {
            Stats::Dump(s) => json!({
                "freezing_time": s.freezing_time, "frozen_time": s.frozen_time, "memdump_time": s.memdump_time,
                "memwrite_time": s.memwrite_time, "pages_scanned": s.pages_scanned, "pages_written": s.pages_written,
            }),
            Stats::Restore(s) => json!({
                "pages_compared": s.pages_compared, "pages_skipped_cow": s.pages_skipped_cow,
                "forking_time": s.forking_time, "restore_time": s.restore_time, "pages_restored": s.pages_restored,
            }),
        }
    }

    /// Returns the document of podman's `--print-stats` for the container `id`. Times are in
    /// microseconds: `runtime` is the time of runc or crun (the tools pass the time of CRIU, which
    /// is nearly the same), `total` the time of the command. An unknown time is `null`, which Go
    /// reads as 0.
    pub fn report(self, id: &str, runtime: Option<u64>, total: Option<u64>) -> Value {
        let verb = match self {
            Stats::Dump(_) => "checkpoint",
            Stats::Restore(_) => "restore",
        };
        json!({
            format!("podman_{verb}_duration"): total,
            "container_statistics": [{
                "Id": id,
                format!("runtime_{verb}_duration"): runtime,
                "criu_statistics": self.to_json(),
            }],
        })
    }
}

/// Returns how long CRIU ran, in microseconds, according to the last time stamp in its log, such as
/// `(00.271460) Dumping finished successfully`. The runtimes set a log level at which the log ends
/// with such a line.
///
/// # Errors
/// Returns an error if the log cannot be read.
pub fn log_duration(log: &File) -> io::Result<Option<u64>> {
    /// The number of bytes at the end of the log that surely contain the last complete line.
    const TAIL: u64 = 64 << 10;
    let size = log.metadata()?.len();
    let mut tail = vec![0; size.min(TAIL) as usize];
    log.read_exact_at(&mut tail, size.saturating_sub(TAIL))?;
    Ok(tail.split(|&b| b == b'\n').rev().find_map(stamp))
}

/// Parses the time stamp `(SECONDS.MICROSECONDS)` at the start of a line.
fn stamp(line: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(line).ok()?.strip_prefix('(')?;
    let (seconds, micros) = text.split_once(')')?.0.split_once('.')?;
    let digits =
        |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten();
    let micros = digits(micros).filter(|_| micros.len() == 6)?;
    digits(seconds)?.checked_mul(1_000_000)?.checked_add(micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_time_stamp_of_a_log_is_the_duration() {
        let log = |text: &str| {
            let file = tempfile::tempfile().unwrap();
            file.write_all_at(text.as_bytes(), 0).unwrap();
            log_duration(&file).unwrap()
        };
        assert_eq!(log("(00.000012) Version\n(01.271460) Dumping finished successfully\n"), Some(1_271_460));
        assert_eq!(log("(00.5) no\n(x.000001) no\n(-1.000001) no\n"), None);
        assert_eq!(log("(99999999999999999999.000001)\n(18446744073709551615.000001)"), None);
        assert_eq!(log(&format!("{}\n(00.000007) end", "x".repeat(100_000))), Some(7));
        assert_eq!(log(""), None);
    }

    #[test]
    fn the_report_has_podmans_keys() {
        let restore = Stats::Restore(RestoreStats { restore_time: 7, ..RestoreStats::default() });
        let report = restore.report("x", Some(9), None);
        assert_eq!(report["podman_restore_duration"], Value::Null);
        assert_eq!(report["container_statistics"][0]["runtime_restore_duration"], 9);
        assert_eq!(report["container_statistics"][0]["criu_statistics"]["restore_time"], 7);
        let report = Stats::Dump(DumpStats::default()).report("x", None, Some(1));
        assert_eq!(report["podman_checkpoint_duration"], 1);
        assert!(report["container_statistics"][0].get("runtime_checkpoint_duration").is_some());
    }

    #[test]
    fn criu_statistics_are_read() {
        let dump =
            DumpStats { freezing_time: 300, frozen_time: 70_000, pages_scanned: 99, ..DumpStats::default() };
        let payload = StatsEntry { dump: Some(dump), restore: None }.encode_to_vec();
        let size = (payload.len() as u32).to_le_bytes();
        let file =
            [&0x5510_5940u32.to_le_bytes()[..], &0x5709_3306u32.to_le_bytes(), &size, &payload].concat();
        assert_eq!(Stats::read("stats-dump", &file).unwrap(), Stats::Dump(dump));
        for cut in 0..file.len() {
            assert!(Stats::read("stats-dump", &file[..cut]).is_err(), "{cut}");
        }
    }
}
