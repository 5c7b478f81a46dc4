//! Checks the directories, descriptors and mounts of processes, and all other images in the
//! directory.

use std::collections::BTreeSet;

use super::kinds::Form;
use super::{Check, Content};
use crate::criu::image_file;
use crate::criu::messages::{FdinfoEntry, FileEntry, FsEntry, TaskIds};
use crate::error::{Error, Result};

const FDINFO: u32 = 0x5621_3732;
const FILES: u32 = 0x5630_3138;
const FS: u32 = 0x5140_3912;
const IDS: u32 = 0x5443_2030;
const MOUNTPOINTS: u32 = 0x5556_3928;

/// The first bytes of a gzip member (RFC 1952).
const GZIP: [u8; 2] = [0x1f, 0x8b];

impl Check<'_> {
    /// Checks the images with the directories and tables of a live process, and records their IDs.
    pub(super) fn directories_and_tables(&mut self, pid: u32) {
        let name = format!("fs-{pid}.img");
        let fs: Option<FsEntry> = self.required(&name, FS, pid).and_then(|content| content.first(&name));
        self.directories
            .extend(fs.into_iter().flat_map(|fs| [fs.cwd_id, fs.root_id]).map(|id| (name.clone(), id)));
        let name = format!("ids-{pid}.img");
        let ids: Option<TaskIds> = self.required(&name, IDS, pid).and_then(|content| content.first(&name));
        let Some(ids) = ids else { return };
        self.fdinfo.entry(ids.files_id).or_insert(pid);
        self.mounts.extend(ids.mnt_ns_id.filter(|id| self.host_mounts.is_some_and(|host| host != *id)));
    }

    /// Checks the tables of descriptors, the mounts, and the files to which the tables and the
    /// directories of processes refer.
    pub(super) fn open_files(&mut self) {
        let mut named = std::mem::take(&mut self.directories);
        for (number, pid) in self.fdinfo.clone() {
            let name = format!("fdinfo-{number}.img");
            match self.messages::<FdinfoEntry>(&name, FDINFO) {
                Ok(Some(fds)) => named.extend(fds.into_iter().map(|fd| (name.clone(), fd.id))),
                Ok(None) => self.problem(format!(
                    "{name}: no such file; CRIU would restore process {pid} without open files"
                )),
                Err(e) => self.problem(e.to_string()),
            }
        }
        for number in self.mounts.clone() {
            let name = format!("mountpoints-{number}.img");
            match self.image(&name, MOUNTPOINTS) {
                Ok(Some(content)) if content.payloads() > 0 => {}
                Ok(Some(_)) => self.problem(format!("{name}: holds no mount")),
                Ok(None) => {
                    self.problem(format!("{name}: no such file; CRIU needs it for the container's mounts"))
                }
                Err(e) => self.problem(e.to_string()),
            }
        }
        self.files(&named);
    }

    /// Checks that files.img has all files to which other images refer. CRIU before 3.3 wrote one
    /// image per kind of file instead of files.img.
    fn files(&mut self, named: &[(String, u32)]) {
        if named.is_empty() || matches!(self.source.size("reg-files.img"), Ok(Some(_))) {
            return;
        }
        let files: BTreeSet<u32> = match self.image("files.img", FILES) {
            Ok(None) => {
                return self.problem(
                    "files.img: no such file; CRIU needs it for the open files of all processes".into(),
                );
            }
            // The image is too large to be read into memory.
            Ok(Some(Content::Large)) => return,
            Ok(Some(Content::Read(bytes))) => match image_file::messages::<FileEntry>("files.img", &bytes) {
                Ok(files) => files.into_iter().map(|file| file.id).collect(),
                Err(e) => return self.problem(e.to_string()),
            },
            // `all_files` reports the error.
            Err(_) => return,
        };
        let missing: BTreeSet<&str> =
            named.iter().filter(|(_, id)| !files.contains(id)).map(|(name, _)| name.as_str()).collect();
        for name in missing {
            self.problem(format!(
                "files.img: lacks a file that {name} refers to; files.img is truncated or from another dump"
            ));
        }
    }

    /// Checks the format of all images with a known name.
    pub(super) fn all_files(&mut self) {
        for name in self.source.names() {
            if let Some(form) = Form::of(&name) {
                if let Err(e) = self.form(&name, form) {
                    self.problem(e.to_string());
                }
            }
        }
    }

    fn form(&mut self, name: &str, form: Form) -> Result<()> {
        match form {
            Form::Messages(magic) => self.image(name, magic).map(drop),
            Form::Mixed(_) | Form::Gzip => {
                let image = self.source.read(name).map_err(|e| Error::member(name, e))?;
                let first = image.map(|image| image.bytes).unwrap_or_default();
                match form {
                    Form::Mixed(magic) if image_file::magic(&first) != Some(magic) => {
                        Err(Error::member(name, "not a CRIU image of this kind, or truncated"))
                    }
                    Form::Gzip if !first.starts_with(&GZIP) => {
                        Err(Error::member(name, "not compressed with gzip, or truncated"))
                    }
                    _ => Ok(()),
                }
            }
        }
    }
}
