//! The rules of `hold`, by nft or by iptables-restore, inside a namespace.
//!
//! CRIU needs one of the two programs as well, so a host that can restore TCP connections has one.

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

const NFT_RELEASE: &str = "delete table inet netstatus_hold\n";

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

#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Inet,
    Inet6,
}

impl Family {
    fn iptables(self) -> &'static str {
        if self == Family::Inet { "iptables" } else { "ip6tables" }
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
                if hangs_in(family, "NETSTATUS_HOLD_IN")? {
                    continue;
                }
                let held = feed(family.restore(), &["-w", "--noflush"], &iptables_hold(family))
                    .and_then(|ran| ran.ok_or_else(no_program));
                if let Err(error) = held {
                    if done > 0 {
                        // Half a hold would look like one.
                        feed(Family::Inet.restore(), &["-w", "--noflush"], IPTABLES_RELEASE)?;
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
            let mut held = false;
            if tables()?.is_some_and(|tables| tables.iter().any(|t| t == &format!("inet {TABLE}"))) {
                feed("nft", &["-f", "-"], NFT_RELEASE)?;
                held = true;
            }
            for family in FAMILIES {
                if hangs_in(family, "NETSTATUS_HOLD_IN")? {
                    feed(family.restore(), &["-w", "--noflush"], IPTABLES_RELEASE)?;
                    held = true;
                }
            }
            Ok(held)
        })
        .with_context(|| netns.name().to_owned())
}

/// The network locks CRIU left in the namespace, which happens when a restore fails.
///
/// # Errors
/// When a program refuses.
pub fn criu_locks(netns: &Netns) -> anyhow::Result<Vec<String>> {
    netns
        .within(|| {
            let tables = tables()?.unwrap_or_default().into_iter();
            let mut locks: Vec<String> =
                tables.filter(|t| t.starts_with("inet CRIU-")).map(|t| format!("table {t}")).collect();
            for family in FAMILIES {
                if hangs_in(family, "CRIU")? {
                    locks.push(format!("{} chain CRIU", family.iptables()));
                }
            }
            Ok(locks)
        })
        .with_context(|| netns.name().to_owned())
}

/// Removes the network locks CRIU left.
///
/// # Errors
/// When a program refuses.
pub fn remove_criu_locks(netns: &Netns) -> anyhow::Result<()> {
    netns
        .within(|| {
            for table in tables()?.unwrap_or_default().iter().filter(|t| t.starts_with("inet CRIU-")) {
                feed("nft", &["-f", "-"], &format!("delete table {table}\n"))?;
            }
            for family in FAMILIES {
                if hangs_in(family, "CRIU")? {
                    feed(family.restore(), &["-w", "--noflush"], CRIU_UNLOCK)?;
                }
            }
            Ok(())
        })
        .with_context(|| netns.name().to_owned())
}

fn no_program() -> anyhow::Error {
    Hint::on(anyhow!("neither nft nor iptables-restore is in PATH"), "install nftables or iptables")
}

/// The nftables tables, as `FAMILY NAME`; None without nft.
fn tables() -> anyhow::Result<Option<Vec<String>>> {
    let listed = feed("nft", &["list", "tables"], "")?;
    let names =
        |text: String| text.lines().filter_map(|l| l.strip_prefix("table ")).map(str::to_owned).collect();
    Ok(listed.map(names))
}

/// Whether `chain` hangs in INPUT.
fn hangs_in(family: Family, chain: &str) -> anyhow::Result<bool> {
    match run(Command::new(family.iptables()).args(["-w", "-C", "INPUT", "-j", chain]), "") {
        Ok(output) => Ok(output.status.success()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e).context(family.iptables()),
    }
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
