//! A ghost's end ([`super::tcp`]) against a model of a correct server, over a path that loses, doubles and
//! reorders; against RFC 9293, segment by segment; and against noise.

use super::segment::{ACK, Endpoint, FIN, PSH, RST, SYN, Segment, SegmentOptions, Timestamps};
use super::tcp::{self, Heard, Reply, Tcp, Terms};
use proptest::prelude::*;
use proptest::sample::Index;
use std::net::Ipv4Addr;

/// Both sides' numbers begin so near their wrap that every test crosses it.
const FIRST: u32 = u32::MAX - 200;
const SERVER_FIRST: u32 = u32::MAX - 90;
/// The most that a test sends.
const STREAM_BYTES_MAX: u32 = 8_000;
/// Times that the client's time is up while the path is bad: below what makes it give up.
const BAD_RESENDS_MAX: u32 = 12;

/// What the client sends at a place of its stream. The server echoes it with all bits turned.
fn byte_at(place: u32) -> u8 {
    (place ^ (place >> 7)).wrapping_mul(31) as u8
}

/// A segment on its way.
#[derive(Clone, Debug)]
struct Packet {
    sequence: u32,
    acknowledgement: u32,
    flags: u8,
    window: u16,
    payload: Vec<u8>,
}

impl Packet {
    fn segment(&self) -> Segment<'_> {
        let end = Endpoint {
            address: Ipv4Addr::LOCALHOST,
            port: 7,
        };
        Segment {
            source: end,
            destination: end,
            sequence: self.sequence,
            acknowledgement: self.acknowledgement,
            flags: self.flags,
            window: self.window,
            options: SegmentOptions::default(),
            payload: &self.payload,
        }
    }

    fn is_end(&self) -> bool {
        self.flags & FIN != 0
    }

    /// Numbers that it takes.
    fn extent(&self) -> u32 {
        self.payload.len() as u32 + u32::from(self.is_end())
    }
}

/// What the sides agree upon, and how the server is built.
#[derive(Clone, Copy, Debug)]
struct Setting {
    terms: Terms,
    buffer_bytes: u32,
    /// Whether it keeps what comes early.
    keeps_early: bool,
    /// Whether the client has to ask where it stands first.
    asks: bool,
}

/// The ghost's end and its owner.
struct Client {
    tcp: Tcp,
    terms: Terms,
    given: u32,
    forgotten: u32,
    received: u32,
    has_ended: bool,
    has_closed: bool,
    /// The furthest place that a window which has arrived takes.
    edge: u32,
    acknowledged: u32,
    sent: Vec<Packet>,
}

impl Client {
    fn new(setting: &Setting) -> Self {
        let terms = setting.terms;
        let mut client = Self {
            tcp: Tcp::at(FIRST, SERVER_FIRST, &terms),
            terms,
            given: 0,
            forgotten: 0,
            received: 0,
            has_ended: false,
            has_closed: false,
            edge: terms.server_window,
            acknowledged: 0,
            sent: Vec::new(),
        };
        if setting.asks {
            client.tcp = Tcp::asking();
            client.ask();
        }
        client
    }

    fn ask(&mut self) {
        let reply = Tcp::ask(FIRST.wrapping_sub(1000));
        self.sent.push(Packet {
            sequence: reply.sequence,
            acknowledgement: reply.acknowledgement,
            flags: reply.flags,
            window: reply.window,
            payload: Vec::new(),
        });
    }

    fn give(&mut self) {
        let may = !self.tcp.is_asking() && !self.has_closed;
        if may && self.given + self.terms.message_bytes <= STREAM_BYTES_MAX {
            self.given += self.terms.message_bytes;
            self.tcp.give(self.terms.message_bytes);
            self.answer();
        }
    }

    fn close(&mut self) {
        if !self.tcp.is_asking() && !self.has_closed {
            self.has_closed = true;
            self.tcp.close();
            self.answer();
        }
    }

    fn time_is_up(&mut self) {
        if self.tcp.is_asking() {
            return self.ask();
        }
        let mut replies = Vec::new();
        let result = self.tcp.resend(&self.terms, &mut replies);
        assert_eq!(result, Ok(()), "given up too early");
        self.send(&replies);
    }

    fn hear(&mut self, packet: &Packet) {
        let edge = packet
            .acknowledgement
            .wrapping_add(u32::from(packet.window) << self.terms.server_scale)
            .wrapping_sub(FIRST);
        self.edge = self.edge.max(edge);
        let place = packet.sequence.wrapping_sub(SERVER_FIRST);
        match self.tcp.hear(&self.terms, &packet.segment()) {
            Heard::Nothing | Heard::Standing => {}
            Heard::Fresh(bytes) => {
                assert!(!bytes.is_empty());
                self.take(bytes);
            }
            Heard::Ended(bytes) => {
                self.take(bytes);
                assert!(!self.has_ended, "one end only");
                self.has_ended = true;
            }
            Heard::Repeated => assert!(place + packet.extent() <= self.received),
            Heard::Early => assert!(place > self.received),
            Heard::Reset => panic!("nobody reset it"),
        }
        self.answer();
    }

