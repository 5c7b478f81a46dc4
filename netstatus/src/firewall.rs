//! The rules of `hold`, by nft or by iptables-restore, inside a namespace.
//!
//! CRIU needs one of the two programs as well, so a host that can restore TCP connections has one.

use std::fs;
use std::io::{self, Write};
use std::process::{Command, Stdio};

use anyhow::{Context, anyhow, bail};
use cli::Hint;

use crate::netns::Netns;

/// The nftables table of `hold`, in the family inet.
pub const TABLE: &str = "netstatus_hold";

/// In one transaction the old table goes, if there is one, and the new one comes: no packet passes between the two.
/// Priority -400 stands before connection tracking and everything else. ARP is no part of inet: peers can resolve the
/// address while it is held, and so can ND.
const NFT_HOLD: &str = "\
add table inet netstatus_hold
delete table inet netstatus_hold
table inet netstatus_hold {
  chain in {
    type filter hook input priority -400; policy drop;
    iifname \"lo\" accept
    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
  }
  chain out {
    type filter hook output priority -400; policy drop;
    oifname \"lo\" accept
    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
  }
}
";

/// What iptables-restore and ip6tables-restore are given.
fn iptables_hold(family: Family) -> String {
    let mut text = String::from("*filter\n:NETSTATUS_HOLD_IN - [0:0]\n:NETSTATUS_HOLD_OUT - [0:0]\n");
    for (chain, lo) in [("IN", "-i lo"), ("OUT", "-o lo")] {
        text.push_str(&format!("-A NETSTATUS_HOLD_{chain} {lo} -j RETURN\n"));
        if family == Family::Inet6 {
            for kind in ["neighbour-solicitation", "neighbour-advertisement"] {
                text.push_str(&format!(
                    "-A NETSTATUS_HOLD_{chain} -p icmpv6 --icmpv6-type {kind} -j RETURN\n"
                ));
            }
        }
        text.push_str(&format!("-A NETSTATUS_HOLD_{chain} -j DROP\n"));
    }
    text.push_str("-I INPUT 1 -j NETSTATUS_HOLD_IN\n-I OUTPUT 1 -j NETSTATUS_HOLD_OUT\nCOMMIT\n");
    text
}

/// Wait for the lock of another iptables, and add to the rules that are there.
const RESTORE: &[&str] = &["-w", "--noflush"];

const IPTABLES_RELEASE: &str = "\
*filter
:NETSTATUS_HOLD_IN - [0:0]
:NETSTATUS_HOLD_OUT - [0:0]
-D INPUT -j NETSTATUS_HOLD_IN
-D OUTPUT -j NETSTATUS_HOLD_OUT
-X NETSTATUS_HOLD_IN
-X NETSTATUS_HOLD_OUT
COMMIT
";

/// How CRIU itself takes back its lock (criu, net.c: iptables_network_unlock_internal).
const CRIU_UNLOCK: &str = "*filter\n:CRIU - [0:0]\n-D INPUT -j CRIU\n-D OUTPUT -j CRIU\n-X CRIU\nCOMMIT\n";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Inet,
    Inet6,
}

impl Family {
    fn iptables(self) -> &'static str {
        if self == Family::Inet { "iptables" } else { "ip6tables" }
    }

    fn filter_table(self) -> &'static str {
        if self == Family::Inet { "ip filter" } else { "ip6 filter" }
    }

    fn restore(self) -> &'static str {
        if self == Family::Inet { "iptables-restore" } else { "ip6tables-restore" }
    }
}

const FAMILIES: [Family; 2] = [Family::Inet, Family::Inet6];

/// Drops everything but the loopback interface and neighbour discovery; a second time changes nothing.
///
/// # Errors
/// When neither program is there, or it refuses.
pub fn hold(netns: &Netns) -> anyhow::Result<()> {
    netns
        .within(|| {
            if feed("nft", &["-f", "-"], NFT_HOLD)?.is_some() {
                return Ok(());
            }
            for (done, family) in FAMILIES.into_iter().enumerate() {
                if hangs_in(family, "NETSTATUS_HOLD_IN") {
                    continue;
                }
                let held = feed(family.restore(), RESTORE, &iptables_hold(family))
                    .and_then(|ran| ran.ok_or_else(no_program));
                if let Err(error) = held {
                    if done > 0 {
                        // Half a hold would look like one.
                        feed(Family::Inet.restore(), RESTORE, IPTABLES_RELEASE)?;
                    }
                    return Err(error);
                }
            }
            Ok(())
        })
        .with_context(|| netns.name().to_owned())
}

/// Takes the rules of `hold` away; false if there were none.
///
/// # Errors
/// When a program refuses.
pub fn release(netns: &Netns) -> anyhow::Result<bool> {
    netns
        .within(|| {
            let rules = Rules::read()?;
            let hold = format!("inet {TABLE}");
            let table = rules.tables.contains(&hold);
            if table {
                feed("nft", &["-f", "-"], &format!("delete table {hold}\n"))?;
            }
            let families = rules.with_chain("NETSTATUS_HOLD_IN");
            for family in &families {
                feed(family.restore(), RESTORE, IPTABLES_RELEASE)?;
            }
            Ok(table || !families.is_empty())
        })
        .with_context(|| netns.name().to_owned())
}

