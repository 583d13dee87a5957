//! What survives a crash: marks on a simulated disk, which may be full.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use hippodrome_core::marks::{MarkStore, Marks, StoreError};

/// A disk; clones are the same disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    marks: BTreeMap<u64, u64>,
    full: bool,
}

impl Disk {
    /// The marks on the disk.
    pub(crate) fn marks(&self) -> Marks {
        Marks::new(Box::new(self.clone()))
    }

    /// Makes every write fail, or lets them pass again.
    pub(super) fn set_full(&self, full: bool) {
        self.lock().full = full;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MarkStore for Disk {
    fn read(&self, key: u64) -> Result<Option<u64>, StoreError> {
        Ok(self.lock().marks.get(&key).copied())
    }

    fn write(&mut self, key: u64, round: u64) -> Result<(), StoreError> {
        let mut state = self.lock();
        if state.full {
            return Err(StoreError("no space left on the simulated disk".into()));
        }
        state.marks.insert(key, round);
        Ok(())
    }
}
