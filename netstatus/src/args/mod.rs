//! The command line.

mod value;

use std::net::IpAddr;
use std::path::PathBuf;

use checkpoint::network_status::Mac;
use clap::{Parser, Subcommand, ValueEnum};
use cli::args::OutputFile;
use cli::{Common, Habit};

pub use value::{AddressArg, PortMapping};
use value::{ips, mac, major, net_mac, pair, publish};

/// Habits from ip-netns(8).
pub const HABITS: &[Habit] = &[
    Habit { verb: "hold", typed: &[Habit::OPERAND], instead: NETNS },
    Habit { verb: "release", typed: &[Habit::OPERAND], instead: NETNS },
    Habit { verb: "", typed: &["-n"], instead: NETNS },
    Habit { verb: "", typed: &["-i", "--input"], instead: "write FILE without a flag, or < FILE" },
];
const NETNS: &str = "--netns /run/netns/NAME";

/// Save and restore the network status of a container
#[derive(Parser, Debug)]
#[command(name = "netstatus", version, disable_help_subcommand = true)]
#[command(after_help = "\
Example, on the host to which a container moves:
  ip netns add web; netstatus hold --netns /run/netns/web
  netstatus restore --to netavark --base opts.json < network.status | netavark -c /run/netavark setup /run/netns/web
  runc restore …
  netstatus release --netns /run/netns/web --announce
See netstatus(1).")]
pub struct Args {
    #[command(subcommand)]
    pub verb: Verb,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Subcommand, Debug)]
pub enum Verb {
    Save(Save),
    Restore(Restore),
    Apply(Apply),
    Check(Check),
    Show(Show),
    Hold(Hold),
    Release(Release),
}

