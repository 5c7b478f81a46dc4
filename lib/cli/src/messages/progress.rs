//! Shows the progress of a long run: one line on a terminal, and a line for each SIGUSR1, like dd
//! and tar.
//!
//! The run only increments a counter ([`Counted`]). A separate thread reads the counter five times
//! a second.

use std::io::{self, IsTerminal, Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{DecimalBytes, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use nix::sys::signal::{SigSet, Signal};

use super::session::print_line;
use crate::signal;

/// A run that is shorter than this shows no progress.
const DELAY: Duration = Duration::from_millis(500);
/// The time between two readings of the counter.
const TICK: Duration = Duration::from_millis(200);
/// The time between two lines if standard error is not a terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(1);

/// The bytes that [`Counted`] has counted in this process.
static MOVED: AtomicU64 = AtomicU64::new(0);

/// When to show the progress of a run.
#[derive(clap::ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum When {
    /// Show progress if standard error is a terminal and --quiet is not given.
    #[default]
    Auto,
    /// Always show progress; if standard error is not a terminal, print one line per second.
    Always,
    /// Show progress only on SIGUSR1.
    Never,
}

/// How the progress is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Redraws one line.
    Drawn,
    /// Prints each update on a new line.
    Lines,
    /// Prints one line per SIGUSR1.
    OnSignal,
}

/// The progress of one run. Clones share their state.
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
    /// The counter at the start of the stage.
    from: u64,
    started: Instant,
    /// When the last line was printed.
    printed: Instant,
    running: bool,
}

impl Progress {
    pub(crate) fn new(tool: &str, when: When, quiet: bool) -> Progress {
        let form = match when {
            When::Auto if !quiet && io::stderr().is_terminal() => Form::Drawn,
            When::Always if io::stderr().is_terminal() => Form::Drawn,
            When::Always => Form::Lines,
            When::Auto | When::Never => Form::OnSignal,
        };
        let state = State {
            tool: tool.into(),
            form,
            bar: ProgressBar::hidden(),
            stage: String::new(),
            total: None,
            from: 0,
            started: Instant::now(),
            printed: Instant::now(),
            running: false,
        };
        Progress { state: Arc::new(Mutex::new(state)) }
    }

    /// Starts a stage of the run, such as "packing", that moves `total` bytes, if their number is
    /// known.
    ///
    /// The first call starts the progress thread and blocks signals in the calling thread. Call it
    /// before other threads are started: they inherit the signal mask.
    pub(crate) fn stage(&self, stage: &str, total: Option<u64>) {
        let mut state = self.lock();
        state.stage = stage.into();
        state.total = total.filter(|&total| total > 0);
        state.from = MOVED.load(Ordering::Relaxed);
        state.started = Instant::now();
        state.printed = state.started;
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

    /// Subtracts `bytes` from the total of the stage.
    pub(crate) fn reduce_total(&self, bytes: u64) {
        let mut state = self.lock();
        if let Some(total) = &mut state.total {
            *total = total.saturating_sub(bytes);
            let total = *total;
            state.bar.set_length(total);
        }
    }

    fn watch(&self, form: Form) {
        if form == Form::Drawn {
            // Ctrl-C would otherwise leave the line on the terminal, and the prompt would follow
            // it.
            let progress = self.clone();
            signal::on_termination(move || progress.end());
        }
        let mut signals = SigSet::empty();
        signals.add(Signal::SIGUSR1);
        if signals.thread_block().is_err() {
            return;
        }
        let progress = self.clone();
        // If no thread can be started, the run continues without a progress display.
        let _ = std::thread::Builder::new().name("progress".into()).spawn(move || {
            let tick = (form != Form::OnSignal).then_some(TICK);
            loop {
                let signalled = signal::wait(&signals, tick);
                if !progress.lock().show(signalled) {
                    break;
                }
            }
        });
    }

    /// Ends the progress display and clears its line.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.running = false;
        state.bar.finish_and_clear();
    }

