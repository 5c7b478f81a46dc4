//! CRIU's image files: a magic, then protobuf messages with their lengths (criu/include/image.h, criu/images/*.proto).
//!
//! Only the fields that are shown are declared. Field numbers are CRIU's contract with its own older images and never change.

pub mod check;

use prost::Message;

use crate::error::{Error, Result};

/// Before the magic of the kind, since images of version 2.
const COMMON_MAGIC: u32 = 0x5456_4319;
/// The same for images that CRIU writes for its callers, such as `stats-dump`.
const SERVICE_MAGIC: u32 = 0x5510_5940;

/// The messages of the image `name`.
///
/// # Errors
/// When it is cut, or not of these messages.
pub fn messages<M: Message + Default>(name: &str, bytes: &[u8]) -> Result<Vec<M>> {
    payloads(name, bytes)?
        .into_iter()
        .map(|payload| M::decode(payload).map_err(|e| Error::member(name, format!("not a CRIU image: {e}"))))
        .collect()
}

/// The messages as bytes, for images whose first message is of another kind than the others.
///
/// # Errors
/// When it is cut.
pub fn payloads<'b>(name: &str, bytes: &'b [u8]) -> Result<Vec<&'b [u8]>> {
    let cut = || Error::member(name, "a CRIU image that ends too early");
    let (magic, mut rest) = number(bytes).ok_or_else(cut)?;
    if magic == COMMON_MAGIC || magic == SERVICE_MAGIC {
        (_, rest) = number(rest).ok_or_else(cut)?;
    }
    let mut payloads = Vec::new();
    while !rest.is_empty() {
        let (size, after) = number(rest).ok_or_else(cut)?;
        // The size is only compared, never allocated (go-criu panics here).
        let (payload, after) =
            usize::try_from(size).ok().and_then(|size| after.split_at_checked(size)).ok_or_else(cut)?;
        payloads.push(payload);
        rest = after;
    }
    Ok(payloads)
}

/// Returns the magic number of the image's kind (criu/include/magic.h); `None` if the image is too short for one.
pub fn magic(bytes: &[u8]) -> Option<u32> {
    match number(bytes)? {
        (COMMON_MAGIC | SERVICE_MAGIC, rest) => number(rest).map(|(magic, _)| magic),
        (magic, _) => Some(magic),
    }
}

fn number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u32::from_le_bytes(*number), rest))
}

/// A process of the tree (pstree.proto).
#[derive(Clone, PartialEq, Message)]
pub struct PstreeEntry {
    /// Its PID in the container.
    #[prost(uint32, tag = "1")]
    pub pid: u32,
    /// Its parent's; 0 for the first.
    #[prost(uint32, tag = "2")]
    pub ppid: u32,
    /// Its threads' IDs, its own first.
    #[prost(uint32, repeated, packed = "false", tag = "5")]
    pub threads: Vec<u32>,
}

/// A process (core.proto).
#[derive(Clone, PartialEq, Message)]
pub struct CoreEntry {
    /// What belongs to the process and not to a thread.
    #[prost(message, optional, tag = "3")]
    pub tc: Option<TaskCoreEntry>,
}

/// State and name of a process (core.proto).
#[derive(Clone, PartialEq, Message)]
pub struct TaskCoreEntry {
    /// 1 alive, 2 dead, 3 stopped, 6 zombie.
    #[prost(uint32, tag = "1")]
    pub task_state: u32,
    /// The name in /proc/PID/comm.
    #[prost(bytes = "vec", tag = "6")]
    pub comm: Vec<u8>,
}

/// Which tables a process uses (core.proto, `task_kobj_ids_entry`).
#[derive(Clone, PartialEq, Message)]
pub struct TaskIds {
    /// The number of its `fdinfo` image.
    #[prost(uint32, tag = "2")]
    pub files_id: u32,
    /// The number of the `mountpoints` image of its mount namespace; CRIU before 1.0 wrote none.
    #[prost(uint32, optional, tag = "9")]
    pub mnt_ns_id: Option<u32>,
}

/// What a dump is as a whole (inventory.proto).
#[derive(Clone, PartialEq, Message)]
pub struct InventoryEntry {
    /// The namespaces of CRIU itself, which are not dumped.
    #[prost(message, optional, tag = "3")]
    pub root_ids: Option<TaskIds>,
}

