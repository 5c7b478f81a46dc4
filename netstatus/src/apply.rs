//! `netstatus apply`: gives the interfaces of a namespace the addresses, MACs and routes of a status.
//!
//! A second run changes nothing. When a step fails, those before it are taken back in reverse order.

pub mod addresses;
mod create;
mod rename;
mod request;
mod routes;
mod transaction;

use std::net::Ipv4Addr;

use anyhow::{Context, bail};
use checkpoint::network_status::{Mac, NetworkStatus};
use cli::{Exit, Hint, Session};
use ipnet::{IpNet, Ipv4Net};
use netlink_packet_route::RouteNetlinkMessage;

use crate::args::Apply;
use crate::document::read_status;
use crate::extension::Extension;
use crate::netlink::Netlink;
use crate::netns::Netns;
use crate::network_info;
use crate::restore::ip::{Link as Wanted, links};
use crate::state::{Link, State};
use transaction::{Side, Transaction};

const LOOPBACK: IpNet = IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::LOCALHOST, 8));

pub fn run(args: &Apply, session: &Session) -> anyhow::Result<Exit> {
    create::check_flags(args)?;
    let (_, status) = read_status(args.file.as_deref())?;
    let infos = network_info::load(&args.network_info)?;
    let netns = Netns::open(&args.netns)?;
    let Some(status) = status else {
        session.note("the container had no network, nothing is to be done");
        return Ok(Exit::Done);
    };
    let transaction = Transaction::new(Netlink::open(&netns)?, Netlink::open(&Netns::own()?)?);
    let mut transaction = transaction.with_context(|| netns.name().to_owned())?;
    let done = Job { args, netns: &netns, infos: &infos, session }.carry_out(&status, &mut transaction);
    match done {
        Ok(()) => {
            session.note(format_args!("{}: {} changes", netns.name(), transaction.len()));
            Ok(Exit::Done)
        }
        Err(error) => {
            for failure in transaction.take_back() {
                session.error(format_args!("{}: {failure}", netns.name()));
            }
            Err(error.context(netns.name().to_owned()))
        }
    }
}

struct Job<'a> {
    args: &'a Apply,
    netns: &'a Netns,
    infos: &'a network_info::NetworkInfos,
    session: &'a Session,
}

impl Job<'_> {
    fn carry_out(&self, status: &NetworkStatus, transaction: &mut Transaction) -> anyhow::Result<()> {
        let wanted = links(status, self.infos);
        rename::links(&self.args.from_if, &wanted, transaction)?;
        let before = transaction.inside()?;
        let missing: Vec<&&str> = wanted.keys().filter(|name| before.link(name).is_none()).collect();
        if let (Some(name), None) = (missing.first(), self.args.create) {
            return Err(Hint::on(
                anyhow::anyhow!("interface {name}: not there"),
                "make it: --create veth --bridge BRIDGE",
            ));
        }
        for name in missing {
            if let Some(wanted) = wanted.get(*name) {
                create::link(self.args, self.netns, self.infos, name, wanted, transaction)?;
            }
        }
        let before = transaction.inside()?;
        if let Some(lo) = before.links.iter().find(|link| link.loopback && !link.up) {
            if before.addresses_of(lo).next().is_none() {
                // The kernel gives it when the link comes up and leaves it when the link goes down.
                let own = request::address(lo.index, &LOOPBACK);
                transaction.remember(Side::Inside, "lo: 127.0.0.1", RouteNetlinkMessage::DelAddress(own));
            }
            transaction.change(
                Side::Inside,
                "lo: up",
                request::up(lo.index, true),
                0,
                Some((request::up(lo.index, false), 0)),
            )?;
        }
        for (name, wanted) in &wanted {
            let Some(link) = before.link(name) else { bail!("interface {name}: not there") };
            self.link(link, wanted, &before, transaction).with_context(|| format!("interface {name}"))?;
        }
        routes::set(&wanted, transaction)
    }

    /// MAC, MTU, up, addresses: in this order, since addresses of a link that goes down are lost.
    fn link(
        &self,
        link: &Link,
        wanted: &Wanted<'_>,
        before: &State,
        transaction: &mut Transaction,
    ) -> anyhow::Result<()> {
        match wanted.interface.mac_address.as_ref().filter(|mac| mac.bytes() != link.mac) {
            Some(mac) if link.shares_mac() => self.session.warn(format_args!(
                "interface {}: MAC {mac} left out: an ipvlan has the MAC of its parent",
                link.name
            )),
            Some(mac) => set_mac(link, mac, before, transaction)?,
            None => {}
        }
        let extension = Extension::of(&link.name, wanted.interface)?;
        if let Some(mtu) = extension.mtu.filter(|mtu| *mtu != link.mtu) {
            let undo = (request::mtu(link.index, link.mtu), 0);
            transaction.change(
                Side::Inside,
                &format!("MTU {mtu}"),
                request::mtu(link.index, mtu),
                0,
                Some(undo),
            )?;
        }
        if !link.up {
            let undo = (request::up(link.index, false), 0);
            transaction.change(Side::Inside, "up", request::up(link.index, true), 0, Some(undo))?;
        }
        addresses::set(link, wanted, &extension, self.args.flush, transaction)
    }
}

fn set_mac(link: &Link, mac: &Mac, before: &State, transaction: &mut Transaction) -> anyhow::Result<()> {
    let set = request::mac(link.index, mac.bytes());
    let undo = request::mac(link.index, &link.mac);
    transaction.change_even_down(link, before, &format!("MAC {mac}"), &set, undo)
}
