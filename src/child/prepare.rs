//! The process that prepares memory: it has the kernel touch pages before a ramp needs them, so that a
//! virtual machine's set-up rate is its kernel's, and not that of a host finding pages.
//!
//! On the machine of the first results, without this, the first third of a million connections opened at
//! 38,000 a second and the rest at 20,000, with a third of the client's core at the first write to new
//! pages (`allocate_slab`). How it is done is in `fourtuple_ring::KernelPages`.

use super::pipe::{Requests, reply};
use crate::exit::Exit;
use fourtuple_ring::{Errno, KernelPages, errno_name};
use fourtuple_spec::message::{PrepareReply, PrepareRequest};

/// Prepares memory as told, and holds what must be held until the input ends.
pub fn work() -> Exit {
    let mut requests = Requests::new();
    let Some(PrepareRequest::Start { bytes }) = requests.next() else {
        return Exit::Failed;
    };
    let (mut pages, refusal) = KernelPages::take(bytes);
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
