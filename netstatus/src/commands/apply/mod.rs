//! `netstatus apply`: sets the addresses, MACs and routes of a status in a namespace.
//!
//! A second run changes nothing. If a step fails, the earlier steps are rolled back in reverse
//! order.

mod addresses;
mod create;
mod rename;
mod requests;
mod routes;
mod transaction;

use anyhow::{Context, bail};
use checkpoint::network_status::Mac;
use cli::{Exit, Hint, Session};
use netlink_packet_route::RouteNetlinkMessage;

use crate::args::Apply;
use crate::input::{read_network_infos, read_status};
use crate::kernel::address::LOOPBACK_V4;
use crate::kernel::link::Link;
use crate::kernel::netlink::Netlink;
use crate::kernel::netns::Netns;
use crate::kernel::state::State;
use crate::model::desired::{DesiredInterface, interfaces};
use crate::model::extension::Extension;
use crate::model::network_info::NetworkInfos;
use crate::model::status::ValidStatus;
use transaction::{Side, Transaction};

pub fn run(args: &Apply, session: &Session) -> anyhow::Result<Exit> {
    create::check_flags(args)?;
    let (_, status) = read_status(args.file.as_deref())?;
    let infos = read_network_infos(&args.network_info)?;
    let netns = Netns::open(&args.netns)?;
    let Some(status) = status else {
        session.note("the container had no network: nothing to apply");
        return Ok(Exit::Done);
    };
    let transaction = Transaction::new(Netlink::open(&netns)?, Netlink::open(&Netns::own()?)?);
    let mut transaction = transaction.with_context(|| netns.name().to_owned())?;
    let job = Job { args, netns: &netns, infos: &infos, session };
    match job.apply(&status, &mut transaction) {
        Ok(()) => {
            session.note(format_args!("{}: {} changes", netns.name(), transaction.len()));
            Ok(Exit::Done)
        }
        Err(error) => {
            for failure in transaction.roll_back() {
                session.error(format_args!("{}: {failure}", netns.name()));
            }
            Err(error.context(netns.name().to_owned()))
        }
    }
}

struct Job<'a> {
    args: &'a Apply,
    netns: &'a Netns,
    infos: &'a NetworkInfos,
    session: &'a Session,
}

impl Job<'_> {
    fn apply(&self, status: &ValidStatus, transaction: &mut Transaction) -> anyhow::Result<()> {
        let interfaces = interfaces(status, self.infos);
        rename::links(&self.args.from_if, &interfaces, transaction)?;
        let before = transaction.inside()?;
        let missing: Vec<&&str> = interfaces.keys().filter(|name| before.link(name).is_none()).collect();
        if let (Some(name), None) = (missing.first(), self.args.create) {
            return Err(Hint::on(
                anyhow::anyhow!("interface {name}: no such interface in the namespace"),
                "to create it, add --create veth --bridge BRIDGE",
            ));
        }
        for name in missing {
            if let Some(desired) = interfaces.get(*name) {
                create::link(self.args, self.netns, self.infos, name, desired, transaction)?;
            }
        }
        let before = transaction.inside()?;
        if let Some(lo) = before.links.iter().find(|link| link.loopback && !link.up) {
            if before.addresses_of(lo).next().is_none() {
                // The kernel adds this address when lo comes up, but does not remove it when lo
                // goes down.
                let automatic = requests::address(lo.index, &LOOPBACK_V4);
                let undo = RouteNetlinkMessage::DelAddress(automatic);
                transaction.push_undo(Side::Inside, "lo: 127.0.0.1", undo);
            }
            transaction.change(
                Side::Inside,
                "lo: up",
                requests::up(lo.index, true),
                0,
                Some((requests::up(lo.index, false), 0)),
            )?;
        }
        for (name, desired) in &interfaces {
            let Some(link) = before.link(name) else {
                bail!("interface {name}: no such interface in the namespace")
            };
            self.apply_to(link, desired, &before, transaction)
                .with_context(|| format!("interface {name}"))?;
        }
        routes::set(&interfaces, transaction)
    }

    /// Sets the MAC, the MTU and the addresses, and brings the link up.
    ///
    /// The addresses come last, since changing the MAC may take the link down. The link then loses
    /// its IPv6 addresses.
    fn apply_to(
        &self,
        link: &Link,
        desired: &DesiredInterface<'_>,
        before: &State,
        transaction: &mut Transaction,
    ) -> anyhow::Result<()> {
        match desired.interface.mac_address.as_ref().filter(|mac| mac.bytes() != link.mac) {
            Some(mac) if link.shares_mac() => self.session.warn(format_args!(
                "interface {}: MAC {mac} left out: an ipvlan interface has the MAC of its parent",
                link.name
            )),
            Some(mac) => set_mac(link, mac, before, transaction)?,
            None => {}
        }
        let extension = Extension::of(&link.name, desired.interface)?;
        if let Some(mtu) = extension.mtu.filter(|mtu| *mtu != link.mtu) {
            let undo = (requests::mtu(link.index, link.mtu), 0);
            transaction.change(
                Side::Inside,
                &format!("MTU {mtu}"),
                requests::mtu(link.index, mtu),
                0,
                Some(undo),
            )?;
        }
        if !link.up {
            let undo = (requests::up(link.index, false), 0);
            transaction.change(Side::Inside, "up", requests::up(link.index, true), 0, Some(undo))?;
        }
        addresses::set(link, desired, &extension, self.args.flush, transaction)
    }
}

fn set_mac(link: &Link, mac: &Mac, before: &State, transaction: &mut Transaction) -> anyhow::Result<()> {
    let set = requests::mac(link.index, mac.bytes());
    let undo = requests::mac(link.index, &link.mac);
    transaction.change_even_down(link, before, &format!("MAC {mac}"), &set, undo)
}
