//! The store's promises, each with the attack on it.

mod rows;
