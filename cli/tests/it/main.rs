//! The program as people and scripts meet it: the real binary, and a real nexus where one is needed.

mod audit;
mod errors;
mod help;
mod nexus;
mod people;
mod support;
