//! The process tree, walked in the order in which it is shown.

use checkpoint::memory::{Amount, Mapping};
use checkpoint::process_tree::{Images, Node, Process};

/// A process with the lines that connect it to its parent, such as `│  └─ `.
pub struct Row<'t> {
    pub lines: String,
    /// The lines below the process, for texts that belong to it.
    pub below: String,
    pub process: &'t Process,
}

/// Calls `row` for each process in the tree, parents before their children.
///
/// # Errors
/// Returns the first error of `row`.
pub fn each<'t, E>(tree: &'t [Node], row: &mut dyn FnMut(Row<'t>) -> Result<(), E>) -> Result<(), E> {
    fn below<'t, E>(
        nodes: &'t [Node],
        above: &str,
        is_root: bool,
        row: &mut dyn FnMut(Row<'t>) -> Result<(), E>,
    ) -> Result<(), E> {
        for (n, node) in nodes.iter().enumerate() {
            let (branch, rest) = match n + 1 == nodes.len() {
                _ if is_root => ("", ""),
                true => ("└─ ", "   "),
                false => ("├─ ", "│  "),
            };
            let rest = format!("{above}{rest}");
            row(Row { lines: format!("{above}{branch}"), below: rest.clone(), process: &node.process })?;
            below(&node.children, &rest, false, row)?;
        }
        Ok(())
    }
    below(tree, "", true, row)
}

/// Returns the processes in the tree, parents before their children.
pub fn processes(tree: &[Node]) -> Vec<&Process> {
    let mut processes = Vec::new();
    let Ok(()) = each::<std::convert::Infallible>(tree, &mut |row| {
        processes.push(row.process);
        Ok(())
    });
    processes
}

/// Returns the PIDs of the processes in the tree, parents before their children.
pub fn pids(tree: &[Node]) -> Vec<u32> {
    processes(tree).iter().map(|process| process.pid).collect()
}

/// Returns the command line of a process, or its name in the kernel without one.
pub fn command(process: &Process) -> String {
    if process.cmdline.is_empty() { process.command.clone() } else { process.cmdline.join(" ") }
}

/// Returns the amount of memory of a process.
pub fn amount(images: &Images, pid: u32) -> Amount {
    let mut sum = Amount::default();
    images.mappings(pid).into_iter().for_each(|(_, amount)| sum += amount);
    sum
}

/// Returns up to `most` mappings of a process with the most memory in the images, the largest first.
pub fn largest(images: &Images, pid: u32, most: usize) -> Vec<(&Mapping, Amount)> {
    let mut mappings = images.mappings(pid);
    mappings.retain(|(_, amount)| amount.stored > 0 || amount.in_parent > 0);
    mappings.sort_by(|(a, x), (b, y)| {
        (y.stored + y.in_parent).cmp(&(x.stored + x.in_parent)).then(a.range.start.cmp(&b.range.start))
    });
    mappings.truncate(most);
    mappings
}
