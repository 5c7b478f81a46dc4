//! Which programs made the images, and what the images require of a host that restores them.

use std::collections::BTreeSet;

use super::external_mounts::{self, Maker};
use super::image_file::{magic, payloads};
use super::raw::{content, fields, number};
use crate::error::{Error, Result};

/// The largest image that is read for this purpose, in bytes.
pub const LIMIT: u64 = external_mounts::LIMIT;
/// The magic number of `inventory.img` (criu/include/magic.h).
const INVENTORY: u32 = 0x5831_3116;
/// The number of bytes at the start of CRIU's log that contain its version.
pub const LOG_HEAD: u64 = 16 << 10;

/// The facts in the images and in CRIU's log that were read so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// CRIU's version, such as `4.1.1`.
    pub criu: Option<String>,
    /// The release of the kernel.
    pub kernel: Option<String>,
    /// The machine as uname(2) names it.
    pub machine: Option<String>,
    /// The version of the format of the images.
    pub image_version: Option<u64>,
    /// The runtime whose names external mounts have.
    pub runtime: Option<Maker>,
    /// `selinux` or `apparmor`, if processes have labels.
    pub security_module: Option<&'static str>,
    /// The model of the processor, if its features were dumped.
    pub cpu: Option<String>,
    /// The number of file locks.
    pub file_locks: usize,
    /// The number of seccomp filters.
    pub seccomp_filters: usize,
    /// The kinds of namespaces that have an image of their own: `user`, `time`, `net`, …
    pub namespaces: BTreeSet<&'static str>,
}

impl Origin {
    /// Returns whether [`add`](Origin::add) reads the content of the image `name`.
    pub fn wants(name: &str) -> bool {
        matches!(name, "inventory.img" | "filelocks.img" | "seccomp.img" | "cpuinfo.img")
            || external_mounts::is_mountpoints(name)
    }

    /// Notes that there is an image `name`.
    pub fn note(&mut self, name: &str) {
        const IMAGES: [(&str, &str); 5] = [
            ("userns-", "user"),
            ("timens-", "time"),
            ("netns-", "network"),
            ("ipcns-var-", "ipc"),
            ("utsns-", "uts"),
        ];
        let kinds = IMAGES.iter().filter(|(image, _)| name.starts_with(image)).map(|(_, kind)| *kind);
        self.namespaces.extend(kinds);
    }

    /// Adds an image.
    ///
    /// # Errors
    /// Returns an error if the image is damaged.
    pub fn add(&mut self, name: &str, image: &[u8]) -> Result<()> {
        let damaged = |_| Error::member(name, "damaged CRIU image");
        if external_mounts::is_mountpoints(name) {
            self.runtime = self.runtime.or(external_mounts::maker(name, image).map_err(damaged)?);
            return Ok(());
        }
        // A file without the magic number is no image of CRIU, so it has no facts.
        if name == "inventory.img" && magic(image) != Some(INVENTORY) {
            return Ok(());
        }
        let messages = payloads(name, image)?;
        if name == "filelocks.img" {
            self.file_locks = messages.len();
            return Ok(());
        }
        let Some(first) = messages.first() else { return Ok(()) };
        let first = fields(name, first).map_err(damaged)?;
        match name {
            "inventory.img" => {
                self.image_version = number(&first, 1);
                // inventory.proto, `lsmtype`.
                self.security_module = match number(&first, 6) {
                    Some(1) => Some("selinux"),
                    Some(2) => Some("apparmor"),
                    _ => None,
                };
            }
            "seccomp.img" => self.seccomp_filters = first.iter().filter(|field| field.number == 1).count(),
            "cpuinfo.img" => {
                // cpuinfo.proto: `x86_entry` is 1, and its `model_id` is 7.
                let x86 = content(&first, 1).map(|x86| fields(name, x86)).transpose().map_err(damaged)?;
                let model = x86.as_deref().and_then(|x86| content(x86, 7));
                self.cpu = model.map(|model| String::from_utf8_lossy(model).trim().to_owned());
            }
            _ => {}
        }
        Ok(())
    }

    /// Adds the start of CRIU's log, which has lines such as `(00.000023) Version: 4.2.1 (gitid 0)`
    /// and `(00.000027) Running on HOST Linux 6.12.9 #1 SMP x86_64`.
    pub fn add_log(&mut self, head: &[u8]) {
        for line in String::from_utf8_lossy(head).lines() {
            if let Some((_, version)) = line.split_once("Version: ") {
                self.criu = version.split_whitespace().next().map(str::to_owned);
            } else if let Some((_, system)) = line.split_once("Running on ") {
                let mut words = system.split_whitespace();
                self.kernel = words.nth(2).map(str::to_owned);
                self.machine = words.last().map(str::to_owned);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(message: &[u8]) -> Vec<u8> {
        [
            &[0x19, 0x43, 0x56, 0x54, 0x16, 0x31, 0x31, 0x58][..],
            &(message.len() as u32).to_le_bytes(),
            message,
        ]
        .concat()
    }

    #[test]
    fn the_log_names_criu_and_kernel() {
        let mut origin = Origin::default();
        origin.add_log(
            b"(00.000023) Version: 4.2.1 (gitid 0)\n(00.000027) Running on vm Linux 6.18.44 #1 SMP x86_64\n",
        );
        assert_eq!(origin.criu.as_deref(), Some("4.2.1"));
        assert_eq!(origin.kernel.as_deref(), Some("6.18.44"));
        assert_eq!(origin.machine.as_deref(), Some("x86_64"));
        let mut hostile = Origin::default();
        hostile.add_log(b"Version: \nRunning on \nVersion: x");
        assert_eq!(hostile, Origin::default());
    }

    #[test]
    fn requirements_are_read_from_small_images() {
        let mut origin = Origin::default();
        origin.add("inventory.img", &image(b"\x08\x01\x30\x02")).unwrap();
        origin.add("seccomp.img", &image(b"\x0a\x00\x0a\x00")).unwrap();
        origin.add("cpuinfo.img", &image(b"\x0a\x05\x3a\x03 X ")).unwrap();
        origin.add("filelocks.img", &[image(b"\x08\x01"), vec![0; 4]].concat()).unwrap();
        origin.note("userns-9.img");
        let names = ("apparmor", "X");
        assert_eq!((origin.security_module.unwrap(), origin.cpu.as_deref().unwrap()), names);
        assert_eq!((origin.image_version, origin.seccomp_filters, origin.file_locks), (Some(1), 2, 2));
        assert_eq!(origin.namespaces.iter().copied().collect::<Vec<_>>(), ["user"]);
        assert!(origin.add("inventory.img", b"text").is_ok());
        assert!(origin.add("inventory.img", &image(b"\x0a\xff")).is_err());
        assert!(origin.add("cpuinfo.img", &image(b"\x0a\x02\x3a\x09")).is_err());
    }

    #[test]
    fn the_security_module_has_a_number() {
        for (image_of, module) in [
            (&b"\x30\x01"[..], Some("selinux")),
            (b"\x30\x02", Some("apparmor")),
            (b"\x30\x00", None),
            (b"", None),
        ] {
            let mut origin = Origin::default();
            origin.add("inventory.img", &image(image_of)).unwrap();
            assert_eq!(origin.security_module, module, "{image_of:?}");
        }
    }
}
