//! What CRIU's images require of the host that restores them: files, mounts, sockets, and a version
//! of CRIU.
//!
//! criu/files-reg.c (`open_path`, `validate_file`) compares the size, type and mode of each file
//! that a process has open or mapped, and criu/mount.c asks the runtime for each external mount.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};

use prost::Message;

use super::cgroups;
use super::check::{Image, Source};
use super::core_image;
use super::external_mounts::{self, Maker, is_mountpoints};
use super::image_file;
use super::messages::{FileEntry, InetSocketEntry, MountEntry, PagemapEntry, RegFileEntry, RemapEntry};
use super::open_files::ip_address;
use super::root_process::{Namespace, Origin, RootProcess};

/// The requirements of images. An image that is missing, damaged or too large contributes none;
/// [`check`](super::check::check) reports such images.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requirements {
    /// The mode of the root directory, without the type.
    pub root_mode: Option<u32>,
    /// The files that processes have open or mapped, sorted by path and without duplicates.
    pub files: Vec<RequiredFile>,
    /// The keys of the external mounts, which the runtime passes by the spec. Keys that the runtime
    /// makes itself, such as those of cgroups and hidden files, are not included.
    pub mounts: BTreeSet<Vec<u8>>,
    /// The version of cgroups that the runtime must mount.
    pub cgroup: Option<u32>,
    /// The paths of the cgroups of version 2 into which CRIU restores the processes, unless its caller
    /// names another one.
    pub cgroups: BTreeSet<Vec<u8>>,
    /// The runtime that made the images, if another runtime cannot restore them.
    pub maker: Option<Maker>,
    /// How the network namespace was dumped.
    pub network: Option<Origin>,
    /// The sockets with a local port, except those of connections.
    pub sockets: BTreeSet<BoundSocket>,
    /// The number of TCP connections.
    pub connections: usize,
    /// The oldest CRIU that can read the images, as podman's number, if they show it.
    pub criu: Option<u32>,
    /// Whether the images have the features of the processor.
    pub cpu: bool,
    /// The architecture as OCI images name it.
    pub architecture: Option<&'static str>,
}

/// A file that a process has open or mapped.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequiredFile {
    /// The path in the container.
    pub path: Vec<u8>,
    /// Where the file is.
    pub place: Place,
    /// The size in bytes, if CRIU compares it.
    pub size: Option<u64>,
    /// The type and mode, if CRIU compares them.
    pub mode: Option<u32>,
}

/// The mount that holds a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The root file system.
    Root,
    /// The external mount with this key, which is its path in the container.
    External(Vec<u8>),
}

/// A socket with a local port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BoundSocket {
    /// The address and port.
    pub address: SocketAddr,
    /// The protocol.
    pub protocol: Protocol,
    /// Whether an IPv6 socket accepts only IPv6.
    pub v6only: bool,
}

/// The protocol of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

const TCP: u32 = 6;
const UDP: u32 = 17;
const TCP_CLOSE: u32 = 7;
const TCP_LISTEN: u32 = 10;

/// The types of file systems in mnt.proto.
const CGROUP: u32 = 12;
const CGROUP2: u32 = 23;

/// The first CRIU that writes `PagemapEntry.nr_pages` (criu afb2e6c3f). An older CRIU reads 0
/// pages.
const CRIU_OF_NR_PAGES: u32 = 40_200;
/// The first CRIU that compresses pages.
const CRIU_OF_BLOCKS: u32 = 40_300;

impl Requirements {
    /// Reads the requirements from the images in `source`.
    pub fn read(source: &mut dyn Source) -> Requirements {
        let mut found = Requirements { cpu: complete(source, "cpuinfo.img").is_some(), ..Self::default() };
        let names = source.names();
        let core = names.iter().find(|name| core_image::is_core(name));
        found.architecture =
            core.and_then(|name| core_image::architecture(name, &complete(source, name)?.bytes));
        found.cgroups =
            complete(source, "cgroup.img").map(|image| cgroups::unified(&image.bytes)).unwrap_or_default();
        let mounts = found.mounts(source, &names);
        found.first_process(source);
        found.files(source, &mounts);
        found.pagemaps(source, &names);
        found
    }

