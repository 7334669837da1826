//! How well the ledger closes on this machine: holds loopback connections and prints where memory went.
//!
//! `cargo run --release -p fourtuple-meter --example close -- PAIRS UNREAD_BYTES [SLEEPING_THREADS]`
//!
//! Connections are made by child processes, 9,000 pairs each, because each end takes a descriptor.

use fourtuple_meter::{MemorySnapshot, Subjects, cgroup_blind_spot};
use fourtuple_spec::record::Ledger;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PAIRS_OF_A_CHILD: u32 = 9000;

fn main() -> std::io::Result<()> {
    let mut numbers = std::env::args()
        .skip(1)
        .map(|word| word.parse::<u32>().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    let (pairs, unread_bytes, threads, index) = (next(), next(), next(), next());
    if index > 0 {
        return hold(pairs, unread_bytes, threads, index);
    }
    let mut children = Vec::new();
    for index in 1..=pairs.div_ceil(PAIRS_OF_A_CHILD) {
        let share = PAIRS_OF_A_CHILD.min(pairs - (index - 1) * PAIRS_OF_A_CHILD);
        children.push(Holder::start([share, unread_bytes, threads, index])?);
    }
    let subjects = Subjects {
        server_pids: children.iter().map(|child| child.process.id()).collect(),
        ..Subjects::default()
    };
    std::thread::sleep(Duration::from_millis(500));
    let baseline = MemorySnapshot::take(&subjects);
    for child in &mut children {
        child.say_and_hear()?;
    }
    std::thread::sleep(Duration::from_millis(500));
    let start = Instant::now();
    let held = MemorySnapshot::take(&subjects);
    println!("read in {} ms", start.elapsed().as_millis());
    print(&held.ledger_since(&baseline, "held"), pairs);
    for child in &mut children {
        child.process.kill()?;
        child.process.wait()?;
    }
    Ok(())
}

fn print(ledger: &Ledger, pairs: u32) {
    let line = |name: &str, bytes: Option<i64>| match bytes {
        Some(bytes) => println!(
            "{name:24} {bytes:12} {:8.0} B a pair",
            bytes as f64 / f64::from(pairs.max(1))
        ),
        None => println!("{name:24}            ?"),
    };
    line("taken", ledger.taken_bytes);
    for (part, bytes) in ledger.parts.iter().filter(|(_, bytes)| **bytes != Some(0)) {
        line(part, *bytes);
    }
    line("unattributed", ledger.unattributed_bytes);
    if let (Some(taken @ 1..), Some(rest)) = (ledger.taken_bytes, ledger.unattributed_bytes) {
        println!(
            "of what was taken {:20.3} %",
            rest as f64 / taken as f64 * 100.0
        );
    }
    line("memory cgroup", ledger.cgroup_bytes);
    line("private to the processes", ledger.server_user_bytes);
    for note in &ledger.notes {
        println!("{note}");
    }
    if let Some(version) = ledger.cgroup_version {
        println!("memory cgroup: {}", cgroup_blind_spot(version));
    }
}

struct Holder {
    process: Child,
    heard: BufReader<std::process::ChildStdout>,
}

impl Holder {
    fn start(words: [u32; 4]) -> std::io::Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(words.map(|word| word.to_string()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let out = process
            .stdout
            .take()
            .ok_or(std::io::ErrorKind::BrokenPipe)?;
        let mut holder = Self {
            process,
            heard: BufReader::new(out),
        };
        holder.heard.read_line(&mut String::new())?;
        Ok(holder)
    }

    fn say_and_hear(&mut self) -> std::io::Result<()> {
        if let Some(input) = &mut self.process.stdin {
            input.write_all(b"go\n")?;
        }
        self.heard.read_line(&mut String::new()).map(drop)
    }
}

fn hold(pairs: u32, unread_bytes: u32, threads: u32, index: u32) -> std::io::Result<()> {
    let address = Ipv4Addr::new(127, 0, 7, u8::try_from(index).unwrap_or(255));
    let listener = TcpListener::bind(SocketAddr::from((address, 0)))?;
    let target = listener.local_addr()?;
    let mut held = Vec::with_capacity(2 * pairs as usize);
    let payload = vec![7u8; unread_bytes as usize];
    println!("ready");
    std::io::stdin().read_line(&mut String::new())?;
    for _ in 0..pairs {
        let mut stream = TcpStream::connect(target)?;
        held.push(listener.accept()?.0);
        stream.write_all(&payload)?;
        held.push(stream);
    }
    for _ in 0..threads {
        std::thread::spawn(std::thread::park);
    }
    println!("held");
    std::io::stdin().read_to_end(&mut Vec::new()).map(drop)
}
