//! The rules of `hold`, by nft or by iptables-restore, inside a namespace.
//!
//! CRIU needs one of the two programs as well, so a host that can restore TCP connections has one. To release, nft is not
//! needed.

use std::fs;
use std::io::{self, Write};
use std::process::{Command, Stdio};

use anyhow::{Context, anyhow, bail};
use cli::Hint;

use crate::netns::Netns;
use crate::nftables::{Nftables, Table};

/// The nftables tables of `hold`: one in the family inet, a silent one in arp as well.
const TABLE: &str = "netstatus_hold";

/// Whether a held namespace still answers who has its addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Neighbours {
    /// Peers can resolve the addresses while nothing else passes.
    Answered,
    /// Nobody learns that the namespace is there: another host still has its addresses.
    Silent,
}

/// In one transaction the old tables go, if they are there, and the new ones come: no packet passes between the two.
/// Priority -400 stands before connection tracking and everything else. ARP is no part of inet.
fn nft_hold(neighbours: Neighbours) -> String {
    let mut text = String::from("add table inet netstatus_hold\ndelete table inet netstatus_hold\n");
    let nd = match neighbours {
        Neighbours::Answered => "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept;",
        Neighbours::Silent => "",
    };
    text.push_str("table inet netstatus_hold {\n");
    for (chain, hook, lo) in [("in", "input", "iifname"), ("out", "output", "oifname")] {
        text.push_str(&format!(
            "chain {chain} {{ type filter hook {hook} priority -400; policy drop; {lo} \"lo\" accept; {nd} }}\n"
        ));
    }
    text.push_str("}\n");
    if neighbours == Neighbours::Silent {
        text.push_str(
            "add table arp netstatus_hold\ndelete table arp netstatus_hold\ntable arp netstatus_hold {\n\
             chain in { type filter hook input priority -400; policy drop; }\n\
             chain out { type filter hook output priority -400; policy drop; }\n}\n",
        );
    }
    text
}

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

    fn nft(self) -> &'static str {
        if self == Family::Inet { "ip" } else { "ip6" }
    }

    fn restore(self) -> &'static str {
        if self == Family::Inet { "iptables-restore" } else { "ip6tables-restore" }
    }
}

const FAMILIES: [Family; 2] = [Family::Inet, Family::Inet6];

/// Drops everything but the loopback interface and neighbour discovery, or that too; a second time changes nothing, and
/// the last of several decides about the neighbours.
///
/// # Errors
/// When neither program is there, or it refuses.
pub fn hold(netns: &Netns, neighbours: Neighbours) -> anyhow::Result<()> {
    netns.within(|| {
        if feed("nft", &["-f", "-"], &nft_hold(neighbours))?.is_some() {
            if neighbours == Neighbours::Answered {
                let mut nftables = Nftables::open()?;
                let silent = |table: &Table| table.family == "arp" && table.name == TABLE;
                let silent: Vec<Table> = nftables.tables()?.into_iter().filter(silent).collect();
                nftables.delete(&silent)?;
            }
            return Ok(());
        }
        if neighbours == Neighbours::Silent {
            // iptables has no ARP, and arptables nothing that could be told from the user's own.
            return Err(Hint::on(anyhow!("nft is not in PATH, and --silent needs it"), "install nftables"));
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
}

/// What `release` met.
#[derive(Debug, Default)]
pub struct Released {
    /// Whether the namespace was held.
    pub held: bool,
    /// The network locks of CRIU that are still there, which happens when a restore fails; or were, if asked to remove.
    pub locks: Vec<String>,
}

/// Takes the rules of `hold` away, and CRIU's locks if `remove_locks`.
///
/// # Errors
/// The kernel's, and when a program refuses.
pub fn release(netns: &Netns, remove_locks: bool) -> anyhow::Result<Released> {
    let job = || {
        let mut nftables = Nftables::open().context("netfilter")?;
        let tables = nftables.tables().context("netfilter")?;
        let hold: Vec<Table> = tables.iter().filter(|t| t.name == TABLE).cloned().collect();
        nftables.delete(&hold).context("netfilter")?;
        let chains = if tables.iter().any(|t| t.name == "filter") { nftables.chains()? } else { Vec::new() };
        let rules = Rules { chains, ask_iptables: old_iptables() };
        let families = rules.with_chain("NETSTATUS_HOLD_IN");
        for family in &families {
            feed(family.restore(), RESTORE, IPTABLES_RELEASE)?.ok_or_else(no_program)?;
        }
        let mut released = Released { held: !hold.is_empty() || !families.is_empty(), locks: Vec::new() };
        let criu = |t: &&Table| t.family == "inet" && t.name.starts_with("CRIU-");
        let locks: Vec<Table> = tables.iter().filter(criu).cloned().collect();
        if remove_locks {
            nftables.delete(&locks).context("netfilter")?;
        }
        released.locks.extend(locks.iter().map(|table| format!("table inet {}", table.name)));
        for family in rules.with_chain("CRIU") {
            if remove_locks {
                feed(family.restore(), RESTORE, CRIU_UNLOCK)?.ok_or_else(no_program)?;
            }
            released.locks.push(format!("{} chain CRIU", family.iptables()));
        }
        Ok(released)
    };
    netns.within(job)
}

/// Whether there may be rules of the old iptables, which nf_tables does not know.
fn old_iptables() -> bool {
    let names = ["ip_tables_names", "ip6_tables_names"];
    names
        .iter()
        .any(|name| fs::read(format!("/proc/thread-self/net/{name}")).is_ok_and(|names| !names.is_empty()))
}

/// The chains of a namespace, those of iptables being in its tables called `filter`.
#[derive(Debug, Default)]
struct Rules {
    chains: Vec<(Table, String)>,
    /// Whether iptables has to be asked itself.
    ask_iptables: bool,
}

impl Rules {
    /// The families of iptables in which `chain` is there.
    fn with_chain(&self, chain: &str) -> Vec<Family> {
        let listed = |family: Family| {
            let in_filter = |table: &Table| table.family == family.nft() && table.name == "filter";
            self.chains.iter().any(|(table, name)| in_filter(table) && name == chain)
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
    fn the_chains_of_iptables_are_those_of_its_filter_tables() {
        let chain = |family, table: &str, name: &str| (Table { family, name: table.into() }, name.to_owned());
        let chains =
            vec![chain("ip", "filter", "CRIU"), chain("ip6", "nat", "CRIU"), chain("inet", "filter", "CRIU")];
        let rules = Rules { chains, ask_iptables: false };
        assert_eq!(rules.with_chain("CRIU"), [Family::Inet]);
        assert_eq!(rules.with_chain("in"), []);
    }

    #[test]
    fn a_silent_hold_answers_no_neighbour() {
        let (answered, silent) = (nft_hold(Neighbours::Answered), nft_hold(Neighbours::Silent));
        assert!(answered.contains("nd-neighbor") && !answered.contains("arp"));
        assert!(!silent.contains("nd-neighbor") && silent.contains("table arp"));
    }

    #[test]
    fn only_ipv6_lets_neighbour_discovery_through() {
        assert!(!iptables_hold(Family::Inet).contains("icmpv6"));
        assert_eq!(iptables_hold(Family::Inet6).matches("--icmpv6-type").count(), 4);
    }
}
