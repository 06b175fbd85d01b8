//! The door, attacked over real TLS.

mod dpop;
mod frame;
mod replay;
mod strangers;
mod who;
