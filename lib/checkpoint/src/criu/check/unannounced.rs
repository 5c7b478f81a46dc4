//! Finds images that no other image announces. CRIU does not read them.

use std::collections::BTreeSet;

use super::{Check, Content, PAGEMAP};
use crate::criu::messages::PagemapHead;

impl Check<'_> {
    /// Lists the images of processes, and of their tables and memory, that no image announces.
    pub(super) fn unannounced(&mut self) -> Vec<String> {
        let names = self.source.names();
        let shared = self.pages_of_shared_memory(&names);
        names.into_iter().filter(|name| self.is_announced(name, &shared) == Some(false)).collect()
    }

    /// Returns the numbers of the `pages` images that any image of shared memory announces,
    /// including SysV memory and memfd files.
    fn pages_of_shared_memory(&mut self, names: &[String]) -> BTreeSet<u32> {
        let mut numbers = BTreeSet::new();
        for name in names.iter().filter(|name| name.starts_with("pagemap-shmem-")) {
            let content = self.image(name, PAGEMAP).ok().flatten();
            let head = content.and_then(|content: Content| content.first::<PagemapHead>(name));
            numbers.extend(head.map(|head| head.pages_id));
        }
        numbers
    }

    /// Returns whether an image announces the image `name`. Returns `None` for images of other
    /// kinds, such as those of which a dump has only one, or of CRIU's plugins.
    fn is_announced(&self, name: &str, shared: &BTreeSet<u32>) -> Option<bool> {
        let (kind, number) = name.strip_suffix(".img")?.rsplit_once('-')?;
        let number = number.parse().ok()?;
        Some(match kind {
            "core" => self.threads.contains(&number),
            "mm" | "pagemap" | "fs" | "ids" => self.pids.contains(&number),
            "fdinfo" => self.fdinfo.contains_key(&number),
            "mountpoints" => self.mounts.contains(&number),
            "pages" => self.pages.contains_key(&number) || shared.contains(&number),
            _ => return None,
        })
    }
}
