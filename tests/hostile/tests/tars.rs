//! Every hostile tar through everything that reads one.

use hostile::{each, tables, tar};

#[test]
fn a_hostile_tar_ends_as_its_row_says_whatever_reads_it() {
    each(&tables::tars(), |row| row.name, tar::problems);
}
