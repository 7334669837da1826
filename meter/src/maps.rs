//! `/proc/PID/maps`: the rings of io_uring, which no counter of `/proc/meminfo` shows.
//!
//! The kernel takes a ring's pages straight from the page allocator and maps them with `vmap`, so
//! they are neither slab nor anonymous nor `VmallocUsed`. A process that uses a ring has it mapped,
//! and the mapping's length is the ring's. The kernel first asks for one block of a power of two
//! pages, up to 4 MiB, and only takes single pages where it gets none, so lengths are rounded up:
//! a queue of 65,536 completions is 1 MiB and one page, and takes 2 MiB.

use crate::malformed::Malformed;

/// The largest block that the page allocator gives: 2^10 pages.
const BLOCK_PAGES_MAX: u64 = 1 << 10;

/// Bytes of the pages behind all io_uring mappings of one process.
pub(crate) fn io_uring_bytes(text: &str, page_bytes: u64) -> Result<u64, Malformed> {
    let mut bytes: u64 = 0;
    for (index, line) in text.lines().enumerate() {
        if !line.ends_with("anon_inode:[io_uring]") {
            continue;
        }
        let malformed = || Malformed::new("maps", index, "two addresses with a dash", line);
        let range = line.split_whitespace().next().ok_or_else(malformed)?;
        let (from, to) = range.split_once('-').ok_or_else(malformed)?;
        let address = |text| u64::from_str_radix(text, 16).map_err(|_| malformed());
        let length = address(to)?
            .checked_sub(address(from)?)
            .ok_or_else(malformed)?;
        bytes = bytes.saturating_add(block_bytes(length, page_bytes));
    }
    Ok(bytes)
}

fn block_bytes(length: u64, page_bytes: u64) -> u64 {
    let pages = length.div_ceil(page_bytes.max(1));
    if pages > BLOCK_PAGES_MAX {
        return length;
    }
    pages.next_power_of_two() * page_bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_are_found_and_rounded_to_blocks() {
        let text = "\
55d0c8a00000-55d0c8a21000 rw-p 00000000 00:00 0                          [heap]
7f2a10000000-7f2a10101000 rw-s 00000000 00:0f 1053                       anon_inode:[io_uring]
7f2a10200000-7f2a10240000 rw-s 10000000 00:0f 1053                       anon_inode:[io_uring]
";
        assert_eq!(io_uring_bytes(text, 4096), Ok((2 << 20) + (256 << 10)));
        assert_eq!(io_uring_bytes("", 4096), Ok(0));
        let backwards = "2000-1000 rw-s 0 00:0f 1 anon_inode:[io_uring]";
        assert_eq!(io_uring_bytes(backwards, 4096).unwrap_err().line, 1);
    }

    #[test]
    fn what_is_longer_than_the_largest_block_is_taken_page_by_page() {
        assert_eq!(block_bytes(4 << 20, 4096), 4 << 20);
        assert_eq!(block_bytes((4 << 20) + 4096, 4096), (4 << 20) + 4096);
        assert_eq!(block_bytes(0, 0), 0);
    }
}
