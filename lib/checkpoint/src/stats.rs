//! `stats-dump` and `stats-restore`: what CRIU measured (criu/images/stats.proto).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use prost::Message;
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::image;

#[derive(Clone, PartialEq, Message)]
struct StatsEntry {
    #[prost(message, optional, tag = "1")]
    dump: Option<DumpStats>,
    #[prost(message, optional, tag = "2")]
    restore: Option<RestoreStats>,
}

/// Figures of a dump; times in microseconds.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct DumpStats {
    /// Time to stop all processes.
    #[prost(uint32, tag = "1")]
    pub freezing_time: u32,
    /// Time they were stopped.
    #[prost(uint32, tag = "2")]
    pub frozen_time: u32,
    /// Time to collect the memory.
    #[prost(uint32, tag = "3")]
    pub memdump_time: u32,
    /// Time to write it.
    #[prost(uint32, tag = "4")]
    pub memwrite_time: u32,
    /// Pages looked at.
    #[prost(uint64, tag = "5")]
    pub pages_scanned: u64,
    /// Pages that the pre-dump has.
    #[prost(uint64, tag = "6")]
    pub pages_skipped_parent: u64,
    /// Pages written.
    #[prost(uint64, tag = "7")]
    pub pages_written: u64,
}

/// Figures of a restore; times in microseconds.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct RestoreStats {
    /// Pages compared with those of a parent.
    #[prost(uint64, tag = "1")]
    pub pages_compared: u64,
    /// Pages that could stay shared.
    #[prost(uint64, tag = "2")]
    pub pages_skipped_cow: u64,
    /// Time to make the processes.
    #[prost(uint32, tag = "3")]
    pub forking_time: u32,
    /// Time of all.
    #[prost(uint32, tag = "4")]
    pub restore_time: u32,
    /// Pages read.
    #[prost(uint64, tag = "5")]
    pub pages_restored: u64,
}

/// One of the two.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stats {
    /// Of `stats-dump`.
    Dump(DumpStats),
    /// Of `stats-restore`.
    Restore(RestoreStats),
}

impl Stats {
    /// Bytes of a file that are read; CRIU's have less than a hundred.
    pub const LIMIT: u64 = crate::member::STATS_LIMIT;

    /// Reads the file `name`.
    ///
    /// # Errors
    /// When it is cut, or is not such a file.
    pub fn read(name: &str, bytes: &[u8]) -> Result<Stats> {
        let entries: Vec<StatsEntry> = image::messages(name, bytes)?;
        match entries.as_slice() {
            [StatsEntry { dump: Some(dump), .. }] => Ok(Stats::Dump(*dump)),
            [StatsEntry { restore: Some(restore), .. }] => Ok(Stats::Restore(*restore)),
            _ => Err(Error::member(name, "no figures of a dump or restore")),
        }
    }

    /// With the names that `podman container checkpoint --print-stats` gives them.
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

    /// The document of podman's `--print-stats`, of the container `id`. Times are in microseconds: `runtime` of runc or crun
    /// (here: of CRIU, which is nearly all of it), `whole` of all. What is not known is `null`, which Go reads as 0.
    pub fn report(self, id: &str, runtime: Option<u64>, whole: Option<u64>) -> Value {
        let verb = match self {
            Stats::Dump(_) => "checkpoint",
            Stats::Restore(_) => "restore",
        };
        json!({
            format!("podman_{verb}_duration"): whole,
            "container_statistics": [{
                "Id": id,
                format!("runtime_{verb}_duration"): runtime,
                "criu_statistics": self.to_json(),
            }],
        })
    }
}

/// How long CRIU ran, in microseconds, by the clock in its log: `(00.271460) Dumping finished successfully`. The runtimes
/// ask it for a log that has such a line at its end.
///
/// # Errors
/// When the log cannot be read.
pub fn log_duration(log: &File) -> io::Result<Option<u64>> {
    /// Bytes at the end in which the last whole line lies.
    const TAIL: u64 = 64 << 10;
    let size = log.metadata()?.len();
    let mut tail = vec![0; size.min(TAIL) as usize];
    log.read_exact_at(&mut tail, size.saturating_sub(TAIL))?;
    Ok(tail.split(|&b| b == b'\n').rev().find_map(stamp))
}

/// The `(SECONDS.MICROSECONDS)` that a line begins with.
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
    fn the_log_tells_how_long_it_took() {
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
    fn what_is_printed_has_podmans_names() {
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
    fn what_criu_writes_is_read() {
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