/// The memory of a process (mm.proto).
#[derive(Clone, PartialEq, Message)]
pub struct MmEntry {
    /// Where its arguments start.
    #[prost(uint64, tag = "8")]
    pub arg_start: u64,
    /// Where they end.
    #[prost(uint64, tag = "9")]
    pub arg_end: u64,
}

/// First message of a pagemap (pagemap.proto).
#[derive(Clone, PartialEq, Message)]
pub struct PagemapHead {
    /// The number of the `pages` image.
    #[prost(uint32, tag = "1")]
    pub pages_id: u32,
}

/// A run of pages (pagemap.proto).
#[derive(Clone, PartialEq, Message)]
pub struct PagemapEntry {
    /// Its address.
    #[prost(uint64, tag = "1")]
    pub vaddr: u64,
    /// How many pages, up to CRIU 4.0.
    #[prost(uint32, tag = "2")]
    pub compat_nr_pages: u32,
    /// They are in the images of the pre-dump.
    #[prost(bool, tag = "3")]
    pub in_parent: bool,
    /// 1 in the parent, 2 lazy, 4 present.
    #[prost(uint32, optional, tag = "4")]
    pub flags: Option<u32>,
    /// How many pages, since CRIU 4.1.
    #[prost(uint64, tag = "5")]
    pub nr_pages: u64,
}

impl PagemapEntry {
    /// How many pages.
    pub fn pages(&self) -> u64 {
        self.nr_pages.max(u64::from(self.compat_nr_pages))
    }

    /// Whether they are in the `pages` image.
    pub fn is_present(&self) -> bool {
        self.flags.map_or(!self.in_parent, |flags| flags & 4 != 0)
    }
}

/// Where a process is (fs.proto).
#[derive(Clone, PartialEq, Message)]
pub struct FsEntry {
    /// The file that is its working directory.
    #[prost(uint32, tag = "1")]
    pub cwd_id: u32,
    /// The file that is its root directory.
    #[prost(uint32, tag = "2")]
    pub root_id: u32,
}

/// An open file, of whatever kind (fdinfo.proto, `file_entry`).
#[derive(Clone, PartialEq, Message)]
pub struct FileEntry {
    /// What descriptors name it by.
    #[prost(uint32, tag = "2")]
    pub id: u32,
    /// A regular file, directory or device.
    #[prost(message, optional, tag = "3")]
    pub reg: Option<RegFileEntry>,
    /// A socket of IPv4 or IPv6.
    #[prost(message, optional, tag = "4")]
    pub inet: Option<InetSocketEntry>,
    /// A packet socket.
    #[prost(message, optional, tag = "6")]
    pub packet: Option<PacketSocketEntry>,
    /// A netlink socket.
    #[prost(message, optional, tag = "7")]
    pub netlink: Option<NetlinkSocketEntry>,
    /// A UNIX socket.
    #[prost(message, optional, tag = "16")]
    pub unix: Option<UnixSocketEntry>,
    /// An end of a pipe.
    #[prost(message, optional, tag = "18")]
    pub pipe: Option<PipeEntry>,
}

/// A file with a name (regfile.proto).
#[derive(Clone, PartialEq, Message)]
pub struct RegFileEntry {
    /// Its path in the container.
    #[prost(bytes = "vec", tag = "6")]
    pub name: Vec<u8>,
}

/// An end of a pipe (pipe.proto).
#[derive(Clone, PartialEq, Message)]
pub struct PipeEntry {
    /// Both ends have the same.
    #[prost(uint32, tag = "2")]
    pub pipe_id: u32,
}

/// Sizes of a socket's buffers (sk-opts.proto).
#[derive(Clone, Copy, PartialEq, Message)]
pub struct SocketOptions {
    /// Bytes to send.
    #[prost(uint32, tag = "1")]
    pub sndbuf: u32,
    /// Bytes received.
    #[prost(uint32, tag = "2")]
    pub rcvbuf: u32,
}