    /// Reads the mounts, and returns the place of files on each.
    fn mounts(&mut self, source: &mut dyn Source, names: &[String]) -> BTreeMap<u32, Place> {
        let mut places = BTreeMap::new();
        for name in names.iter().filter(|name| is_mountpoints(name)) {
            if let Some(image) = complete(source, name) {
                self.maker = self.maker.or(external_mounts::maker(name, &image.bytes).ok().flatten());
            }
            for mount in messages::<MountEntry>(source, name) {
                let key = mount.ext_key.filter(|key| !key.is_empty());
                if key.is_some() && matches!(mount.fstype, CGROUP | CGROUP2) {
                    self.cgroup = Some(if mount.fstype == CGROUP { 1 } else { 2 });
                }
                match key {
                    Some(key) if is_of_spec(&key) => {
                        places.insert(mount.mnt_id, Place::External(key.clone()));
                        self.mounts.insert(key);
                    }
                    None if mount.mountpoint == b"/" => {
                        places.insert(mount.mnt_id, Place::Root);
                    }
                    // CRIU or the runtime creates the content of all other mounts.
                    _ => {}
                }
            }
        }
        places
    }

    fn first_process(&mut self, source: &mut dyn Source) {
        let read = |name: &str| -> io::Result<Option<Vec<u8>>> {
            let image = source.read(name)?.filter(|image| image.complete);
            Ok(image.map(|image| image.bytes.to_vec()))
        };
        let Ok(Some(mut process)) = RootProcess::find(read) else { return };
        self.root_mode = process.root_mode().ok().flatten();
        self.network = process.origin(Namespace::Network).ok().flatten();
    }

    fn files(&mut self, source: &mut dyn Source, mounts: &BTreeMap<u32, Place>) {
        let removed: BTreeSet<u32> = messages::<RemapEntry>(source, "remap-fpath.img")
            .into_iter()
            .map(|entry| entry.orig_id)
            .collect();
        let mut files = BTreeSet::new();
        for file in messages::<FileEntry>(source, "files.img") {
            if let Some(inet) = &file.inet {
                self.socket(inet);
            }
            if let Some(reg) = file.reg.filter(|reg| !reg.ext && !removed.contains(&file.id)) {
                files.extend(required(reg, mounts));
            }
        }
        self.files = files.into_iter().collect();
    }

    fn socket(&mut self, inet: &InetSocketEntry) {
        match (inet.proto, inet.state) {
            (TCP, TCP_CLOSE | TCP_LISTEN) | (UDP, _) => {}
            (TCP, _) => {
                self.connections += 1;
                return;
            }
            _ => return,
        }
        let (Some(ip), Ok(port @ 1..)) = (ip_address(&inet.src_addr), u16::try_from(inet.src_port)) else {
            return;
        };
        let v6only = inet.v6only && matches!(ip, IpAddr::V6(_));
        let address = SocketAddr::new(ip, port);
        let protocol = if inet.proto == TCP { Protocol::Tcp } else { Protocol::Udp };
        self.sockets.insert(BoundSocket { address, protocol, v6only });
    }

    /// Finds out which CRIU can read the pagemap images.
    fn pagemaps(&mut self, source: &mut dyn Source, names: &[String]) {
        for name in names.iter().filter(|name| name.starts_with("pagemap-")) {
            let Some(image) = complete(source, name) else { continue };
            let payloads = image_file::payloads(name, &image.bytes).unwrap_or_default();
            for run in payloads.iter().skip(1).filter_map(|run| PagemapEntry::decode(*run).ok()) {
                let criu = match run {
                    PagemapEntry { blocks: Some(_), .. } => Some(CRIU_OF_BLOCKS),
                    PagemapEntry { compat_nr_pages: 0, nr_pages: 1.., .. } => Some(CRIU_OF_NR_PAGES),
                    _ => None,
                };
                self.criu = self.criu.max(criu);
            }
        }
    }
}

/// Returns whether the runtime takes the mount with this key from the spec. It mounts cgroups,
/// hidden files, and in a user namespace devices without a mount in the spec.
fn is_of_spec(key: &[u8]) -> bool {
    const OF_RUNTIME: [&[u8]; 3] = [b"/dev/", b"/proc/", b"/sys/"];
    let is_of_runtime = OF_RUNTIME.iter().any(|directory| key.starts_with(directory));
    key.starts_with(b"/") && (key == b"/dev/shm" || !is_of_runtime)
}

fn required(reg: RegFileEntry, mounts: &BTreeMap<u32, Place>) -> Option<RequiredFile> {
    let place = mounts.get(&u32::try_from(reg.mnt_id?).ok()?)?.clone();
    // `root_mode` is the mode of the root directory.
    (reg.name != b"/").then_some(RequiredFile { path: reg.name, place, size: reg.size, mode: reg.mode })
}

fn complete(source: &mut dyn Source, name: &str) -> Option<Image> {
    source.read(name).ok().flatten().filter(|image| image.complete)
}

