//! The interfaces, addresses and routes that a status requires.
//!
//! `apply` sets this state, `check` compares it with a namespace, and `restore --to ip-batch`
//! prints it.

mod interfaces;
mod routes;

pub use interfaces::{DesiredInterface, DesiredInterfaces, addresses, interfaces};
pub use routes::{DesiredRoute, GatewayRoute, gateway_routes, routes};

#[cfg(test)]
mod tests;
