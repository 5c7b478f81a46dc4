//! How far a long run is: one line on a terminal, and one more when SIGUSR1 asks, as dd and tar have it.
//!
//! The work only adds to a counter ([`Counted`]); a thread of its own looks at it five times a second.

use std::io::{self, IsTerminal, Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{DecimalBytes, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use nix::sys::signal::{SigSet, Signal};

use crate::signal;

/// A run that ends sooner than this shows nothing.
const PATIENCE: Duration = Duration::from_millis(500);
/// Between two looks at the counter.
const TICK: Duration = Duration::from_millis(200);
/// Between two lines where they cannot be drawn over each other.
const LINE: Duration = Duration::from_secs(1);

/// Bytes that this process has moved, of what [`Counted`] counts.
static MOVED: AtomicU64 = AtomicU64::new(0);

/// When the progress of a run is shown.
#[derive(clap::ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum When {
    /// When standard error is a terminal, and without --quiet.
    #[default]
    Auto,
    /// Also elsewhere: a line each second.
    Always,
    /// Only when SIGUSR1 asks.
    Never,
}

/// How it is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// One line that is drawn over and over.
    Drawn,
    /// Line after line.
    Lines,
    /// When SIGUSR1 asks.
    Asked,
}

/// The progress of one run. Clones share it.
#[derive(Clone)]
pub(crate) struct Progress {
    state: Arc<Mutex<State>>,
}

struct State {
    tool: String,
    form: Form,
    bar: ProgressBar,
    stage: String,
    total: Option<u64>,
    /// Where the counter stood when the stage began.
    from: u64,
    begun: Instant,
    told: Instant,
    running: bool,
}

impl Progress {
    pub(crate) fn new(tool: &str, when: When, quiet: bool) -> Progress {
        let form = match when {
            When::Auto if !quiet && io::stderr().is_terminal() => Form::Drawn,
            When::Always if io::stderr().is_terminal() => Form::Drawn,
            When::Always => Form::Lines,
            When::Auto | When::Never => Form::Asked,
        };
        let state = State {
            tool: tool.into(),
            form,
            bar: ProgressBar::hidden(),
            stage: String::new(),
            total: None,
            from: 0,
            begun: Instant::now(),
            told: Instant::now(),
            running: false,
        };
        Progress { state: Arc::new(Mutex::new(state)) }
    }

    /// Begins a stage of the work ("packing") that moves `total` bytes, if that is known.
    ///
    /// The first one starts the thread: call it before other threads are started, for signals are blocked in it.
    pub(crate) fn stage(&self, stage: &str, total: Option<u64>) {
        let mut state = self.lock();
        state.stage = stage.into();
        state.total = total.filter(|&total| total > 0);
        state.from = MOVED.load(Ordering::Relaxed);
        state.begun = Instant::now();
        state.told = state.begun;
        state.bar.reset();
        match state.total {
            Some(total) => state.bar.set_length(total),
            None => state.bar.unset_length(),
        }
        let first = !std::mem::replace(&mut state.running, true);
        let form = state.form;
        drop(state);
        if first {
            self.watch(form);
        }
    }

    /// Takes `bytes` off what the stage moves.
    pub(crate) fn fewer(&self, bytes: u64) {
        let mut state = self.lock();
        if let Some(total) = &mut state.total {
            *total = total.saturating_sub(bytes);
            let total = *total;
            state.bar.set_length(total);
        }
    }

    fn watch(&self, form: Form) {
        if form == Form::Drawn {
            // A line left behind by Ctrl-C would stand before the prompt.
            let progress = self.clone();
            signal::on_termination(move || progress.end());
        }
        let mut asked = SigSet::empty();
        asked.add(Signal::SIGUSR1);
        if asked.thread_block().is_err() {
            return;
        }
        let progress = self.clone();
        // Where no thread can be had the work goes on without being shown.
        let _ = std::thread::Builder::new().name("progress".into()).spawn(move || {
            let tick = (form != Form::Asked).then_some(TICK);
            loop {
                let signalled = signal::wait(&asked, tick);
                if !progress.lock().show(signalled) {
                    break;
                }
            }
        });
    }

