//! Opening connections, a window of them at a time, until there are as many as the case names, or until
//! it is enough.
//!
//! Connections are opened in the order of their indexes, and those that stay are always the first so
//! many: if one in the middle could not be opened for want of memory, the few after it that could be are
//! closed again.

use crate::connection::Connection;
use crate::uring::UringLoad;
use crate::{Growth, LoadError};
use fourtuple_ring::Event;
use fourtuple_spec::message::Ramp;
use std::time::{Duration, Instant};

/// A large set-up is timed in this many blocks, so that a slow end shows.
const BLOCKS: u32 = 10;
/// Below so many connections a block would be too short to time.
const BLOCK_CONNECTIONS_MIN: u32 = 1000;
/// No more are taken for one block, so that the last 100,000 can be held against the first.
const BLOCK_CONNECTIONS_MAX: u32 = 100_000;
/// How long a wait lasts at most, because it is asked after each whether to go on.
const ASK: Duration = Duration::from_millis(25);
/// How long the connects in flight may take to end when no more are opened.
const END_TIME: Duration = Duration::from_secs(20);

/// A ramp under way.
struct Ramping<'a> {
    load: &'a mut UringLoad,
    blocks: Blocks,
    /// The connection that is opened next.
    next: u32,
    open: u32,
    failed: u32,
    /// Since when no more are opened.
    ending_since: Option<Instant>,
    shortage: Option<Shortage>,
    /// Why not all can be opened, where that is not the answer but the end of the run.
    refusal: Option<LoadError>,
}

/// Memory was not enough for a connection.
struct Shortage {
    /// The first such connection.
    index: u32,
    error: LoadError,
}

impl UringLoad {
    pub(crate) fn ramp(
        &mut self,
        progress: &mut dyn FnMut(u32) -> Growth,
    ) -> Result<Ramp, LoadError> {
        let mut ramping = Ramping::new(self);
        match ramping.grow(progress).and_then(|()| ramping.trim()) {
            Ok(()) => Ok(ramping.finish()),
            Err(error) => Err(error.holding(ramping.open)),
        }
    }
}

impl<'a> Ramping<'a> {
    fn new(load: &'a mut UringLoad) -> Self {
        Self {
            blocks: Blocks::new(load.case.connections),
            load,
            next: 0,
            open: 0,
            failed: 0,
            ending_since: None,
            shortage: None,
            refusal: None,
        }
    }

    /// Opens connections until there are all or enough, and none is on its way. One that is refused ends it too, but
    /// not before those on their way are open: only then is it known how many there are.
    fn grow(&mut self, progress: &mut dyn FnMut(u32) -> Growth) -> Result<(), LoadError> {
        while self.has_more() || self.in_flight() > 0 {
            while self.has_more() && self.in_flight() < self.load.case.connect_window {
                self.open_next();
            }
            self.wait()?;
            self.take_answers();
            self.blocks.reached(self.open);
            if progress(self.open) == Growth::Enough {
                self.ending_since.get_or_insert_with(Instant::now);
            }
            self.check_end()?;
        }
        self.refusal.take().map_or(Ok(()), Err)
    }

    /// Waits for answers. One that was refused before says more than that the wait failed.
    fn wait(&mut self) -> Result<(), LoadError> {
        let waited = self.load.rings.wait(Some(ASK)).map_err(LoadError::from);
        waited
            .or_else(|error| self.fall_short(self.next, error))
            .map_err(|error| self.refusal.take().unwrap_or(error))
    }

    fn has_more(&self) -> bool {
        self.ending_since.is_none() && self.next < self.load.case.connections
    }

    fn in_flight(&self) -> u32 {
        self.next - self.open - self.failed
    }

    fn open_next(&mut self) {
        let index = self.next;
        match self.load.open(index) {
            Ok(()) => self.next += 1,
            Err(error) => self.refuse(index, error),
        }
    }

    /// Takes what the connects have answered.
    fn take_answers(&mut self) {
        for position in 0..self.load.rings.hot_count() {
            let ring_index = self.load.rings.hot(position);
            while let Some(event) = self.load.rings.ring(ring_index).pop() {
                let Event::Connected { slot, result } = event else {
                    continue;
                };
                let Err(failure) = result else {
                    self.open += 1;
                    continue;
                };
                self.failed += 1;
                let index = ring_index as u32 * self.load.slots_per_ring + slot.index();
                let error = LoadError::connect(failure, self.load.target, index);
                self.refuse(index, error);
            }
        }
    }

    /// Takes note of a connection that could not be opened: no more are begun.
    fn refuse(&mut self, index: u32, error: LoadError) {
        if let Err(error) = self.fall_short(index, error) {
            self.ending_since.get_or_insert_with(Instant::now);
            self.refusal.get_or_insert(error);
        }
    }

    /// Where the case opens until memory is full, and that is what failed, the ramp is at its end.
    fn fall_short(&mut self, index: u32, error: LoadError) -> Result<(), LoadError> {
        if !self.load.case.until_full || !error.is_memory() {
            return Err(error);
        }
        self.ending_since.get_or_insert_with(Instant::now);
        if self
            .shortage
            .as_ref()
            .is_none_or(|first| index < first.index)
        {
            self.shortage = Some(Shortage { index, error });
        }
        Ok(())
    }

    /// A ring that has no memory to take a connect would be waited for without end.
    fn check_end(&mut self) -> Result<(), LoadError> {
        let is_over = |since: Instant| since.elapsed() > END_TIME;
        if self.in_flight() == 0 || !self.ending_since.is_some_and(is_over) {
            return Ok(());
        }
        let in_flight = self.in_flight();
        if let Some(refusal) = self.refusal.take() {
            return Err(refusal);
        }
        Err(self.shortage.take().map_or_else(
            || {
                LoadError::new(format!(
                    "{in_flight} connects did not end within {} s after the last was begun: the server \
                     does not accept, or its backlog is full",
                    END_TIME.as_secs()
                ))
            },
            |shortage| shortage.error,
        ))
    }

