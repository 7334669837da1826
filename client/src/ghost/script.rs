//! What a ghost does, so that the server's endpoint comes into a state.

use fourtuple_spec::EndpointState;

/// What a ghost sends once the handshake is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sends {
    /// So many bytes, which the server has to acknowledge.
    Bytes(u32),
    /// As much as the server's window takes, until it stays closed.
    Window,
}

/// What a ghost answers when the server ends the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Farewell {
    /// The server is not to end it: that is a failure.
    Unexpected,
    /// The acknowledgement, and nothing after it.
    Acknowledges,
    /// The acknowledgement, and the end of its own side.
    Closes,
    /// Nothing, then and ever after.
    FallsSilent,
}

/// A ghost's part in one state, the same for every connection of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Script {
    /// Whether it ends the handshake.
    pub ends_handshake: bool,
    /// Whether the server accepts it, in time.
    pub is_accepted: bool,
    /// The window in its acknowledgements, not scaled.
    pub window: u16,
    pub sends: Sends,
    /// Bytes that the server has to send back.
    pub echo_bytes: u32,
    pub farewell: Farewell,
}

impl Script {
    /// The part for this state; a message has `message_bytes`.
    pub(crate) fn of(state: EndpointState, message_bytes: u32) -> Self {
        let idle = Self {
            ends_handshake: true,
            is_accepted: true,
            window: u16::MAX,
            sends: Sends::Bytes(0),
            echo_bytes: 0,
            farewell: Farewell::Unexpected,
        };
        let sends = |sends| Self { sends, ..idle };
        let says = |farewell| Self { farewell, ..idle };
        match state {
            EndpointState::HalfOpen => Self {
                ends_handshake: false,
                is_accepted: false,
                ..idle
            },
            EndpointState::AcceptQueue => Self {
                is_accepted: false,
                ..idle
            },
            EndpointState::Accepted | EndpointState::Armed => idle,
            EndpointState::Echoed => Self {
                echo_bytes: message_bytes,
                ..sends(Sends::Bytes(message_bytes))
            },
            EndpointState::Unread64 => sends(Sends::Bytes(64)),
            EndpointState::Unread4096 => sends(Sends::Bytes(4096)),
            EndpointState::UnreadFull => sends(Sends::Window),
            EndpointState::SendFull => Self { window: 0, ..idle },
            EndpointState::FinWait2Held | EndpointState::FinWait2 => says(Farewell::Acknowledges),
            EndpointState::TimeWait => says(Farewell::Closes),
            EndpointState::Orphan => says(Farewell::FallsSilent),
        }
    }
}
