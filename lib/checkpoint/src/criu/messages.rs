//! The protobuf messages in CRIU's images (criu/images/*.proto).
//!
//! Only the fields that the tools use are declared. CRIU never changes a field's number, since it
//! reads images of its older versions.

use prost::Message;

/// A process of the tree (pstree.proto).
#[derive(Clone, PartialEq, Message)]
pub struct PstreeEntry {
    /// The PID in the container.
    #[prost(uint32, tag = "1")]
    pub pid: u32,
    /// The PID of the parent; 0 for the first process.
    #[prost(uint32, tag = "2")]
    pub ppid: u32,
    /// The IDs of all threads. The first ID is the PID.
    #[prost(uint32, repeated, packed = "false", tag = "5")]
    pub threads: Vec<u32>,
}

/// A process (core.proto).
#[derive(Clone, PartialEq, Message)]
pub struct CoreEntry {
    /// The architecture: 1 x86-64, 2 ARM, 3 ARM64, …
    #[prost(int32, tag = "1")]
    pub mtype: i32,
    /// The state of the process, as opposed to the state of a thread.
    #[prost(message, optional, tag = "3")]
    pub tc: Option<TaskCoreEntry>,
}

impl CoreEntry {
    /// Returns whether the architecture has only pages of 4 KiB. ARM64, PowerPC, MIPS and LoongArch
    /// have a choice.
    pub fn has_fixed_page_size(&self) -> bool {
        !matches!(self.mtype, 3 | 4 | 6 | 7)
    }
}

/// The state and name of a process (core.proto).
#[derive(Clone, PartialEq, Message)]
pub struct TaskCoreEntry {
    /// The state: 1 alive, 2 dead, 3 stopped, 6 zombie.
    #[prost(uint32, tag = "1")]
    pub task_state: u32,
    /// The name in /proc/PID/comm.
    #[prost(bytes = "vec", tag = "6")]
    pub comm: Vec<u8>,
}

/// The tables of a process (core.proto, `task_kobj_ids_entry`).
#[derive(Clone, PartialEq, Message)]
pub struct TaskIds {
    /// The number of the `fdinfo` image of the process.
    #[prost(uint32, tag = "2")]
    pub files_id: u32,
    /// The number of the `mountpoints` image of the mount namespace. CRIU before 1.0 wrote no such
    /// image.
    #[prost(uint32, optional, tag = "9")]
    pub mnt_ns_id: Option<u32>,
}

/// The properties of a dump (inventory.proto).
#[derive(Clone, PartialEq, Message)]
pub struct InventoryEntry {
    /// The namespaces of CRIU itself, which are not dumped.
    #[prost(message, optional, tag = "3")]
    pub root_ids: Option<TaskIds>,
}

/// The memory of a process (mm.proto).
#[derive(Clone, PartialEq, Message)]
pub struct MmEntry {
    /// The address of the arguments.
    #[prost(uint64, tag = "8")]
    pub arg_start: u64,
    /// The address after the arguments.
    #[prost(uint64, tag = "9")]
    pub arg_end: u64,
    /// The ID of the executable file, a [`FileEntry`].
    #[prost(uint32, tag = "12")]
    pub exe_file_id: u32,
    /// The mappings.
    #[prost(message, repeated, tag = "14")]
    pub vmas: Vec<VmaEntry>,
}

/// A mapping (vma.proto).
#[derive(Clone, Copy, PartialEq, Message)]
pub struct VmaEntry {
    /// The first address.
    #[prost(uint64, tag = "1")]
    pub start: u64,
    /// The address after the mapping.
    #[prost(uint64, tag = "2")]
    pub end: u64,
    /// The ID of the mapped file, a [`FileEntry`], or of the shared memory.
    #[prost(uint64, tag = "4")]
    pub shmid: u64,
    /// PROT_* of mmap(2).
    #[prost(uint32, tag = "5")]
    pub prot: u32,
    /// The kind of the mapping (criu/include/image.h, VMA_*).
    #[prost(uint32, tag = "7")]
    pub status: u32,
}

impl VmaEntry {
    const ANON_SHARED: u32 = 1 << 8;
    const SYSV_IPC: u32 = 1 << 10;
    const MEMFD: u32 = 1 << 14;

    /// Returns whether the mapping is of anonymous shared memory, whose pages are in an image of
    /// its own. The pages of SysV memory and of memfd files have other images too.
    pub fn is_shared_memory(&self) -> bool {
        self.status & VmaEntry::ANON_SHARED != 0 && self.status & (VmaEntry::SYSV_IPC | VmaEntry::MEMFD) == 0
    }
}

/// The first message of a pagemap (pagemap.proto).
#[derive(Clone, PartialEq, Message)]
pub struct PagemapHead {
    /// The number of the `pages` image.
    #[prost(uint32, required, tag = "1")]
    pub pages_id: u32,
}