    /// Checks the next bytes, and forgets every message whose echo is whole.
    fn take(&mut self, bytes: &[u8]) {
        for byte in bytes {
            assert_eq!(*byte, !byte_at(self.received));
            self.received += 1;
        }
        while self.received - self.forgotten >= self.terms.message_bytes {
            self.forgotten += self.terms.message_bytes;
            self.tcp.forget(self.terms.message_bytes);
        }
    }

    fn answer(&mut self) {
        let mut replies = Vec::new();
        self.tcp.answer(&self.terms, &mut replies);
        self.send(&replies);
    }

    fn send(&mut self, replies: &[Reply]) {
        for reply in replies {
            self.check(reply);
            let place = self.forgotten + reply.offset;
            let end = place + u32::from(reply.length);
            self.sent.push(Packet {
                sequence: reply.sequence,
                acknowledgement: reply.acknowledgement,
                flags: reply.flags,
                window: reply.window,
                payload: (place..end).map(byte_at).collect(),
            });
        }
    }

    fn check(&mut self, reply: &Reply) {
        let acknowledged = reply.acknowledgement.wrapping_sub(SERVER_FIRST);
        let expected = self.received + u32::from(self.has_ended);
        assert_eq!(acknowledged, expected, "all that has come, and no more");
        assert!(acknowledged >= self.acknowledged, "never back");
        self.acknowledged = acknowledged;
        let length = u32::from(reply.length);
        if reply.flags & FIN != 0 {
            assert!(self.has_closed && length == 0);
            assert_eq!(reply.sequence, FIRST.wrapping_add(self.given));
        }
        if length > 0 {
            let place = self.forgotten + reply.offset;
            assert_eq!(reply.sequence, FIRST.wrapping_add(place));
            let end = place + length;
            assert!(end <= self.given, "only what was given");
            assert!(end <= self.edge, "{end} is beyond the window");
            assert!(length <= self.terms.segment_bytes);
            let message = |place| place / self.terms.message_bytes;
            assert_eq!(message(place), message(end - 1), "parts of two messages");
        }
    }
}

/// A server that echoes what it reads.
struct Server {
    setting: Setting,
    /// Which bytes of the client's stream have come, and how many of the first without a gap.
    has: Vec<bool>,
    received: u32,
    read: u32,
    /// Where the client's stream ends, once that is known.
    client_end: Option<u32>,
    sent_bytes: u32,
    acknowledged: u32,
    /// Where its own stream ends, once it has closed it.
    end: Option<u32>,
    has_sent_end: bool,
    sent: Vec<Packet>,
}

impl Server {
    fn new(setting: &Setting) -> Self {
        Self {
            setting: *setting,
            has: vec![false; STREAM_BYTES_MAX as usize + 1],
            received: 0,
            read: 0,
            client_end: None,
            sent_bytes: 0,
            acknowledged: 0,
            end: None,
            has_sent_end: false,
            sent: Vec::new(),
        }
    }

    fn has_client_end(&self) -> bool {
        self.client_end == Some(self.received)
    }

    fn window(&self) -> u16 {
        let free = self.setting.buffer_bytes - (self.received - self.read);
        u16::try_from(free >> self.setting.terms.server_scale).expect("a window of 16 bits")
    }

    /// RFC 9293, section 3.10.7.4: whether a segment is acceptable.
    fn accepts(&self, place: i64, extent: i64) -> bool {
        let next = i64::from(self.received) + i64::from(self.has_client_end());
        let window = i64::from(self.window()) << self.setting.terms.server_scale;
        match (extent, window) {
            (0, 0) => place == next,
            (0, _) => (next..next + window).contains(&place),
            (_, 0) => false,
            _ => place < next + window && place + extent > next,
        }
    }

    fn hear(&mut self, packet: &Packet) {
        let place = i64::from(packet.sequence.wrapping_sub(FIRST) as i32);
        for (byte, place) in packet.payload.iter().zip(place as u32..) {
            assert_eq!(*byte, byte_at(place), "at {place}");
        }
        if !self.accepts(place, packet.extent().into()) {
            return self.say_again();
        }
        let acknowledged = packet.acknowledgement.wrapping_sub(SERVER_FIRST);
        assert!(acknowledged <= self.sent_bytes + u32::from(self.has_sent_end));
        self.acknowledged = self.acknowledged.max(acknowledged);
        if packet.extent() > 0 {
            self.keep(packet, place as u32);
            self.say_again();
        }
    }

    fn keep(&mut self, packet: &Packet, place: u32) {
        if place > self.received && !self.setting.keeps_early {
            return;
        }
        let end = place + packet.payload.len() as u32;
        self.has[place as usize..end as usize].fill(true);
        while self.has[self.received as usize] {
            self.received += 1;
        }
        if packet.is_end() {
            assert!(self.client_end.is_none_or(|known| known == end));
            self.client_end = Some(end);
        }
    }

