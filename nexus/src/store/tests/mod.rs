//! The store's promises, each with the attack on it.

mod batch;
mod clock;
mod crash;
mod disk;
mod log;
mod once;
mod rows;
mod signing_key;
mod speed;
