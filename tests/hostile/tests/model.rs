//! Extracts random hostile tars with the tools and with a model of a file system in memory. Tool
//! and model must have the same result and the same tree, and the tools must not access anything
//! outside their directories.
//!
//! With SEED=N in the environment, runs only the tar with that seed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt};
use std::path::Path;

use harness::Random;
use harness::forge::{Header, TarForge};
use hostile::each;
use hostile::world::{World, file_of};

/// An entry of the model.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    Dir {
        mode: u32,
    },
    /// Any other entry: the index of its inode in [`Model::inodes`].
    Leaf(usize),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Inode {
    File { mode: u32, text: String },
    Link { target: String },
    Fifo { mode: u32 },
}

/// A file system. Keys are normalized paths relative to the root, which is "".
#[derive(Clone, Default)]
struct Model {
    nodes: BTreeMap<String, Node>,
    inodes: Vec<Inode>,
    /// Modes of directories, which extraction sets at its end.
    modes: BTreeMap<String, u32>,
    /// Mode of a parent directory that the tar does not contain.
    implied: u32,
}

/// An entry of a tar.
#[derive(Clone, Debug)]
enum Step {
    Dir(String, u32),
    File(String, u32, String),
    Link(String, String),
    Hard(String, String),
    Fifo(String, u32),
    Removal(String),
}

/// The error at which extraction stops.
struct Stop;

