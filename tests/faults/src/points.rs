//! The system calls of a job into which faults are injected.

use std::collections::BTreeMap;
use std::fs;
use std::ops::RangeInclusive;

use crate::{Ground, Job};

/// The system calls of a job without faults.
#[derive(Debug)]
pub struct Points {
    /// The largest number of invocations of a call by one thread: strace counts the invocations of
    /// each thread separately. `None` stands for any number.
    made: Option<BTreeMap<String, u32>>,
}

impl Points {
    /// Runs `job` without faults and counts `calls`. With `FAULT_POINTS=all` in the environment,
    /// nothing is counted, and faults are also injected into calls that the job does not make.
    ///
    /// # Panics
    /// Panics if the job fails, or if the output of strace cannot be read.
    pub fn of(ground: &Ground, job: &Job, calls: &[&str]) -> Points {
        if std::env::var_os("FAULT_POINTS").is_some_and(|value| value == "all") {
            return Points { made: None };
        }
        ground.clear(job);
        let log = tempfile::NamedTempFile::new().expect("a temporary file");
        let file = log.path().to_str().expect("a path of ASCII characters");
        let trace = format!("trace={}", calls.join(","));
        let (run, shown) = ground.run(job, &["strace", "-f", "-qq", "-o", file, "-e", &trace]);
        assert_eq!(run.code, Some(0), "{shown}: {}", run.stderr);
        let log = fs::read(log.path()).expect("the output of strace");
        let mut threads: BTreeMap<(&str, &str), u32> = BTreeMap::new();
        let text = String::from_utf8_lossy(&log);
        for line in text.lines().filter(|line| !line.contains("resumed>")) {
            let Some((thread, rest)) = line.split_once(' ') else { continue };
            let Some((call, _)) = rest.trim_start().split_once('(') else { continue };
            *threads.entry((thread, call)).or_default() += 1;
        }
        let mut made: BTreeMap<String, u32> = BTreeMap::new();
        for ((_, call), n) in threads {
            let most = made.entry(call.to_owned()).or_default();
            *most = n.max(*most);
        }
        // Every job writes something. Without this check, no fault would be injected if the output of
        // strace had another form.
        assert!(!made.is_empty(), "{shown}: no calls in the output of strace");
        Points { made: Some(made) }
    }

    /// Returns which of the first `most` invocations of `call` fail in turn. One more than those of
    /// the job without faults is included: how the threads share the work varies.
    pub fn invocations(&self, call: &str, most: u32) -> RangeInclusive<u32> {
        match &self.made {
            None => 1..=most,
            Some(made) => 1..=made.get(call).map_or(0, |n| most.min(n + 1)),
        }
    }
}
