//! The flags for a command that dumps the container.

use std::ffi::OsString;
use std::time::Duration;

#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Packing while CRIU dumps")]
pub struct Live {
    /// Run COMMAND, such as runc checkpoint ID, and pack the memory while CRIU dumps it
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
    /// With COMMAND: run CMD in a shell when the container is paused, and read a member stream from
    /// it (repeatable)
    #[arg(long, value_name = "CMD")]
    pub producer: Vec<String>,
    /// With COMMAND --leave-running: leave the container paused after a successful dump
    #[arg(long, conflicts_with = "pre_checkpoint")]
    pub keep_paused: bool,
    /// With COMMAND: abort the dump and resume the container after SECONDS without progress
    /// [default: 60]
    #[arg(long, value_name = "SECONDS", value_parser = seconds, hide_short_help = true)]
    pub stall_timeout: Option<Duration>,
}

impl Live {
    /// The default of `--stall-timeout`. The plan of a large root file system takes some seconds,
    /// in which no byte is written.
    pub const STALL_TIMEOUT: Duration = Duration::from_secs(60);

    /// Returns whether there is a command.
    pub fn is_given(&self) -> bool {
        !self.command.is_empty()
    }

    /// Returns the flags that need a command, and whether each is given.
    pub fn needing_command(&self) -> [(&'static str, bool); 3] {
        [
            ("--producer", !self.producer.is_empty()),
            ("--keep-paused", self.keep_paused),
            ("--stall-timeout", self.stall_timeout.is_some()),
        ]
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.1..=1e6).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("expected a number of seconds, at least 0.1".into()),
    }
}
