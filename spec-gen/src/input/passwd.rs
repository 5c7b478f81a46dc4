//! Parses `passwd` and `group` files of images, whose content is not trusted.
//!
//! podman has three parsers that disagree. In the one that determines the user ID, a comment line
//! is an entry with user ID 0, and so is a line whose number is missing or not numeric: `--user '#
//! comment'` starts the container as root. In this parser, a line is an entry if it has the
//! required numbers. Other lines are ignored and reported.

use std::path::Path;

/// A longer file is rejected: an image must not exhaust the memory of the host.
pub const MAX_FILE: u64 = 16 << 20;

/// An entry of a `passwd` file and its line number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passwd {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
    pub home: String,
    pub line: usize,
}

/// An entry of a `group` file and its line number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub name: String,
    pub gid: u32,
    pub members: Vec<String>,
    pub line: usize,
}

/// The entries of a file, and a message for each ignored line.
#[derive(Clone, Debug)]
pub struct Table<T> {
    pub entries: Vec<T>,
    pub ignored: Vec<String>,
}

impl<T> Default for Table<T> {
    fn default() -> Table<T> {
        Table { entries: Vec::new(), ignored: Vec::new() }
    }
}

/// Parses a `passwd` file. `name` is its name in messages.
pub fn passwd(text: &[u8], name: &Path) -> Table<Passwd> {
    parse(text, name, |fields, line| {
        let [user, _password, uid, gid, rest @ ..] = fields else { return Err("fewer than 4 fields") };
        Ok(Passwd {
            name: (*user).to_owned(),
            uid: number(uid).ok_or("the uid is not a number from 0 to 4294967294")?,
            gid: number(gid).ok_or("the gid is not a number from 0 to 4294967294")?,
            home: rest.get(1).copied().unwrap_or_default().to_owned(),
            line,
        })
    })
}

/// Parses a `group` file. `name` is its name in messages.
pub fn group(text: &[u8], name: &Path) -> Table<Group> {
    parse(text, name, |fields, line| {
        let [group, _password, gid, rest @ ..] = fields else { return Err("fewer than 3 fields") };
        let members = rest.first().copied().unwrap_or_default().split(',').map(str::trim);
        Ok(Group {
            name: (*group).to_owned(),
            gid: number(gid).ok_or("the gid is not a number from 0 to 4294967294")?,
            members: members.filter(|m| !m.is_empty()).map(str::to_owned).collect(),
            line,
        })
    })
}

fn parse<T>(text: &[u8], name: &Path, entry: impl Fn(&[&str], usize) -> Result<T, &'static str>) -> Table<T> {
    let mut table = Table::default();
    for (i, line) in text.split(|b| *b == b'\n').enumerate() {
        let line = String::from_utf8_lossy(line);
        let line = line.trim();
        // NIS compat lines (+name, -name) do not define users either.
        if line.is_empty() || line.starts_with(['#', '+', '-']) {
            continue;
        }
        let fields: Vec<&str> = line.split(':').collect();
        let parsed = if fields[0].is_empty() { Err("no name") } else { entry(&fields, i + 1) };
        match parsed {
            Ok(entry) => table.entries.push(entry),
            Err(why) => {
                table.ignored.push(format!("{}:{}: {why}, line ignored", cli::display_path(name), i + 1))
            }
        }
    }
    table
}

/// Reads decimal digits. Rejects signs, which Go's `Atoi` accepts, and `(uid_t)-1`, which means "do
/// not change" to the kernel.
fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|n| digits && *n != u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> (Vec<String>, usize) {
        let table = passwd(text.as_bytes(), Path::new("passwd"));
        (
            table.entries.iter().map(|e| format!("{}={}:{}", e.name, e.uid, e.gid)).collect(),
            table.ignored.len(),
        )
    }

    #[test]
    fn only_a_line_with_uid_and_gid_is_a_user() {
        #[rustfmt::skip]
        let cases = [
            ("root:x:0:0:root:/root:/bin/sh\n", vec!["root=0:0"], 0),
            ("# comment\n\n  \n", vec![], 0),
            ("short:x:1002\n", vec![], 1),
            ("evil:x::0:::\n", vec![], 1),
            ("evil:x:abc:0:::\n", vec![], 1),
            ("evil:x:-1:0:::\n", vec![], 1),
            ("evil:x:+1:0:::\n", vec![], 1),
            ("evil:x:4294967295:0:::\n", vec![], 1),
            ("evil:x:4294967296:0:::\n", vec![], 1),
            (":x:0:0:::\n", vec![], 1),
            ("+::0:0:::\nname:x:7:8\n", vec!["name=7:8"], 0),
            ("  padded:x:7:8:::  \r\n", vec!["padded=7:8"], 0),
        ];
        for (text, users, ignored) in cases {
            assert_eq!(names(text), (users.into_iter().map(str::to_owned).collect(), ignored), "{text:?}");
        }
    }

    #[test]
    fn an_ignored_line_is_reported_with_its_number() {
        let table = passwd(b"a:x:1:1\nb:x\n", Path::new("/r/etc/passwd"));
        assert_eq!(table.ignored, ["/r/etc/passwd:2: fewer than 4 fields, line ignored"]);
    }

    #[test]
    fn blanks_around_group_members_are_removed() {
        let table = group(b"g:x:63:alice, bob,,\n", Path::new("group"));
        assert_eq!(table.entries[0].members, ["alice", "bob"]);
    }

    #[test]
    fn long_lines_and_invalid_utf8_are_tolerated() {
        let long = vec![b'a'; 1 << 20];
        assert_eq!(passwd(&long, Path::new("p")).entries, []);
        assert_eq!(passwd(b"\xff\xfe:x:1:1\n", Path::new("p")).entries[0].uid, 1);
    }
}
