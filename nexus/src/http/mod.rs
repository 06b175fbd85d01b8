//! Everything about HTTP: who asks, what may come in, what goes out. Operations know none of it.

pub(crate) mod body;
pub mod frame;
pub(crate) mod gate;
pub mod mount;
pub mod replay;
pub(crate) mod reply;
pub mod server;
pub mod tls;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use crate::problem::Fault;

/// What the journal may read of a fault, which the caller may not. Faults never hold secrets.
fn log_text(fault: &Fault) -> String {
    match fault {
        Fault::Store(inside) => inside.to_string(),
        Fault::Random(inside) => inside.to_string(),
        told => told.to_string(),
    }
}