    /// An acknowledgement, for whatever reason.
    fn say_again(&mut self) {
        let packet = self.packet(self.sent_bytes + u32::from(self.has_sent_end), 0);
        self.sent.push(packet);
    }

    /// A probe of an idle connection: one number before what comes next.
    fn probe(&mut self) {
        let mut packet = self.packet(self.sent_bytes + u32::from(self.has_sent_end), 0);
        packet.sequence = packet.sequence.wrapping_sub(1);
        self.sent.push(packet);
    }

    fn packet(&self, place: u32, length: u32) -> Packet {
        Packet {
            sequence: SERVER_FIRST.wrapping_add(place),
            acknowledgement: FIRST
                .wrapping_add(self.received)
                .wrapping_add(self.has_client_end().into()),
            flags: if length > 0 { PSH | ACK } else { ACK },
            window: self.window(),
            payload: (place..place + length)
                .map(|place| !byte_at(place))
                .collect(),
        }
    }

    fn read(&mut self, bytes: u32) {
        let before = self.window();
        self.read += bytes.min(self.received - self.read);
        if self.window() > before {
            self.say_again();
        }
    }

    fn close(&mut self) {
        self.end.get_or_insert(self.read);
    }

    /// Sends what is to be echoed, in pieces of at most `piece_bytes`.
    fn send(&mut self, piece_bytes: u32) {
        let stop = self.end.unwrap_or(self.read);
        while self.sent_bytes < stop {
            let length = piece_bytes.min(stop - self.sent_bytes);
            let packet = self.packet(self.sent_bytes, length);
            self.sent_bytes += length;
            self.sent.push(packet);
        }
        if self.end.is_some() && !self.has_sent_end {
            self.has_sent_end = true;
            let mut packet = self.packet(self.sent_bytes, 0);
            packet.flags |= FIN;
            self.sent.push(packet);
        }
    }

    /// Sends from the first byte that is not acknowledged, cut otherwise than before.
    fn time_is_up(&mut self, bytes: u32) {
        let place = self.acknowledged.min(self.sent_bytes);
        let length = bytes.min(self.sent_bytes - place);
        let mut packet = self.packet(place, length);
        let is_last = place + length == self.sent_bytes;
        if is_last && self.has_sent_end {
            packet.flags |= FIN;
        }
        self.sent.push(packet);
    }
}

/// What becomes of a segment.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Arrives,
    Doubled,
    Lost,
}

#[derive(Clone, Debug)]
enum Event {
    Give,
    ClientCloses,
    ClientsTimeIsUp,
    ServerReads(u32),
    ServerSends(u32),
    ServersTimeIsUp(u32),
    ServerProbes,
    ServerCloses,
    /// Any of the segments on the way, so that it overtakes others.
    ToClient(Index, Fate),
    ToServer(Index, Fate),
}

fn fates() -> impl Strategy<Value = Fate> {
    prop_oneof![
        6 => Just(Fate::Arrives),
        2 => Just(Fate::Doubled),
        2 => Just(Fate::Lost),
    ]
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        40 => Just(Event::Give),
        1 => Just(Event::ClientCloses),
        20 => Just(Event::ClientsTimeIsUp),
        40 => (1_u32..5000).prop_map(Event::ServerReads),
        40 => (1_u32..2000).prop_map(Event::ServerSends),
        20 => (0_u32..2000).prop_map(Event::ServersTimeIsUp),
        5 => Just(Event::ServerProbes),
        1 => Just(Event::ServerCloses),
        100 => (any::<Index>(), fates()).prop_map(|(at, fate)| Event::ToClient(at, fate)),
        100 => (any::<Index>(), fates()).prop_map(|(at, fate)| Event::ToServer(at, fate)),
    ];
    proptest::collection::vec(event, 0..200)
}

prop_compose! {
    fn settings()(
        segment_bytes in 40_u32..1461,
        server_scale in 0_u8..5,
        buffer_bytes in 100_u32..6000,
        message_bytes in 1_u32..3000,
        keeps_early in any::<bool>(),
        asks in any::<bool>(),
    ) -> Setting {
        let server_window = buffer_bytes >> server_scale << server_scale;
        let terms = Terms { segment_bytes, server_scale, server_window, message_bytes };
        Setting { terms, buffer_bytes, keeps_early, asks }
    }
}

/// Both sides and the path between them.
struct Play {
    client: Client,
    server: Server,
    bad_resends: u32,
}

impl Play {
    fn new(setting: &Setting) -> Self {
        Self {
            client: Client::new(setting),
            server: Server::new(setting),
            bad_resends: 0,
        }
    }

