//! Renaming of interfaces that had another name when they were moved into the namespace.

use anyhow::bail;
use cli::usage;

use super::requests;
use super::transaction::Transaction;
use crate::model::desired::DesiredInterfaces;

/// Renames the first interface of each pair to the second, unless it already has that name.
///
/// # Errors
/// Returns an error if the status has no such interface, if the namespace has both interfaces or
/// neither, or if the kernel rejects the name.
pub fn links(
    pairs: &[(String, String)],
    interfaces: &DesiredInterfaces<'_>,
    transaction: &mut Transaction,
) -> anyhow::Result<()> {
    for (i, (now, name)) in pairs.iter().enumerate() {
        if !interfaces.contains_key(name.as_str()) {
            return Err(usage(format!("--from-if {now}={name}: the status has no interface {name}")));
        }
        if pairs.iter().take(i).any(|(other, same)| other == now || same == name) {
            return Err(usage(format!("--from-if {now}={name}: one of the interfaces is named twice")));
        }
        let before = transaction.inside()?;
        match (before.link(now), before.link(name)) {
            (Some(link), None) => transaction.change_even_down(
                link,
                &before,
                &format!("interface {now}: rename to {name}"),
                &requests::name(link.index, name),
                requests::name(link.index, now),
            )?,
            (None, Some(_)) => {}
            (Some(_), Some(_)) => bail!("interface {now}: cannot rename to {name}, which also exists"),
            (None, None) => bail!("interface {now}: no such interface in the namespace"),
        }
    }
    Ok(())
}
