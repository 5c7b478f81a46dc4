//! The processes of a container.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

/// Returns the process `pid` and all its descendants, which are the processes that CRIU dumps.
/// Freeze the processes first: a running process can start others while this function reads /proc.
/// Descendants that have exited are left out; those that exit meanwhile may be in the list.
///
/// # Errors
/// Returns an error if `pid` does not exist, or if the kernel does not list the children of
/// processes (CONFIG_PROC_CHILDREN, which CRIU needs too).
pub fn tree(pid: u32) -> io::Result<Vec<u32>> {
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(&process) = found.get(next) {
        next += 1;
        let tasks = format!("/proc/{process}/task");
        match fs::read_dir(&tasks) {
            Ok(tasks) => tasks.flatten().try_for_each(|task| children(&task.path(), &mut found))?,
            Err(e) if process == pid => return Err(named(tasks.as_ref(), &e)),
            Err(_) => {}
        }
    }
    // A zombie stays a child as long as its parent is frozen. It has neither memory nor children,
    // and in version 1 of cgroups it is in the root cgroup (cgroup_exit).
    found.retain(|&process| process == pid || !has_exited(process));
    Ok(found)
}

/// Adds the children of a thread. A thread may exit meanwhile.
fn children(task: &Path, found: &mut Vec<u32>) -> io::Result<()> {
    let children = task.join("children");
    match fs::read_to_string(&children) {
        Ok(text) => found.extend(text.split_ascii_whitespace().filter_map(|pid| pid.parse::<u32>().ok())),
        Err(e) if task.exists() => return Err(named(&children, &e)),
        Err(_) => {}
    }
    Ok(())
}

/// Reads a file in /proc.
pub(super) fn read(path: impl AsRef<Path>) -> io::Result<String> {
    read_at_most(path, u64::MAX)
}

/// Reads the first `limit` bytes of a file in /proc.
pub(super) fn read_at_most(path: impl AsRef<Path>, limit: u64) -> io::Result<String> {
    let path = path.as_ref();
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes));
    read.map_err(|e| named(path, &e))?;
    // Names of mapped files are bytes.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Returns the error with the name of the file.
pub(super) fn named(path: &Path, e: &io::Error) -> io::Error {
    io::Error::new(e.kind(), format!("{}: {e}", path.display()))
}

/// Returns whether a process has exited. A zombie has exited, too: it has no memory.
pub fn has_exited(pid: u32) -> bool {
    let Ok(stat) = fs::read(format!("/proc/{pid}/stat")) else { return true };
    // The state follows the name of the program, which may contain any byte but ends at the last `)`.
    let end = stat.iter().rposition(|&b| b == b')');
    end.and_then(|end| stat.get(end + 2)).is_none_or(|state| b"ZX".contains(state))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_has_children_of_all_threads() {
        let mut child = std::thread::spawn(|| {
            std::process::Command::new("sleep").arg("60").spawn().expect("sleep starts")
        })
        .join()
        .expect("the thread ends");
        let found = tree(std::process::id()).expect("/proc lists children");
        child.kill().expect("sleep is killed");
        child.wait().expect("sleep ends");
        assert_eq!(found[0], std::process::id());
        assert!(found.contains(&child.id()));
    }

    #[test]
    fn a_missing_process_is_an_error() {
        assert!(tree(u32::MAX).is_err());
    }

    #[test]
    fn a_zombie_has_exited_and_is_not_in_the_tree() {
        use std::process::{Command, Stdio};
        // The name contains a `)`, and the state follows the last one.
        let dir = tempfile::tempdir().expect("a directory is created");
        let program = dir.path().join("a) Z (b");
        std::os::unix::fs::symlink("/bin/sleep", &program).expect("a link is created");
        let mut child = Command::new(program).arg("60").spawn().expect("sleep starts");
        assert!(!has_exited(child.id()));
        // After the end of the output the process is about to exit, and nobody reaps it.
        let mut zombie = Command::new("true").stdout(Stdio::piped()).spawn().expect("true starts");
        let mut output = zombie.stdout.take().expect("the output is a pipe");
        output.read_to_end(&mut Vec::new()).expect("the output ends");
        while !has_exited(zombie.id()) {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        let found = tree(std::process::id()).expect("/proc lists children");
        assert!(found.contains(&child.id()) && !found.contains(&zombie.id()), "{found:?}");
        child.kill().expect("sleep is killed");
        for mut process in [child, zombie] {
            process.wait().expect("the process ends");
            assert!(has_exited(process.id()));
        }
    }
}
