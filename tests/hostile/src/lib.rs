//! Hostile input, one row each: what is wrong with it and what becomes of it.
//!
//! Every row of a table is given to the built tools in every way that reads such input. Whatever it is, no tool may touch or
//! even read what lies outside its directories, crash, hang, take much memory, or print what moves the cursor
//! ([`harness::bounded`], [`harness::watch`]); what the row itself says comes on top of that.
//!
//! Where the tools disagree with a row, the row is the requirement.

pub mod tables;
pub mod tar;
pub mod world;

/// What becomes of a hostile tar.
pub enum Outcome {
    /// It is refused by everything that reads it, with this in the message; nothing of it is needed to see that.
    Refused(&'static str),
    /// To read it is harmless. Extraction stops, with this in the message.
    Stopped(&'static str),
    /// It is extracted, inside, with this in a warning.
    Warned(&'static str),
    /// It is extracted, inside, and this finds it right.
    Made(fn(&std::path::Path) -> bool),
}

/// Makes the bytes; they may name what lies outside of a world.
pub type Forged = Box<dyn Fn(&world::World) -> Vec<u8> + Send + Sync>;

/// A hostile tar.
pub struct Row {
    /// What is wrong with it.
    pub name: &'static str,
    /// The tar, for this world.
    pub tar: Forged,
    /// What becomes of it.
    pub outcome: Outcome,
}

/// A row of a table.
pub fn row(
    name: &'static str,
    tar: impl Fn(&world::World) -> Vec<u8> + Send + Sync + 'static,
    outcome: Outcome,
) -> Row {
    Row { name, tar: Box::new(tar), outcome }
}

/// Runs `job` on every row, on as many threads as there are processors, and fails with all that was found.
///
/// # Panics
/// When there was anything.
pub fn each<T: Sync>(rows: &[T], name: fn(&T) -> &str, job: impl Fn(&T) -> Vec<String> + Sync) {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let found = std::sync::Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(row) = rows.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
                    let problems = job(row);
                    found
                        .lock()
                        .expect("no panic")
                        .extend(problems.into_iter().map(|problem| format!("{}: {problem}", name(row))));
                }
            });
        }
    });
    let found = found.into_inner().expect("no panic");
    assert!(found.is_empty(), "{} problems:\n{}", found.len(), found.join("\n"));
}