/// A socket of IPv4 or IPv6 (sk-inet.proto).
#[derive(Clone, PartialEq, Message)]
pub struct InetSocketEntry {
    /// IPPROTO_*.
    #[prost(uint32, tag = "5")]
    pub proto: u32,
    /// TCP_*.
    #[prost(uint32, tag = "6")]
    pub state: u32,
    /// Its own port.
    #[prost(uint32, tag = "7")]
    pub src_port: u32,
    /// The peer's port.
    #[prost(uint32, tag = "8")]
    pub dst_port: u32,
    /// Its own address: one word or four, their bytes in the order of the network.
    #[prost(uint32, repeated, packed = "false", tag = "11")]
    pub src_addr: Vec<u32>,
    /// The peer's address.
    #[prost(uint32, repeated, packed = "false", tag = "12")]
    pub dst_addr: Vec<u32>,
    /// Buffers.
    #[prost(message, optional, tag = "14")]
    pub opts: Option<SocketOptions>,
}

/// A packet socket (packet-sock.proto).
#[derive(Clone, PartialEq, Message)]
pub struct PacketSocketEntry {
    /// Buffers.
    #[prost(message, optional, tag = "7")]
    pub opts: Option<SocketOptions>,
}

/// A netlink socket (sk-netlink.proto).
#[derive(Clone, PartialEq, Message)]
pub struct NetlinkSocketEntry {
    /// Buffers.
    #[prost(message, optional, tag = "12")]
    pub opts: Option<SocketOptions>,
}

/// A UNIX socket (sk-unix.proto).
#[derive(Clone, PartialEq, Message)]
pub struct UnixSocketEntry {
    /// Its inode.
    #[prost(uint32, tag = "2")]
    pub ino: u32,
    /// Its peer's inode, 0 without one.
    #[prost(uint32, tag = "8")]
    pub peer: u32,
    /// Path, or abstract name that begins with a NUL.
    #[prost(bytes = "vec", tag = "11")]
    pub name: Vec<u8>,
}

/// A file descriptor (fdinfo.proto).
#[derive(Clone, PartialEq, Message)]
pub struct FdinfoEntry {
    /// The [`FileEntry`] it is of.
    #[prost(uint32, tag = "1")]
    pub id: u32,
    /// The kind of file: 1 regular, 2 pipe, 4 IP socket, 5 UNIX socket, 10 packet socket, 13 netlink socket, …
    #[prost(uint32, tag = "3")]
    pub kind: u32,
    /// Its number.
    #[prost(uint32, tag = "4")]
    pub fd: u32,
}

impl FdinfoEntry {
    /// CRIU's name of its kind (fdinfo.proto, `fd_types`).
    pub fn kind_name(&self) -> &'static str {
        const NAMES: [&str; 19] = [
            "UND",
            "REG",
            "PIPE",
            "FIFO",
            "INETSK",
            "UNIXSK",
            "EVENTFD",
            "EVENTPOLL",
            "INOTIFY",
            "SIGNALFD",
            "PACKETSK",
            "TTY",
            "FANOTIFY",
            "NETLINKSK",
            "NS",
            "TUNF",
            "EXT",
            "TIMERFD",
            "MEMFD",
        ];
        usize::try_from(self.kind).ok().and_then(|kind| NAMES.get(kind)).copied().unwrap_or("UND")
    }

    /// Whether it is a socket.
    pub fn is_socket(&self) -> bool {
        matches!(self.kind, 4 | 5 | 10 | 13)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// pstree.img of a busybox shell (PID 1) and its sleep (PID 15), by CRIU 4.1.1.
    const PSTREE: &[u8] = b"\x19\x43\x56\x54\x30\x30\x27\x50\x0a\0\0\0\x08\x01\x10\0\x18\x01\x20\x01\x28\x01\
        \x0a\0\0\0\x08\x0f\x10\x01\x18\x01\x20\x01\x28\x0f";

    #[test]
    fn a_real_image_is_read() {
        let tree: Vec<PstreeEntry> = messages("pstree.img", PSTREE).unwrap();
        assert_eq!(tree.iter().map(|p| (p.pid, p.ppid)).collect::<Vec<_>>(), [(1, 0), (15, 1)]);
        assert_eq!(tree[1].threads, [15]);
    }

    #[test]
    fn every_cut_is_an_error_or_shorter() {
        for cut in 0..PSTREE.len() {
            let read = messages::<PstreeEntry>("pstree.img", &PSTREE[..cut]);
            assert!(read.is_err() || read.unwrap().len() < 2, "{cut}");
        }
        let lying = [&PSTREE[..8], &[0xff; 4], &[0; 16]].concat();
        assert!(messages::<PstreeEntry>("pstree.img", &lying).is_err());
    }
}
