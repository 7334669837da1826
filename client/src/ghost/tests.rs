//! A ghost's state machine against a server that is played by hand, state by state.

use super::address::{
    ADDRESS_GHOSTS, FIRST_PORT, GHOST_SERVER_ADDRESS, ghost_endpoint, ghost_index,
};
use super::connection::{Connection, Heard};
use super::script::Script;
use super::segment;
use super::segment::{ACK, FIN, PSH, RST, SYN, Segment, SegmentOptions};
use super::tcp::Reply;
use fourtuple_spec::EndpointState;
use fourtuple_spec::case::ENDPOINT_STATES;
use proptest::prelude::*;

/// Near the wrap of both sides' numbers, so that every test crosses it.
const GHOST_FIRST: u32 = u32::MAX - 20;
const SERVER_FIRST: u32 = u32::MAX - 10;

/// A connection and what the server would say to it.
struct Stage {
    script: Script,
    connection: Connection,
    /// The server's next number, and what it has of the ghost's bytes.
    server_next: u32,
    received: u32,
    window: u16,
    arrivals: u32,
}

impl Stage {
    /// A connection whose SYN is out.
    fn opened(state: EndpointState) -> Self {
        let mut stage = Self {
            script: Script::of(state, 64),
            connection: Connection::default(),
            server_next: SERVER_FIRST,
            received: 0,
            window: 1000,
            arrivals: 0,
        };
        let mut replies = Vec::new();
        stage.connection.open(GHOST_FIRST, &mut replies);
        assert_eq!(replies.len(), 1);
        assert_eq!((replies[0].flags, replies[0].length), (SYN, 0));
        assert_eq!(replies[0].sequence, GHOST_FIRST.wrapping_sub(1));
        stage
    }

    /// The same after the handshake, and what came with its end.
    fn open(state: EndpointState) -> (Self, Vec<Reply>) {
        let mut stage = Self::opened(state);
        let replies = stage.syn_ack();
        (stage, replies)
    }

    fn syn_ack(&mut self) -> Vec<Reply> {
        self.server_next = SERVER_FIRST.wrapping_sub(1);
        let (heard, replies) = self.say(SYN | ACK, &[]);
        assert_eq!(heard, Heard::Nothing);
        self.server_next = SERVER_FIRST;
        replies
    }

    /// The server says something, having received all that it says it has.
    fn say(&mut self, flags: u8, payload: &[u8]) -> (Heard, Vec<Reply>) {
        let segment = Segment {
            source: ghost_endpoint(0),
            destination: ghost_endpoint(1),
            sequence: self.server_next,
            acknowledgement: GHOST_FIRST.wrapping_add(self.received),
            flags,
            window: self.window,
            options: SegmentOptions {
                window_scale: (flags & SYN != 0).then_some(2),
                segment_bytes: (flags & SYN != 0).then_some(segment::SEGMENT_BYTES),
                ..SegmentOptions::default()
            },
            payload,
        };
        let mut replies = Vec::new();
        let heard = self.connection.hear(&self.script, &segment, &mut replies);
        let length = payload.len() as u32 + u32::from(flags & FIN != 0);
        self.server_next = self.server_next.wrapping_add(length);
        self.arrivals += u32::from(self.connection.arrives(&self.script));
        (heard, replies)
    }

    fn resend(&mut self) -> (Heard, Vec<Reply>) {
        let mut replies = Vec::new();
        let heard = self.connection.resend(&self.script, &mut replies);
        self.arrivals += u32::from(self.connection.arrives(&self.script));
        (heard, replies)
    }
}

fn flags(replies: &[Reply]) -> Vec<u8> {
    replies.iter().map(|reply| reply.flags).collect()
}

fn bytes(replies: &[Reply]) -> u32 {
    replies.iter().map(|reply| u32::from(reply.length)).sum()
}

#[test]
fn half_open_leaves_the_handshake_where_it_is() {
    let (mut stage, replies) = Stage::open(EndpointState::HalfOpen);
    assert_eq!((replies.len(), stage.arrivals), (0, 1));
    assert!(stage.syn_ack().is_empty(), "a repeated SYN-ACK is ignored");
}

#[test]
fn an_open_one_is_there_with_its_acknowledgement() {
    for state in [
        EndpointState::AcceptQueue,
        EndpointState::Accepted,
        EndpointState::Armed,
        EndpointState::SendFull,
    ] {
        let (mut stage, replies) = Stage::open(state);
        assert_eq!((flags(&replies), stage.arrivals), (vec![ACK], 1));
        assert_eq!(replies[0].acknowledgement, SERVER_FIRST);
        assert_eq!(replies[0].window == 0, state == EndpointState::SendFull);
        // Its acknowledgement was lost: it is said again. What the server repeats counts once.
        assert_eq!(flags(&stage.syn_ack()), [ACK]);
        assert_eq!(stage.arrivals, 1);
        let (heard, _) = stage.say(FIN | ACK, &[]);
        assert!(matches!(heard, Heard::Broken(_)), "{state:?}");
    }
}

