//! System calls that have no safe form. The one module of the command with `unsafe` in it.

#![allow(unsafe_code)]

use rustix::ioctl::{Opcode, Updater, ioctl, opcode};
use rustix::process::Signal;
use rustix::thread::{UnshareFlags, unshare_unsafe};
use std::ffi::{c_int, c_ulong};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Moves the calling thread into a network namespace of its own.
pub fn unshare_network() -> rustix::io::Result<()> {
    unshare(UnshareFlags::NEWNET)
}

/// Moves the calling thread into a user namespace of its own and, with the rights that it has
/// there, into a network namespace of its own.
pub fn unshare_user_and_network() -> rustix::io::Result<()> {
    unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNET)
}

/// Has what the calling thread starts from here on live in a process id namespace of its own, whose first
/// process it is. When that one ends, the kernel kills all others. The thread can start no thread any more.
pub fn unshare_processes() -> rustix::io::Result<()> {
    unshare(UnshareFlags::NEWPID)
}

/// Has what the command starts be killed when the thread that starts it ends, and with it its process.
pub fn die_with_this_thread(command: &mut Command) {
    let die =
        || rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).map_err(Into::into);
    // SAFETY: the closure runs in the child between fork and exec, where locks and the heap may be in any state.
    // It makes one system call, prctl, and turns an errno into an error that holds no memory.
    unsafe {
        command.pre_exec(die);
    }
}

fn unshare(flags: UnshareFlags) -> rustix::io::Result<()> {
    debug_assert!(!flags.contains(UnshareFlags::FILES));
    // SAFETY: what makes `unshare` unsafe is CLONE_FILES, by which one thread's descriptors stop
    // being another's. The callers above ask for namespaces alone.
    unsafe { unshare_unsafe(flags) }
}

/// Has `bind` of an IPv4 socket to port 0 leave the port to `connect`, which knows the destination.
pub fn bind_address_without_port(socket: BorrowedFd<'_>) -> rustix::io::Result<()> {
    let one: c_int = 1;
    // SAFETY: the descriptor is borrowed, so open, for the length of the call; the kernel reads the 4 bytes of `one`,
    // which outlives it, and keeps no pointer to it.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            (&raw const one).cast(),
            size_of::<c_int>() as libc::socklen_t,
        )
    };
    match result {
        0 => Ok(()),
        _ => {
            let error = io::Error::last_os_error();
            Err(rustix::io::Errno::from_io_error(&error).unwrap_or(rustix::io::Errno::IO))
        }
    }
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

/// `struct perf_event_attr` of linux/perf_event.h, as far as its first version goes.
#[repr(C)]
struct EventAttributes {
    kind: u32,
    bytes: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup_events: u32,
    breakpoint_kind: u32,
    breakpoint_address: u64,
}

/// Counts how often a thread, and each thread and process that it starts from here on, passes a tracepoint. What
/// is read from the descriptor is the count, 8 bytes.
pub fn count_tracepoint(id: u64, thread: u32) -> io::Result<OwnedFd> {
    const TRACEPOINT: u32 = 2;
    const INHERIT: u64 = 1 << 1;
    const CLOSE_ON_EXEC: c_ulong = 1 << 3;
    const ANY_CORE: c_int = -1;
    const NO_GROUP: c_int = -1;
    let attributes = EventAttributes {
        kind: TRACEPOINT,
        bytes: size_of::<EventAttributes>() as u32,
        config: id,
        sample_period: 0,
        sample_type: 0,
        read_format: 0,
        flags: INHERIT,
        wakeup_events: 0,
        breakpoint_kind: 0,
        breakpoint_address: 0,
    };
    let thread = c_int::try_from(thread).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the kernel reads as many bytes of `attributes` as its own field `bytes` says, which is its size, and
    // keeps no pointer to it. The other arguments are plain numbers.
    let event = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            &raw const attributes,
            thread,
            ANY_CORE,
            NO_GROUP,
            CLOSE_ON_EXEC,
        )
    };
    match c_int::try_from(event) {
        // SAFETY: the call has just made this descriptor, and nobody else knows of it.
        Ok(event @ 0..) => Ok(unsafe { OwnedFd::from_raw_fd(event) }),
        _ => Err(io::Error::last_os_error()),
    }
}
