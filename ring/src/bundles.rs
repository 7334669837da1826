//! Receives that fill several buffers with one completion (Linux 6.10).
//!
//! The completion names the first buffer and the bytes of all. The others are those that were given after
//! it, each filled before the next is begun. So it has to be known where each buffer stands in the ring, and
//! for as long as its completion may be unread: there are twice as many entries as buffers, so that an entry
//! is not written again before that, whichever order completions are read in. The kernel may cut an entry to
//! what the socket held, so a buffer's bytes are read from its entry.

use crate::entries::Entries;

/// No buffer follows. No buffer has this number: at most 16,384 are bundled.
const LAST: u16 = u16::MAX;

/// Where buffers stand, and which belong together.
pub(crate) struct Bundles {
    /// Where in the ring each buffer was given.
    positions: Box<[u16]>,
    /// Which buffer of its bundle follows each leased buffer.
    nexts: Box<[u16]>,
    /// What the sends of bundles name, by the first buffer; each is made when it is first needed.
    messages: Box<[Option<Box<Message>>]>,
}

/// What a send of several buffers names, where the kernel may read it until that send has ended.
pub(crate) struct Message {
    header: libc::msghdr,
    pieces: Vec<libc::iovec>,
}

impl Bundles {
    /// For `count` buffers, which are given once, in order, before anything else.
    pub(crate) fn new(count: u16) -> Self {
        assert!(count <= 1 << 14, "checked by Setup");
        Self {
            positions: (0..count).collect(),
            nexts: vec![LAST; usize::from(count)].into_boxed_slice(),
            messages: (0..count).map(|_| None).collect(),
        }
    }

    /// Entries of a ring of so many buffers.
    pub(crate) fn entries(count: u16) -> u16 {
        count * 2
    }

    /// Takes note of the buffers that `bytes` fill from `first` on, writes down what each holds, and says how
    /// many they are.
    pub(crate) fn take(
        &mut self,
        first: u16,
        bytes: u32,
        entries: &Entries,
        held_bytes: &mut [u32],
    ) -> u16 {
        let mut position = self.positions[usize::from(first)];
        let (mut buffer, mut room) = entries.at(position);
        assert!(buffer == first, "the kernel's own answer");
        let (mut left, mut count) = (bytes, 1);
        loop {
            let held = left.min(room);
            assert!(held > 0, "the kernel's own answer");
            held_bytes[usize::from(buffer)] = held;
            left -= held;
            if left == 0 {
                self.nexts[usize::from(buffer)] = LAST;
                return count;
            }
            position = position.wrapping_add(1);
            assert!(position != entries.tail(), "the kernel's own answer");
            let previous = buffer;
            (buffer, room) = entries.at(position);
            self.nexts[usize::from(previous)] = buffer;
            count += 1;
        }
    }

    /// Takes note that a buffer was taken for itself.
    pub(crate) fn take_one(&mut self, buffer: u16) {
        self.nexts[usize::from(buffer)] = LAST;
    }

    /// Takes note of where a buffer is given again.
    pub(crate) fn give(&mut self, buffer: u16, position: u16) {
        self.positions[usize::from(buffer)] = position;
    }

    /// The buffer after another in its bundle.
    pub(crate) fn next(&self, buffer: u16) -> Option<u16> {
        let next = self.nexts[usize::from(buffer)];
        (next != LAST).then_some(next)
    }

    /// Bytes of a whole bundle.
    pub(crate) fn bytes(&self, first: u16, held_bytes: &[u32]) -> u32 {
        let buffers = std::iter::successors(Some(first), |&buffer| self.next(buffer));
        buffers.map(|buffer| held_bytes[usize::from(buffer)]).sum()
    }

    /// What a send of the bundle that begins with `first` has to name.
    pub(crate) fn message(
        &mut self,
        first: u16,
        held_bytes: &[u32],
        address: impl Fn(u16) -> *mut u8,
    ) -> *const libc::msghdr {
        let mut message = self.messages[usize::from(first)]
            .take()
            .unwrap_or_else(Message::empty);
        let buffers = std::iter::successors(Some(first), |&buffer| self.next(buffer));
        message.pieces.clear();
        message.pieces.extend(buffers.map(|buffer| libc::iovec {
            iov_base: address(buffer).cast(),
            iov_len: held_bytes[usize::from(buffer)] as usize,
        }));
        message.header.msg_iov = message.pieces.as_mut_ptr();
        message.header.msg_iovlen = message.pieces.len();
        &raw const self.messages[usize::from(first)].insert(message).header
    }
}

impl Message {
    fn empty() -> Box<Self> {
        Box::new(Self {
            // SAFETY: a `msghdr` of zeros names nothing: null pointers, and lengths of 0.
            header: unsafe { std::mem::zeroed() },
            pieces: Vec::new(),
        })
    }
}
