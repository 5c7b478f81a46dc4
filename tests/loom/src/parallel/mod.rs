//! The code of `lib/tartree/src/parallel`, compiled with the [`sync`] of this crate.

pub mod sync;

#[path = "../../../../lib/tartree/src/parallel/ordered.rs"]
pub mod ordered;
#[path = "../../../../lib/tartree/src/parallel/prefetch.rs"]
pub mod prefetch;
#[path = "../../../../lib/tartree/src/parallel/stage.rs"]
pub mod stage;

/// Stands in for the policies, which depend on the host. A thread is always allowed.
pub mod policy {
    pub struct Policy {
        pub name: &'static str,
        pub alone: usize,
        pub allows: fn() -> bool,
    }

    pub static AT_ONCE: Policy = Policy { name: "model", alone: 0, allows: || true };
}
