//! The descriptors of a ring without a table: the process's own, which nobody else closes.

use std::os::fd::{FromRawFd, OwnedFd};

/// Which descriptors are open, by number. What is open when the ring goes is closed after it.
#[derive(Default)]
pub(crate) struct PlainDescriptors(Vec<Option<OwnedFd>>);

impl PlainDescriptors {
    /// Takes a descriptor that an accept has just made.
    pub(crate) fn open(&mut self, number: u32) {
        let index = number as usize;
        if index >= self.0.len() {
            self.0.resize_with(index + 1, || None);
        }
        // SAFETY: the kernel has just answered an accept of this ring with it, so it is open and nobody else
        // has it; it is closed by the ring's own request, of which `closed` takes note, or here.
        self.0[index] = Some(unsafe { OwnedFd::from_raw_fd(number as i32) });
    }

    /// Closes a descriptor of which there is no further use.
    pub(crate) fn close(&mut self, number: u32) {
        if let Some(place) = self.0.get_mut(number as usize) {
            *place = None;
        }
    }

    /// Takes note that a request of the ring has closed it.
    pub(crate) fn closed(&mut self, number: u32) {
        if let Some(descriptor) = self.0.get_mut(number as usize).and_then(Option::take) {
            std::mem::forget(descriptor);
        }
    }
}
