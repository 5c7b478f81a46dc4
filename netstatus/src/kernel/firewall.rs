//! The firewall rules that hold a namespace.
//!
//! nft or iptables-restore adds the rules. CRIU also needs one of these programs, so every host
//! that can restore TCP connections has nft or iptables-restore. nft is not needed to release a
//! namespace.

use std::fs;
use std::io::{self, Write};
use std::process::{Command, Stdio};

use anyhow::{Context, anyhow, bail};
use cli::Hint;

use super::netns::Netns;
use super::nftables::{Nftables, Table};

/// The name of the nftables table in the family inet and, for a silent hold, of the table in the
/// family arp.
const TABLE: &str = "netstatus_hold";

/// Whether a held namespace answers ARP requests and neighbor solicitations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Neighbors {
    /// Peers can resolve the addresses, while all other packets are dropped.
    Answered,
    /// Peers cannot resolve the addresses, because another host may still use them.
    Silent,
}

/// Returns the input of nft, which replaces the tables in one transaction, so that no packet passes
/// in between.
///
/// The priority -400 is lower than the priority of connection tracking, so these chains run first.
/// ARP needs a separate table, because the family inet does not include ARP.
fn nft_rules(neighbors: Neighbors) -> String {
    let mut text = String::from("add table inet netstatus_hold\ndelete table inet netstatus_hold\n");
    let nd = match neighbors {
        Neighbors::Answered => "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept;",
        Neighbors::Silent => "",
    };
    text.push_str("table inet netstatus_hold {\n");
    for (chain, hook, lo) in [("in", "input", "iifname"), ("out", "output", "oifname")] {
        text.push_str(&format!(
            "chain {chain} {{ type filter hook {hook} priority -400; policy drop; {lo} \"lo\" accept; {nd} }}\n"
        ));
    }
    text.push_str("}\n");
    if neighbors == Neighbors::Silent {
        text.push_str(
            "add table arp netstatus_hold\ndelete table arp netstatus_hold\ntable arp netstatus_hold {\n\
             chain in { type filter hook input priority -400; policy drop; }\n\
             chain out { type filter hook output priority -400; policy drop; }\n}\n",
        );
    }
    text
}