    fn happens(&mut self, event: &Event) {
        let (client, server) = (&mut self.client, &mut self.server);
        match event {
            Event::Give => client.give(),
            Event::ClientCloses => client.close(),
            Event::ClientsTimeIsUp if self.bad_resends < BAD_RESENDS_MAX => {
                self.bad_resends += 1;
                client.time_is_up();
            }
            Event::ClientsTimeIsUp => {}
            Event::ServerReads(bytes) => server.read(*bytes),
            Event::ServerSends(piece_bytes) => server.send(*piece_bytes),
            Event::ServersTimeIsUp(bytes) => server.time_is_up(*bytes),
            // Neither is for an end that asks: it takes any acknowledgement for the answer.
            Event::ServerProbes | Event::ServerCloses if client.tcp.is_asking() => {}
            Event::ServerProbes => server.probe(),
            Event::ServerCloses => server.close(),
            Event::ToClient(at, fate) => {
                if let Some(packet) = pass(&mut server.sent, *at, *fate) {
                    client.hear(&packet);
                }
            }
            Event::ToServer(at, fate) => {
                if let Some(packet) = pass(&mut client.sent, *at, *fate) {
                    server.hear(&packet);
                }
            }
        }
    }

    fn all_arrives(&mut self) {
        for packet in std::mem::take(&mut self.client.sent) {
            self.server.hear(&packet);
        }
        for packet in std::mem::take(&mut self.server.sent) {
            self.client.hear(&packet);
        }
    }

    /// The path is good from now on: all that was given arrives, both ways, and both sides end.
    fn settle(&mut self) {
        for _ in 0..3000 {
            self.all_arrives();
            self.server.read(u32::MAX);
            self.client.close();
            if self.server.has_client_end() {
                self.server.close();
            }
            self.server.send(1000);
            if self.is_over() {
                return;
            }
            if self.client.sent.is_empty() && self.server.sent.is_empty() {
                self.client.time_is_up();
                self.server.time_is_up(1000);
            }
        }
        panic!("it never ends");
    }

    fn is_over(&self) -> bool {
        let echoed = self.server.end;
        self.server.has_client_end()
            && self.client.has_ended
            && echoed.is_some_and(|end| self.server.acknowledged == end + 1)
    }
}

/// Takes one of the segments off the way.
fn pass(way: &mut Vec<Packet>, at: Index, fate: Fate) -> Option<Packet> {
    if way.is_empty() {
        return None;
    }
    let at = at.index(way.len());
    match fate {
        Fate::Arrives => Some(way.swap_remove(at)),
        Fate::Doubled => Some(way[at].clone()),
        Fate::Lost => {
            way.swap_remove(at);
            None
        }
    }
}

proptest! {
    /// Whatever the path does, both streams arrive whole, in order, once, and both sides end. That every
    /// segment keeps to the window, the numbers and the messages is checked on the way.
    #[test]
    fn a_bad_path_changes_no_byte(setting in settings(), events in events()) {
        let mut play = Play::new(&setting);
        for event in &events {
            play.happens(event);
        }
        play.settle();
        let (client, server) = (&play.client, &play.server);
        prop_assert_eq!(server.received, client.given);
        prop_assert_eq!(Some(client.received), server.end);
        // All is said: nothing comes any more but by the clock.
        let mut tcp = client.tcp;
        let mut replies = Vec::new();
        tcp.answer(&client.terms, &mut replies);
        prop_assert_eq!(replies, []);
    }
}

/// Noise that is nearly right: numbers close to those that count.
#[derive(Clone, Debug)]
struct Noise {
    /// From the server's next number, and from the client's first that was not acknowledged.
    ahead: i32,
    acknowledged: i32,
    flags: u8,
    window: u16,
    length: u32,
    timestamps: Option<(u32, u32)>,
}

prop_compose! {
    fn noises()(
        ahead in prop_oneof![4 => Just(0), 4 => -80_i32..80, 1 => any::<i32>()],
        acknowledged in prop_oneof![4 => 0_i32..80, 2 => -80_i32..300, 1 => any::<i32>()],
        flags in prop_oneof![8 => Just(ACK), 4 => Just(PSH | ACK), 2 => Just(FIN | ACK), 1 => any::<u8>()],
        window in 0_u16..500,
        length in prop_oneof![Just(0_u32), 0_u32..160],
        timestamps in any::<Option<(u32, u32)>>(),
    ) -> Noise {
        Noise { ahead, acknowledged, flags, window, length, timestamps }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Give,
    Close,
    TimeIsUp,
    Hear(Noise),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => Just(Step::Give),
        1 => Just(Step::Close),
        3 => Just(Step::TimeIsUp),
        20 => noises().prop_map(Step::Hear),
    ];
    proptest::collection::vec(step, 0..60)
}

/// The client under noise, and what it may have sent.
struct Noisy {
    client: Client,
    sent_bytes: u32,
    acknowledged: u32,
    is_reset: bool,
}

impl Noisy {
    fn new(terms: Terms) -> Self {
        let setting = Setting {
            terms,
            buffer_bytes: terms.server_window,
            keeps_early: false,
            asks: false,
        };
        Self {
            client: Client::new(&setting),
            sent_bytes: 0,
            acknowledged: 0,
            is_reset: false,
        }
    }

