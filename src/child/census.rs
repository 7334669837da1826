//! The process that counts sockets, from within the network that they are in.

use crate::exit::Exit;
use crate::network;
use fourtuple_spec::Census;
use fourtuple_spec::message::Network;
use std::io::Write;
use std::os::unix::fs::MetadataExt;

/// Counts the TCP sockets of the network of process `pid` that have to do with `port`, and prints a census as JSON; or
/// says on standard error why it cannot.
pub fn work(pid: u32, port: u16) -> Exit {
    match count(pid, port) {
        Ok(census) => {
            let mut output = std::io::stdout();
            let printed = serde_json::to_writer(&output, &census).is_ok();
            match printed && output.flush().is_ok() {
                true => Exit::Done,
                false => Exit::Failed,
            }
        }
        Err(reason) => {
            eprintln!("{reason}");
            Exit::Failed
        }
    }
}

fn count(pid: u32, port: u16) -> Result<Census, String> {
    // To join the network that one is in takes rights as well.
    if !is_here(pid) {
        network::enter_network(&Network::Join(pid))?;
    }
    fourtuple_meter::census(port)
}

/// Whether a process's network is this one's.
fn is_here(pid: u32) -> bool {
    let network = |whose: &str| std::fs::metadata(format!("/proc/{whose}/ns/net"));
    match (network("self"), network(&pid.to_string())) {
        (Ok(own), Ok(theirs)) => own.ino() == theirs.ino(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn the_own_network_is_counted_as_it_is() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let client = TcpStream::connect(address).unwrap();
        let server = listener.accept().unwrap();
        let census = count(std::process::id(), address.port()).unwrap();
        assert_eq!(
            (census.client.inodes, census.client.local_addresses),
            (1, 1)
        );
        drop((client, server));
        assert!(!is_here(0));
    }
}
