//! Runs every hostile tar.

use hostile::{each, tables, tar};

/// Tests the rows that need root, or the rows that do not.
fn test_tars(needs_root: bool) {
    let rows: Vec<_> = tables::tars().into_iter().filter(|row| row.needs_root == needs_root).collect();
    each(&rows, |row| row.name, tar::problems);
}

#[test]
fn each_command_has_the_expected_result_for_each_hostile_tar() {
    test_tars(false);
}

#[ignore = "needs root"]
#[test]
fn each_command_has_the_expected_result_for_each_tar_for_root() {
    test_tars(true);
}
