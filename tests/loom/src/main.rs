//! Models of the code that runs on several threads. loom runs each model with every interleaving of
//! its threads, up to a number of preemptions, and also fails if threads wait for each other forever
//! or a value is never dropped.
//!
//! The modules with the code are compiled from the source files of the tools, so the models test
//! the code itself. Only the module `sync` differs: it has the types of loom instead of `std`.

#![allow(dead_code, unused_imports, reason = "the modules have more functions than the models call")]

mod ordered;
mod parallel;
mod prefetch;
mod stage;

use std::time::{Duration, Instant};

/// A name, the number of preemptions, and a function that loom calls once per interleaving.
type Model = (&'static str, usize, fn());

fn main() {
    let only = std::env::args().nth(1).unwrap_or_default();
    let models = [ordered::MODELS, stage::MODELS, prefetch::MODELS].concat();
    for &(name, preemptions, model) in models.iter().filter(|(name, ..)| name.contains(&only)) {
        let start = Instant::now();
        let runs = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(preemptions);
        builder.max_duration = Some(Duration::from_secs(600));
        let counted = std::sync::Arc::clone(&runs);
        builder.check(move || {
            counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            model();
        });
        let runs = runs.load(std::sync::atomic::Ordering::Relaxed);
        println!("{name}: {runs} interleavings, {:.1} s", start.elapsed().as_secs_f64());
    }
}
