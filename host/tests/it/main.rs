//! The host side against the real sshd, ssh and ssh-keygen.

#[cfg(test)]
mod channel;
#[cfg(test)]
mod command;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod install;
#[cfg(test)]
mod manifest;
#[cfg(test)]
mod paired;
#[cfg(test)]
mod refuse;
#[cfg(test)]
mod sandbox;
#[cfg(test)]
mod world;
