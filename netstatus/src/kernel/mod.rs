//! Network namespaces, rtnetlink(7), nf_tables and packet sockets.

pub mod address;
mod automatic_routes;
pub mod firewall;
pub mod frame;
pub mod link;
pub mod netlink;
pub mod netns;
mod nftables;
pub mod packet_socket;
pub mod route;
pub mod state;
