//! System calls that have no safe form. The one module of the command with `unsafe` in it.

#![allow(unsafe_code)]

use rustix::ioctl::{Opcode, Updater, ioctl, opcode};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use std::ffi::c_int;
use std::os::fd::BorrowedFd;

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

/// `struct ifreq` of linux/if.h, as far as TUNSETIFF looks at it.
#[repr(C)]
struct InterfaceRequest {
    name: [u8; 16],
    flags: u16,
    rest: [u8; 22],
}

/// Turns `descriptor`, an open /dev/net/tun, into a new TUN device of this name (15 bytes at most) whose
/// packets come without a header before them.
pub fn make_tun(descriptor: BorrowedFd<'_>, name: &str) -> rustix::io::Result<()> {
    /// What the header calls it: the operand is a `struct ifreq`, not the `int` of its size field.
    const TUNSETIFF: Opcode = opcode::write::<c_int>(b'T', 202);
    const IFF_TUN: u16 = 0x0001;
    const IFF_NO_PI: u16 = 0x1000;
    // A device of that name which is there already is not to be taken over.
    const IFF_TUN_EXCL: u16 = 0x8000;
    let mut request = InterfaceRequest {
        name: [0; 16],
        flags: IFF_TUN | IFF_NO_PI | IFF_TUN_EXCL,
        rest: [0; 22],
    };
    let bytes = name.as_bytes();
    if bytes.len() >= request.name.len() {
        return Err(rustix::io::Errno::NAMETOOLONG);
    }
    request.name[..bytes.len()].copy_from_slice(bytes);
    // SAFETY: TUNSETIFF reads and writes one `struct ifreq`, which is 40 bytes on 64-bit Linux and 32 on
    // 32-bit; `request` has 40, is exclusively borrowed for the call, and the kernel keeps no pointer to it.
    unsafe { ioctl(descriptor, Updater::<TUNSETIFF, _>::new(&mut request)) }
}
