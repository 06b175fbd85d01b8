//! Everything about HTTP: who asks, what may come in, what goes out. Operations know none of it.

pub(crate) mod gate;
pub mod mount;
pub mod replay;
pub(crate) mod reply;
