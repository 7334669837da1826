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

/// Taken between two looks at how much is left.
const STEP_BYTES: u64 = 64 << 20;

/// Prepares memory as told, and holds what must be held until the input ends.
pub fn work() -> Exit {
    let mut requests = Requests::new();
    let Some(PrepareRequest::Start { bytes, left_bytes }) = requests.next() else {
        return Exit::Failed;
    };
    let mut pages = KernelPages::default();
    let mut refusal = None;
    while refusal.is_none() && pages.bytes() < bytes && has_room(left_bytes) {
        refusal = pages.take(STEP_BYTES.min(bytes - pages.bytes())).err();
    }
    let handed_back = pages.hand_back();
    reply(&match (handed_back, refusal) {
        (Err(errno), _) => failed(format!(
            "memory cannot be handed back: {}",
            errno_name(errno)
        )),
        (Ok(()), Some(errno)) if pages.bytes() == 0 => failed(why(errno)),
        (Ok(()), refusal) => PrepareReply::Prepared {
            bytes: pages.bytes(),
            reason: refusal.map(why),
        },
    });
    let _: Option<PrepareRequest> = requests.next();
    Exit::Done
}

/// What is taken is known roughly beforehand: the OOM killer must not find out.
fn has_room(left_bytes: u64) -> bool {
    fourtuple_meter::available_bytes()
        .is_none_or(|available| available > left_bytes + 2 * STEP_BYTES)
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
