//! Checks the number and the names of the rows.

use hostile::tables;

#[test]
fn the_tables_have_400_rows_with_unique_names() {
    let (tars, inputs) = (tables::tars(), tables::inputs());
    let mut names: Vec<_> =
        tars.iter().map(|row| row.name).chain(inputs.iter().map(|input| input.name)).collect();
    names.sort_unstable();
    if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        panic!("twice: {}", twice[0]);
    }
    println!("{} hostile tars, each through eight readers, and {} other inputs", tars.len(), inputs.len());
    assert!(names.len() >= 400, "{}", names.len());
}
