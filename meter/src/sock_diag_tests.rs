//! Dumps as the kernel writes them, damaged ones, and the kernel's own.

use super::*;
use proptest::prelude::*;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Instant;

fn message(kind: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = ((HEADER_BYTES + body.len()) as u32).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend([0; 10]);
    bytes.extend(body);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// A socket as a dump has it, with an attribute after it.
fn told(state: u8, local: &str, remote: &str, inode: u32) -> Vec<u8> {
    let (local, remote): (SocketAddr, SocketAddr) =
        (local.parse().unwrap(), remote.parse().unwrap());
    let family = if local.is_ipv4() { AF_INET } else { AF_INET6 };
    let mut body = vec![family, state, 0, 0];
    body.extend(local.port().to_be_bytes());
    body.extend(remote.port().to_be_bytes());
    for end in [local, remote] {
        let mut address = match end.ip() {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        address.resize(16, 0);
        body.extend(address);
    }
    body.extend([0; 12 + 4]);
    body.extend(3_u32.to_ne_bytes());
    body.extend(128_u32.to_ne_bytes());
    body.extend(1000_u32.to_ne_bytes());
    body.extend(inode.to_ne_bytes());
    assert_eq!(body.len(), SOCKET_BYTES);
    body.extend([5, 0, 8, 0, 0, 0, 0, 0]);
    message(SOCK_DIAG_BY_FAMILY, &body)
}

fn done() -> Vec<u8> {
    message(NLMSG_DONE, &[0; 4])
}

fn read(bytes: &[u8]) -> (Vec<Socket>, Result<Progress, String>) {
    let mut sockets = Vec::new();
    let progress = read_piece(bytes, &mut |socket| sockets.push(socket));
    (sockets, progress)
}

#[test]
fn a_piece_holds_sockets_and_the_last_one_says_so() {
    let first = told(1, "127.0.0.1:7", "127.1.0.1:1024", 20);
    let second = told(10, "[::]:7", "[::]:0", 21);
    let mut piece = [first, second].concat();
    let (sockets, progress) = read(&piece);
    assert_eq!(progress, Ok(Progress::Continues));
    let expected = Socket {
        state: 1,
        local: "127.0.0.1:7".parse().unwrap(),
        remote: "127.1.0.1:1024".parse().unwrap(),
        receive_queue: 3,
        send_queue: 128,
        inode: 20,
    };
    assert_eq!(sockets[0], expected);
    assert_eq!(sockets[1].local, "[::]:7".parse().unwrap());
    assert_eq!(sockets.len(), 2);
    piece.extend(done());
    assert_eq!(read(&piece).1, Ok(Progress::Ended));
}

#[test]
fn a_refusal_has_the_name_of_its_errno() {
    let of = |kind: u16, code: i32| read(&message(kind, &code.to_ne_bytes())).1;
    let missing = of(NLMSG_ERROR, -2).unwrap_err();
    assert!(missing.contains("inet_diag"), "{missing}");
    let denied = of(NLMSG_ERROR, -1).unwrap_err();
    assert!(denied.contains("not permitted"), "{denied}");
    assert!(
        of(NLMSG_DONE, -12).is_err(),
        "a dump that ended for want of memory"
    );
    assert!(of(NLMSG_ERROR, i32::MIN).is_err());
}

#[test]
fn a_piece_cut_anywhere_is_refused_or_shorter_but_never_wrong() {
    let whole = [told(1, "127.0.0.1:7", "127.1.0.1:1024", 20), done()].concat();
    let first_bytes = whole.len() - done().len();
    for length in 0..whole.len() {
        let (sockets, progress) = read(&whole[..length]);
        match length {
            _ if length == first_bytes => assert_eq!(progress, Ok(Progress::Continues)),
            _ => assert!(progress.is_err(), "{length} bytes: {progress:?}"),
        }
        assert_eq!(sockets.len(), usize::from(length >= first_bytes));
    }
}

#[test]
fn a_message_that_says_it_is_shorter_than_its_header_is_not_walked_for_ever() {
    for length in 0..HEADER_BYTES as u32 {
        let mut bytes = told(1, "127.0.0.1:7", "127.1.0.1:1024", 20);
        bytes[0..4].copy_from_slice(&length.to_ne_bytes());
        assert!(read(&bytes).1.is_err());
    }
    let mut bytes = told(1, "127.0.0.1:7", "127.1.0.1:1024", 20);
    bytes[0..4].copy_from_slice(&u32::MAX.to_ne_bytes());
    assert!(read(&bytes).1.is_err());
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = read(&bytes);
    }

    #[test]
    fn no_damage_makes_it_panic(at in 0..200_usize, byte in any::<u8>()) {
        let mut bytes = [told(1, "127.0.0.1:7", "127.1.0.1:1024", 20), told(6, "[::1]:7", "[::2]:9", 0), done()].concat();
        bytes[at] = byte;
        let _ = read(&bytes);
    }
}

fn counted(port: u16, server: &[Vec<u8>], client: &[Vec<u8>]) -> Census {
    let mut count = Count::new(port);
    read_piece(&server.concat(), &mut |socket| {
        count.add_server_end(&socket)
    })
    .unwrap();
    read_piece(&client.concat(), &mut |socket| {
        count.add_client_end(&socket)
    })
    .unwrap();
    count.finish()
}

#[test]
fn ends_are_counted_by_state_and_by_what_is_different() {
    let server = [
        told(1, "127.0.0.1:7", "127.0.0.1:1024", 20),
        told(1, "127.0.0.2:7", "127.0.0.1:1024", 21),
        told(1, "127.0.0.2:7", "127.0.0.1:1025", 0),
        // The same four-tuple twice, because the kernel's table moved meanwhile.
        told(1, "127.0.0.2:7", "127.0.0.1:1025", 0),
        // IPv4 in a socket of IPv6 is IPv4.
        told(1, "[::ffff:127.0.0.2]:7", "[::ffff:127.0.0.1]:1026", 22),
        told(1, "[::1]:7", "[::1]:1026", 23),
        told(3, "127.0.0.1:7", "127.0.0.1:1030", 0),
        told(12, "127.0.0.1:7", "127.0.0.1:1031", 0),
        told(10, "0.0.0.0:7", "0.0.0.0:0", 19),
        told(13, "127.0.0.1:7", "0.0.0.0:0", 18),
        told(1, "127.0.0.1:8", "127.0.0.1:1024", 17),
    ];
    let client = [
        told(1, "127.0.0.1:1024", "127.0.0.1:7", 30),
        told(1, "127.0.0.1:1024", "127.0.0.2:7", 31),
        told(6, "127.0.0.1:1029", "127.0.0.1:7", 0),
        told(1, "127.0.0.1:7", "127.0.0.1:7", 40),
    ];
    let census = counted(7, &server, &client);
    let states: Vec<(&str, u64)> = (census.by_state.iter())
        .map(|(name, &count)| (name.as_str(), count))
        .collect();
    let expected = [
        ("ESTABLISHED", 8),
        ("LISTEN", 1),
        ("SYN_RECV", 2),
        ("TIME_WAIT", 1),
        ("another", 1),
    ];
    assert_eq!(states, expected);
    let server = Ends {
        sockets: 6,
        local_addresses: 3,
        local_ports: 1,
        remote_addresses: 2,
        remote_ports: 3,
        four_tuples: 5,
        inodes: 4,
    };
    assert_eq!(census.server, server);
    let client = Ends {
        sockets: 2,
        local_addresses: 1,
        local_ports: 1,
        remote_addresses: 2,
        remote_ports: 1,
        four_tuples: 2,
        inodes: 2,
    };
    assert_eq!(census.client, client);
    assert_eq!(
        census.sample[0],
        "ESTABLISHED 127.0.0.1:7 127.0.0.1:1024 inode 20"
    );
    assert_eq!(
        census.sample[7],
        "ESTABLISHED 127.0.0.1:1024 127.0.0.2:7 inode 31"
    );
}

#[test]
fn a_few_of_many_are_quoted_and_an_ipv4_socket_is_kept_in_16_bytes() {
    let server: Vec<Vec<u8>> = (0..20)
        .map(|index| {
            told(
                1,
                "127.0.0.1:7",
                &format!("127.0.0.1:{}", 1024 + index),
                index,
            )
        })
        .collect();
    let client: Vec<Vec<u8>> = (0..20)
        .map(|index| {
            told(
                1,
                &format!("127.0.0.1:{}", 1024 + index),
                "127.0.0.1:7",
                index,
            )
        })
        .collect();
    let census = counted(7, &server, &client);
    assert_eq!(census.sample.len(), SERVER_LINES + CLIENT_LINES);
    assert!(census.sample[SERVER_LINES].starts_with("ESTABLISHED 127.0.0.1:1024 127.0.0.1:7"));
    assert_eq!(size_of::<Key<u32>>(), 16);
}

/// Asks again until it is so: the last packet of a handshake may be under way when `connect` returns.
fn eventually<Value: std::fmt::Debug>(
    ask: impl Fn() -> Value,
    is_so: impl Fn(&Value) -> bool,
) -> Value {
    let latest = Instant::now() + Duration::from_secs(20);
    loop {
        let value = ask();
        if is_so(&value) {
            return value;
        }
        assert!(Instant::now() < latest, "{value:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn the_kernel_tells_of_a_listener_and_of_those_who_wait() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let _waiting = [(); 2].map(|()| TcpStream::connect(address).unwrap());
    let own = || {
        let all = listeners().unwrap();
        all.into_iter().find(|told| told.address == address)
    };
    let told = eventually(own, |told| {
        told.as_ref().is_some_and(|told| told.waiting == 2)
    });
    assert!(told.unwrap().backlog >= 2);
    let census = eventually(
        || census(address.port()).unwrap(),
        |census| census.server.sockets == 2,
    );
    assert_eq!(census.server.inodes, 0, "nobody has accepted them");
    assert_eq!(census.client.inodes, 2);
    assert_eq!(census.by_state["LISTEN"], 1);
}

#[test]
fn the_kernel_tells_of_both_ends_of_ten_connections() {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut kept = Vec::new();
    for index in 0..10_u8 {
        let destination = Ipv4Addr::new(127, 0, 0, 1 + index % 2);
        let mut client = TcpStream::connect((destination, port)).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        client.write_all(&[index]).unwrap();
        let mut byte = [0];
        server.read_exact(&mut byte).unwrap();
        assert_eq!(byte, [index]);
        kept.push((client, server));
    }
    let census = census(port).unwrap();
    assert_eq!(census.by_state["ESTABLISHED"], 20);
    let Ends {
        remote_ports: client_ports,
        ..
    } = census.server;
    let server = Ends {
        sockets: 10,
        local_addresses: 2,
        local_ports: 1,
        remote_addresses: 1,
        remote_ports: client_ports,
        four_tuples: 10,
        inodes: 10,
    };
    assert_eq!(census.server, server);
    assert!((5..=10).contains(&client_ports));
    let client = Ends {
        local_addresses: 1,
        local_ports: client_ports,
        remote_addresses: 2,
        remote_ports: 1,
        ..server
    };
    assert_eq!(census.client, client);
    assert_eq!(census.sample.len(), 12);
}

#[test]
fn a_reply_that_nobody_sends_is_not_awaited_for_ever() {
    let socket = open(Duration::from_millis(1)).unwrap();
    let error = receive(&socket, &mut [0; 64]).unwrap_err();
    assert!(error.ends_with("did not reply in time"), "{error}");
}