/// The network locks CRIU left in the namespace, which happens when a restore fails; removes them if `remove`.
///
/// # Errors
/// When a program refuses.
pub fn criu_locks(netns: &Netns, remove: bool) -> anyhow::Result<Vec<String>> {
    netns
        .within(|| {
            let rules = Rules::read()?;
            let mut locks = Vec::new();
            for table in rules.tables.iter().filter(|t| t.starts_with("inet CRIU-")) {
                if remove {
                    feed("nft", &["-f", "-"], &format!("delete table {table}\n"))?;
                }
                locks.push(format!("table {table}"));
            }
            for family in rules.with_chain("CRIU") {
                if remove {
                    feed(family.restore(), RESTORE, CRIU_UNLOCK)?;
                }
                locks.push(format!("{} chain CRIU", family.iptables()));
            }
            Ok(locks)
        })
        .with_context(|| netns.name().to_owned())
}

/// The tables and chains of a namespace. One run of nft tells of those of iptables too, unless that is the old one:
/// the namespace is waiting to be released, and each program costs it ten milliseconds.
#[derive(Debug, Default, PartialEq, Eq)]
struct Rules {
    /// `FAMILY NAME` of the nftables tables.
    tables: Vec<String>,
    /// Chains by table, those of the tables `ip filter` and `ip6 filter` being iptables'.
    chains: Vec<(String, String)>,
    /// Whether iptables has to be asked itself.
    ask_iptables: bool,
}

impl Rules {
    /// Of the namespace of the calling thread.
    fn read() -> anyhow::Result<Rules> {
        let listed = feed("nft", &["-t", "list", "ruleset"], "")?;
        let legacy = ["ip_tables_names", "ip6_tables_names"].iter().any(|name| {
            fs::read(format!("/proc/thread-self/net/{name}")).is_ok_and(|names| !names.is_empty())
        });
        let ask_iptables = listed.is_none() || legacy;
        Ok(Rules { ask_iptables, ..Rules::parse(&listed.unwrap_or_default()) })
    }

    fn parse(ruleset: &str) -> Rules {
        let mut rules = Rules::default();
        for line in ruleset.lines() {
            let Some(line) = line.strip_suffix('{').map(str::trim_end) else { continue };
            if let Some(table) = line.strip_prefix("table ") {
                rules.tables.push(table.to_owned());
            } else if let (Some(chain), Some(table)) =
                (line.trim_start().strip_prefix("chain "), rules.tables.last())
            {
                rules.chains.push((table.clone(), chain.to_owned()));
            }
        }
        rules
    }

    /// The families of iptables in which `chain` is there.
    fn with_chain(&self, chain: &str) -> Vec<Family> {
        let listed = |family: Family| {
            self.chains.iter().any(|(table, name)| table == family.filter_table() && name == chain)
        };
        FAMILIES.into_iter().filter(|f| listed(*f) || (self.ask_iptables && hangs_in(*f, chain))).collect()
    }
}

fn no_program() -> anyhow::Error {
    Hint::on(anyhow!("neither nft nor iptables-restore is in PATH"), "install nftables or iptables")
}

/// Whether `chain` hangs in INPUT; not so without iptables.
fn hangs_in(family: Family, chain: &str) -> bool {
    let asked = run(Command::new(family.iptables()).args(["-w", "-C", "INPUT", "-j", chain]), "");
    asked.is_ok_and(|output| output.status.success())
}

/// Runs `program` with `text` on its standard input and returns what it prints; None if there is no such program.
fn feed(program: &str, args: &[&str], text: &str) -> anyhow::Result<Option<String>> {
    match run(Command::new(program).args(args), text) {
        Ok(output) if output.status.success() => {
            Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned()))
        }
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("{program}: {}", said.lines().next().unwrap_or("ended without success, and without a word"))
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e).context(program.to_owned()),
    }
}

fn run(command: &mut Command, text: &str) -> io::Result<std::process::Output> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        match stdin.write_all(text.as_bytes()) {
            // A program that does not read to the end says why with its status.
            Err(e) if e.kind() != io::ErrorKind::BrokenPipe => return Err(e),
            _ => {}
        }
    }
    child.wait_with_output()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_and_chains_are_read_from_a_ruleset() {
        let ruleset = "# Warning: table ip filter is managed by iptables-nft, do not touch!\n\
            table ip filter {\n\tchain INPUT {\n\t\ttype filter hook input priority filter; policy accept;\n\
            \t\tcounter packets 0 bytes 0 jump CRIU\n\t}\n\n\tchain CRIU {\n\t\tcounter packets 0 bytes 0 drop\n\t}\n}\n\
            table inet CRIU-77 {\n}\ntable inet netstatus_hold {\n\tchain in {\n\t\ticmpv6 type { 1, 2 } accept\n\t}\n}\n";
        let rules = Rules::parse(ruleset);
        assert_eq!(rules.tables, ["ip filter", "inet CRIU-77", "inet netstatus_hold"]);
        assert!(rules.with_chain("CRIU") == [Family::Inet]);
        assert!(rules.with_chain("in").is_empty());
        assert_eq!(Rules::parse(""), Rules::default());
    }

    #[test]
    fn only_ipv6_lets_neighbour_discovery_through() {
        assert!(!iptables_hold(Family::Inet).contains("icmpv6"));
        assert_eq!(iptables_hold(Family::Inet6).matches("--icmpv6-type").count(), 4);
    }
}
