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
    /// Only root gets so far.
    pub needs_root: bool,
    /// It deletes by a header of its own: as a volume it is stopped for that, whatever becomes of it as a diff.
    pub deletes: bool,
}

impl Row {
    /// The row, for root alone: others are stopped at a device before they meet what it is about.
    #[must_use]
    pub fn for_root(self) -> Row {
        Row { needs_root: true, ..self }
    }

    /// The row of a tar that deletes.
    #[must_use]
    pub fn that_deletes(self) -> Row {
        Row { deletes: true, ..self }
    }
}

/// A row of a table.
pub fn row(
    name: &'static str,
    tar: impl Fn(&world::World) -> Vec<u8> + Send + Sync + 'static,
    outcome: Outcome,
) -> Row {
    Row { name, tar: Box::new(tar), outcome, needs_root: false, deletes: false }
}

/// Runs `job` on every row, on as many threads as there are processors, and fails with all that was found.
/// With ROW=TEXT in the environment only rows are run whose name holds that text.
///
/// # Panics
/// When there was anything.
pub fn each<T: Sync>(rows: &[T], name: fn(&T) -> &str, job: impl Fn(&T) -> Vec<String> + Sync) {
    let wanted = std::env::var("ROW").unwrap_or_default();
    let rows: Vec<&T> = rows.iter().filter(|row| name(row).contains(&wanted)).collect();
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

/// How a run ends.
pub enum Ends {
    /// Status 0.
    Done,
    /// Status 0, and this is found right in what was written and what stands in the place.
    Gives(fn(&harness::bounded::Run, &world::World) -> bool),
    /// Status 0, with this in a warning.
    Warns(&'static str),
    /// Status 1, with this in the message, and nothing new in the place.
    Fails(&'static str),
    /// Status 2, with this in the message.
    Usage(&'static str),
}

/// Hostile input of one tool.
pub struct Input {
    /// What is wrong with it.
    pub name: &'static str,
    /// Who reads it.
    pub tool: &'static str,
    /// How.
    pub args: &'static [&'static str],
    /// Prepares the world, and writes what stands on standard input.
    pub write: Written,
    /// How that ends.
    pub ends: Ends,
}

/// Writes standard input; it may prepare files before.
pub type Written = fn(&world::World, &mut dyn std::io::Write) -> std::io::Result<()>;

/// An input of a table.
pub fn input(
    name: &'static str,
    tool: &'static str,
    args: &'static [&'static str],
    write: Written,
    ends: Ends,
) -> Input {
    Input { name, tool, args, write, ends }
}

impl Input {
    /// What is wrong with the tool in the light of this input.
    ///
    /// # Panics
    /// When the machine has no room for it.
    pub fn problems(&self) -> Vec<String> {
        use std::io::Seek;
        let world = world::World::new();
        let mut file = tempfile::tempfile().expect("a temporary file");
        (self.write)(&world, &mut std::io::BufWriter::with_capacity(1 << 16, &mut file)).expect("room");
        file.rewind().expect("a file");
        let before = world::names(&world.place());
        let (run, mut problems) = world.run(self.tool, self.args, harness::bounded::Stdin::File(file));
        let after = world::names(&world.place());
        let mut expect = |what: &str, is: bool| {
            if !is {
                problems.push(format!("{what}; status {:?}, {}", run.code, run.stderr.trim_end()));
            }
        };
        match self.ends {
            Ends::Done => expect("fails", run.code == Some(0)),
            Ends::Gives(right) => {
                expect("fails", run.code == Some(0));
                expect(
                    &format!("is not right: {}", String::from_utf8_lossy(&run.stdout)),
                    right(&run, &world),
                );
            }
            Ends::Warns(text) => {
                expect("fails", run.code == Some(0));
                expect("has no such warning", run.stderr.contains("warning: ") && run.stderr.contains(text));
            }
            Ends::Fails(text) => {
                expect("does not fail", run.code == Some(1));
                expect("has another message", run.stderr.contains(text));
                expect("leaves something behind", before == after);
            }
            Ends::Usage(text) => {
                expect("is no usage error", run.code == Some(2));
                expect("has another message", run.stderr.contains(text));
                expect("leaves something behind", before == after);
            }
        }
        problems
    }
}