#[test]
fn a_probe_of_a_closed_window_is_answered_by_a_closed_window() {
    let (mut stage, _) = Stage::open(EndpointState::SendFull);
    stage.server_next = SERVER_FIRST.wrapping_sub(1);
    let (heard, replies) = stage.say(ACK, &[]);
    assert_eq!((heard, flags(&replies)), (Heard::Nothing, vec![ACK]));
    assert_eq!(replies[0].window, 0);
}

#[test]
fn an_echo_is_handed_on_and_acknowledged() {
    let (mut stage, replies) = Stage::open(EndpointState::Echoed);
    assert_eq!(
        (flags(&replies), bytes(&replies)),
        (vec![ACK, PSH | ACK], 64)
    );
    stage.received = 64;
    assert_eq!(stage.say(PSH | ACK, &[7; 40]).0, Heard::Fresh(0));
    assert_eq!(stage.arrivals, 0, "40 bytes are no echo of 64");
    let (heard, replies) = stage.say(PSH | ACK, &[7; 24]);
    assert_eq!((heard, flags(&replies)), (Heard::Fresh(40), vec![ACK]));
    assert_eq!(replies[0].acknowledgement, SERVER_FIRST.wrapping_add(64));
    assert_eq!(stage.arrivals, 1);
    let (heard, _) = stage.say(PSH | ACK, &[7; 1]);
    assert!(matches!(heard, Heard::Broken(_)), "nobody asked for more");
}

#[test]
fn a_gap_is_not_taken_for_the_next_bytes() {
    let (mut stage, _) = Stage::open(EndpointState::Echoed);
    stage.received = 64;
    stage.server_next = SERVER_FIRST.wrapping_add(10);
    let (heard, replies) = stage.say(PSH | ACK, &[7; 54]);
    assert_eq!((heard, stage.arrivals), (Heard::Nothing, 0));
    assert_eq!(replies[0].acknowledgement, SERVER_FIRST);
}

#[test]
fn what_stays_unread_is_sent_in_segments_and_acknowledged() {
    for (state, length) in [
        (EndpointState::Unread64, 64),
        (EndpointState::Unread4096, 4096),
    ] {
        let mut stage = Stage::opened(state);
        stage.window = 5000;
        let replies = stage.syn_ack();
        assert_eq!(bytes(&replies), length);
        assert!(replies.iter().all(|reply| reply.length <= 1460));
        stage.received = length - 1;
        stage.say(ACK, &[]);
        assert_eq!(stage.arrivals, 0, "a byte is missing");
        stage.received = length;
        stage.say(ACK, &[]);
        assert_eq!(stage.arrivals, 1);
    }
}

#[test]
fn a_window_is_filled_until_it_stays_shut() {
    let mut stage = Stage::opened(EndpointState::UnreadFull);
    stage.window = 4000;
    let mut sent = bytes(&stage.syn_ack());
    // Two full segments; the short one waits until they are acknowledged.
    assert_eq!(sent, 2920);
    stage.received = sent;
    stage.window = 500;
    sent += bytes(&stage.say(ACK, &[]).1);
    assert_eq!(sent, 2920 + 1460, "500 are 2,000 by the scale");
    stage.received = sent;
    stage.window = 60;
    sent += bytes(&stage.say(ACK, &[]).1);
    assert_eq!(sent, 2920 + 1460 + 240);
    assert_eq!(stage.arrivals, 0);
    (stage.received, stage.window) = (sent, 0);
    let (_, replies) = stage.say(ACK, &[]);
    assert_eq!((bytes(&replies), stage.arrivals), (0, 1));
}

#[test]
fn a_window_that_is_never_quite_shut_is_full_in_the_end() {
    let mut stage = Stage::opened(EndpointState::UnreadFull);
    stage.window = 1460;
    stage.syn_ack();
    let (_, again) = stage.resend();
    assert_eq!((again[0].sequence, again[0].length), (GHOST_FIRST, 1460));
    assert_eq!(stage.arrivals, 0);
    stage.resend();
    assert_eq!(stage.arrivals, 1);
}

#[test]
fn the_end_of_the_servers_side_is_acknowledged() {
    for state in [EndpointState::FinWait2Held, EndpointState::FinWait2] {
        let (mut stage, _) = Stage::open(state);
        assert_eq!(stage.arrivals, 0);
        let (heard, replies) = stage.say(FIN | ACK, &[]);
        assert_eq!((heard, flags(&replies)), (Heard::Nothing, vec![ACK]));
        assert_eq!(replies[0].acknowledgement, SERVER_FIRST.wrapping_add(1));
        assert_eq!(stage.arrivals, 1);
        stage.server_next = SERVER_FIRST;
        let (_, again) = stage.say(FIN | ACK, &[]);
        assert_eq!(again, replies, "a repeated FIN gets the same answer");
    }
}

