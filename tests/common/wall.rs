//! Running into a wall with plain sockets: a server of this program, and a client of the standard library.

use super::place::fourtuple_in;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Stdio};
use std::time::Duration;

/// Longer than any answer over loopback takes; only what is never answered takes so long.
const PATIENCE: Duration = Duration::from_secs(5);
/// A SYN over loopback is answered while `connect` sends it. One that is dropped is sent again after a second.
const SYN_PATIENCE: Duration = Duration::from_millis(900);

/// An echo server of this program, which ends with the test.
pub struct Served {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Served {
    /// Starts it where such words lead to.
    pub fn start(place: &[String], engine: &str, listen: &str) -> Self {
        let mut child = fourtuple_in(place)
            .args(["serve", "--engine", engine, "--listen", listen])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stderr.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        let word = line.split("listens on ").nth(1).expect(&line);
        let address = word.split(';').next().unwrap().parse().unwrap();
        Self { child, address }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it says at its end, which has come.
    pub fn last_words(mut self) -> String {
        let status = self.child.wait().unwrap();
        assert!(!status.success(), "{status}");
        let mut said = String::new();
        let _ = self
            .child
            .stderr
            .as_mut()
            .unwrap()
            .read_to_string(&mut said);
        said
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Opens connections, one after another, until one does not echo, and at most `most`.
pub fn fill(address: SocketAddr, most: u64) -> Vec<TcpStream> {
    (0..most).map_while(|_| open(address).ok()).collect()
}

fn open(address: SocketAddr) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"?")?;
    stream.read_exact(&mut [0])?;
    Ok(stream)
}

/// Opens connections to somebody who accepts none, one after another, until one is not answered.
pub fn fill_queue(address: SocketAddr, most: u64) -> Vec<TcpStream> {
    let open = || TcpStream::connect_timeout(&address, SYN_PATIENCE).ok();
    (0..most).map_while(|_| open()).collect()
}

/// Leaves connections behind that this side has closed first: they wait at this side.
pub fn leave_in_time_wait(address: SocketAddr, count: u64) {
    let streams = fill(address, count);
    assert_eq!(streams.len() as u64, count);
    for mut stream in streams {
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        // The other side has closed too once this has ended.
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    }
}
