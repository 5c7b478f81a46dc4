//! Runs every hostile input that is not a tar.

use hostile::{Input, each, tables};

/// Tests the inputs that need root, or the inputs that do not.
fn test_inputs(needs_root: bool) {
    let inputs: Vec<_> =
        tables::inputs().into_iter().filter(|input| input.needs_root == needs_root).collect();
    each(&inputs, |input| input.name, Input::problems);
}

#[test]
fn each_hostile_input_has_the_expected_result() {
    test_inputs(false);
}

#[ignore = "needs root"]
#[test]
fn each_hostile_input_for_root_has_the_expected_result() {
    test_inputs(true);
}