/// Write network.status from the output of netavark or CNI, or from a live namespace
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  netavark -c /run/netavark setup /run/netns/web < in.json | netstatus save > network.status
  netstatus save /var/lib/cni/results/*-$ID-eth0 > network.status
  netstatus save --members --netns /run/netns/web --network eth0=web | ckpt-pack --bundle B - > web.ckpt
See netstatus(1).")]
pub struct Save {
    /// Output of netavark or CNI, a libcni cache file, an array of podman 3, or a network.status
    /// [default: standard input]
    #[arg(value_name = "FILE", help_heading = "Input")]
    pub files: Vec<PathBuf>,

    /// Read FILE in this format [default: detected from its keys]
    #[arg(long, value_name = "FORMAT", help_heading = "Input")]
    pub from: Option<InputFormat>,

    /// Name the network of the next CNI result, of the result in FILE, or of interface IF of a live
    /// namespace; repeatable
    #[arg(long, value_name = "NAME[=FILE]|IF=NAME", help_heading = "Input")]
    pub network: Vec<String>,

    /// Name the interface, if the CNI result does not (CNI 0.2.0, Calico)
    #[arg(long, value_name = "IF", help_heading = "Input")]
    pub ifname: Option<String>,

    /// Set the MAC of the interface, if the CNI result does not contain it
    #[arg(long, value_name = "MAC", value_parser = mac, help_heading = "Input")]
    pub mac: Option<Mac>,

    /// Read this network namespace through netlink
    #[arg(long, value_name = "PATH", conflicts_with_all = ["files", "from", "pid", "ifname", "mac"], help_heading = "Live namespace")]
    pub netns: Option<PathBuf>,

    /// Read the network namespace of this process
    #[arg(long, value_name = "PID", conflicts_with_all = ["files", "from", "ifname", "mac"], help_heading = "Live namespace")]
    pub pid: Option<u32>,

    /// Read network names from descriptions of the host's networks: a NET.json, or a directory of
    /// such files; repeatable
    #[arg(long, value_name = "FILE|DIR", help_heading = "Live namespace")]
    pub network_info: Vec<PathBuf>,

    /// Save this interface, of any kind, instead of the interfaces attached to the host; repeatable
    #[arg(long, value_name = "IF", help_heading = "Live namespace")]
    pub interface: Vec<String>,

    /// Read the DNS settings from FILE; "container" means the resolv.conf of the container of --pid
    #[arg(long, value_name = "FILE", help_heading = "Live namespace")]
    pub resolv_conf: Option<PathBuf>,

    /// Also save MTU, kind, parent, address details and all routes, under the key x-netstatus
    #[arg(long, help_heading = "Live namespace")]
    pub extended: bool,

    /// Fail if the container has no network
    #[arg(long, help_heading = "Input")]
    pub require: bool,

    /// Write a member stream for ckpt-pack
    #[arg(long, help_heading = "Output")]
    pub members: bool,

    #[command(flatten)]
    pub output: OutputFile,
}

/// The format of a document.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputFormat {
    /// The output of `netavark setup`
    Netavark,
    /// A CNI result, a libcni cache file, or an array of results of podman 3
    Cni,
    /// A network.status
    Status,
}

/// Convert network.status to the input of the program that sets the network up
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  netstatus restore --to netavark --base opts.json < network.status | netavark -c /run/netavark setup /run/netns/web
  podman run -d $(netstatus restore --to podman < network.status) IMAGE
  netstatus restore --to ip-batch < network.status | ip -n web -batch -
See netstatus(1).")]
pub struct Restore {
    /// The network.status [default: standard input]
    #[arg(value_name = "FILE", help_heading = "Input")]
    pub file: Option<PathBuf>,

    /// Print this format
    #[arg(long, value_name = "FORMAT", help_heading = "Output")]
    pub to: OutputFormat,

    /// Read descriptions of the host's networks: a NET.json, the output of `podman network
    /// inspect`, or a directory of such files; repeatable
    #[arg(long, value_name = "FILE|DIR", help_heading = "Input")]
    pub network_info: Vec<PathBuf>,

    /// Fill in this document: the input of netavark, or a CNI configuration
    #[arg(long, value_name = "FILE", help_heading = "Input")]
    pub base: Option<PathBuf>,

    #[command(flatten)]
    pub change: Change,

    #[command(flatten)]
    pub netavark: NetavarkOptions,

    /// Use this interface for the CNI configuration, if the network has several
    #[arg(long, value_name = "IF", help_heading = "Output")]
    pub interface: Option<String>,

    /// Terminate the options of --to podman with NUL instead of newline, for xargs -0
    #[arg(short = '0', long, help_heading = "Output")]
    pub null: bool,

    #[command(flatten)]
    pub output: OutputFile,
}

/// Set the addresses, MACs and routes of network.status in a namespace through netlink
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  netstatus apply --netns /run/netns/web < network.status
  netstatus apply --netns /run/netns/web --create veth --bridge br0 < network.status
See netstatus(1).")]
pub struct Apply {
    /// The network.status [default: standard input]
    #[arg(value_name = "FILE", help_heading = "Input")]
    pub file: Option<PathBuf>,

    /// Set the network up in this namespace
    #[arg(long, value_name = "PATH", help_heading = "Target")]
    pub netns: PathBuf,

    /// Rename interface NOW of the namespace to IF of the status, unless IF exists; repeatable
    #[arg(long, value_name = "NOW=IF", value_parser = pair, help_heading = "Target")]
    pub from_if: Vec<(String, String)>,

    /// Create missing interfaces of this kind
    #[arg(long, value_name = "KIND", help_heading = "Target")]
    pub create: Option<InterfaceKind>,

    /// Attach a veth to this bridge on the host [default: the bridge in --network-info]
    #[arg(long, value_name = "BRIDGE", help_heading = "Target")]
    pub bridge: Option<String>,

    /// Use this name for the host end of a veth [default: chosen by the kernel]
    #[arg(long, value_name = "NAME", help_heading = "Target")]
    pub host_if: Option<String>,

    /// Create a macvlan or ipvlan on this interface of the host [default: the interface in
    /// --network-info]
    #[arg(long, value_name = "IF", help_heading = "Target")]
    pub parent: Option<String>,

    /// Remove addresses that are not in the status
    #[arg(long, help_heading = "Target")]
    pub flush: bool,

    /// Read descriptions of the host's networks: bridges, parents, and which networks are internal;
    /// repeatable
    #[arg(long, value_name = "FILE|DIR", help_heading = "Input")]
    pub network_info: Vec<PathBuf>,
}

/// Check whether network.status fits the host, is set up in a namespace, or has addresses in use by
/// another host
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  netstatus check --network-info /etc/containers/networks < network.status
  netstatus check --netns /run/netns/web --probe < network.status
See netstatus(1).")]
pub struct Check {
    /// The network.status [default: standard input]
    #[arg(value_name = "FILE", help_heading = "Input")]
    pub file: Option<PathBuf>,

    /// Compare with the interfaces, MACs, MTUs, addresses and routes of this namespace
    #[arg(long, value_name = "PATH", help_heading = "What to check")]
    pub netns: Option<PathBuf>,

    /// Compare with the networks of the host: a NET.json, or a directory of such files; repeatable
    #[arg(long, value_name = "FILE|DIR", help_heading = "What to check")]
    pub network_info: Vec<PathBuf>,

    /// Repeat the comparison for up to SECONDS, since IPv6 addresses are tentative at first
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(..=3600), help_heading = "What to check")]
    pub wait: Option<u64>,

    /// Send probes from inside the namespace to find addresses that another host uses
    #[arg(long, help_heading = "What to check")]
    pub probe: bool,
}

/// Print network.status as a table
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Example:
  netstatus show < network.status
See netstatus(1).")]
pub struct Show {
    /// The network.status [default: standard input]
    #[arg(value_name = "FILE", help_heading = "Input")]
    pub file: Option<PathBuf>,

    /// Print a JSON document instead of a table
    #[arg(long, help_heading = "Output")]
    pub json: bool,
}

/// Drop all packets of a namespace except neighbor discovery, until `netstatus release`
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Example:
  ip netns add web; netstatus hold --netns /run/netns/web
See netstatus(1).")]
pub struct Hold {
    /// Hold this network namespace, preferably before it is set up
    #[arg(long, value_name = "PATH", help_heading = "Target")]
    pub netns: PathBuf,

    /// Also drop ARP and neighbor discovery, so that another host can still use the addresses
    #[arg(long, help_heading = "What to do")]
    pub silent: bool,
}

/// Let the packets of a held namespace pass again
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Example:
  netstatus release --netns /run/netns/web --announce
See netstatus(1).")]
pub struct Release {
    /// Release this network namespace
    #[arg(long, value_name = "PATH", help_heading = "Target")]
    pub netns: PathBuf,

    /// Announce the addresses to the neighbors: gratuitous ARP, unsolicited neighbor
    /// advertisements
    #[arg(long, help_heading = "What to do")]
    pub announce: bool,

    /// Also remove the network lock that CRIU leaves behind when a restore fails
    #[arg(long, help_heading = "What to do")]
    pub remove_criu_lock: bool,
}

/// A kind of interface that `apply` can create.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum InterfaceKind {
    /// A veth pair with one end in a bridge
    Veth,
    /// A macvlan in bridge mode
    Macvlan,
    /// An ipvlan in L2 mode, with the MAC of its parent
    Ipvlan,
}

/// The settings of netavark that a status does not contain.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "For netavark (defaults are from --base)")]
pub struct NetavarkOptions {
    /// Set the container_id
    #[arg(long, value_name = "ID")]
    pub container_id: Option<String>,

    /// Set the container_name
    #[arg(long, value_name = "NAME")]
    pub container_name: Option<String>,

    /// Set the container_hostname, a name in the DNS of netavark (netavark >= 1.14)
    #[arg(long, value_name = "NAME")]
    pub hostname: Option<String>,

    /// Publish a port or a range of ports in the format of podman; repeatable
    #[arg(long, value_name = "[IP:]HOST:CTR[/PROTO]", value_parser = publish)]
    pub publish: Vec<PortMapping>,

    /// Add a DNS name for the container in network NET; repeatable
    #[arg(long, value_name = "NET=NAME", value_parser = pair)]
    pub alias: Vec<(String, String)>,

    /// Add a DNS server to which the DNS of netavark forwards queries for other names; repeatable
    #[arg(long, value_name = "IP")]
    pub dns: Vec<IpAddr>,

    /// Write for this version of netavark; from 2 on, a subnet may have several addresses
    #[arg(long, value_name = "VERSION", default_value = "1", value_parser = major)]
    pub netavark_version: u32,
}

/// Changes of the status before a restore.
#[derive(clap::Args, Clone, Debug, Default, PartialEq, Eq)]
#[command(next_help_heading = "Changes")]
pub struct Change {
    /// Drop the addresses of the status
    #[arg(long)]
    pub ignore_static_ip: bool,

    /// Drop the MACs of the status
    #[arg(long)]
    pub ignore_static_mac: bool,

    /// Replace the addresses of network NET, in the families of the given addresses; repeatable
    #[arg(long, value_name = "NET=A[/P][,A…]", value_parser = ips)]
    pub ip: Vec<(String, Vec<AddressArg>)>,

    /// Replace the MAC in network NET; repeatable
    #[arg(long, value_name = "NET=MAC", value_parser = net_mac)]
    pub mac: Vec<(String, Mac)>,

    /// Rename the interface in network NET to IF; repeatable
    #[arg(long, value_name = "NET=IF", value_parser = pair)]
    pub ifname: Vec<(String, String)>,

    /// Rename network OLD to NEW, its name on the host; repeatable
    #[arg(long, value_name = "OLD=NEW", value_parser = pair)]
    pub rename: Vec<(String, String)>,

    /// Keep only network NET; repeatable
    #[arg(long, value_name = "NET")]
    pub only: Vec<String>,
}

/// The format of the output.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputFormat {
    /// Standard input of `netavark setup` and `teardown`
    Netavark,
    /// The CNI configuration of --base with the addresses filled in, or the CAP_ARGS of cnitool
    Cni,
    /// A line with CNI_IFNAME and CNI_ARGS for each interface
    CniArgs,
    /// A line with a --network option of podman run for each network
    Podman,
    /// Lines for `ip -n NETNS -batch -`
    IpBatch,
    /// The changed network.status
    Status,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn clap_accepts_the_definition_of_the_command_line() {
        Args::command().debug_assert();
    }
}