fn messages<M: Message + Default>(source: &mut dyn Source, name: &str) -> Vec<M> {
    complete(source, name).and_then(|image| image_file::messages(name, &image.bytes).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::criu::check::Collected;
    use tartree::Kind;

    fn image(messages: &[Vec<u8>]) -> Vec<u8> {
        let mut image = [0x5456_4319_u32, 1].map(u32::to_le_bytes).concat();
        for message in messages {
            image.extend_from_slice(&(message.len() as u32).to_le_bytes());
            image.extend_from_slice(message);
        }
        image
    }

    fn mount(mnt_id: u32, mountpoint: &str, key: Option<&str>, fstype: u32) -> Vec<u8> {
        let ext_key = key.map(|key| key.as_bytes().to_vec());
        MountEntry { fstype, mnt_id, mountpoint: mountpoint.into(), ext_key }.encode_to_vec()
    }

    fn file(id: u32, name: &str, mnt_id: i32) -> Vec<u8> {
        let (mnt_id, size, mode) = (Some(mnt_id), Some(7), Some(0o100644));
        let reg = RegFileEntry { name: name.into(), mnt_id, size, mode, ext: false };
        FileEntry { id, reg: Some(reg), ..FileEntry::default() }.encode_to_vec()
    }

    fn socket(proto: u32, state: u32, src_port: u32) -> Vec<u8> {
        let inet = InetSocketEntry { proto, state, src_port, src_addr: vec![0], ..Default::default() };
        FileEntry { inet: Some(inet.into()), ..FileEntry::default() }.encode_to_vec()
    }

    #[test]
    fn files_mounts_and_sockets_are_required() {
        let mut images = Collected::default();
        let mut add = |name: &str, messages: &[Vec<u8>]| {
            let content = image(messages);
            let kind = Kind::File { size: content.len() as u64, map: None };
            images.add(name, &kind, &mut &content[..]).unwrap();
        };
        add(
            "mountpoints-13.img",
            &[
                mount(1, "/", None, 17),
                mount(2, "/data", Some("/data"), 0),
                mount(3, "/tmp", None, 5),
                mount(4, "/sys/fs/cgroup", Some("/sys/fs/cgroup"), 23),
                mount(5, "/proc/keys", Some("/dev/null"), 5),
            ],
        );
        add("remap-fpath.img", &[RemapEntry { orig_id: 9 }.encode_to_vec()]);
        let files = [file(1, "/bin/sh", 1), file(2, "/data/x", 2), file(3, "/tmp/x", 3), file(9, "/gone", 1)];
        let sockets =
            [socket(6, 10, 80), socket(6, 1, 80), socket(17, 7, 53), socket(1, 7, 1), socket(6, 10, 0)];
        add("files.img", &[&files[..], &sockets].concat());
        let run = PagemapEntry { nr_pages: 3, ..PagemapEntry::default() };
        add("pagemap-1.img", &[vec![8, 1], run.encode_to_vec()]);
        let found = Requirements::read(&mut images);
        let paths: Vec<_> = found.files.iter().map(|file| (&file.path[..], &file.place)).collect();
        assert_eq!(
            paths,
            [(&b"/bin/sh"[..], &Place::Root), (b"/data/x", &Place::External(b"/data".to_vec()))]
        );
        assert_eq!(found.mounts, BTreeSet::from([b"/data".to_vec()]));
        assert_eq!((found.cgroup, found.maker), (Some(2), None));
        let ports: Vec<_> =
            found.sockets.iter().map(|socket| (socket.address.port(), socket.protocol)).collect();
        assert_eq!((ports, found.connections), (vec![(53, Protocol::Udp), (80, Protocol::Tcp)], 1));
        assert_eq!(found.criu, Some(CRIU_OF_NR_PAGES));
        assert_eq!(Requirements::read(&mut Collected::default()), Requirements::default());
    }

    #[test]
    fn only_an_ipv6_socket_can_be_limited_to_ipv6() {
        for (src_addr, v6only, expected) in [
            (vec![0; 4], true, Some(true)),
            (vec![0; 4], false, Some(false)),
            (vec![0], true, Some(false)),
            (vec![0; 2], true, None),
        ] {
            let mut requirements = Requirements::default();
            let (proto, state, src_port) = (TCP, TCP_LISTEN, 80);
            let inet = InetSocketEntry { proto, state, src_port, v6only, src_addr, ..Default::default() };
            requirements.socket(&inet);
            assert_eq!(requirements.sockets.first().map(|socket| socket.v6only), expected);
        }
    }
}
