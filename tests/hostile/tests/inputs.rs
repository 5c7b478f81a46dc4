//! Every other hostile input through the tool it is for.

use hostile::{Input, each, tables};

#[test]
fn a_hostile_input_ends_as_its_row_says() {
    each(&tables::inputs(), |input| input.name, Input::problems);
}
