//! The flags under `Process` in the help.

use std::path::PathBuf;

use clap::{Args as Group, ValueEnum};

use crate::notation::boolean::boolean;
use crate::notation::process::{personality, terminal_size, umask};
use crate::notation::user::{group, user};

#[derive(Debug, Group)]
#[command(next_help_heading = "Process")]
#[group(id = "process-flags", multiple = true, conflicts_with = "restore")]
pub struct ProcessArgs {
    #[allow(rustdoc::broken_intra_doc_links, reason = "clap prints [:GROUP] as it is")]
    /// Run the process as USER[:GROUP], given as names in the root file system or as numbers
    #[arg(short, long, value_name = "USER[:GROUP]", value_parser = user)]
    pub user: Option<String>,

    /// Add a supplementary group
    #[arg(long, value_name = "GROUP", value_parser = group, alias = "process-groups", hide_short_help = true)]
    pub group_add: Vec<String>,

    /// Use the host's entry of this user if the image has none
    #[arg(long, value_name = "NAME", hide_short_help = true)]
    pub hostuser: Vec<String>,

    /// Set the passwd entry of an unknown numeric user; $USERNAME $UID $GID $NAME $HOME are
    /// replaced
    #[arg(long, value_name = "TEMPLATE", hide_short_help = true)]
    pub passwd_entry: Option<String>,

    /// Set the group entry of an unknown numeric group; $GROUPNAME $GID $USERLIST are replaced
    #[arg(long, value_name = "TEMPLATE", hide_short_help = true)]
    pub group_entry: Option<String>,

    /// Add a passwd entry for an unknown numeric user, as podman does; =false adds none
    #[arg(long, value_name = "BOOL", value_parser = boolean, num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true, hide_short_help = true)]
    pub passwd: Option<bool>,

    /// Bind copies of passwd and group with an entry for an unknown numeric user; --apply writes
    /// them to DIR
    #[arg(long, value_name = "DIR", hide_short_help = true)]
    pub passwd_out: Option<PathBuf>,

    /// Set a variable; without VALUE, use the value in spec-gen's environment
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    pub env: Vec<String>,

    /// Set the variables in FILE, one NAME=VALUE per line
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub env_file: Vec<PathBuf>,

    /// Set every variable of spec-gen's environment that is not set yet
    #[arg(long, value_name = "BOOL", value_parser = boolean, num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true, hide_short_help = true)]
    pub env_host: Option<bool>,

    /// Set the proxy variables of spec-gen's environment (http_proxy, NO_PROXY, ...), unless they
    /// are set
    #[arg(long, value_name = "BOOL", value_parser = boolean, num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true, hide_short_help = true)]
    pub http_proxy: Option<bool>,

    /// Set a variable from existing variables: PATH=${PATH}:/opt/bin
    #[arg(long, value_name = "NAME=VALUE", hide_short_help = true)]
    pub env_merge: Vec<String>,

    /// Remove a variable
    #[arg(long, value_name = "NAME", hide_short_help = true)]
    pub unsetenv: Vec<String>,

    /// Remove all variables
    #[arg(long, value_name = "BOOL", value_parser = boolean, num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true, hide_short_help = true)]
    pub unsetenv_all: Option<bool>,

    /// Set a variable to the content of FILE
    #[arg(long, value_name = "NAME=FILE", value_parser = cli::args::name_value, hide_short_help = true)]
    pub secret_env: Vec<(String, PathBuf)>,

    /// Pass on LISTEN_FDS and LISTEN_FDNAMES
    #[arg(long, hide_short_help = true)]
    pub listen_fds: bool,

    /// Run COMMAND with ARGS as its arguments; COMMAND is a word or a JSON array of words
    #[arg(long, value_name = "COMMAND", hide_short_help = true)]
    pub entrypoint: Option<String>,

    /// Start the command under podman's init, which is bound to /run/podman-init
    #[arg(long, value_name = "BOOL", value_parser = boolean, num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true, hide_short_help = true)]
    pub init: Option<bool>,

    /// Start the command under the init program FILE, not under podman's
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub init_path: Option<PathBuf>,

    /// Set the working directory
    #[arg(short, long, value_name = "DIR", alias = "process-cwd")]
    pub workdir: Option<String>,

    /// Select what happens if the working directory is not in the root file system
    #[arg(long, value_name = "WHAT", default_value = "error", hide_short_help = true)]
    pub check_cwd: CheckCwd,

    /// Give the process a terminal, and set TERM=xterm unless TERM is set; --tty=false sets no
    /// terminal
    #[arg(short, long, value_name = "BOOL", value_parser = boolean, num_args = 0..=1, require_equals = true, default_missing_value = "true", alias = "process-terminal", hide_possible_values = true)]
    pub tty: Option<bool>,

    /// Set the size of the terminal
    #[arg(long, value_name = "WxH", value_parser = terminal_size, alias = "process-consolesize", hide_short_help = true)]
    pub console_size: Option<(u64, u64)>,

    /// Set the umask, in octal
    #[arg(long, value_name = "MODE", value_parser = umask, alias = "process-umask", hide_short_help = true)]
    pub umask: Option<String>,

    /// Set the execution domain: LINUX or LINUX32
    #[arg(long, value_name = "DOMAIN", value_parser = personality, hide_short_help = true)]
    pub personality: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CheckCwd {
    Error,
    Warn,
    Off,
}