#[test]
fn time_wait_is_reached_with_the_last_acknowledgement() {
    let (mut stage, _) = Stage::open(EndpointState::TimeWait);
    let (_, replies) = stage.say(FIN | ACK, &[]);
    assert_eq!(flags(&replies), [FIN | ACK]);
    assert_eq!(replies[0].sequence, GHOST_FIRST);
    assert_eq!(stage.arrivals, 0);
    assert_eq!(flags(&stage.resend().1), [FIN | ACK]);
    stage.received = 1;
    let (_, replies) = stage.say(ACK, &[]);
    assert_eq!((replies.len(), stage.arrivals), (0, 1));
}

#[test]
fn an_orphans_peer_falls_silent() {
    let (mut stage, _) = Stage::open(EndpointState::Orphan);
    let (_, replies) = stage.say(FIN | ACK, &[]);
    assert_eq!((replies.len(), stage.arrivals), (0, 1));
    stage.server_next = SERVER_FIRST;
    assert!(stage.say(FIN | ACK, &[]).1.is_empty());
}

#[test]
fn a_reset_has_the_number_that_the_server_expects() {
    for (state, ..) in ENDPOINT_STATES {
        let (mut stage, replies) = Stage::open(state);
        stage.received = bytes(&replies);
        stage.say(ACK, &[]);
        let mut replies = Vec::new();
        stage.connection.reset(&mut replies);
        assert_eq!(flags(&replies), [RST | ACK]);
        let expected = GHOST_FIRST.wrapping_add(stage.received);
        assert_eq!(replies[0].sequence, expected, "{state:?}");
        replies.clear();
        stage.connection.reset(&mut replies);
        assert!(replies.is_empty(), "it is gone already");
    }
}

#[test]
fn a_server_that_resets_or_never_answers_breaks_the_connection() {
    let (mut stage, _) = Stage::open(EndpointState::Accepted);
    assert!(matches!(stage.say(RST, &[]).0, Heard::Broken(_)));
    let mut stage = Stage::opened(EndpointState::Accepted);
    let sent_again = (0..100)
        .take_while(|_| stage.resend().0 == Heard::Nothing)
        .count();
    assert_eq!(sent_again, 20);
}

#[test]
fn a_strangers_handshake_is_ignored() {
    let mut stage = Stage::opened(EndpointState::Accepted);
    stage.received = 5;
    assert!(
        stage.syn_ack().is_empty(),
        "the wrong number is acknowledged"
    );
    stage.received = 0;
    assert!(stage.say(ACK, &[]).1.is_empty(), "no SYN");
    assert_eq!(stage.arrivals, 0);
}

#[test]
fn every_ghost_has_an_address_of_its_own() {
    let last = ADDRESS_GHOSTS - 1;
    for index in [0, 1, last, last + 1, 100 * ADDRESS_GHOSTS + 7] {
        assert_eq!(ghost_index(ghost_endpoint(index)), Some(index));
    }
    let server = segment::Endpoint {
        address: GHOST_SERVER_ADDRESS,
        port: FIRST_PORT as u16,
    };
    assert_eq!(ghost_index(server), None);
    let mut above = ghost_endpoint(0);
    above.port = u16::MAX;
    assert_eq!(ghost_index(above), None);
}

fn likely_flags() -> impl Strategy<Value = u8> {
    prop_oneof![4 => Just(ACK), 2 => Just(FIN | ACK), 1 => Just(SYN | ACK), 1 => any::<u8>()]
}

fn likely_received() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0), 0_u32..70, 0_u32..5000]
}

proptest! {
    /// Whatever a server says, a ghost neither panics nor sends what it was not asked for.
    #[test]
    fn no_segment_upsets_a_ghost(
        state in 0..ENDPOINT_STATES.len(),
        is_open in any::<bool>(),
        said in proptest::collection::vec(
            (likely_flags(), -3_i32..70, likely_received(), any::<u16>(), 0_usize..80), 0..20),
    ) {
        let state = ENDPOINT_STATES[state].0;
        let (mut stage, mut sent) = match is_open {
            true => Stage::open(state),
            false => (Stage::opened(state), Vec::new()),
        };
        for (flags, step, received, window, length) in said {
            stage.server_next = SERVER_FIRST.wrapping_add_signed(step);
            (stage.received, stage.window) = (received, window);
            sent.extend(stage.say(flags, &vec![0; length]).1);
            stage.resend();
        }
        prop_assert!(stage.arrivals <= 1);
        for reply in sent {
            prop_assert!(reply.length <= segment::SEGMENT_BYTES);
            if state != EndpointState::UnreadFull && reply.length > 0 {
                prop_assert!(reply.offset + u32::from(reply.length) <= 4096);
            }
        }
    }
}

#[test]
fn what_is_kept_of_a_connection_is_as_small_as_is_said() {
    assert_eq!(size_of::<Connection>(), 52);
    assert_eq!(size_of::<super::tcp::Tcp>(), 40);
}
