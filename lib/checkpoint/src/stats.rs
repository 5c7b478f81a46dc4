//! `stats-dump` and `stats-restore`: what CRIU measured (criu/images/stats.proto).

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
    pub const LIMIT: u64 = 64 << 10;

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
}

#[cfg(test)]
mod tests {
    use super::*;

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
