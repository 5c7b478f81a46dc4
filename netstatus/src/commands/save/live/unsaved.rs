//! Settings of a namespace that a status cannot express, even with `--extended`.
//!
//! `save` warns about each of these settings, because they are missing after the restore.

use std::io;

use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleFlags, RuleMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::kernel::link::Link;
use crate::kernel::netlink::{Netlink, errno};
use crate::kernel::state::State;

/// The priorities and tables of the rules that every new namespace has.
const DEFAULT_RULES: [(u32, u32); 3] = [(0, 255), (32766, 254), (32767, 253)];

/// Lists the routing rules, the permanent neighbors and the unsaved settings of the saved links.
///
/// # Errors
/// Returns an error if the kernel rejects a request.
pub fn unsaved(netlink: &mut Netlink, inside: &State, saved: &[&Link]) -> io::Result<Vec<String>> {
    let mut lost = Vec::new();
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        lost.extend(rules(netlink, family)?);
        lost.extend(neighbors(netlink, family, inside, saved)?);
    }
    for link in saved.iter().filter(|link| !link.unsaved.is_empty()) {
        lost.push(format!("interface {}: {}", link.name, link.unsaved.join(", ")));
    }
    Ok(lost)
}

fn rules(netlink: &mut Netlink, family: AddressFamily) -> io::Result<Vec<String>> {
    let mut request = RuleMessage::default();
    request.header.family = family;
    let answers = match netlink.dump(RouteNetlinkMessage::GetRule(request)) {
        Ok(answers) => answers,
        // The kernel was built without policy routing.
        Err(e) if matches!(errno(&e), Some(libc::EOPNOTSUPP | libc::EAFNOSUPPORT)) => {
            return Ok(Vec::new());
        }
        Err(e) => return Err(e),
    };
    let rule = |answer| match answer {
        RouteNetlinkMessage::NewRule(rule) if rule.header.family == family && !is_default(&rule) => {
            Some(format!("routing rule {}", describe(&rule)))
        }
        _ => None,
    };
    Ok(answers.into_iter().filter_map(rule).collect())
}

fn table(rule: &RuleMessage) -> u32 {
    let attribute =
        rule.attributes.iter().find_map(|a| if let RuleAttribute::Table(id) = a { Some(*id) } else { None });
    attribute.unwrap_or(rule.header.table.into())
}

fn priority(rule: &RuleMessage) -> u32 {
    let attribute =
        rule.attributes.iter().find_map(|a| if let RuleAttribute::Priority(n) = a { Some(*n) } else { None });
    attribute.unwrap_or(0)
}

fn is_default(rule: &RuleMessage) -> bool {
    let selects = |a: &RuleAttribute| {
        !matches!(
            a,
            RuleAttribute::Table(_)
                | RuleAttribute::Priority(_)
                | RuleAttribute::Protocol(_)
                | RuleAttribute::SuppressPrefixLen(u32::MAX)
        )
    };
    rule.header.action == RuleAction::ToTable
        && (rule.header.src_len, rule.header.dst_len, rule.header.tos) == (0, 0, 0)
        && DEFAULT_RULES.contains(&(priority(rule), table(rule)))
        && !rule.attributes.iter().any(selects)
}

/// Describes the rule as `ip rule show` does.
fn describe(rule: &RuleMessage) -> String {
    let header = &rule.header;
    let mut text = format!("{}:", priority(rule));
    if header.flags.contains(RuleFlags::Invert) {
        text.push_str(" not");
    }
    let source =
        rule.attributes.iter().find_map(|a| if let RuleAttribute::Source(ip) = a { Some(ip) } else { None });
    match source {
        Some(ip) => text.push_str(&format!(" from {ip}/{}", header.src_len)),
        None => text.push_str(" from all"),
    }
    for attribute in &rule.attributes {
        match attribute {
            RuleAttribute::Destination(ip) => text.push_str(&format!(" to {ip}/{}", header.dst_len)),
            RuleAttribute::Iifname(name) => text.push_str(&format!(" iif {name}")),
            RuleAttribute::Oifname(name) => text.push_str(&format!(" oif {name}")),
            RuleAttribute::FwMark(mark) => text.push_str(&format!(" fwmark {mark:#x}")),
            RuleAttribute::Goto(priority) => text.push_str(&format!(" goto {priority}")),
            _ => {}
        }
    }
    match header.action {
        RuleAction::ToTable => text.push_str(&format!(" lookup {}", table(rule))),
        RuleAction::Goto => {}
        RuleAction::Nop => text.push_str(" nop"),
        RuleAction::Blackhole => text.push_str(" blackhole"),
        RuleAction::Unreachable => text.push_str(" unreachable"),
        RuleAction::Prohibit => text.push_str(" prohibit"),
        other => text.push_str(&format!(" action {}", u8::from(other))),
    }
    if header.family == AddressFamily::Inet6 {
        text.push_str(" (IPv6)");
    }
    text
}

fn neighbors(
    netlink: &mut Netlink,
    family: AddressFamily,
    inside: &State,
    saved: &[&Link],
) -> io::Result<Vec<String>> {
    let mut request = NeighbourMessage::default();
    request.header.family = family;
    let mut lost = Vec::new();
    for answer in netlink.dump(RouteNetlinkMessage::GetNeighbour(request))? {
        let RouteNetlinkMessage::NewNeighbour(neighbor) = answer else { continue };
        let header = &neighbor.header;
        if header.family != family || header.state != NeighbourState::Permanent {
            continue;
        }
        let Some(link) =
            inside.link_at(header.ifindex).filter(|link| saved.iter().any(|s| s.index == link.index))
        else {
            continue;
        };
        let ip = neighbor.attributes.iter().find_map(|attribute| match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(ip)) => Some(ip.to_string()),
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(ip)) => Some(ip.to_string()),
            _ => None,
        });
        lost.extend(ip.map(|ip| format!("permanent neighbor {ip} of interface {}", link.name)));
    }
    Ok(lost)
}
