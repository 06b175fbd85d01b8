//! The whole of Assay, from outside: real programs, real parts, real attackers.

#[cfg(test)]
mod audit;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod house;
#[cfg(test)]
mod kills;
#[cfg(test)]
mod packaging;
#[cfg(test)]
mod path;
#[cfg(test)]
mod proofs;
#[cfg(test)]
mod ready;
#[cfg(test)]
mod strangers;
#[cfg(test)]
mod tenants;
