//! Runs every hostile input that is not a tar.

use hostile::{Input, each, tables};

#[test]
fn each_hostile_input_has_the_expected_result() {
    each(&tables::inputs(), |input| input.name, Input::problems);
}
