//! Runs the programs that write member streams (`--producer`) while the container is paused.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use super::command::Killed;
use crate::member_stream::MemberStream;

/// The running producers.
pub struct Producers {
    running: Vec<(String, Killed)>,
}

impl Producers {
    /// Starts a shell for each of `commands`.
    ///
    /// # Errors
    /// Returns an error if no shell can be started.
    pub fn start(commands: &[String]) -> anyhow::Result<Producers> {
        let mut running = Vec::new();
        for command in commands {
            let child = Command::new("sh")
                .args(["-c", command])
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .spawn()
                .with_context(|| format!("--producer: {command}"))?;
            running.push((command.clone(), Killed(child)));
        }
        Ok(Producers { running })
    }

    /// Returns the streams, in the order of the command line.
    pub fn streams(&mut self) -> Vec<MemberStream> {
        let outputs = self.running.iter_mut().filter_map(|(command, child)| {
            let output = child.0.stdout.take()?;
            Some(MemberStream::of_program(File::from(OwnedFd::from(output)), format!("--producer {command}")))
        });
        outputs.collect()
    }

    /// Waits for the producers, whose streams were read.
    ///
    /// # Errors
    /// Returns an error that names the first producer that failed.
    pub fn check(&mut self) -> anyhow::Result<()> {
        for (command, child) in &mut self.running {
            let status = child.0.wait()?;
            if !status.success() && status.code() != Some(cli::Exit::Changed as i32) {
                bail!("--producer {command}: {status}");
            }
        }
        Ok(())
    }
}
