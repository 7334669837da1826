//! What a request carries to its completion: 64 bits of user data.
//!
//! ```text
//! 63      60 59          44 43            24 23               0
//! | operation | generation |      slot      |    attachment    |
//! |  4 bits   |  16 bits   |    20 bits     |     24 bits      |
//! ```
//! 20 bits are enough for a slot because a descriptor table has at most 2^20 of them. The
//! generation tells a late completion for an earlier user of a slot from one for the present user:
//! it would have to be late by 65,536 reuses of that slot to be mistaken. The attachment is the
//! buffer, the heap send or the step that the request is about.

/// Slots that a token can tell apart: the kernel's own bound on a descriptor table.
pub const SLOTS_MAX: u32 = 1 << 20;
/// Attachments that a token can tell apart.
pub const ATTACHMENTS_MAX: u32 = 1 << 24;

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Operation {
    /// Accept, one or many.
    Accept = 1,
    /// Receive into a provided buffer.
    Receive = 2,
    /// Send from a leased buffer: the attachment is the buffer.
    SendLease = 3,
    /// Send from heap bytes: the attachment is their place in the table of sends.
    SendOwned = 4,
    /// Send from the pattern: completes only if it fails.
    SendPattern = 5,
    /// One step of opening a connection: the attachment is the step.
    Connect = 6,
    /// Close a slot.
    Close = 7,
    /// Wait for a descriptor to be readable: the attachment is the caller's key.
    Poll = 8,
    /// Cancel requests of a slot.
    Cancel = 9,
    /// Send from the pattern: completes however it ends.
    SendPatternAnswered = 10,
    /// Have a close reset the connection: completes only if it fails.
    Linger = 11,
    /// Hear other rings' signals.
    Wake = 12,
    /// Wait for a slot to have data.
    PollSlot = 13,
    /// Let time pass: the attachment is the caller's key.
    Timer = 14,
}

impl Operation {
    /// Whether its request names a slot's file in the usual place. A close names it elsewhere, and a step of
    /// opening that makes the file names none: the flag means nothing to either.
    #[inline]
    pub(crate) fn is_of_slot(self) -> bool {
        matches!(
            self,
            Self::Receive
                | Self::SendLease
                | Self::SendOwned
                | Self::SendPattern
                | Self::SendPatternAnswered
                | Self::Connect
                | Self::Linger
                | Self::PollSlot
        )
    }

    fn from_bits(bits: u64) -> Option<Self> {
        Some(match bits {
            1 => Self::Accept,
            2 => Self::Receive,
            3 => Self::SendLease,
            4 => Self::SendOwned,
            5 => Self::SendPattern,
            6 => Self::Connect,
            7 => Self::Close,
            8 => Self::Poll,
            9 => Self::Cancel,
            10 => Self::SendPatternAnswered,
            11 => Self::Linger,
            12 => Self::Wake,
            13 => Self::PollSlot,
            14 => Self::Timer,
            _ => return None,
        })
    }
}

/// A direct descriptor: a place in a ring's table, and which of its users this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slot {
    pub(crate) index: u32,
    pub(crate) generation: u16,
}

impl Slot {
    /// The place in the table.
    pub fn index(self) -> u32 {
        self.index
    }
    /// Which user of that place this is, counted modulo 65,536.
    pub fn generation(self) -> u16 {
        self.generation
    }
}

/// The user data of a request, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// What the request does.
    pub operation: Operation,
    /// What it does it to.
    pub slot: Slot,
    /// What it does it with; at most 24 bits.
    pub attachment: u32,
}

impl Token {
    /// The 64 bits.
    #[inline]
    pub fn pack(self) -> u64 {
        debug_assert!(self.slot.index < SLOTS_MAX && self.attachment < ATTACHMENTS_MAX);
        (self.operation as u64) << 60
            | u64::from(self.slot.generation) << 44
            | u64::from(self.slot.index) << 24
            | u64::from(self.attachment)
    }

    /// The token in 64 bits; `None` if no ring of ours can have made them.
    #[inline]
    pub fn unpack(bits: u64) -> Option<Self> {
        Some(Self {
            operation: Operation::from_bits(bits >> 60)?,
            slot: Slot {
                index: (bits >> 24) as u32 & (SLOTS_MAX - 1),
                generation: (bits >> 44) as u16,
            },
            attachment: bits as u32 & (ATTACHMENTS_MAX - 1),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_token_survives_packing(
            operation in 1u64..=14,
            index in 0..SLOTS_MAX,
            generation: u16,
            attachment in 0..ATTACHMENTS_MAX,
        ) {
            let token = Token {
                operation: Operation::from_bits(operation).unwrap(),
                slot: Slot { index, generation },
                attachment,
            };
            prop_assert_eq!(Token::unpack(token.pack()), Some(token));
        }

        #[test]
        fn foreign_bits_are_refused_or_pack_to_themselves(bits: u64) {
            match Token::unpack(bits) {
                Some(token) => prop_assert_eq!(token.pack(), bits),
                None => prop_assert!(!(1..=14).contains(&(bits >> 60))),
            }
        }
    }
}
