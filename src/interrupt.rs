//! Ctrl-C and its relatives: noticed by a thread of their own, which wakes whoever waits.

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::{io, process, thread};

type Wake = Box<dyn Fn() + Send>;

/// Whether the user wants to stop, and who has to be told.
#[derive(Clone, Default)]
pub struct Interrupt {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    is_set: AtomicBool,
    wake: Mutex<Option<Wake>>,
}

impl Interrupt {
    /// Takes over SIGINT, SIGTERM and SIGHUP. The first asks for an orderly end, the second ends at
    /// once: children die with their parent.
    pub fn install() -> io::Result<Self> {
        let interrupt = Self::default();
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
        let listener = interrupt.clone();
        thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                for _ in signals.forever() {
                    if listener.shared.is_set.swap(true, Ordering::SeqCst) {
                        process::exit(130);
                    }
                    if let Some(wake) = &*listener.wake() {
                        wake();
                    }
                }
            })?;
        Ok(interrupt)
    }

    /// Whether a signal has come.
    pub fn is_set(&self) -> bool {
        self.shared.is_set.load(Ordering::SeqCst)
    }

    /// Has `wake` called when a signal comes, in place of the one before; at once if it has come already.
    pub fn on_signal(&self, wake: impl Fn() + Send + 'static) {
        let mut slot = self.wake();
        if self.is_set() {
            wake();
        }
        *slot = Some(Box::new(wake));
    }

    fn wake(&self) -> std::sync::MutexGuard<'_, Option<Wake>> {
        self.shared
            .wake
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn a_signal_that_came_before_the_listener_is_not_lost() {
        let interrupt = Interrupt::default();
        interrupt.shared.is_set.store(true, Ordering::SeqCst);
        let (sender, receiver) = mpsc::channel();
        interrupt.on_signal(move || sender.send(()).unwrap());
        receiver.try_recv().unwrap();
    }
}
