//! What CRIU's images say about the first process of a container: how its namespaces were dumped,
//! and the mode of its root directory.
//!
//! CRIU decides by the images, not by the spec, into which namespaces it restores a process. If the
//! spec names a namespace that CRIU has dumped itself, the runtime and CRIU ignore the name and
//! report no error.

use std::io::{self, ErrorKind, Read};
use std::path::Path;

use tartree::{Root, TarPath};

use super::raw::{content, damaged, entries, fields, number};
use crate::error::{Error, Result};

/// The largest image that is read, in bytes. files.img has this size if a container has 200,000
/// open files.
const LIMIT: u64 = 16 << 20;

/// A kind of namespace that CRIU restores from its images, or joins if it was external at the dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Namespace {
    /// The network namespace.
    Network,
    /// The PID namespace.
    Pid,
}

/// How CRIU dumped a namespace. It restores the namespace in the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The namespace was that of CRIU itself. CRIU restores the process into its own namespace.
    Host,
    /// The namespace was part of the container. CRIU creates another one.
    Own,
    /// The runtime declared the namespace to be external, because the spec had a path for it. CRIU
    /// joins the namespace that the runtime passes.
    External,
}

impl Namespace {
    /// Returns the type in the spec.
    pub fn kind(self) -> &'static str {
        match self {
            Namespace::Network => "network",
            Namespace::Pid => "pid",
        }
    }

    /// Returns the namespace with this type in the spec.
    pub fn of(kind: &str) -> Option<Namespace> {
        [Namespace::Network, Namespace::Pid].into_iter().find(|namespace| namespace.kind() == kind)
    }

    /// The number of the field in `task_kobj_ids_entry` (core.proto).
    fn id(self) -> u64 {
        match self {
            Namespace::Network => 6,
            Namespace::Pid => 5,
        }
    }

    /// Returns the name of the image of the namespace `id`, and the number of the field `ext_key`
    /// in it (netdev.proto, pidns.proto).
    fn image(self, id: u64) -> (String, u64) {
        match self {
            Namespace::Network => (format!("netns-{id}.img"), 8),
            Namespace::Pid => (format!("pidns-{id}.img"), 1),
        }
    }
}

/// Returns a function that reads the images in the directory `dir`, for [`RootProcess::find`]. The
/// function ignores an image that is too large.
///
/// # Errors
/// Returns an error if the directory cannot be opened.
pub fn reader(dir: &Path) -> io::Result<impl FnMut(&str) -> io::Result<Option<Vec<u8>>>> {
    let mut root = Root::open(dir)?;
    Ok(move |name: &str| {
        let file = match root.open_file(&TarPath::root().child(name.as_bytes())) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let mut image = Vec::new();
        file.take(LIMIT + 1).read_to_end(&mut image)?;
        Ok(Some(image).filter(|image| image.len() as u64 <= LIMIT))
    })
}

/// The images with the first process of a container.
pub struct RootProcess<F> {
    pid: u64,
    read: F,
}

impl<F: FnMut(&str) -> io::Result<Option<Vec<u8>>>> RootProcess<F> {
    /// Finds the first process. `read` returns the content of an image, or `None` if it does not
    /// exist. Returns `None` if there is no image of processes, as in the images of a pre-dump.
    ///
    /// # Errors
    /// Returns an error if an image cannot be read or is damaged.
    pub fn find(mut read: F) -> Result<Option<RootProcess<F>>> {
        const PID: u64 = 1;
        const PPID: u64 = 2;
        let name = "pstree.img";
        let Some(image) = image(name, &mut read)? else { return Ok(None) };
        for entry in entries(name, &image)?.1 {
            let process = fields(name, entry)?;
            if number(&process, PPID).unwrap_or(0) == 0 {
                let pid = number(&process, PID).ok_or_else(|| damaged(name))?;
                return Ok(Some(RootProcess { pid, read }));
            }
        }
        Err(damaged(name))
    }

