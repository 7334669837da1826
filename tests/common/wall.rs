//! Running into a wall with plain sockets: a server of this program, and a client of the standard library.

use super::place::fourtuple_in;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Far longer than any answer over loopback takes, on however busy a machine: nothing but what is never answered takes
/// so long.
const PATIENCE: Duration = Duration::from_secs(60);

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

    /// What it says at its end, which is to come.
    pub fn last_words(mut self) -> String {
        let status = self.end();
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

    fn end(&mut self) -> ExitStatus {
        let latest = Instant::now() + PATIENCE;
        while Instant::now() < latest {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("the server has not ended");
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
