//! Users and groups of the host: the entries of `/etc/passwd` and `/etc/group`, and those that
//! getent(1) finds in other sources, such as sssd, LDAP and systemd.
//!
//! The functions of the C library would load the modules of those sources, which a static program
//! cannot do safely: a module needs the C library of the host.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use crate::input::passwd::MAX_FILE;
use crate::input::rootfs::read_host;

/// The status with which getent(1) reports that there is no such entry.
const NO_SUCH_ENTRY: i32 = 2;

/// A list of accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Database {
    Passwd,
    Group,
}

impl Database {
    fn name(self) -> &'static str {
        match self {
            Database::Passwd => "passwd",
            Database::Group => "group",
        }
    }

    fn field_count(self) -> usize {
        match self {
            Database::Passwd => 7,
            Database::Group => 4,
        }
    }
}

/// Returns the fields of the entry that has the ID or the name `wanted`. A number is looked up as an
/// ID first.
///
/// # Errors
/// Returns an error if the file cannot be read, or if getent(1) fails.
pub fn find(database: Database, wanted: &str) -> anyhow::Result<Option<Vec<String>>> {
    let path = Path::new("/etc").join(database.name());
    let text = read_host(&path, MAX_FILE)?.unwrap_or_default();
    if is_id(wanted) {
        // getent(1) looks up a number only as an ID.
        if let Some(fields) = by_id(database, &text, wanted) {
            return Ok(Some(fields));
        }
        return Ok(getent(database, wanted)?.or_else(|| by_name(database, &text, wanted)));
    }
    if let Some(fields) = by_name(database, &text, wanted) {
        return Ok(Some(fields));
    }
    getent(database, wanted)
}

fn is_id(wanted: &str) -> bool {
    wanted.bytes().all(|b| b.is_ascii_digit()) && wanted.parse::<u32>().is_ok()
}

/// Runs `getent DATABASE WANTED`. A host without getent(1) has no other sources than the files.
fn getent(database: Database, wanted: &str) -> anyhow::Result<Option<Vec<String>>> {
    // No name of an account starts with a hyphen: getent(1) would parse it as an option.
    if wanted.is_empty() || wanted.starts_with('-') || wanted.contains('\0') {
        return Ok(None);
    }
    let shown = || format!("getent {} {}", database.name(), cli::display_path(wanted));
    let mut command = Command::new("getent");
    command.args([database.name(), wanted]).stdin(Stdio::null());
    let output = match command.output() {
        Ok(output) => output,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e).with_context(shown),
    };
    if output.status.code() == Some(NO_SUCH_ENTRY) {
        return Ok(None);
    }
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr);
        bail!("{}: {}: {}", shown(), output.status, cli::display_path(reason.trim()));
    }
    match entries(database, &output.stdout).next() {
        Some(fields) => Ok(Some(fields)),
        None => bail!("{}: expected a line of {} fields", shown(), database.field_count()),
    }
}

fn by_id(database: Database, text: &[u8], id: &str) -> Option<Vec<String>> {
    let id: u32 = id.parse().ok()?;
    entries(database, text).find(|fields| fields[2].parse() == Ok(id))
}

fn by_name(database: Database, text: &[u8], name: &str) -> Option<Vec<String>> {
    entries(database, text).find(|fields| fields[0] == name)
}

/// Returns the fields of each valid line. Lines with another number of fields are not entries, and
/// lines that start with `+` or `-` refer to NIS.
fn entries(database: Database, text: &[u8]) -> impl Iterator<Item = Vec<String>> {
    text.split(|b| *b == b'\n').filter_map(move |line| {
        let line = String::from_utf8_lossy(line);
        let fields: Vec<String> = line.split(':').map(str::to_owned).collect();
        let is_entry = fields.len() == database.field_count()
            && !fields[0].is_empty()
            && !line.starts_with(['#', '+', '-'])
            && fields[2].parse::<u32>().is_ok();
        is_entry.then_some(fields)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_found_by_id_and_by_name() {
        let text = b"root:x:0:0:root:/root:/bin/sh\n# a:x:1:1::/:\n+b:x:2:2::/:\nshort:x:3\n\nc:x:4:5:C:/c:\n4:x:6:6::/:\n";
        let name = |fields: Option<Vec<String>>| fields.map(|f| f[0].clone());
        let by_id = |id| name(by_id(Database::Passwd, text, id));
        let by_name = |wanted| name(by_name(Database::Passwd, text, wanted));
        assert_eq!(by_id("0").as_deref(), Some("root"));
        assert_eq!(by_id("4").as_deref(), Some("c"));
        assert_eq!([by_id("1"), by_id("2"), by_id("3"), by_id("5")], [None, None, None, None]);
        assert_eq!(by_name("4").as_deref(), Some("4"));
        assert_eq!([by_name("# a"), by_name("+b"), by_name("short"), by_name("")], [None, None, None, None]);
        let group = by_name_of_group(b"g:x:7:a,b\n", "g");
        assert_eq!(group.unwrap(), ["g", "x", "7", "a,b"]);
    }

    fn by_name_of_group(text: &[u8], name: &str) -> Option<Vec<String>> {
        by_name(Database::Group, text, name)
    }
}