    /// Returns how CRIU dumped a namespace, or `None` if the images do not say so.
    ///
    /// # Errors
    /// Returns an error if an image cannot be read or is damaged.
    pub fn origin(&mut self, namespace: Namespace) -> Result<Option<Origin>> {
        /// The namespaces of CRIU (inventory.proto, `root_ids`).
        const ROOT_IDS: u64 = 3;
        let name = format!("ids-{}.img", self.pid);
        let Some(ids) = self.first(&name)? else { return Ok(None) };
        let Some(id) = number(&fields(&name, &ids)?, namespace.id()) else { return Ok(None) };
        let name = "inventory.img";
        let Some(inventory) = self.first(name)? else { return Ok(None) };
        if let Some(of_criu) = content(&fields(name, &inventory)?, ROOT_IDS) {
            if number(&fields(name, of_criu)?, namespace.id()) == Some(id) {
                return Ok(Some(Origin::Host));
            }
        }
        let (name, ext_key) = namespace.image(id);
        // CRIU writes no image of a network namespace that the runtime declares to be empty, as runc
        // does.
        let Some(image) = self.first(&name)? else { return Ok(Some(Origin::Own)) };
        let is_external = content(&fields(&name, &image)?, ext_key).is_some();
        Ok(Some(if is_external { Origin::External } else { Origin::Own }))
    }

    /// Returns the mode of the process's root directory, without the type of the file. Returns
    /// `None` if the images do not record it. CRIU refuses to restore a process whose root
    /// directory has another mode.
    ///
    /// # Errors
    /// Returns an error if an image cannot be read or is damaged.
    pub fn root_mode(&mut self) -> Result<Option<u32>> {
        /// The number of fields in fs.proto, fdinfo.proto and regfile.proto.
        const ROOT: u64 = 2;
        const ID: u64 = 2;
        const REG: u64 = 3;
        const NAME: u64 = 6;
        const MODE: u64 = 10;
        let name = format!("fs-{}.img", self.pid);
        let Some(fs) = self.first(&name)? else { return Ok(None) };
        let Some(root) = number(&fields(&name, &fs)?, ROOT) else { return Ok(None) };
        let name = "files.img";
        let Some(image) = image(name, &mut self.read)? else { return Ok(None) };
        for entry in entries(name, &image)?.1 {
            let file = fields(name, entry)?;
            let Some(reg) = content(&file, REG).filter(|_| number(&file, ID) == Some(root)) else { continue };
            let reg = fields(name, reg)?;
            // A process in a chroot has another directory as its root.
            let mode = number(&reg, MODE).filter(|_| content(&reg, NAME) == Some(b"/"));
            return Ok(mode.and_then(|mode| u32::try_from(mode & 0o7777).ok()));
        }
        Ok(None)
    }

    /// Reads the first message of an image. Returns `None` if the image does not exist.
    fn first(&mut self, name: &str) -> Result<Option<Vec<u8>>> {
        let Some(image) = image(name, &mut self.read)? else { return Ok(None) };
        let message = entries(name, &image)?.1.first().map(|message| message.to_vec());
        message.map(Some).ok_or_else(|| damaged(name))
    }
}

