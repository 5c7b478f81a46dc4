//! Giving an interface the name it has in the status: whoever moved it into the namespace may have called it otherwise.

use std::collections::BTreeMap;

use anyhow::bail;
use cli::usage;

use super::request;
use super::transaction::Transaction;
use crate::restore::ip::Link as Wanted;

/// Renames each first of `pairs` to the second. One that has its name already stays.
///
/// # Errors
/// When the status has no such interface, both are there, and the kernel's.
pub fn links(
    pairs: &[(String, String)],
    wanted: &BTreeMap<&str, Wanted<'_>>,
    transaction: &mut Transaction,
) -> anyhow::Result<()> {
    for (i, (now, name)) in pairs.iter().enumerate() {
        if !wanted.contains_key(name.as_str()) {
            return Err(usage(format!("--from-if {now}={name}: the status has no interface {name}")));
        }
        if pairs.iter().take(i).any(|(other, same)| other == now || same == name) {
            return Err(usage(format!("--from-if {now}={name}: one of the two is named twice")));
        }
        let before = transaction.inside()?;
        match (before.link(now), before.link(name)) {
            (Some(link), None) => transaction.change_even_down(
                link,
                &before,
                &format!("interface {now}: renaming it to {name}"),
                &request::name(link.index, name),
                request::name(link.index, now),
            )?,
            (None, Some(_)) => {}
            (Some(_), Some(_)) => bail!("interface {now}: cannot become {name}, which is there too"),
            (None, None) => bail!("interface {now}: not there"),
        }
    }
    Ok(())
}