    /// Runs `write`, which prints to standard error, without mixing its text with the progress
    /// line.
    pub(crate) fn above(&self, write: impl FnOnce()) {
        let state = self.lock();
        state.bar.suspend(write);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // After a panic in another thread the numbers may be wrong, which is no reason to panic
        // again.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Updates the display from the counter. If `signalled` is set, always prints a line. Returns
    /// `false` after the end of the run.
    fn show(&mut self, signalled: bool) -> bool {
        if !self.running {
            return false;
        }
        let done = MOVED.load(Ordering::Relaxed).saturating_sub(self.from);
        let waited = self.started.elapsed() >= DELAY;
        if self.form == Form::Drawn && waited && self.bar.is_hidden() {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template("{wide_msg}") {
                self.bar.set_style(style);
            }
        }
        // The bar averages the rate of the last seconds, from which the remaining time is
        // estimated.
        self.bar.set_position(done);
        let line_due = self.form == Form::Lines && self.printed.elapsed() >= LINE_INTERVAL;
        if signalled || line_due {
            self.printed = Instant::now();
            let line = self.line(done);
            self.bar.suspend(|| print_line(&line));
        } else if self.form == Form::Drawn && waited {
            self.bar.set_message(self.line(done));
            self.bar.tick();
        }
        true
    }

    /// Formats a line: `ckpt-pack: packing: 1.20 GB of 4.00 GB, 30%, 310.00 MB/s, 9 seconds left`.
    fn line(&self, done: u64) -> String {
        let seconds = self.started.elapsed().as_secs_f64().max(0.001);
        let rate = if self.form == Form::OnSignal { done as f64 / seconds } else { self.bar.per_sec() };
        let mut line = format!("{}: {}: {}", self.tool, self.stage, DecimalBytes(done));
        if let Some(total) = self.total {
            // The total includes only the content. Headers and padding are also counted, so `done`
            // may exceed the total.
            let total = total.max(done);
            line.push_str(&format!(" of {}, {}%", DecimalBytes(total), percent(done, total)));
        }
        line.push_str(&format!(", {}/s", DecimalBytes(rate as u64)));
        match self.total.map(|total| total.saturating_sub(done)) {
            Some(rest) if rate >= 1.0 => {
                let left = Duration::from_secs_f64((rest as f64 / rate).min(1e9));
                line.push_str(&format!(", {} left", HumanDuration(left)));
            }
            _ => line.push_str(&format!(", {}", HumanDuration(self.started.elapsed()))),
        }
        line
    }
}

fn percent(done: u64, total: u64) -> u64 {
    u64::try_from(u128::from(done) * 100 / u128::from(total.max(1))).unwrap_or(100)
}

/// A reader or writer that counts its bytes for the progress of the run.
pub struct Counted<T>(T);

impl<T> Counted<T> {
    /// Counts the bytes that are read from or written to `inner`.
    pub fn new(inner: T) -> Counted<T> {
        Counted(inner)
    }

    /// Runs `move_to`, which moves bytes without [`Read`] or [`Write`], for example by splice(2).
    /// `move_to` reports the size of each part to its second argument. Returns the number that
    /// `move_to` returns.
    pub fn moving(&mut self, move_to: impl FnOnce(&mut T, &mut dyn FnMut(u64)) -> u64) -> u64 {
        move_to(&mut self.0, &mut count)
    }

    /// Runs `move_to`, which moves bytes without [`Read`] or [`Write`], and counts the number that
    /// it returns.
    pub fn moved(&mut self, move_to: impl FnOnce(&mut T) -> u64) -> u64 {
        let moved = move_to(&mut self.0);
        count(moved);
        moved
    }

    /// Returns the reader or writer.
    pub fn into_inner(self) -> T {
        self.0
    }
}

/// Counts bytes that do not pass through a [`Counted`].
pub fn count(bytes: u64) {
    MOVED.fetch_add(bytes, Ordering::Relaxed);
}

/// Returns the number of bytes that this process has counted.
pub fn bytes_counted() -> u64 {
    MOVED.load(Ordering::Relaxed)
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
            form: Form::OnSignal,
            bar: ProgressBar::hidden(),
            stage: "packing".into(),
            total,
            from: 0,
            started: Instant::now() - Duration::from_secs(seconds),
            printed: Instant::now(),
            running: true,
        }
    }

    #[test]
    fn a_line_has_bytes_rate_and_time_left() {
        let line = state(Some(4_000_000_000), 10).line(1_000_000_000);
        assert!(line.starts_with("ckpt-pack: packing: 1.00 GB of 4.00 GB, 25%, "), "{line}");
        assert!(line.ends_with("MB/s, 30 seconds left") || line.ends_with("MB/s, 29 seconds left"), "{line}");
    }

    #[test]
    fn without_a_total_a_line_has_no_time_left() {
        let line = state(None, 10).line(1_000_000_000);
        assert!(!line.contains("left") && !line.contains('%'), "{line}");
    }

    #[test]
    fn exceeding_the_total_counts_as_all_of_it() {
        let line = state(Some(10), 10).line(1000);
        assert!(line.contains("1.00 kB of 1.00 kB, 100%"), "{line}");
    }
}