    fn takes(&mut self, step: &Step) {
        match step {
            Step::Give => self.client.give(),
            Step::Close => self.client.close(),
            Step::TimeIsUp => {
                let mut replies = Vec::new();
                // Noise is no answer: it may be given up.
                let _ = self.client.tcp.resend(&self.client.terms, &mut replies);
                self.client.send(&replies);
            }
            Step::Hear(noise) => self.hear(noise),
        }
        for packet in std::mem::take(&mut self.client.sent) {
            assert!(!self.is_reset, "what was reset says nothing");
            let end = packet
                .sequence
                .wrapping_sub(FIRST)
                .wrapping_add(packet.extent());
            if packet.extent() > 0 {
                self.sent_bytes = self.sent_bytes.max(end);
            }
        }
    }

    /// As much of the payload as echoes what was sent: the owner stops a server that says more.
    fn possible_length(&self, noise: &Noise) -> u32 {
        let place = i64::from(self.client.received) + i64::from(noise.ahead);
        let left = i64::from(self.sent_bytes.min(self.client.given)) - place;
        match place < 0 || left < 0 {
            true => 0,
            false => noise.length.min(left as u32),
        }
    }

    fn hear(&mut self, noise: &Noise) {
        let length = self.possible_length(noise);
        let client = &mut self.client;
        let expected = client.received + u32::from(client.has_ended);
        let place = expected.wrapping_add_signed(noise.ahead);
        let acknowledged = self.acknowledged.wrapping_add_signed(noise.acknowledged);
        let payload = (0..length).map(|byte| !byte_at(place.wrapping_add(byte)));
        let packet = Packet {
            sequence: SERVER_FIRST.wrapping_add(place),
            acknowledgement: FIRST.wrapping_add(acknowledged),
            flags: noise.flags,
            window: noise.window,
            payload: payload.collect(),
        };
        let mut segment = packet.segment();
        segment.options.timestamps = noise
            .timestamps
            .map(|(value, echo)| Timestamps { value, echo });
        let counts = noise.flags & ACK != 0 && noise.flags & (SYN | RST) == 0;
        if counts && acknowledged <= self.sent_bytes {
            let edge = acknowledged + (u32::from(noise.window) << client.terms.server_scale);
            client.edge = client.edge.max(edge);
            self.acknowledged = self.acknowledged.max(acknowledged);
        }
        let heard = client.tcp.hear(&client.terms, &segment);
        self.check(heard, &segment, expected);
        self.client.answer();
    }

    fn check(&mut self, heard: Heard<'_>, segment: &Segment<'_>, expected: u32) {
        let place = segment.sequence.wrapping_sub(SERVER_FIRST);
        let length = segment.payload.len() as u32;
        match heard {
            Heard::Nothing | Heard::Repeated | Heard::Early => {}
            Heard::Standing => panic!("it stood already"),
            Heard::Fresh(bytes) | Heard::Ended(bytes) => {
                assert!(!self.is_reset && !self.client.has_ended && segment.has(ACK));
                assert!(!segment.has(SYN | RST));
                assert!(place.wrapping_sub(expected) as i32 <= 0, "a gap");
                assert_eq!(place + length - expected, bytes.len() as u32);
                self.client.take(bytes);
            }
            Heard::Reset => {
                assert!(segment.has(RST) && place == expected && !self.is_reset);
                self.is_reset = true;
            }
        }
        if matches!(heard, Heard::Ended(_)) {
            assert!(segment.has(FIN));
            self.client.has_ended = true;
        }
    }
}

