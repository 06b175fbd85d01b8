//! The host side against the real sshd, ssh and ssh-keygen.

#[cfg(test)]
mod install;
#[cfg(test)]
mod refuse;
#[cfg(test)]
mod world;
