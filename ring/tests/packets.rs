//! Packets in batches, against sockets that keep them apart.

use fourtuple_ring::{Errno, PacketWriter, SetupError};
use rustix::io::read;
use rustix::net::sockopt::set_socket_send_buffer_size;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use std::os::fd::{AsFd, OwnedFd};

const PACKET_BYTES: usize = 256;

/// Two ends that do not block: what is written as one packet is read as one.
fn pair() -> (OwnedFd, OwnedFd) {
    socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::NONBLOCK | SocketFlags::CLOEXEC,
        None,
    )
    .unwrap()
}

/// A writer, or `None` with the reason printed where io_uring is not to be had.
fn build(end: &OwnedFd, entries: u32, packet_bytes: usize) -> Option<PacketWriter> {
    match PacketWriter::new(end.as_fd(), entries, packet_bytes) {
        Ok(writer) => Some(writer),
        Err(error @ (SetupError::Disabled(_) | SetupError::Filtered | SetupError::Missing)) => {
            eprintln!("skipped: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// Of every length from 1 byte to a full buffer.
fn packet(number: usize) -> Vec<u8> {
    let bytes = number * 7 % PACKET_BYTES + 1;
    (0..bytes).map(|at| (number + at) as u8).collect()
}

fn put(writer: &mut PacketWriter, packet: &[u8]) -> Result<(), Errno> {
    writer.buffer()[..packet.len()].copy_from_slice(packet);
    writer.push(packet.len())
}

fn take(end: &OwnedFd) -> Result<Vec<u8>, Errno> {
    let mut buffer = vec![0; 2 * PACKET_BYTES];
    let bytes = read(end, &mut buffer[..])?;
    buffer.truncate(bytes);
    Ok(buffer)
}

#[test]
fn a_thousand_packets_arrive_whole_and_in_order() {
    let (here, there) = pair();
    let Some(mut writer) = build(&here, 16, PACKET_BYTES) else {
        return;
    };
    // The writer keeps the file open for itself.
    drop(here);
    let mut taken = 0;
    for number in 0..1000 {
        put(&mut writer, &packet(number)).unwrap();
        // Batches of every length, full ones among them, which need no flush.
        if number % 23 == 22 || number == 999 {
            writer.flush().unwrap();
            while taken <= number {
                assert_eq!(take(&there), Ok(packet(taken)));
                taken += 1;
            }
        }
    }
    assert_eq!(take(&there), Err(Errno::AGAIN), "nothing comes twice");
}

#[test]
fn nothing_leaves_before_the_flush_or_a_full_batch() {
    let (here, there) = pair();
    let Some(mut writer) = build(&here, 4, PACKET_BYTES) else {
        return;
    };
    for number in 0..3 {
        put(&mut writer, &packet(number)).unwrap();
        assert_eq!(take(&there), Err(Errno::AGAIN));
    }
    put(&mut writer, &packet(3)).unwrap();
    for number in 0..4 {
        assert_eq!(take(&there), Ok(packet(number)));
    }
    writer.flush().unwrap();
    assert_eq!(take(&there), Err(Errno::AGAIN), "the batch was empty");
}

#[test]
fn a_refusal_is_reported_and_costs_no_other_packet() {
    let (here, there) = pair();
    set_socket_send_buffer_size(&here, 4096).unwrap();
    let Some(mut writer) = build(&here, 8, 1 << 16) else {
        return;
    };
    put(&mut writer, b"before").unwrap();
    put(&mut writer, &[0; 1 << 16]).unwrap();
    put(&mut writer, b"after").unwrap();
    assert_eq!(writer.flush(), Err(Errno::MSGSIZE));
    assert_eq!(take(&there), Ok(b"before".to_vec()));
    assert_eq!(take(&there), Ok(b"after".to_vec()));
    put(&mut writer, b"again").unwrap();
    assert_eq!(writer.flush(), Ok(()), "it was told once");
    assert_eq!(take(&there), Ok(b"again".to_vec()));
    drop(there);
    put(&mut writer, b"nobody").unwrap();
    assert_eq!(writer.flush(), Err(Errno::PIPE));
}

#[test]
fn a_writer_works_on_whichever_thread_has_it() {
    let (here, there) = pair();
    let Some(mut writer) = build(&here, 4, PACKET_BYTES) else {
        return;
    };
    put(&mut writer, b"first").unwrap();
    writer.flush().unwrap();
    put(&mut writer, b"second").unwrap();
    let thread = std::thread::spawn(move || {
        writer.flush().unwrap();
        put(&mut writer, b"third").unwrap();
        writer.flush().unwrap();
        writer
    });
    let mut writer = thread.join().unwrap();
    put(&mut writer, b"fourth").unwrap();
    writer.flush().unwrap();
    for word in ["first", "second", "third", "fourth"] {
        assert_eq!(take(&there), Ok(word.as_bytes().to_vec()));
    }
}

#[test]
fn what_waits_for_room_is_written_when_there_is_some() {
    let (here, there) = pair();
    set_socket_send_buffer_size(&here, 4096).unwrap();
    let Some(mut writer) = build(&here, 64, PACKET_BYTES) else {
        return;
    };
    let reader = std::thread::spawn(move || {
        let mut packets = Vec::new();
        while packets.len() < 64 {
            match take(&there) {
                Ok(packet) => packets.push(packet),
                Err(Errno::AGAIN) => std::thread::yield_now(),
                Err(errno) => panic!("{errno}"),
            }
        }
        packets
    });
    for number in 0..64 {
        put(&mut writer, &packet(number)).unwrap();
    }
    assert_eq!(writer.flush(), Ok(()));
    let mut packets = reader.join().unwrap();
    packets.sort();
    let mut sent: Vec<Vec<u8>> = (0..64).map(packet).collect();
    sent.sort();
    assert_eq!(packets, sent, "every one, once, in whatever order");
}

/// Takes as long as a writer is patient.
#[test]
fn what_finds_no_room_is_given_up_and_the_writer_goes_on() {
    let (here, there) = pair();
    set_socket_send_buffer_size(&here, 4096).unwrap();
    let Some(mut writer) = build(&here, 64, PACKET_BYTES) else {
        return;
    };
    for number in 0..63 {
        put(&mut writer, &packet(number)).unwrap();
    }
    assert_eq!(writer.flush(), Err(Errno::TIMEDOUT));
    let mut taken = 0;
    while take(&there).is_ok() {
        taken += 1;
    }
    assert!(taken > 0 && taken < 63, "{taken} found room");
    put(&mut writer, b"later").unwrap();
    assert_eq!(writer.flush(), Ok(()));
    assert_eq!(take(&there), Ok(b"later".to_vec()));
}
