//! Replays the corpus of the fuzzers: one input of each kind, and each input that once found a bug.

use std::fs;
use std::path::Path;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use parsers::PARSERS;

/// Returns the processor time of this thread, which other work on the machine does not change.
fn processor_seconds() -> i64 {
    let usage = getrusage(UsageWho::RUSAGE_THREAD).unwrap();
    (usage.user_time() + usage.system_time()).num_seconds()
}

#[test]
fn the_corpus_is_parsed_without_a_crash_in_five_seconds_each() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    let mut slow = Vec::new();
    for (name, parse) in PARSERS {
        let dir = fuzz.join("corpus").join(name);
        let entries = fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        assert!(!files.is_empty(), "{name}: no corpus");
        for file in files {
            let bytes = fs::read(&file).unwrap();
            let start = processor_seconds();
            let caught = std::panic::catch_unwind(|| parse(&bytes));
            assert!(caught.is_ok(), "{}: see the panic above", file.display());
            if processor_seconds() > start + 5 {
                slow.push(file);
            }
        }
    }
    assert!(slow.is_empty(), "more than five seconds: {slow:?}");
}

#[test]
fn every_parser_has_a_fuzz_target() {
    let targets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/fuzz_targets");
    let mut there: Vec<_> = fs::read_dir(targets)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    there.sort();
    let mut known: Vec<_> = PARSERS.iter().map(|(name, _)| (*name).to_owned()).collect();
    known.sort();
    assert_eq!(there, known);
}
