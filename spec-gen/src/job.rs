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

/// The values that the rules read and change.
pub struct Job<'a> {
    pub spec: Spec,
    pub container: Container,
    pub rootfs: Rootfs,
    pub args: &'a Args,
    pub session: &'a Session,
    pub cgroups: CgroupVersion,
    /// The name of the input in messages.
    pub name: String,
    pub trace: Trace,
    pub actions: Vec<Action>,
    /// precreate hooks, which change the complete spec: their file and program.
    pub precreate: Vec<(String, Value)>,
}