/// A run of pages (pagemap.proto). The blocks are boxed, since few dumps have any.
#[derive(Clone, PartialEq, Message)]
pub struct PagemapEntry {
    /// The address of the first page.
    #[prost(uint64, required, tag = "1")]
    pub vaddr: u64,
    /// The number of pages, up to CRIU 4.1.
    #[prost(uint32, required, tag = "2")]
    pub compat_nr_pages: u32,
    /// Whether the pages are in the images of the pre-dump.
    #[prost(bool, tag = "3")]
    pub in_parent: bool,
    /// Flags: 1 in the parent, 2 lazy, 4 present, 8 in the `pages` image at a multiple of the page
    /// size (since CRIU 4.3).
    #[prost(uint32, optional, tag = "4")]
    pub flags: Option<u32>,
    /// The number of pages, since CRIU 4.2.
    #[prost(uint64, tag = "5")]
    pub nr_pages: u64,
    /// The compressed blocks that hold the pages, since CRIU 4.3.
    #[prost(message, optional, boxed, tag = "6")]
    pub blocks: Option<Box<PagemapBlocks>>,
}

/// The blocks of a run of pages, each compressed with LZ4 (pagemap.proto).
#[derive(Clone, PartialEq, Message)]
pub struct PagemapBlocks {
    /// The sizes of the blocks in the `pages` image, in bytes.
    #[prost(uint32, repeated, tag = "1")]
    pub block_sizes: Vec<u32>,
    /// The sum of the sizes.
    #[prost(uint64, tag = "2")]
    pub total_payload_size: u64,
    /// The number of pages in each block but the last.
    #[prost(uint32, tag = "3")]
    pub pages_per_block: u32,
}

impl PagemapEntry {
    /// Returns the number of pages.
    pub fn pages(&self) -> u64 {
        self.nr_pages.max(u64::from(self.compat_nr_pages))
    }

    /// Returns the flags. Up to CRIU 2.7, pages had no flags.
    pub fn all_flags(&self) -> u32 {
        self.flags.unwrap_or(if self.in_parent { 1 } else { 4 })
    }

    /// Returns whether the pages begin in the `pages` image at a multiple of the page size.
    pub fn is_aligned(&self) -> bool {
        self.flags.unwrap_or(0) & 8 != 0
    }

    /// Returns whether the pages are in the images of the pre-dump.
    pub fn is_in_parent(&self) -> bool {
        self.all_flags() & 1 != 0
    }

    /// Returns whether the pages are in the `pages` image.
    pub fn is_present(&self) -> bool {
        self.all_flags() & 4 != 0
    }
}

/// The directories of a process (fs.proto).
#[derive(Clone, PartialEq, Message)]
pub struct FsEntry {
    /// The ID of the working directory, a [`FileEntry`].
    #[prost(uint32, tag = "1")]
    pub cwd_id: u32,
    /// The ID of the root directory, a [`FileEntry`].
    #[prost(uint32, tag = "2")]
    pub root_id: u32,
}

/// An open file of any kind (fdinfo.proto, `file_entry`). The entries of sockets are boxed:
/// most files are regular files, and all files of a checkpoint are kept in memory.
#[derive(Clone, PartialEq, Message)]
pub struct FileEntry {
    /// The ID, to which descriptors refer.
    #[prost(uint32, tag = "2")]
    pub id: u32,
    /// A regular file, directory or device.
    #[prost(message, optional, tag = "3")]
    pub reg: Option<RegFileEntry>,
    /// An IPv4 or IPv6 socket.
    #[prost(message, optional, boxed, tag = "4")]
    pub inet: Option<Box<InetSocketEntry>>,
    /// A packet socket.
    #[prost(message, optional, boxed, tag = "6")]
    pub packet: Option<Box<PacketSocketEntry>>,
    /// A netlink socket.
    #[prost(message, optional, boxed, tag = "7")]
    pub netlink: Option<Box<NetlinkSocketEntry>>,
    /// A UNIX socket.
    #[prost(message, optional, boxed, tag = "16")]
    pub unix: Option<Box<UnixSocketEntry>>,
    /// An end of a pipe.
    #[prost(message, optional, tag = "18")]
    pub pipe: Option<PipeEntry>,
}

/// A file with a path (regfile.proto).
#[derive(Clone, PartialEq, Message)]
pub struct RegFileEntry {
    /// The path in the container.
    #[prost(bytes = "vec", tag = "6")]
    pub name: Vec<u8>,
    /// The mount that holds the file, a [`MountEntry`].
    #[prost(sint32, optional, tag = "7")]
    pub mnt_id: Option<i32>,
    /// The size of a regular file in bytes. CRIU restores no process if the file has another size.
    #[prost(uint64, optional, tag = "8")]
    pub size: Option<u64>,
    /// Whether the runtime passes the open file to CRIU.
    #[prost(bool, tag = "9")]
    pub ext: bool,
    /// The type and mode. CRIU restores no process if the file has another type or mode.
    #[prost(uint32, optional, tag = "10")]
    pub mode: Option<u32>,
}