proptest! {
    /// Any flags, numbers, options and lengths: nothing panics, no byte counts twice or from beyond a gap, and
    /// what is sent keeps to what was said.
    #[test]
    fn noise_is_only_taken_where_it_fits(
        segment_bytes in 10_u32..100,
        message_bytes in 1_u32..250,
        server_scale in 0_u8..3,
        steps in steps(),
    ) {
        let terms = Terms { segment_bytes, server_scale, server_window: 200, message_bytes };
        let mut noisy = Noisy::new(terms);
        for step in &steps {
            noisy.takes(step);
        }
    }

    /// The same for an end that asks: a bare acknowledgement or a reset counts, and nothing else does.
    #[test]
    fn an_end_that_asks_takes_a_bare_acknowledgement(numbers in any::<(u32, u32)>(), noise in noises()) {
        let terms = Terms { segment_bytes: 100, server_scale: 1, server_window: 200, message_bytes: 10 };
        let mut tcp = Tcp::asking();
        let packet = Packet {
            sequence: numbers.0,
            acknowledgement: numbers.1,
            flags: noise.flags,
            window: noise.window,
            payload: vec![0; noise.length as usize],
        };
        let heard = tcp.hear(&terms, &packet.segment());
        let is_bare = noise.length == 0 && noise.flags & (SYN | FIN | ACK) == ACK;
        if noise.flags & RST != 0 {
            prop_assert_eq!(heard, Heard::Reset);
        } else if is_bare {
            prop_assert_eq!(heard, Heard::Standing);
            prop_assert_eq!(tcp.numbers(), (numbers.1, numbers.0));
        } else {
            prop_assert_eq!(heard, Heard::Nothing);
            prop_assert!(tcp.is_asking());
        }
        let mut replies = Vec::new();
        tcp.answer(&terms, &mut replies);
        prop_assert_eq!(replies, []);
    }

    /// A connection without a turn: what takes room is acknowledged, by the segment's own numbers.
    #[test]
    fn what_takes_room_is_acknowledged_without_state(numbers in any::<(u32, u32)>(), noise in noises()) {
        let packet = Packet {
            sequence: numbers.0,
            acknowledgement: numbers.1,
            flags: noise.flags,
            window: noise.window,
            payload: vec![0; noise.length as usize],
        };
        let takes = packet.extent() + u32::from(noise.flags & SYN != 0);
        let reply = tcp::answer_without_state(&packet.segment());
        let answers = takes > 0 && noise.flags & (ACK | RST) == ACK;
        prop_assert_eq!(reply.is_some(), answers);
        if let Some(reply) = reply {
            prop_assert_eq!((reply.flags, reply.length), (ACK, 0));
            prop_assert_eq!(reply.sequence, numbers.1);
            prop_assert_eq!(reply.acknowledgement, numbers.0.wrapping_add(takes));
        }
    }
}

const TERMS: Terms = Terms {
    segment_bytes: 100,
    server_scale: 2,
    server_window: 1000,
    message_bytes: 250,
};

/// What the server says, by places in both streams, and what becomes of it.
fn say(
    tcp: &mut Tcp,
    flags: u8,
    place: u32,
    acknowledged: u32,
    payload: &[u8],
) -> (String, Vec<Reply>) {
    say_with(tcp, flags, place, acknowledged, payload, 250, None)
}

fn say_with(
    tcp: &mut Tcp,
    flags: u8,
    place: u32,
    acknowledged: u32,
    payload: &[u8],
    window: u16,
    timestamps: Option<Timestamps>,
) -> (String, Vec<Reply>) {
    let packet = Packet {
        sequence: SERVER_FIRST.wrapping_add(place),
        acknowledgement: FIRST.wrapping_add(acknowledged),
        flags,
        window,
        payload: payload.to_vec(),
    };
    let mut segment = packet.segment();
    segment.options.timestamps = timestamps;
    let heard = format!("{:?}", tcp.hear(&TERMS, &segment));
    (heard, answers(tcp))
}

fn answers(tcp: &mut Tcp) -> Vec<Reply> {
    let mut replies = Vec::new();
    tcp.answer(&TERMS, &mut replies);
    replies
}

fn resent(tcp: &mut Tcp) -> Vec<Reply> {
    let mut replies = Vec::new();
    tcp.resend(&TERMS, &mut replies).expect("not given up yet");
    replies
}

/// Flags, places and length of each segment: what it is about.
fn gist(replies: &[Reply]) -> Vec<(u8, u32, u32, u16)> {
    let place = |reply: &Reply| reply.sequence.wrapping_sub(FIRST);
    let acknowledged = |reply: &Reply| reply.acknowledgement.wrapping_sub(SERVER_FIRST);
    replies
        .iter()
        .map(|reply| (reply.flags, place(reply), acknowledged(reply), reply.length))
        .collect()
}

fn standing() -> Tcp {
    Tcp::at(FIRST, SERVER_FIRST, &TERMS)
}

/// An end that has sent 250 bytes in three segments.
fn sent() -> Tcp {
    let mut tcp = standing();
    tcp.give(250);
    let replies = answers(&mut tcp);
    let segments = [
        (PSH | ACK, 0, 0, 100),
        (PSH | ACK, 100, 0, 100),
        (PSH | ACK, 200, 0, 50),
    ];
    assert_eq!(gist(&replies), segments);
    tcp
}

#[test]
fn the_servers_end_is_acknowledged_and_so_is_its_repetition() {
    let mut tcp = sent();
    let (heard, replies) = say(&mut tcp, FIN | ACK, 0, 250, b"ab");
    assert_eq!(heard, "Ended([97, 98])");
    assert_eq!(gist(&replies), [(ACK, 250, 3, 0)]);
    let (heard, replies) = say(&mut tcp, FIN | ACK, 0, 250, b"ab");
    assert_eq!(heard, "Nothing");
    assert_eq!(gist(&replies), [(ACK, 250, 3, 0)]);
    // Our side may go on, and ends when it is told to.
    tcp.give(250);
    assert_eq!(answers(&mut tcp).len(), 3);
    let (_, replies) = say(&mut tcp, ACK, 3, 500, b"");
    assert_eq!(replies, []);
    tcp.close();
    assert_eq!(gist(&answers(&mut tcp)), [(FIN | ACK, 500, 3, 0)]);
    assert_eq!(say(&mut tcp, ACK, 3, 501, b"").1, []);
    assert!(!tcp.is_idle());
}

