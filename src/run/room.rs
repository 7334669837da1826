//! How much memory there is while a run grows, and how much of it to have backed beforehand.

pub use crate::doctor::memory::reserve_bytes;
use crate::doctor::memory::spare;
use crate::doctor::of_case::each_bytes;
use fourtuple_spec::Case;

/// How much more than is expected is prepared, as a fraction: the last connections must find some too.
const PREPARED_MORE: u64 = 4;

/// Which memory is so nearly used up that growth has to stop here, lest the OOM killer stops it: the machine's or the
/// control group's. Where memory cannot be read, neither.
pub fn is_nearly_full(memory_bytes: Option<u64>) -> Option<&'static str> {
    let (bytes, limit) = spare(fourtuple_meter::available(), memory_bytes)?;
    (bytes == 0).then_some(limit)
}

/// Whether what was held to prepare so much memory has to be given up: well before that, because the kernel frees
/// it in the background, while ghosts take 400 MB a second. With a thirty-second left instead of an eighth,
/// growth stopped with 1.5 GB still held.
pub fn is_filling(memory_bytes: Option<u64>, prepared_bytes: u64) -> bool {
    let spare = spare(fourtuple_meter::available(), memory_bytes);
    spare.is_some_and(|(bytes, _)| bytes < prepared_bytes / 8)
}

/// How much memory to have backed for a case: what it is expected to take, as far as there is so much.
pub fn to_prepare(case: &Case, memory_bytes: Option<u64>) -> u64 {
    let expected = u64::from(case.connections).saturating_mul(each_bytes(case));
    let expected = expected.saturating_add(expected / PREPARED_MORE);
    let available = fourtuple_meter::available_bytes().unwrap_or(0);
    expected.min(available.saturating_sub(2 * reserve_bytes(memory_bytes)))
}
