//! The state of one run, which the rules read and change.

use cli::Session;
use serde_json::Value;

use crate::actions::Action;
use crate::args::Args;
use crate::input::cgroup_version::CgroupVersion;
use crate::input::container::Container;
use crate::input::rootfs::Rootfs;
use crate::runtime_spec::Spec;
use crate::runtime_spec::explain::Trace;

/// What the rules work on.
pub struct Job<'a> {
    pub spec: Spec,
    pub container: Container,
    pub rootfs: Rootfs,
    pub args: &'a Args,
    pub session: &'a Session,
    pub cgroups: CgroupVersion,
    /// The input's name in messages.
    pub name: String,
    pub trace: Trace,
    pub actions: Vec<Action>,
    /// Hooks that change the finished spec: their file and program.
    pub precreate: Vec<(String, Value)>,
}
