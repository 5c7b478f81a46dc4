//! The command line.

mod value;

use std::net::IpAddr;
use std::path::PathBuf;

use checkpoint::network_status::Mac;
use clap::{Parser, Subcommand, ValueEnum};
use cli::Common;
use cli::args::OutputFile;

pub use value::{PortMapping, Wanted};
use value::{ips, mac, major, net_mac, pair, publish};

/// Save and restore the network status of a container
#[derive(Parser, Debug)]
#[command(name = "netstatus", version, disable_help_subcommand = true)]
#[command(after_help = "\
Example, on the host a container moves to:
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

/// Write network.status from what netavark or CNI printed, or from a live namespace
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  netavark -c /run/netavark setup /run/netns/web < in.json | netstatus save > network.status
  netstatus save /var/lib/cni/results/*-$ID-eth0 > network.status
  netstatus save --members --netns /run/netns/web --network eth0=web | ckpt-pack --bundle B - > web.ckpt
See netstatus(1).")]
pub struct Save {
    /// What netavark or CNI printed, a libcni cache file, podman 3's array, or a network.status (standard input)
    #[arg(value_name = "FILE", help_heading = "Input")]
    pub files: Vec<PathBuf>,

    /// What FILE is; told by its keys when not given
    #[arg(long, value_name = "KIND", help_heading = "Input")]
    pub from: Option<Source>,

    /// Name of a network: of a CNI result, in order (NAME=FILE reads it from FILE); IF=NAME for a live one
    #[arg(long, value_name = "NAME[=FILE]|IF=NAME", help_heading = "Input")]
    pub network: Vec<String>,

    /// Interface of a CNI result that does not name it (0.2.0, Calico)
    #[arg(long, value_name = "IF", help_heading = "Input")]
    pub ifname: Option<String>,

    /// MAC of a CNI result that does not tell it
    #[arg(long, value_name = "MAC", value_parser = mac, help_heading = "Input")]
    pub mac: Option<Mac>,

    /// Read this network namespace, by netlink
    #[arg(long, value_name = "PATH", conflicts_with_all = ["files", "from", "pid", "ifname", "mac"], help_heading = "Live namespace")]
    pub netns: Option<PathBuf>,

    /// Read the network namespace of this process
    #[arg(long, value_name = "PID", conflicts_with_all = ["files", "from", "ifname", "mac"], help_heading = "Live namespace")]
    pub pid: Option<u32>,

    /// Networks of this host, to know the name of a live one: NET.json or their directory; repeatable
    #[arg(long, value_name = "FILE|DIR", help_heading = "Live namespace")]
    pub network_info: Vec<PathBuf>,

    /// Save this interface, whatever its kind; repeatable
    #[arg(long, value_name = "IF", help_heading = "Live namespace")]
    pub interface: Vec<String>,

    /// Take DNS from this file; "container" is the container's own (with --pid)
    #[arg(long, value_name = "FILE", help_heading = "Live namespace")]
    pub resolv_conf: Option<PathBuf>,

    /// Add MTU, kind, parent, addresses and all routes under the key x-netstatus
    #[arg(long, help_heading = "Live namespace")]
    pub extended: bool,

    /// Fail when there is no network
    #[arg(long, help_heading = "Input")]
    pub require: bool,

    /// Write a member stream for ckpt-pack
    #[arg(long, help_heading = "Output")]
    pub members: bool,

    #[command(flatten)]
    pub output: OutputFile,
}

/// What a document is.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// What `netavark setup` printed
    Netavark,
    /// A CNI result, a libcni cache file, or podman 3's array of results
    Cni,
    /// A network.status
    Status,
}

/// Turn network.status into what sets the network up again
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  netstatus restore --to netavark --base opts.json < network.status | netavark -c /run/netavark setup /run/netns/web
  podman run -d $(netstatus restore --to podman < network.status) IMAGE
  netstatus restore --to ip-batch < network.status | ip -n web -batch -
See netstatus(1).")]
pub struct Restore {
    /// network.status (standard input)
    #[arg(value_name = "FILE", help_heading = "Input")]
    pub file: Option<PathBuf>,

    /// Form of the output
    #[arg(long, value_name = "FORM", help_heading = "Output")]
    pub to: Form,

    /// Networks of this host: NET.json, `podman network inspect`, or their directory; repeatable
    #[arg(long, value_name = "FILE|DIR", help_heading = "Input")]
    pub network_info: Vec<PathBuf>,

    /// Document to fill in: netavark's input, or a CNI configuration
    #[arg(long, value_name = "FILE", help_heading = "Input")]
    pub base: Option<PathBuf>,

    #[command(flatten)]
    pub change: Change,

    #[command(flatten)]
    pub netavark: Netavark,

    /// The interface that a CNI configuration is for, when the network has several
    #[arg(long, value_name = "IF", help_heading = "Output")]
    pub interface: Option<String>,

    /// End options of --to podman with NUL instead of newline, for xargs -0
    #[arg(short = '0', long, help_heading = "Output")]
    pub null: bool,

    #[command(flatten)]
    pub output: OutputFile,
}

/// Set addresses, MACs and routes of network.status in a namespace, by netlink
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  netstatus apply --netns /run/netns/web < network.status
  netstatus apply --netns /run/netns/web --create veth --bridge br0 < network.status
See netstatus(1).")]
pub struct Apply {
    /// network.status (standard input)
    #[arg(value_name = "FILE", help_heading = "Input")]
    pub file: Option<PathBuf>,

    /// The container's network namespace
    #[arg(long, value_name = "PATH", help_heading = "Target")]
    pub netns: PathBuf,

    /// Interface NOW of the namespace becomes IF of the status, if it is not yet; repeatable
    #[arg(long, value_name = "NOW=IF", value_parser = pair, help_heading = "Target")]
    pub from_if: Vec<(String, String)>,

    /// Make an interface that is not there
    #[arg(long, value_name = "KIND", help_heading = "Target")]
    pub create: Option<Kind>,

    /// Bridge of this host for --create veth (else that of --network-info)
    #[arg(long, value_name = "BRIDGE", help_heading = "Target")]
    pub bridge: Option<String>,

    /// Name of this host's end for --create veth
    #[arg(long, value_name = "NAME", help_heading = "Target")]
    pub host_if: Option<String>,

    /// Interface of this host for --create macvlan and ipvlan (else that of --network-info)
    #[arg(long, value_name = "IF", help_heading = "Target")]
    pub parent: Option<String>,

    /// Remove addresses that are not in the status
    #[arg(long, help_heading = "Target")]
    pub flush: bool,

    /// Networks of this host: which are internal, and their bridges; repeatable
    #[arg(long, value_name = "FILE|DIR", help_heading = "Input")]
    pub network_info: Vec<PathBuf>,
}

/// Tell whether network.status can be restored here, is in place, or is in use elsewhere
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  netstatus check --network-info /etc/containers/networks < network.status
  netstatus check --netns /run/netns/web --probe < network.status
See netstatus(1).")]
pub struct Check {
    /// network.status (standard input)
    #[arg(value_name = "FILE", help_heading = "Input")]
    pub file: Option<PathBuf>,

    /// Compare with this namespace: interfaces, MACs, MTUs, addresses, routes
    #[arg(long, value_name = "PATH", help_heading = "What to check")]
    pub netns: Option<PathBuf>,

    /// Compare with the networks of this host: NET.json or their directory; repeatable
    #[arg(long, value_name = "FILE|DIR", help_heading = "What to check")]
    pub network_info: Vec<PathBuf>,

    /// Look again for up to so many seconds: after a CNI plugin IPv6 addresses are tentative for a while
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(..=3600), help_heading = "What to check")]
    pub wait: Option<u64>,

    /// Ask on the wire, from inside the namespace, whether another host has an address
    #[arg(long, help_heading = "What to check")]
    pub probe: bool,
}

/// Show network.status to people
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Example:
  netstatus show < network.status
See netstatus(1).")]
pub struct Show {
    /// network.status (standard input)
    #[arg(value_name = "FILE", help_heading = "Input")]
    pub file: Option<PathBuf>,

    /// One JSON document instead of a table
    #[arg(long, help_heading = "Output")]
    pub json: bool,
}

/// Drop all packets of a namespace but neighbour discovery, until release
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Example:
  ip netns add web; netstatus hold --netns /run/netns/web
See netstatus(1).")]
pub struct Hold {
    /// The container's network namespace, best still empty
    #[arg(long, value_name = "PATH", help_heading = "Target")]
    pub netns: PathBuf,

    /// Answer no neighbour either: the addresses can be set up while another host still has them
    #[arg(long, help_heading = "What to do")]
    pub silent: bool,
}

/// Let packets pass again
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Example:
  netstatus release --netns /run/netns/web --announce
See netstatus(1).")]
pub struct Release {
    /// The container's network namespace
    #[arg(long, value_name = "PATH", help_heading = "Target")]
    pub netns: PathBuf,

    /// Tell the neighbours where the addresses are now: gratuitous ARP, unsolicited NA
    #[arg(long, help_heading = "What to do")]
    pub announce: bool,

    /// Also remove the network lock CRIU leaves behind when a restore fails
    #[arg(long, help_heading = "What to do")]
    pub remove_criu_lock: bool,
}

/// An interface `apply` can make.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A pair, one end in a bridge
    Veth,
    /// A macvlan in bridge mode
    Macvlan,
    /// An ipvlan in L2 mode, with the MAC of its parent
    Ipvlan,
}

/// What netavark is told and no status knows.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "For netavark (each else as in --base)")]
pub struct Netavark {
    /// container_id
    #[arg(long, value_name = "ID")]
    pub container_id: Option<String>,

    /// container_name
    #[arg(long, value_name = "NAME")]
    pub container_name: Option<String>,

    /// container_hostname, a name in netavark's DNS (netavark >= 1.14)
    #[arg(long, value_name = "NAME")]
    pub hostname: Option<String>,

    /// Published port, as podman has it: [IP:]HOST:CONTAINER[/PROTOCOL], ranges too; repeatable
    #[arg(long, value_name = "[IP:]HOST:CTR[/PROTO]", value_parser = publish)]
    pub publish: Vec<PortMapping>,

    /// Another name of the container on network NET; repeatable
    #[arg(long, value_name = "NET=NAME", value_parser = pair)]
    pub alias: Vec<(String, String)>,

    /// Server that netavark's DNS asks for other names; repeatable
    #[arg(long, value_name = "IP")]
    pub dns: Vec<IpAddr>,

    /// Release of netavark to write for; from 2 on a subnet may have several addresses
    #[arg(long, value_name = "VERSION", default_value = "1", value_parser = major)]
    pub netavark_version: u32,
}

/// What a restore may change of the status.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Changes")]
pub struct Change {
    /// Drop the addresses of the status
    #[arg(long)]
    pub ignore_static_ip: bool,

    /// Drop the MACs of the status
    #[arg(long)]
    pub ignore_static_mac: bool,

    /// Address for network NET, in place of those of its family; repeatable
    #[arg(long, value_name = "NET=A[/P][,A…]", value_parser = ips)]
    pub ip: Vec<(String, Vec<Wanted>)>,

    /// MAC for network NET; repeatable
    #[arg(long, value_name = "NET=MAC", value_parser = net_mac)]
    pub mac: Vec<(String, Mac)>,

    /// Interface name for network NET; repeatable
    #[arg(long, value_name = "NET=IF", value_parser = pair)]
    pub ifname: Vec<(String, String)>,

    /// Name of network OLD on this host; repeatable
    #[arg(long, value_name = "OLD=NEW", value_parser = pair)]
    pub rename: Vec<(String, String)>,

    /// Only these networks; repeatable
    #[arg(long, value_name = "NET")]
    pub only: Vec<String>,
}

/// What the output is for.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Standard input of `netavark setup` and `teardown`
    Netavark,
    /// A CNI configuration with the addresses filled in (--base), or the CAP_ARGS of cnitool
    Cni,
    /// CNI_IFNAME and CNI_ARGS, a line for each interface
    CniArgs,
    /// --network options of podman run, a line each
    Podman,
    /// Lines for `ip -n NETNS -batch -`
    IpBatch,
    /// network.status, after the changes
    Status,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }
}