/// A file whose name was removed while it was open (remap-file-path.proto).
#[derive(Clone, Copy, PartialEq, Message)]
pub struct RemapEntry {
    /// The ID of the [`FileEntry`].
    #[prost(uint32, tag = "1")]
    pub orig_id: u32,
}

/// A mount (mnt.proto).
#[derive(Clone, PartialEq, Message)]
pub struct MountEntry {
    /// The file system: 12 cgroup v1, 23 cgroup v2, …
    #[prost(uint32, tag = "1")]
    pub fstype: u32,
    /// The ID of the mount.
    #[prost(uint32, tag = "2")]
    pub mnt_id: u32,
    /// The path in the container.
    #[prost(bytes = "vec", tag = "7")]
    pub mountpoint: Vec<u8>,
    /// The key of an external mount, for which the runtime passes a path.
    #[prost(bytes = "vec", optional, tag = "18")]
    pub ext_key: Option<Vec<u8>>,
}

/// An end of a pipe (pipe.proto).
#[derive(Clone, PartialEq, Message)]
pub struct PipeEntry {
    /// The ID of the pipe, the same for both ends.
    #[prost(uint32, tag = "2")]
    pub pipe_id: u32,
}

/// The sizes of a socket's buffers (sk-opts.proto).
#[derive(Clone, Copy, PartialEq, Message)]
pub struct SocketOptions {
    /// The size of the send buffer, in bytes.
    #[prost(uint32, tag = "1")]
    pub sndbuf: u32,
    /// The size of the receive buffer, in bytes.
    #[prost(uint32, tag = "2")]
    pub rcvbuf: u32,
}

/// An IPv4 or IPv6 socket (sk-inet.proto).
#[derive(Clone, PartialEq, Message)]
pub struct InetSocketEntry {
    /// The protocol, IPPROTO_*.
    #[prost(uint32, tag = "5")]
    pub proto: u32,
    /// The state, TCP_*.
    #[prost(uint32, tag = "6")]
    pub state: u32,
    /// The local port.
    #[prost(uint32, tag = "7")]
    pub src_port: u32,
    /// The peer's port.
    #[prost(uint32, tag = "8")]
    pub dst_port: u32,
    /// The local address: one or four words, whose bytes are in network order.
    #[prost(uint32, repeated, packed = "false", tag = "11")]
    pub src_addr: Vec<u32>,
    /// The peer's address.
    #[prost(uint32, repeated, packed = "false", tag = "12")]
    pub dst_addr: Vec<u32>,
    /// The sizes of the buffers.
    #[prost(message, optional, tag = "14")]
    pub opts: Option<SocketOptions>,
    /// Whether an IPv6 socket accepts only IPv6.
    #[prost(bool, tag = "15")]
    pub v6only: bool,
}

/// A packet socket (packet-sock.proto).
#[derive(Clone, PartialEq, Message)]
pub struct PacketSocketEntry {
    /// The sizes of the buffers.
    #[prost(message, optional, tag = "7")]
    pub opts: Option<SocketOptions>,
}

/// A netlink socket (sk-netlink.proto).
#[derive(Clone, PartialEq, Message)]
pub struct NetlinkSocketEntry {
    /// The sizes of the buffers.
    #[prost(message, optional, tag = "12")]
    pub opts: Option<SocketOptions>,
}

/// A UNIX socket (sk-unix.proto).
#[derive(Clone, PartialEq, Message)]
pub struct UnixSocketEntry {
    /// The inode number.
    #[prost(uint32, tag = "2")]
    pub ino: u32,
    /// The inode number of the peer, or 0 without a peer.
    #[prost(uint32, tag = "8")]
    pub peer: u32,
    /// The path, or the abstract name, which begins with NUL.
    #[prost(bytes = "vec", tag = "11")]
    pub name: Vec<u8>,
}

/// A file descriptor (fdinfo.proto).
#[derive(Clone, PartialEq, Message)]
pub struct FdinfoEntry {
    /// The ID of the [`FileEntry`].
    #[prost(uint32, tag = "1")]
    pub id: u32,
    /// The kind of the file: 1 regular, 2 pipe, 4 IP socket, 5 UNIX socket, 10 packet socket, 13
    /// netlink socket, …
    #[prost(uint32, tag = "3")]
    pub kind: u32,
    /// The number of the descriptor.
    #[prost(uint32, tag = "4")]
    pub fd: u32,
}

impl FdinfoEntry {
    /// Returns CRIU's name of the kind (fdinfo.proto, `fd_types`).
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

    /// Returns whether the file is a socket.
    pub fn is_socket(&self) -> bool {
        matches!(self.kind, 4 | 5 | 10 | 13)
    }
}
