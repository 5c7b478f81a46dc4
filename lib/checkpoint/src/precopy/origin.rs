//! Identifies a running container, so that an index of another container is rejected.

use std::fs;
use std::io::{self, ErrorKind};

/// The first process of a container on this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The kernel's boot ID, without dashes.
    pub boot_id: [u8; 16],
    /// The PID on the host.
    pub pid: u32,
    /// The start time in clock ticks since the boot (proc_pid_stat(5)).
    pub start_time: u64,
}

impl Origin {
    /// Returns the identity of the process `pid`.
    ///
    /// # Errors
    /// Returns an error that names the file in /proc that cannot be read.
    pub fn of(pid: u32) -> io::Result<Origin> {
        let path = "/proc/sys/kernel/random/boot_id";
        let boot_id = read(path, boot_id)?;
        let start_time = read(&format!("/proc/{pid}/stat"), start_time)?;
        Ok(Origin { boot_id, pid, start_time })
    }
}

fn read<T>(path: &str, parse: fn(&[u8]) -> Option<T>) -> io::Result<T> {
    let bytes = fs::read(path).map_err(|e| io::Error::new(e.kind(), format!("{path}: {e}")))?;
    parse(&bytes).ok_or_else(|| io::Error::new(ErrorKind::InvalidData, format!("{path}: unknown format")))
}

fn boot_id(text: &[u8]) -> Option<[u8; 16]> {
    let digits = std::str::from_utf8(text).ok()?.trim_end().replace('-', "");
    u128::from_str_radix(&digits, 16).ok().map(u128::to_be_bytes)
}

fn start_time(stat: &[u8]) -> Option<u64> {
    field(stat, 22)?.parse().ok()
}

/// Returns a field after the second. The second field is the name of the process in parentheses,
/// which may contain spaces and parentheses.
fn field(stat: &[u8], number: usize) -> Option<String> {
    let name_end = stat.iter().rposition(|&byte| byte == b')')?;
    let rest = std::str::from_utf8(stat.get(name_end + 1..)?).ok()?;
    rest.split_ascii_whitespace().nth(number.checked_sub(3)?).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::processes::has_exited;

    #[test]
    fn files_of_proc_are_parsed() {
        assert_eq!(boot_id(b"01020304-0506-0708-090a-0b0c0d0e0f10\n").map(|id| id[15]), Some(16));
        assert_eq!(boot_id(b"x"), None);
        let stat = b"7 (a ) b) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 9876 99 100";
        assert_eq!(start_time(stat), Some(9876));
        assert_eq!(start_time(b"7 (a"), None);
        assert!(!has_exited(std::process::id()) && has_exited(u32::MAX));
        assert_eq!(Origin::of(std::process::id()).unwrap(), Origin::of(std::process::id()).unwrap());
    }
}