    /// Closes what was opened beyond the first that could not be.
    fn trim(&mut self) -> Result<(), LoadError> {
        let Some(shortage) = &self.shortage else {
            return self.keep(self.next);
        };
        let (kept, next) = (shortage.index.min(self.next), self.next);
        self.load.close(kept..next)?;
        self.keep(kept)
    }

    /// From now on the case is about as many connections as are open.
    fn keep(&mut self, count: u32) -> Result<(), LoadError> {
        self.open = count;
        self.load.case.connections = count;
        let connections = &mut self.load.connections;
        connections.try_reserve_exact(count as usize).map_err(|_| {
            LoadError::memory(format!("no memory to keep {count} connections in mind"))
        })?;
        connections.resize(count as usize, Connection::default());
        Ok(())
    }

    fn finish(self) -> Ramp {
        self.blocks.finish(self.open)
    }
}

impl UringLoad {
    /// Opens a connection in its slot, which must be free.
    pub(crate) fn open(&mut self, index: u32) -> Result<(), LoadError> {
        let (ring_index, slot) = self.place(index);
        while self.rings.len() <= ring_index {
            self.add_ring()?;
        }
        let tuple = self.plan.four_tuple(index);
        self.rings
            .ring(ring_index)
            .connect(slot, tuple.source, tuple.destination)?;
        Ok(())
    }
}

/// Times the ramp, block by block.
pub(crate) struct Blocks {
    began: Instant,
    block_began: Instant,
    block_connections: u32,
    block_ns: Vec<u64>,
}

impl Blocks {
    pub(crate) fn new(count: u32) -> Self {
        let began = Instant::now();
        Self {
            began,
            block_began: began,
            block_connections: (count / BLOCKS).clamp(BLOCK_CONNECTIONS_MIN, BLOCK_CONNECTIONS_MAX),
            block_ns: Vec::new(),
        }
    }

    pub(crate) fn reached(&mut self, open: u32) {
        let full = u64::from(open / self.block_connections);
        if full > self.block_ns.len() as u64 {
            let elapsed = self.block_began.elapsed().as_nanos() as u64;
            self.block_began = Instant::now();
            self.block_ns.push(elapsed);
        }
    }

    pub(crate) fn finish(self, connections_held: u32) -> Ramp {
        Ramp {
            connections_held,
            elapsed_ns: self.began.elapsed().as_nanos() as u64,
            block_ns: self.block_ns,
            block_connections: self.block_connections,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fourtuple_spec::Engine;
    use fourtuple_spec::plan::{CaseDefaults, CaseRequest};
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::thread;

    #[test]
    fn a_ramp_is_timed_in_full_blocks() {
        let mut blocks = Blocks::new(25_000);
        (1..=25_000).for_each(|open| blocks.reached(open));
        let ramp = blocks.finish(25_000);
        assert_eq!((ramp.block_connections, ramp.block_ns.len()), (2500, 10));
        let ramp = Blocks::new(10).finish(10);
        assert!(ramp.block_ns.is_empty());
    }

    /// A load of 20 connections; `None` where io_uring is not to be had.
    fn prepared(until_full: bool, target: SocketAddr) -> Option<UringLoad> {
        let mut request = CaseRequest::new(Engine::Epoll, 20);
        request.until_full = Some(until_full);
        let defaults = CaseDefaults::new(vec![0], vec![1]);
        let mut case = request.resolve(&defaults).unwrap();
        case.slots_per_ring = Some(3);
        match UringLoad::prepare(&case, target) {
            Err(error) if error.limiter.as_deref() == Some(fourtuple_spec::limiter::IO_URING) => {
                eprintln!("skipped: {error}");
                None
            }
            load => Some(load.unwrap()),
        }
    }

    fn echo(mut stream: TcpStream) {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            if stream.write_all(&buffer[..count]).is_err() {
                return;
            }
        }
    }

    #[test]
    fn what_is_open_below_the_first_that_found_no_memory_is_kept() {
        let listener = TcpListener::bind("0.0.0.0:0").unwrap();
        let Some(mut load) = prepared(true, listener.local_addr().unwrap()) else {
            return;
        };
        thread::spawn(move || {
            for stream in listener.incoming() {
                thread::spawn(move || echo(stream.unwrap()));
            }
        });
        let mut ramping = Ramping::new(&mut load);
        for _ in 0..10 {
            ramping.open_next();
        }
        for index in [8, 6, 9] {
            ramping
                .fall_short(index, LoadError::memory("none"))
                .unwrap();
        }
        ramping.grow(&mut |_| Growth::GoOn).unwrap();
        assert_eq!((ramping.next, ramping.open), (10, 10));
        ramping.trim().unwrap();
        assert_eq!(ramping.finish().connections_held, 6);
        assert_eq!(load.round(4).unwrap().echoes, 6);
        load.drain().unwrap();
    }

    #[test]
    fn want_of_memory_is_an_error_where_a_number_was_asked_for() {
        let target = "127.0.0.1:9".parse().unwrap();
        let Some(mut load) = prepared(false, target) else {
            return;
        };
        let error = Ramping::new(&mut load).fall_short(0, LoadError::memory("none"));
        assert!(error.unwrap_err().is_memory());
        load.case.until_full = true;
        let error = Ramping::new(&mut load).fall_short(0, LoadError::new("something else"));
        assert!(!error.unwrap_err().is_memory());
    }
}