fn image(name: &str, read: &mut impl FnMut(&str) -> io::Result<Option<Vec<u8>>>) -> Result<Option<Vec<u8>>> {
    read(name).map_err(|e| Error::member(format!("checkpoint/{name}"), e))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::criu::raw::put_varint;

    type Images = BTreeMap<String, Vec<u8>>;

    enum Value<'v> {
        Number(u64),
        Bytes(&'v [u8]),
    }
    use Value::{Bytes, Number};

    fn message(fields: &[(u64, Value<'_>)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (number, value) in fields {
            match value {
                Number(value) => {
                    put_varint(&mut bytes, number << 3);
                    put_varint(&mut bytes, *value);
                }
                Bytes(value) => {
                    put_varint(&mut bytes, number << 3 | 2);
                    put_varint(&mut bytes, value.len() as u64);
                    bytes.extend_from_slice(value);
                }
            }
        }
        bytes
    }

    fn image_of(messages: &[Vec<u8>]) -> Vec<u8> {
        let mut image = [0x5456_4319_u32.to_le_bytes(), 1_u32.to_le_bytes()].concat();
        for message in messages {
            image.extend_from_slice(&(message.len() as u32).to_le_bytes());
            image.extend_from_slice(message);
        }
        image
    }

    /// Returns the images of the process 7 in network namespace 10 and PID namespace 11. CRIU was
    /// in network namespace `criu`.
    fn images(criu: u64) -> Images {
        let ids = |net, pid| message(&[(5, Number(pid)), (6, Number(net))]);
        let reg = |name: &[u8], mode| message(&[(6, Bytes(name)), (10, Number(mode))]);
        let file = |id, reg: &[u8]| message(&[(1, Number(1)), (2, Number(id)), (3, Bytes(reg))]);
        let process = |pid, ppid| message(&[(1, Number(pid)), (2, Number(ppid))]);
        [
            ("pstree.img", vec![process(7, 0), process(9, 7)]),
            ("ids-7.img", vec![ids(10, 11)]),
            ("inventory.img", vec![message(&[(1, Number(1)), (3, Bytes(&ids(criu, 2)))])]),
            ("fs-7.img", vec![message(&[(1, Number(4)), (2, Number(5))])]),
            ("files.img", vec![file(4, &reg(b"/app", 0o40700)), file(5, &reg(b"/", 0o40555))]),
        ]
        .into_iter()
        .map(|(name, messages)| (name.to_owned(), image_of(&messages)))
        .collect()
    }

    fn origin(images: &Images, namespace: Namespace) -> Result<Option<Origin>> {
        let process = RootProcess::find(|name| Ok(images.get(name).cloned()))?;
        process.map_or(Ok(None), |mut process| process.origin(namespace))
    }

    fn root_mode(images: &Images) -> Result<Option<u32>> {
        let process = RootProcess::find(|name| Ok(images.get(name).cloned()))?;
        process.map_or(Ok(None), |mut process| process.root_mode())
    }

    #[test]
    fn the_images_say_how_a_namespace_was_dumped() {
        let external = |field| image_of(&[message(&[(field, Bytes(b"extRootNetNS"))])]);
        // CRIU's network namespace, further images, and the origins of both namespaces.
        let cases = [
            (1, vec![], Origin::Own, Origin::Own),
            (10, vec![], Origin::Host, Origin::Own),
            (1, vec![("netns-10.img", external(8))], Origin::External, Origin::Own),
            (1, vec![("netns-10.img", external(1))], Origin::Own, Origin::Own),
            (1, vec![("netns-11.img", external(8))], Origin::Own, Origin::Own),
            (1, vec![("pidns-11.img", external(1))], Origin::Own, Origin::External),
        ];
        for (i, (criu, more, network, pid)) in cases.into_iter().enumerate() {
            let mut images = images(criu);
            images.extend(more.into_iter().map(|(name, image)| (name.to_owned(), image)));
            assert_eq!(origin(&images, Namespace::Network).unwrap(), Some(network), "{i}");
            assert_eq!(origin(&images, Namespace::Pid).unwrap(), Some(pid), "{i}");
        }
        assert_eq!(origin(&Images::new(), Namespace::Network).unwrap(), None);
    }

    #[test]
    fn the_mode_of_the_root_directory_is_found() {
        let mut images = images(1);
        assert_eq!(root_mode(&images).unwrap(), Some(0o555));
        let fs = image_of(&[message(&[(1, Number(5)), (2, Number(4))])]);
        images.insert("fs-7.img".into(), fs);
        assert_eq!(root_mode(&images).unwrap(), None);
        images.remove("fs-7.img");
        assert_eq!(root_mode(&images).unwrap(), None);
    }

    #[test]
    fn damaged_images_are_errors() {
        for name in images(1).keys() {
            for cut in 0..8 {
                let mut images = images(1);
                images.get_mut(name).unwrap().truncate(cut);
                let results =
                    [origin(&images, Namespace::Network).map(|_| ()), root_mode(&images).map(|_| ())];
                assert!(results.iter().any(Result::is_err), "{name}: {cut}");
            }
            let mut images = images(1);
            images.get_mut(name).unwrap()[12..].fill(0xff);
            let _ = (origin(&images, Namespace::Network), root_mode(&images));
        }
    }
}