#[test]
fn an_end_that_comes_early_or_alone_is_told_apart() {
    let mut tcp = standing();
    let (heard, replies) = say(&mut tcp, FIN | ACK, 2, 0, b"");
    assert_eq!(
        (heard.as_str(), gist(&replies)),
        ("Early", vec![(ACK, 0, 0, 0)])
    );
    let (heard, _) = say(&mut tcp, ACK, 0, 0, b"ab");
    assert_eq!(heard, "Fresh([97, 98])");
    // The payload has come before, its end has not.
    let (heard, replies) = say(&mut tcp, FIN | ACK, 0, 0, b"ab");
    assert_eq!(
        (heard.as_str(), gist(&replies)),
        ("Ended([])", vec![(ACK, 0, 3, 0)])
    );
}

#[test]
fn both_sides_may_end_at_once() {
    let mut tcp = sent();
    tcp.close();
    assert_eq!(gist(&answers(&mut tcp)), [(FIN | ACK, 250, 0, 0)]);
    let (heard, replies) = say(&mut tcp, FIN | ACK, 0, 250, b"");
    assert_eq!(
        (heard.as_str(), gist(&replies)),
        ("Ended([])", vec![(ACK, 251, 1, 0)])
    );
    // Ours was lost: it comes again, and nothing else.
    assert_eq!(gist(&resent(&mut tcp)), [(FIN | ACK, 250, 1, 0)]);
    assert_eq!(say(&mut tcp, ACK, 1, 251, b"").1, []);
}

#[test]
fn an_end_waits_for_the_window_and_comes_after_the_last_byte() {
    let mut tcp = sent();
    assert_eq!(say_with(&mut tcp, ACK, 0, 250, b"", 0, None).1, []);
    tcp.give(250);
    tcp.close();
    assert_eq!(answers(&mut tcp), []);
    let (_, replies) = say(&mut tcp, ACK, 0, 250, b"");
    let last = gist(&replies).pop();
    assert_eq!((replies.len(), last), (4, Some((FIN | ACK, 500, 0, 0))));
    // All of it is lost: it comes again, a segment for every answer.
    assert_eq!(gist(&resent(&mut tcp)), [(PSH | ACK, 250, 0, 100)]);
    assert_eq!(
        gist(&say(&mut tcp, ACK, 0, 350, b"").1),
        [(PSH | ACK, 350, 0, 100)]
    );
    assert_eq!(
        gist(&say(&mut tcp, ACK, 0, 450, b"").1),
        [(PSH | ACK, 450, 0, 50)]
    );
    assert_eq!(
        gist(&say(&mut tcp, ACK, 0, 500, b"").1),
        [(FIN | ACK, 500, 0, 0)]
    );
    assert_eq!(say(&mut tcp, ACK, 0, 501, b"").1, []);
}

#[test]
fn only_the_very_next_number_resets() {
    for flags in [RST, RST | ACK] {
        let mut tcp = sent();
        // In the window: it is asked about, RFC 5961. Out of it: nothing.
        let (heard, replies) = say(&mut tcp, flags, 1, 0, b"");
        assert_eq!(
            (heard.as_str(), gist(&replies)),
            ("Nothing", vec![(ACK, 250, 0, 0)])
        );
        let (heard, replies) = say(&mut tcp, flags, 1 << 24, 0, b"");
        assert_eq!((heard.as_str(), replies), ("Nothing", vec![]));
        let (heard, replies) = say(&mut tcp, flags, 0, 0, b"");
        assert_eq!((heard.as_str(), replies), ("Reset", vec![]));
        let (heard, replies) = say(&mut tcp, ACK, 0, 250, b"ab");
        assert_eq!((heard.as_str(), replies), ("Nothing", vec![]));
        assert_eq!(resent(&mut tcp), []);
    }
}

#[test]
fn a_handshake_in_an_open_connection_is_answered() {
    for flags in [SYN, SYN | ACK] {
        let mut tcp = standing();
        let (heard, replies) = say(&mut tcp, flags, u32::MAX, 0, b"");
        assert_eq!(
            (heard.as_str(), gist(&replies)),
            ("Nothing", vec![(ACK, 0, 0, 0)])
        );
    }
}

#[test]
fn what_acknowledges_the_unsent_is_not_taken() {
    let mut tcp = sent();
    let (heard, replies) = say(&mut tcp, PSH | ACK, 0, 251, b"ab");
    assert_eq!(
        (heard.as_str(), gist(&replies)),
        ("Nothing", vec![(ACK, 250, 0, 0)])
    );
    assert_eq!(gist(&resent(&mut tcp)), [(PSH | ACK, 0, 0, 100)]);
}

