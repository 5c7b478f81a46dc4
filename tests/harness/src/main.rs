//! `compare-trees A B`: prints every difference of two trees, one per line, and exits with status 0
//! if there is none, 1 otherwise.

use std::path::PathBuf;
use std::process::ExitCode;

use harness::{Options, differences};

fn main() -> ExitCode {
    let mut options = Options::default();
    let mut dirs = Vec::new();
    for arg in std::env::args_os().skip(1) {
        match arg.to_str().and_then(|arg| arg.strip_prefix("--ignore=")) {
            Some(kinds) => options.ignore.extend(kinds.split(',').map(str::to_owned)),
            None => dirs.push(PathBuf::from(arg)),
        }
    }
    let [a, b] = &dirs[..] else {
        eprintln!("usage: compare-trees [--ignore=KIND,...] A B");
        return ExitCode::from(2);
    };
    match differences(a, b, &options) {
        Ok(found) => {
            found.iter().for_each(|line| println!("{line}"));
            ExitCode::from(u8::from(!found.is_empty()))
        }
        Err(e) => {
            eprintln!("compare-trees: error: {e}");
            ExitCode::from(2)
        }
    }
}