    /// Ends what is shown and leaves nothing of it on the terminal.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.running = false;
        state.bar.finish_and_clear();
    }

    /// Writes to standard error, above the line that is drawn.
    pub(crate) fn above(&self, write: impl FnOnce()) {
        let state = self.lock();
        state.bar.suspend(write);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // What is shown may be wrong after a panic; that is no reason for a second one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// One look at the counter; `false` when the run is over.
    fn show(&mut self, asked: bool) -> bool {
        if !self.running {
            return false;
        }
        let done = MOVED.load(Ordering::Relaxed).saturating_sub(self.from);
        let waited = self.begun.elapsed() >= PATIENCE;
        if self.form == Form::Drawn && waited && self.bar.is_hidden() {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template("{wide_msg}") {
                self.bar.set_style(style);
            }
        }
        // Its average of the last seconds is what the rest of the time is told from.
        self.bar.set_position(done);
        let line_due = self.form == Form::Lines && self.told.elapsed() >= LINE;
        if asked || line_due {
            self.told = Instant::now();
            let line = self.line(done);
            // Standard error may be closed; there is nobody left to tell.
            self.bar.suspend(|| drop(writeln!(io::stderr().lock(), "{line}")));
        } else if self.form == Form::Drawn && waited {
            self.bar.set_message(self.line(done));
            self.bar.tick();
        }
        true
    }

    /// `ckpt-pack: packing: 1.20 GB of 4.00 GB, 30%, 310.00 MB/s, 9 seconds left`
    fn line(&self, done: u64) -> String {
        let seconds = self.begun.elapsed().as_secs_f64().max(0.001);
        let rate = if self.form == Form::Asked { done as f64 / seconds } else { self.bar.per_sec() };
        let mut line = format!("{}: {}: {}", self.tool, self.stage, DecimalBytes(done));
        if let Some(total) = self.total {
            // What is known before is the content; headers and padding come on top.
            let total = total.max(done);
            line.push_str(&format!(" of {}, {}%", DecimalBytes(total), percent(done, total)));
        }
        line.push_str(&format!(", {}/s", DecimalBytes(rate as u64)));
        match self.total.map(|total| total.saturating_sub(done)) {
            Some(rest) if rate >= 1.0 => {
                let left = Duration::from_secs_f64((rest as f64 / rate).min(1e9));
                line.push_str(&format!(", {} left", HumanDuration(left)));
            }
            _ => line.push_str(&format!(", {}", HumanDuration(self.begun.elapsed()))),
        }
        line
    }
}

fn percent(done: u64, total: u64) -> u64 {
    u64::try_from(u128::from(done) * 100 / u128::from(total.max(1))).unwrap_or(100)
}

/// A reader or writer whose bytes are counted for the progress of the run.
pub struct Counted<T>(T);

impl<T> Counted<T> {
    /// Counts what goes through `inner`.
    pub fn new(inner: T) -> Counted<T> {
        Counted(inner)
    }

    /// Counts what `move_to` moves to the writer by itself, in the parts that it tells.
    pub fn moving(&mut self, move_to: impl FnOnce(&mut T, &mut dyn FnMut(u64)) -> u64) -> u64 {
        move_to(&mut self.0, &mut count)
    }

    /// Counts what `move_to` says it has moved, at its end.
    pub fn moved(&mut self, move_to: impl FnOnce(&mut T) -> u64) -> u64 {
        let moved = move_to(&mut self.0);
        count(moved);
        moved
    }

    /// The reader or writer itself.
    pub fn into_inner(self) -> T {
        self.0
    }
}

/// Counts bytes that no [`Counted`] sees.
pub fn count(bytes: u64) {
    MOVED.fetch_add(bytes, Ordering::Relaxed);
}

fn counted(n: usize) -> usize {
    count(n as u64);
    n
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf).map(counted)
    }
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.write(buf).map(counted)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(total: Option<u64>, seconds: u64) -> State {
        State {
            tool: "ckpt-pack".into(),
            form: Form::Asked,
            bar: ProgressBar::hidden(),
            stage: "packing".into(),
            total,
            from: 0,
            begun: Instant::now() - Duration::from_secs(seconds),
            told: Instant::now(),
            running: true,
        }
    }

    #[test]
    fn the_line_tells_bytes_rate_and_rest() {
        let line = state(Some(4_000_000_000), 10).line(1_000_000_000);
        assert!(line.starts_with("ckpt-pack: packing: 1.00 GB of 4.00 GB, 25%, "), "{line}");
        assert!(line.ends_with("MB/s, 30 seconds left") || line.ends_with("MB/s, 29 seconds left"), "{line}");
    }

    #[test]
    fn without_a_total_the_line_promises_nothing() {
        let line = state(None, 10).line(1_000_000_000);
        assert!(!line.contains("left") && !line.contains('%'), "{line}");
    }

    #[test]
    fn more_than_announced_is_all_of_it() {
        let line = state(Some(10), 10).line(1000);
        assert!(line.contains("1.00 kB of 1.00 kB, 100%"), "{line}");
    }
}
