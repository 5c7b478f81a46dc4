//! `Namespaces` of the help.

use clap::Args as Group;

use crate::notation::id_map::Ranges;
use crate::notation::namespace::{Mode, Peer};
use crate::notation::user_namespace::UserNs;

#[derive(Debug, Group)]
#[command(next_help_heading = "Namespaces")]
pub struct NamespaceArgs {
    /// Host name
    #[arg(long, value_name = "NAME", conflicts_with = "restore", hide_short_help = true)]
    pub hostname: Option<String>,

    /// NIS domain name
    #[arg(long, value_name = "NAME", conflicts_with = "restore", hide_short_help = true)]
    pub domainname: Option<String>,

    /// Network: host, private, none, ns:PATH, container:ID
    #[arg(long, value_name = "MODE", value_parser = Mode::parse, alias = "net")]
    pub network: Option<Mode>,

    /// PID namespace: as --network
    #[arg(long, value_name = "MODE", value_parser = Mode::parse)]
    pub pid: Option<Mode>,

    /// IPC namespace: as --network
    #[arg(long, value_name = "MODE", value_parser = Mode::parse, hide_short_help = true)]
    pub ipc: Option<Mode>,

    /// UTS namespace (host name): as --network
    #[arg(long, value_name = "MODE", value_parser = Mode::parse, hide_short_help = true)]
    pub uts: Option<Mode>,

    /// User namespace: as --network, or keep-id, nomap
    #[arg(long, value_name = "MODE", value_parser = UserNs::parse, hide_short_help = true)]
    pub userns: Option<UserNs>,

    /// Cgroup namespace: as --network
    #[arg(long, value_name = "MODE", value_parser = Mode::parse, hide_short_help = true)]
    pub cgroupns: Option<Mode>,

    /// Time namespace: as --network
    #[arg(long, value_name = "MODE", value_parser = Mode::parse, hide_short_help = true)]
    pub time: Option<Mode>,

    /// Map user ids: container id, host id, count; makes a user namespace
    #[arg(long, value_name = "C:H[:SIZE]", value_parser = Ranges::parse, conflicts_with = "restore", hide_short_help = true)]
    pub uidmap: Vec<Ranges>,

    /// Map group ids; as --uidmap where not given
    #[arg(long, value_name = "C:H[:SIZE]", value_parser = Ranges::parse, conflicts_with = "restore", hide_short_help = true)]
    pub gidmap: Vec<Ranges>,

    /// Map the ids that /etc/subuid gives this user
    #[arg(long, value_name = "NAME", conflicts_with_all = ["restore", "userns", "uidmap", "gidmap"], hide_short_help = true)]
    pub subuidname: Option<String>,

    /// Map the ids that /etc/subgid gives this name; as --subuidname where not given
    #[arg(long, value_name = "NAME", conflicts_with_all = ["restore", "userns", "uidmap", "gidmap"], hide_short_help = true)]
    pub subgidname: Option<String>,

    /// The pid behind a container:ID, and its host name
    #[arg(long, value_name = "ID=PID[,hostname=H]", value_parser = Peer::parse, hide_short_help = true)]
    pub container_pid: Vec<Peer>,
}
