//! Flags for the output of a tool.

use std::path::{Path, PathBuf};

use crate::files::output::Output;
use crate::files::sync;

/// The flags of a tool that writes a file.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct OutputFile {
    /// Write to FILE instead of standard output; FILE (mode 0600) appears only when it is complete
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    pub output: Option<PathBuf>,
    /// Write FILE to the disk before it gets its name, and the name afterwards, so that it survives
    /// a power loss
    #[arg(long, help_heading = "Output", requires = "output", hide_short_help = true)]
    pub fsync: bool,
}

impl OutputFile {
    /// Opens the output for binary data.
    ///
    /// # Errors
    /// Returns the errors of [`Output::binary`].
    pub fn binary(&self) -> anyhow::Result<Output> {
        Ok(Output::binary(self.output.as_deref())?.synced(self.fsync))
    }

    /// Opens the output for text.
    ///
    /// # Errors
    /// Returns the errors of [`Output::text`].
    pub fn text(&self) -> anyhow::Result<Output> {
        Ok(Output::text(self.output.as_deref())?.synced(self.fsync))
    }
}

/// The flag of a tool that extracts files.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Durable {
    /// Write all extracted files to the disk before exiting, so that they survive a power loss
    #[arg(long, help_heading = "Output", hide_short_help = true)]
    pub fsync: bool,
}

impl Durable {
    /// Writes the file system of `dir` to its disk if `--fsync` is given.
    ///
    /// # Errors
    /// Returns the errors of [`sync::file_system`].
    pub fn sync(&self, dir: &Path) -> anyhow::Result<()> {
        if self.fsync { sync::file_system(dir) } else { Ok(()) }
    }
}
