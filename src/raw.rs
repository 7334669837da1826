//! System calls that have no safe form. The one module of the command with `unsafe` in it.

#![allow(unsafe_code)]

use rustix::thread::{UnshareFlags, unshare_unsafe};

/// Moves the calling thread into a network namespace of its own.
pub fn unshare_network() -> rustix::io::Result<()> {
    unshare(UnshareFlags::NEWNET)
}

/// Moves the calling thread into a user namespace of its own and, with the rights that it has
/// there, into a network namespace of its own.
pub fn unshare_user_and_network() -> rustix::io::Result<()> {
    unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNET)
}

fn unshare(flags: UnshareFlags) -> rustix::io::Result<()> {
    debug_assert!(!flags.contains(UnshareFlags::FILES));
    // SAFETY: what makes `unshare` unsafe is CLONE_FILES, by which one thread's descriptors stop
    // being another's. Both callers above ask for namespaces alone.
    unsafe { unshare_unsafe(flags) }
}