fn clean(name: &str) -> Result<String, Stop> {
    let parts: Vec<_> = name.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if name.is_empty() || parts.contains(&"..") { Err(Stop) } else { Ok(parts.join("/")) }
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

impl Model {
    /// Reads the tree at `root`.
    fn of(root: &Path) -> Model {
        let mut model = Model::default();
        let mut numbers: BTreeMap<(u64, u64), usize> = BTreeMap::new();
        let mut rest = vec![String::new()];
        while let Some(path) = rest.pop() {
            let at = root.join(&path);
            let meta = fs::symlink_metadata(&at).expect("an object");
            let mode = meta.mode() & 0o7777;
            if meta.is_dir() {
                for entry in fs::read_dir(&at).expect("a directory") {
                    let name = entry.expect("an entry").file_name().into_string().expect("a plain name");
                    rest.push(if path.is_empty() { name } else { format!("{path}/{name}") });
                }
                model.nodes.insert(path, Node::Dir { mode });
                continue;
            }
            let number = *numbers.entry((meta.dev(), meta.ino())).or_insert_with(|| {
                model.inodes.push(if meta.is_symlink() {
                    let target = fs::read_link(&at).expect("a link");
                    Inode::Link { target: target.to_str().expect("a plain target").into() }
                } else if meta.file_type().is_fifo() {
                    Inode::Fifo { mode }
                } else {
                    Inode::File { mode, text: fs::read_to_string(&at).expect("a file") }
                });
                model.inodes.len() - 1
            });
            model.nodes.insert(path, Node::Leaf(number));
        }
        model
    }

    /// Returns one line per entry. Further hard links of an inode refer to its first name.
    fn lines(&self) -> Vec<String> {
        let mut first: BTreeMap<usize, &str> = BTreeMap::new();
        self.nodes
            .iter()
            .map(|(path, node)| match node {
                Node::Dir { mode } => format!("/{path}: directory {mode:o}"),
                Node::Leaf(number) => {
                    let first = first.entry(*number).or_insert(path);
                    format!("/{path}: {:?} as /{first}", self.inodes[*number])
                }
            })
            .collect()
    }

    fn is_link(&self, path: &str) -> bool {
        matches!(self.nodes.get(path), Some(Node::Leaf(n)) if matches!(self.inodes[*n], Inode::Link { .. }))
    }

    /// Returns whether all parents of `path` exist, or the kind of the parent that is not a
    /// directory.
    fn parents_exist(&self, path: &str) -> Result<bool, NotDirectory> {
        for (at, _) in parent(path).match_indices('/').chain([(parent(path).len(), "")]) {
            match self.nodes.get(&path[..at]) {
                Some(Node::Dir { .. }) => {}
                None => return Ok(false),
                Some(_) if self.is_link(&path[..at]) => return Err(NotDirectory::Link),
                Some(_) => return Err(NotDirectory::Other),
            }
        }
        Ok(true)
    }

    fn remove(&mut self, path: &str) {
        let below = format!("{path}/");
        self.nodes.retain(|name, _| name != path && !name.starts_with(&below));
    }

    fn make_parent(&mut self, path: &str) -> Result<(), Stop> {
        if self.parents_exist(path).map_err(|_| Stop)? {
            return Ok(());
        }
        let parent = parent(path);
        for (at, _) in parent.match_indices('/').chain([(parent.len(), "")]) {
            self.nodes.entry(parent[..at].into()).or_insert(Node::Dir { mode: self.implied });
        }
        Ok(())
    }

    fn make(&mut self, path: String, inode: Inode) -> Result<(), Stop> {
        if path.is_empty() {
            return Err(Stop);
        }
        self.make_parent(&path)?;
        self.remove(&path);
        self.inodes.push(inode);
        self.nodes.insert(path, Node::Leaf(self.inodes.len() - 1));
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<(), Stop> {
        match step {
            Step::Dir(name, mode) => {
                let path = clean(name)?;
                if !path.is_empty() {
                    self.make_parent(&path)?;
                    if !matches!(self.nodes.get(&path), Some(Node::Dir { .. })) {
                        self.remove(&path);
                        self.nodes.insert(path.clone(), Node::Dir { mode: 0o700 });
                    }
                }
                self.modes.insert(path, *mode);
                Ok(())
            }
            Step::File(name, mode, text) => {
                self.make(clean(name)?, Inode::File { mode: *mode, text: text.clone() })
            }
            Step::Link(name, target) => self.make(clean(name)?, Inode::Link { target: target.clone() }),
            Step::Fifo(name, mode) => self.make(clean(name)?, Inode::Fifo { mode: *mode }),
            Step::Hard(name, target) => {
                let (path, target) = (clean(name)?, clean(target)?);
                if path.is_empty() || target.is_empty() || path == target {
                    return Err(Stop);
                }
                if !self.parents_exist(&target).map_err(|_| Stop)? {
                    return Err(Stop);
                }
                let Some(node @ Node::Leaf(_)) = self.nodes.get(&target).cloned() else { return Err(Stop) };
                if self.nodes.get(&path) == Some(&node) && self.parents_exist(&path).is_ok_and(|there| there)
                {
                    return Ok(());
                }
                self.make_parent(&path)?;
                self.remove(&path);
                // The target was below the replaced directory.
                if !self.nodes.contains_key(&target) {
                    return Err(Stop);
                }
                self.nodes.insert(path, node);
                Ok(())
            }
            Step::Removal(name) => {
                if name.is_empty() {
                    return Ok(());
                }
                let path = clean(name)?;
                if path.is_empty() {
                    return Err(Stop);
                }
                match self.parents_exist(&path) {
                    Ok(true) => self.remove(&path),
                    Ok(false) | Err(NotDirectory::Other) => {}
                    Err(NotDirectory::Link) => return Err(Stop),
                }
                Ok(())
            }
        }
    }

    fn finish(&mut self) {
        for (path, mode) in std::mem::take(&mut self.modes) {
            if let Some(Node::Dir { mode: had }) = self.nodes.get_mut(&path) {
                *had = mode;
            }
        }
    }
}

/// Kind of a parent that is not a directory.
enum NotDirectory {
    Link,
    Other,
}

/// Random names and steps.
struct Steps(Random);

impl Steps {
    /// Returns a name. There are few different names, so that entries collide, and some are
    /// malicious.
    fn name(&mut self) -> String {
        if self.0.below(40) == 0 {
            return self
                .0
                .of(&["..", "../a", "a/../../b", "", ".", "/", "//a", "./b", "a/./b", "/a/b"])
                .into();
        }
        // A symlink or file as a parent ends the extraction, so these are rare.
        let links = ["link-out", "link-in", "link-up", "file"];
        let parts =
            ["a", "b", "c", "d", "dir", "e", if self.0.below(8) == 0 { self.0.of(&links) } else { "f" }];
        let depth = 1 + self.0.below(3);
        (0..depth).map(|_| self.0.of(&parts)).collect::<Vec<_>>().join("/")
    }

    fn step(&mut self, world: &World, n: usize) -> Step {
        let name = self.name();
        // The owner can enter every directory, so that the test also runs without root.
        let mode = [0o755, 0o700, 0o777, 0o1777][self.0.below(4)];
        match self.0.below(12) {
            0..=2 => Step::Dir(name, mode),
            3..=5 => Step::File(name, mode & 0o777, format!("{n}\n")),
            6 => Step::Link(name, world.out(self.0.of(&["", "dir", "victim"]))),
            7 => Step::Link(name, self.0.of(&["a", "../b", ".", "../../../outside", "/", "b/c"]).into()),
            8..=9 => Step::Hard(name, self.name()),
            10 => Step::Fifo(name, mode & 0o777),
            _ => Step::Removal(name),
        }
    }
}

fn tar(steps: &[Step]) -> Vec<u8> {
    let put = |tar: TarForge, step: &Step| match step {
        Step::Dir(name, mode) => tar.header(Header::new(b'5', name).mode(*mode)),
        Step::File(name, mode, text) => tar.entry(Header::new(b'0', name).mode(*mode), text),
        Step::Link(name, target) => tar.pax("linkpath", target).symlink(name, ""),
        Step::Hard(name, target) => tar.hardlink(name, target),
        Step::Fifo(name, mode) => tar.header(Header::new(b'6', name).mode(*mode)),
        Step::Removal(name) => tar.header(Header::new(b'g', name)),
    };
    steps.iter().fold(TarForge::new(), put).end()
}

fn problems(seed: u64) -> Vec<String> {
    let world = World::new();
    let mut random = Random::new(seed);
    // After some number of files, the extraction starts a worker thread for the following files.
    let before = [0, 20 + random.below(40)][random.below(2)];
    let mut steps: Vec<_> =
        (0..before).map(|n| Step::File(format!("n{n}"), 0o755, format!("{n}\n"))).collect();
    let count = 1 + random.below(30);
    let mut random = Steps(random);
    steps.extend((0..count).map(|n| random.step(&world, n)));

    let is_volume = seed % 2 == 0;
    if is_volume {
        // Deletions in a volume's tar are rejected; the tables test that.
        steps.retain(|step| !matches!(step, Step::Removal(_)));
    }

    let probe = world.place().join("probe");
    fs::DirBuilder::new().mode(0o755).create(&probe).expect("a directory");
    let implied = fs::metadata(&probe).expect("a directory").mode() & 0o7777;
    fs::remove_dir(&probe).expect("an empty directory");

    let mut model = Model { implied, ..Model::of(&world.root()) };
    let stopped = steps.iter().any(|step| model.step(step).is_err());
    if !stopped {
        model.finish();
    }
    let (run, mut found) = match is_volume {
        true => world.run("vol-archive", &["extract", "root"], file_of(&tar(&steps))),
        false => world.run("rootfs-diff", &["apply", "--rootfs", "root"], file_of(&tar(&steps))),
    };
    let code = if stopped { 1 } else { 0 };
    if run.code != Some(code) {
        found.push(format!("status {:?} for {code}: {}", run.code, run.stderr.trim_end()));
    }
    let expected: BTreeSet<_> = model.lines().into_iter().collect();
    let made: BTreeSet<_> = Model::of(&world.root()).lines().into_iter().collect();
    found.extend(expected.difference(&made).map(|line| format!("only in the model: {line}")));
    found.extend(made.difference(&expected).map(|line| format!("only extracted: {line}")));
    if !found.is_empty() {
        found.push(format!("of {steps:#?}"));
    }
    found
}

#[test]
fn a_random_hostile_tar_is_extracted_like_by_the_model() {
    let seeds: Vec<u64> = match std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => vec![seed],
        None => (0..600).collect(),
    };
    let rows: Vec<(String, u64)> = seeds.into_iter().map(|seed| (format!("SEED={seed}"), seed)).collect();
    each(&rows, |(name, _)| name, |(_, seed)| problems(*seed));
}