/// Returns the input of iptables-restore or ip6tables-restore.
fn iptables_rules(family: Family) -> String {
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

/// The arguments of iptables-restore: wait for the lock of another iptables, and keep the existing
/// rules.
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

/// The rules with which CRIU removes its network lock (criu, net.c:
/// `iptables_network_unlock_internal`).
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

/// Drops all packets except packets of the loopback interface and, unless `neighbors` is `Silent`,
/// packets of neighbor discovery.
///
/// If the namespace is already held, only `neighbors` can change.
///
/// # Errors
/// Returns an error if neither nft nor iptables-restore is installed, or if the program fails.
pub fn hold(netns: &Netns, neighbors: Neighbors) -> anyhow::Result<()> {
    netns.within(|| {
        if feed("nft", &["-f", "-"], &nft_rules(neighbors))?.is_some() {
            if neighbors == Neighbors::Answered {
                let mut nftables = Nftables::open()?;
                let silent = |table: &Table| table.family == "arp" && table.name == TABLE;
                let silent: Vec<Table> = nftables.tables()?.into_iter().filter(silent).collect();
                nftables.delete(&silent)?;
            }
            return Ok(());
        }
        if neighbors == Neighbors::Silent {
            // iptables does not filter ARP, and rules of arptables could not be distinguished from
            // the user's rules.
            return Err(Hint::on(anyhow!("--silent needs nft, which is not in PATH"), "install nftables"));
        }
        for (done, family) in FAMILIES.into_iter().enumerate() {
            if has_jump(family, "NETSTATUS_HOLD_IN") {
                continue;
            }
            let held = feed(family.restore(), RESTORE, &iptables_rules(family))
                .and_then(|ran| ran.ok_or_else(no_program));
            if let Err(error) = held {
                if done > 0 {
                    // A namespace that is held only for IPv4 would appear to be held.
                    feed(Family::Inet.restore(), RESTORE, IPTABLES_RELEASE)?;
                }
                return Err(error);
            }
        }
        Ok(())
    })
}

/// The rules that `release` found.
#[derive(Debug, Default)]
pub struct Released {
    /// Whether the namespace was held.
    pub held: bool,
    /// The network locks that CRIU leaves behind when a restore fails, including the locks that
    /// `release` removed.
    pub locks: Vec<String>,
}

/// Removes the rules of `hold`, and with `remove_locks` also the network locks of CRIU.
///
/// # Errors
/// Returns an error if the kernel rejects a request or iptables-restore fails.
pub fn release(netns: &Netns, remove_locks: bool) -> anyhow::Result<Released> {
    let job = || {
        let mut nftables = Nftables::open().context("netfilter")?;
        let tables = nftables.tables().context("netfilter")?;
        let hold: Vec<Table> = tables.iter().filter(|t| t.name == TABLE).cloned().collect();
        nftables.delete(&hold).context("netfilter")?;
        let chains = if tables.iter().any(|t| t.name == "filter") { nftables.chains()? } else { Vec::new() };
        let rules = Rules { chains, query_iptables: has_legacy_iptables() };
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

/// Returns whether there may be rules of iptables-legacy, which nf_tables does not list.
fn has_legacy_iptables() -> bool {
    let names = ["ip_tables_names", "ip6_tables_names"];
    names
        .iter()
        .any(|name| fs::read(format!("/proc/thread-self/net/{name}")).is_ok_and(|names| !names.is_empty()))
}

/// The chains of a namespace. The tables called `filter` contain the chains of iptables-nft.
#[derive(Debug, Default)]
struct Rules {
    chains: Vec<(Table, String)>,
    /// Whether iptables must be run to find the chains of iptables-legacy.
    query_iptables: bool,
}

impl Rules {
    /// Returns the families in which iptables has `chain`.
    fn with_chain(&self, chain: &str) -> Vec<Family> {
        let listed = |family: Family| {
            let in_filter = |table: &Table| table.family == family.nft() && table.name == "filter";
            self.chains.iter().any(|(table, name)| in_filter(table) && name == chain)
        };
        FAMILIES.into_iter().filter(|f| listed(*f) || (self.query_iptables && has_jump(*f, chain))).collect()
    }
}

fn no_program() -> anyhow::Error {
    Hint::on(anyhow!("neither nft nor iptables-restore is in PATH"), "install nftables or iptables")
}

/// Returns whether INPUT jumps to `chain`. Returns false without iptables.
fn has_jump(family: Family, chain: &str) -> bool {
    let asked = run(Command::new(family.iptables()).args(["-w", "-C", "INPUT", "-j", chain]), "");
    asked.is_ok_and(|output| output.status.success())
}

/// Runs `program` with `text` as standard input. Returns the output, or `None` if the program is
/// not installed.
fn feed(program: &str, args: &[&str], text: &str) -> anyhow::Result<Option<String>> {
    match run(Command::new(program).args(args), text) {
        Ok(output) if output.status.success() => {
            Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned()))
        }
        Ok(output) => {
            let stderr = String::from_utf8_lossy(&output.stderr);
            bail!("{program}: {}", stderr.lines().next().unwrap_or("failed without a message"))
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e).context(program.to_owned()),
    }
}

fn run(command: &mut Command, text: &str) -> io::Result<std::process::Output> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        match stdin.write_all(text.as_bytes()) {
            // A program that stops reading reports the reason through its exit status and standard
            // error.
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
    fn the_chains_of_iptables_are_in_the_filter_tables() {
        let chain = |family, table: &str, name: &str| (Table { family, name: table.into() }, name.to_owned());
        let chains =
            vec![chain("ip", "filter", "CRIU"), chain("ip6", "nat", "CRIU"), chain("inet", "filter", "CRIU")];
        let rules = Rules { chains, query_iptables: false };
        assert_eq!(rules.with_chain("CRIU"), [Family::Inet]);
        assert_eq!(rules.with_chain("in"), []);
    }

    #[test]
    fn silent_rules_block_neighbor_discovery_and_arp() {
        let (answered, silent) = (nft_rules(Neighbors::Answered), nft_rules(Neighbors::Silent));
        assert!(answered.contains("nd-neighbor") && !answered.contains("arp"));
        assert!(!silent.contains("nd-neighbor") && silent.contains("table arp"));
    }

    #[test]
    fn only_the_ipv6_rules_accept_neighbor_discovery() {
        assert!(!iptables_rules(Family::Inet).contains("icmpv6"));
        assert_eq!(iptables_rules(Family::Inet6).matches("--icmpv6-type").count(), 4);
    }
}
