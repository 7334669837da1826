//! The connections of an engine on process descriptors, by descriptor.

use std::os::fd::{AsRawFd, OwnedFd};

/// Connections by descriptor: 4 bytes a slot, because `OwnedFd` is never -1. The kernel hands out the
/// lowest free descriptor, so the table is as long as the most connections ever open.
#[derive(Default)]
pub(crate) struct Table(Vec<Option<OwnedFd>>);

impl Table {
    /// The connection of that descriptor, if it is one and open.
    #[inline]
    pub(crate) fn get(&self, index: usize) -> Option<&OwnedFd> {
        self.0.get(index)?.as_ref()
    }

    /// Keeps a connection, under its descriptor.
    pub(crate) fn insert(&mut self, connection: OwnedFd) {
        let index = connection.as_raw_fd() as usize;
        if index >= self.0.len() {
            self.0.resize_with(index + 1, || None);
        }
        self.0[index] = Some(connection);
    }

    /// Closes a connection.
    pub(crate) fn remove(&mut self, index: usize) {
        if let Some(slot) = self.0.get_mut(index) {
            *slot = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_four_bytes() {
        assert_eq!(size_of::<Option<OwnedFd>>(), 4);
    }

    #[test]
    fn a_connection_is_kept_under_its_descriptor_until_it_is_removed() {
        let mut table = Table::default();
        let connection: OwnedFd = std::fs::File::open("/dev/null").unwrap().into();
        let index = connection.as_raw_fd() as usize;
        assert!(table.get(index).is_none());
        table.insert(connection);
        assert_eq!(table.get(index).unwrap().as_raw_fd() as usize, index);
        table.remove(index);
        table.remove(index + 1000);
        assert!(table.get(index).is_none());
    }
}
