//! The program as people and scripts meet it: the real binary, and a real nexus where one is needed.

#[cfg(test)]
mod audit;
#[cfg(test)]
mod errors;
#[cfg(test)]
mod evidence;
#[cfg(test)]
mod evidence_roots;
#[cfg(test)]
mod evidence_spdm;
#[cfg(test)]
mod help;
#[cfg(test)]
mod nexus;
#[cfg(test)]
mod people;
#[cfg(test)]
mod played;
#[cfg(test)]
mod support;
#[cfg(test)]
mod waits;
#[cfg(test)]
mod xml;
