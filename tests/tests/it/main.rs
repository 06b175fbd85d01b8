//! The whole of Assay, from outside: real programs, real parts, real attackers.

#[cfg(test)]
mod house;
#[cfg(test)]
mod path;
#[cfg(test)]
mod ready;
