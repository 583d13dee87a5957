//! Batches on the wire and in memory: one flat buffer of records of one width.

/// A buffer whose length does not fit its record width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{length} bytes are not a whole number of records of {width} bytes")]
pub struct RaggedRecords {
    /// Bytes in the buffer.
    pub length: usize,
    /// Bytes of one record.
    pub width: usize,
}

/// Records of `width` bytes each, one behind another in one allocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Records {
    width: usize,
    bytes: Vec<u8>,
}

impl Records {
    /// No records of `width` bytes (at least 1).
    pub fn new(width: usize) -> Self {
        Self::with_capacity(width, 0)
    }

    /// No records yet, room for `count`.
    pub fn with_capacity(width: usize, count: usize) -> Self {
        assert!(width > 0, "records have at least one byte");
        Self { width, bytes: Vec::with_capacity(width * count) }
    }

    /// `count` records of zero bytes.
    pub fn zeroed(width: usize, count: usize) -> Self {
        assert!(width > 0, "records have at least one byte");
        Self { width, bytes: vec![0; width * count] }
    }

    /// Takes a buffer that must hold a whole number of records.
    pub fn from_bytes(width: usize, bytes: Vec<u8>) -> Result<Self, RaggedRecords> {
        if width == 0 || !bytes.len().is_multiple_of(width) {
            return Err(RaggedRecords { length: bytes.len(), width });
        }
        Ok(Self { width, bytes })
    }

    /// Bytes of one record.
    pub fn width(&self) -> usize {
        self.width
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.bytes.len() / self.width
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Record `index`; panics when there is none.
    pub fn record(&self, index: usize) -> &[u8] {
        &self.bytes[index * self.width..][..self.width]
    }

    /// Record `index`, to be changed; panics when there is none.
    pub fn record_mut(&mut self, index: usize) -> &mut [u8] {
        &mut self.bytes[index * self.width..][..self.width]
    }

    /// Adds a record of exactly `width` bytes.
    pub fn push(&mut self, record: &[u8]) {
        assert_eq!(record.len(), self.width, "a record has the width of its batch");
        self.bytes.extend_from_slice(record);
    }

    /// Adds all records of another batch of the same width.
    pub fn append(&mut self, other: &Records) {
        assert_eq!(other.width, self.width, "batches of one width");
        self.bytes.extend_from_slice(&other.bytes);
    }

    /// The records in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> + Clone {
        self.bytes.chunks_exact(self.width)
    }

    /// The whole buffer.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The whole buffer, to be changed in place.
    pub fn as_bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// Gives the buffer away.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_a_buffer_that_ends_inside_a_record() {
        assert_eq!(Records::from_bytes(4, vec![0; 9]), Err(RaggedRecords { length: 9, width: 4 }));
        assert!(Records::from_bytes(0, vec![]).is_err());
        assert_eq!(Records::from_bytes(4, vec![0; 8]).map(|records| records.len()), Ok(2));
    }
}
