//! How many there are.

use hostile::tables;

#[test]
fn there_are_many_hostile_inputs_and_no_two_of_one_name() {
    let tars = tables::tars();
    let mut names: Vec<_> = tars.iter().map(|row| row.name).collect();
    names.sort_unstable();
    if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        panic!("twice: {}", twice[0]);
    }
    eprintln!("{} hostile tars", tars.len());
    assert!(names.len() >= 90, "{}", names.len());
}
