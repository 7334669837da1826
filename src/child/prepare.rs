//! The process that prepares memory: it has the kernel touch pages before a ramp needs them, so that a
//! virtual machine's set-up rate is its kernel's, and not that of a host finding pages.
//!
//! Without it a million connections opened at half the pace from the first third on, with a third of the
//! client's core at the first write to new pages (`allocate_slab`, by `perf`). How it is done is in
//! `fourtuple_ring::KernelPages`.

use super::pipe::{Requests, reply};
use crate::exit::Exit;
use fourtuple_ring::{Errno, KernelPages, errno_name};
use fourtuple_spec::message::{PrepareReply, PrepareRequest};
use std::sync::mpsc;
use std::thread;

/// Taken by a thread between two looks at how much is left.
const STEP_BYTES: u64 = 64 << 20;
/// More would not find memory faster, and each may take a step too much.
const THREADS_MAX: usize = 4;

/// Prepares memory as told, and holds what must be held until the input ends.
pub fn work() -> Exit {
    let mut requests = Requests::new();
    let Some(PrepareRequest::Start { bytes, left_bytes }) = requests.next() else {
        return Exit::Failed;
    };
    let threads = thread::available_parallelism().map_or(1, |count| count.get().min(THREADS_MAX));
    let (done, ends) = mpsc::channel();
    for _ in 0..threads {
        let done = done.clone();
        let share = bytes / threads as u64;
        let left_bytes = left_bytes + threads as u64 * 2 * STEP_BYTES;
        // One that cannot be started leaves less prepared, and that is what the answer says.
        let _ = thread::Builder::new().spawn(move || {
            let mut pages = KernelPages::default();
            let _ = done.send(take(&mut pages, share, left_bytes));
            // What is held is held by this thread.
            loop {
                thread::park();
            }
        });
    }
    drop(done);
    reply(&sum(ends.iter().take(threads)));
    let _: Option<PrepareRequest> = requests.next();
    Exit::Done
}

/// What one thread took, and why not more.
type Taken = Result<(u64, Option<Errno>), Errno>;

/// Takes a little at a time, then hands all back but what has to be held.
fn take(pages: &mut KernelPages, bytes: u64, left_bytes: u64) -> Taken {
    let mut refusal = None;
    while refusal.is_none() && pages.bytes() < bytes && has_room(left_bytes) {
        refusal = pages.take(STEP_BYTES.min(bytes - pages.bytes())).err();
    }
    pages.hand_back().map(|()| (pages.bytes(), refusal))
}

fn sum(ends: impl Iterator<Item = Taken>) -> PrepareReply {
    let (mut bytes, mut reason) = (0, None);
    for end in ends {
        match end {
            Err(errno) => {
                let name = errno_name(errno);
                return failed(format!("memory cannot be handed back: {name}"));
            }
            Ok((taken, refusal)) => {
                bytes += taken;
                reason = reason.or(refusal);
            }
        }
    }
    match reason {
        Some(errno) if bytes == 0 => failed(why(errno)),
        reason => PrepareReply::Prepared {
            bytes,
            reason: reason.map(why),
        },
    }
}

/// What is taken is known roughly beforehand: the OOM killer must not find out.
fn has_room(left_bytes: u64) -> bool {
    fourtuple_meter::available_bytes().is_none_or(|available| available > left_bytes)
}

fn failed(error: String) -> PrepareReply {
    PrepareReply::Failed(super::failure(error, None))
}

fn why(errno: Errno) -> String {
    match errno {
        Errno::NOMEM => {
            "RLIMIT_MEMLOCK or memory is short (ENOMEM): root, or `ulimit -l`".to_owned()
        }
        Errno::INVAL => "this kernel allocates no buffer rings (EINVAL; Linux 6.4 does)".to_owned(),
        errno => errno_name(errno).to_string(),
    }
}
