//! The door, attacked over real TLS.

mod dpop;
mod frame;
mod replay;
mod speed;
mod strangers;
mod who;
