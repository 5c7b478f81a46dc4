//! Tables of hostile input: each row has a description, the input, and the expected result.
//!
//! All eight commands that read tars read every tar. One command reads every other input. With
//! any input, no tool may access anything outside its directories, crash, hang, exceed its limits,
//! or print control characters ([`harness::bounded`], [`harness::watch`]). These checks apply to
//! every row, in addition to the row's expected result.
//!
//! If a tool disagrees with a row, the row is the requirement.

pub mod tables;
pub mod tar;
pub mod world;

/// Expected result of a hostile tar.
pub enum Outcome {
    /// Every command rejects the tar with this message, even commands that only list entries.
    Refused(&'static str),
    /// Listing succeeds. Extraction fails with this message.
    Stopped(&'static str),
    /// Extraction succeeds, below the root, with this warning.
    Warned(&'static str),
    /// Extraction succeeds, below the root, and the function returns `true` for the root.
    Made(fn(&std::path::Path) -> bool),
}

/// Creates the tar, which may contain paths outside of the world's root.
pub type Forged = Box<dyn Fn(&world::World) -> Vec<u8> + Send + Sync>;

/// A hostile tar.
pub struct Row {
    /// Description of the fault.
    pub name: &'static str,
    /// Creates the tar.
    pub tar: Forged,
    /// Expected result.
    pub outcome: Outcome,
    /// Whether the row is tested only as root.
    pub needs_root: bool,
    /// Whether the tar contains a deletion header. The tar of a volume must not delete, so its
    /// extraction must fail even if `outcome` is a success.
    pub deletes: bool,
}

impl Row {
    /// Restricts the row to root: for other users, creating a device fails before the fault under
    /// test.
    #[must_use]
    pub fn for_root(self) -> Row {
        Row { needs_root: true, ..self }
    }

    /// Marks the tar as one that contains a deletion header.
    #[must_use]
    pub fn that_deletes(self) -> Row {
        Row { deletes: true, ..self }
    }
}

/// Creates a row of a table.
pub fn row(
    name: &'static str,
    tar: impl Fn(&world::World) -> Vec<u8> + Send + Sync + 'static,
    outcome: Outcome,
) -> Row {
    Row { name, tar: Box::new(tar), outcome, needs_root: false, deletes: false }
}

/// Runs `job` on every row, with one thread per processor. With ROW=TEXT in the environment, runs
/// only rows whose name contains TEXT.
///
/// # Panics
/// Panics with a list of all problems if `job` returns any.
pub fn each<T: Sync>(rows: &[T], name: fn(&T) -> &str, job: impl Fn(&T) -> Vec<String> + Sync) {
    let filter = std::env::var("ROW").unwrap_or_default();
    let rows: Vec<&T> = rows.iter().filter(|row| name(row).contains(&filter)).collect();
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

/// Expected result of a run.
pub enum Ends {
    /// Status 0.
    Done,
    /// Status 0, and the function returns `true` for the output and the world.
    Gives(fn(&harness::bounded::Run, &world::World) -> bool),
    /// Status 0 and this warning.
    Warns(&'static str),
    /// Status 1, this message, and no new file in the working directory.
    Fails(&'static str),
    /// Status 2, this message, and no new file in the working directory.
    Usage(&'static str),
}

/// Hostile input for one tool.
pub struct Input {
    /// Description of the fault.
    pub name: &'static str,
    /// Tool that reads the input.
    pub tool: &'static str,
    /// Arguments of the tool.
    pub args: &'static [&'static str],
    /// Prepares the world and writes standard input.
    pub write: Written,
    /// Expected result.
    pub ends: Ends,
    /// Whether the input is tested only as root.
    pub needs_root: bool,
}

/// Writes standard input. May also create files in the world.
pub type Written = fn(&world::World, &mut dyn std::io::Write) -> std::io::Result<()>;

/// Creates an input of a table.
pub fn input(
    name: &'static str,
    tool: &'static str,
    args: &'static [&'static str],
    write: Written,
    ends: Ends,
) -> Input {
    Input { name, tool, args, write, ends, needs_root: false }
}

impl Input {
    /// Restricts the input to root: for other users, the tool fails before it reads the input.
    #[must_use]
    pub fn for_root(self) -> Input {
        Input { needs_root: true, ..self }
    }

    /// Runs the tool and returns all deviations from the expected result.
    ///
    /// # Panics
    /// Panics if the disk has no space for the input.
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
