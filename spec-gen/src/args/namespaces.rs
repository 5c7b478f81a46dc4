//! The flags under `Namespaces` in the help.

use clap::Args as Group;

use crate::notation::id_map::Ranges;
use crate::notation::namespace::{Mode, Peer};
use crate::notation::user_namespace::UserNs;

#[derive(Debug, Group)]
#[command(next_help_heading = "Namespaces")]
pub struct NamespaceArgs {
    /// Set the host name
    #[arg(long, value_name = "NAME", conflicts_with = "restore", hide_short_help = true)]
    pub hostname: Option<String>,

    /// Set the NIS domain name
    #[arg(long, value_name = "NAME", conflicts_with = "restore", hide_short_help = true)]
    pub domainname: Option<String>,

    /// Select the network namespace: host, private, none, ns:PATH, container:ID
    #[arg(long, value_name = "MODE", value_parser = Mode::parse, alias = "net")]
    pub network: Option<Mode>,

    /// Select the PID namespace; takes the same values as --network
    #[arg(long, value_name = "MODE", value_parser = Mode::parse)]
    pub pid: Option<Mode>,

    /// Select the IPC namespace; takes the same values as --network
    #[arg(long, value_name = "MODE", value_parser = Mode::parse, hide_short_help = true)]
    pub ipc: Option<Mode>,

    /// Select the UTS namespace (host name); takes the same values as --network
    #[arg(long, value_name = "MODE", value_parser = Mode::parse, hide_short_help = true)]
    pub uts: Option<Mode>,

    /// Select the user namespace; takes the same values as --network, and keep-id and nomap
    #[arg(long, value_name = "MODE", value_parser = UserNs::parse, hide_short_help = true)]
    pub userns: Option<UserNs>,

    /// Select the cgroup namespace; takes the same values as --network
    #[arg(long, value_name = "MODE", value_parser = Mode::parse, hide_short_help = true)]
    pub cgroupns: Option<Mode>,

    /// Select the time namespace; takes the same values as --network
    #[arg(long, value_name = "MODE", value_parser = Mode::parse, hide_short_help = true)]
    pub time: Option<Mode>,

    /// Map SIZE container user IDs starting at C to host IDs starting at H, in a new user namespace
    #[arg(long, value_name = "C:H[:SIZE]", value_parser = Ranges::parse, conflicts_with = "restore", hide_short_help = true)]
    pub uidmap: Vec<Ranges>,

    /// Map group IDs; if only one of --uidmap and --gidmap is given, it applies to both
    #[arg(long, value_name = "C:H[:SIZE]", value_parser = Ranges::parse, conflicts_with = "restore", hide_short_help = true)]
    pub gidmap: Vec<Ranges>,

    /// Map the user IDs that /etc/subuid assigns to NAME
    #[arg(long, value_name = "NAME", conflicts_with_all = ["restore", "userns", "uidmap", "gidmap"], hide_short_help = true)]
    pub subuidname: Option<String>,

    /// Map the group IDs that /etc/subgid assigns to NAME; the default is the NAME of --subuidname
    #[arg(long, value_name = "NAME", conflicts_with_all = ["restore", "userns", "uidmap", "gidmap"], hide_short_help = true)]
    pub subgidname: Option<String>,

    /// Set the PID of the container in container:ID, and its host name
    #[arg(long, value_name = "ID=PID[,hostname=H]", value_parser = Peer::parse, hide_short_help = true)]
    pub container_pid: Vec<Peer>,
}
