//! Runs every hostile tar.

use hostile::{each, tables, tar};

#[test]
fn each_command_has_the_expected_result_for_each_hostile_tar() {
    each(&tables::tars(), |row| row.name, tar::problems);
}