#[test]
fn a_probe_is_answered() {
    let mut tcp = standing();
    let (heard, replies) = say(&mut tcp, ACK, u32::MAX, 0, b"");
    assert_eq!(
        (heard.as_str(), gist(&replies)),
        ("Nothing", vec![(ACK, 0, 0, 0)])
    );
    assert_eq!(say(&mut tcp, ACK, 0, 0, b"").1, [], "which is no probe");
}

#[test]
fn a_closed_window_is_probed_for_as_long_as_it_is_answered() {
    let mut tcp = sent();
    tcp.give(250);
    assert_eq!(answers(&mut tcp).len(), 3);
    assert_eq!(say_with(&mut tcp, ACK, 0, 500, b"", 0, None).1, []);
    tcp.give(250);
    assert_eq!(answers(&mut tcp), []);
    for _ in 0..300 {
        assert_eq!(gist(&resent(&mut tcp)), [(ACK, 499, 0, 0)]);
        assert_eq!(say_with(&mut tcp, ACK, 0, 500, b"", 0, None).1, []);
    }
    // 60 bytes of window, and nothing is in flight: they are used.
    let (_, replies) = say_with(&mut tcp, ACK, 0, 500, b"", 15, None);
    assert_eq!(gist(&replies), [(PSH | ACK, 500, 0, 60)]);
    // 60 more, but some is in flight: it waits.
    assert_eq!(say_with(&mut tcp, ACK, 0, 500, b"", 30, None).1, []);
}

#[test]
fn a_server_that_says_nothing_is_given_up() {
    let mut tcp = sent();
    let mut replies = Vec::new();
    let tries = (0..1000).take_while(|_| tcp.resend(&TERMS, &mut replies).is_ok());
    assert_eq!(tries.count(), 120);
    assert_eq!(gist(&replies), [(PSH | ACK, 0, 0, 100); 120]);
}

#[test]
fn every_step_forward_is_an_answer() {
    let mut tcp = standing();
    for round in 0..300 {
        tcp.give(250);
        assert_eq!(answers(&mut tcp).len(), 3);
        assert_eq!(resent(&mut tcp).len(), 1);
        assert_eq!(say(&mut tcp, ACK, 0, 250 * (round + 1), b"").1, []);
    }
    // So are bytes of the server's.
    let mut tcp = sent();
    for place in 0..300 {
        assert_eq!(resent(&mut tcp).len(), 1);
        assert_eq!(say(&mut tcp, PSH | ACK, place, 0, b"a").1.len(), 1);
    }
}

#[test]
fn what_an_echo_acknowledges_by_itself_opens_no_window() {
    let mut tcp = sent();
    // Only 100 are acknowledged, and no more is taken, but all 250 come back.
    let (heard, replies) = say_with(&mut tcp, ACK, 0, 100, &[0; 250], 0, None);
    assert!(heard.starts_with("Fresh"));
    assert_eq!(gist(&replies), [(ACK, 250, 250, 0)]);
    tcp.forget(250);
    assert!(tcp.is_idle());
    tcp.give(250);
    assert_eq!(answers(&mut tcp), []);
    let (_, replies) = say_with(&mut tcp, ACK, 250, 250, b"", 5, None);
    assert_eq!(gist(&replies), [(PSH | ACK, 250, 250, 20)]);
}

#[test]
fn the_servers_clock_is_echoed() {
    let mut tcp = standing();
    let at = |value| Some(Timestamps { value, echo: 0 });
    let clock = |replies: &[Reply]| replies.last().map(|reply| reply.server_time);
    let (_, replies) = say_with(&mut tcp, ACK, 0, 0, b"ab", 250, at(5));
    assert_eq!(clock(&replies), Some(5));
    // What has come before or too early does not set it; what has new bytes behind old ones does.
    let (_, replies) = say_with(&mut tcp, ACK, 0, 0, b"ab", 250, at(6));
    assert_eq!(clock(&replies), Some(5));
    let (_, replies) = say_with(&mut tcp, ACK, 3, 0, b"ab", 250, at(7));
    assert_eq!(clock(&replies), Some(5));
    let (heard, replies) = say_with(&mut tcp, ACK, 1, 0, b"bc", 250, at(8));
    assert_eq!((heard.as_str(), clock(&replies)), ("Fresh([99])", Some(8)));
}

#[test]
fn a_connection_begins_and_ends_by_its_numbers_alone() {
    let opening = tcp::opening(FIRST);
    assert_eq!(
        (opening.flags, opening.sequence),
        (SYN, FIRST.wrapping_sub(1))
    );
    let packet = Packet {
        sequence: SERVER_FIRST.wrapping_sub(1),
        acknowledgement: FIRST,
        flags: SYN | ACK,
        window: 1000,
        payload: Vec::new(),
    };
    let reply = tcp::answer_without_state(&packet.segment())
        .into_iter()
        .collect::<Vec<_>>();
    assert_eq!(gist(&reply), [(ACK, 0, 0, 0)]);
    for reset in [tcp::reset_after(&packet.segment()), tcp::reset_at(FIRST)] {
        assert_eq!((reset.flags, reset.sequence), (RST, FIRST));
    }
}
