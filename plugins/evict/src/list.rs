//! Queues of handles: doubly linked lists in one vector of rows, one row for each handle, and what is known of each object.

/// No handle.
pub const NONE: u32 = u32::MAX;

/// What a policy keeps of an object, and its neighbours in its queue.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Nearer to the front, where the youngest are.
    pub younger: u32,
    /// Nearer to the back.
    pub older: u32,
    /// Its bytes.
    pub bytes: u64,
    /// Its key.
    pub key: u64,
    /// Which queue it is in; [`Rows::OUT`] when it is not there.
    pub queue: u8,
    /// For the policy.
    pub mark: u8,
}

/// A queue: new ones come to the front, old ones leave at the back.
#[derive(Debug, Clone, Copy)]
pub struct Queue {
    /// Its number in the rows.
    pub id: u8,
    /// The youngest.
    pub front: u32,
    /// The oldest.
    pub back: u32,
    /// Bytes of all that is in it.
    pub bytes: u64,
}

/// The rows of all handles.
#[derive(Debug, Clone, Default)]
pub struct Rows(Vec<Row>);

impl Row {
    const EMPTY: Self = Self { younger: NONE, older: NONE, bytes: 0, key: 0, queue: Rows::OUT, mark: 0 };
}

impl Queue {
    /// An empty one.
    pub const fn new(id: u8) -> Self {
        Self { id, front: NONE, back: NONE, bytes: 0 }
    }
}

impl Rows {
    /// In no queue.
    pub const OUT: u8 = u8::MAX;

    /// The row of a handle that is in a queue.
    pub fn get(&self, handle: u32) -> Option<&Row> {
        self.0.get(handle as usize).filter(|row| row.queue != Self::OUT)
    }

    /// The same, to change it.
    pub fn get_mut(&mut self, handle: u32) -> Option<&mut Row> {
        self.0.get_mut(handle as usize).filter(|row| row.queue != Self::OUT)
    }

    /// Puts a new object at the front. A handle beyond [`crate::HANDLES_MAX`] is not taken; the caller takes out what is there first.
    pub fn push_new(&mut self, queue: &mut Queue, handle: u32, key: u64, bytes: u64) {
        if handle >= crate::HANDLES_MAX {
            return;
        }
        if self.0.len() <= handle as usize {
            self.0.resize(handle as usize + 1, Row::EMPTY);
        }
        self.0[handle as usize] = Row { key, bytes, ..Row::EMPTY };
        self.push(queue, handle);
    }

    /// Puts one that is in no queue at the front.
    pub fn push(&mut self, queue: &mut Queue, handle: u32) {
        let Some(row) = self.0.get_mut(handle as usize) else { return };
        (row.queue, row.older, row.younger) = (queue.id, queue.front, NONE);
        queue.bytes += row.bytes;
        match queue.front {
            NONE => queue.back = handle,
            front => self.0[front as usize].younger = handle,
        }
        queue.front = handle;
    }

    /// Takes one out of the queue it is in.
    pub fn take(&mut self, queue: &mut Queue, handle: u32) {
        let Some(row) = self.get_mut(handle).filter(|row| row.queue == queue.id) else { return };
        let (older, younger) = (row.older, row.younger);
        queue.bytes -= row.bytes;
        row.queue = Self::OUT;
        match older {
            NONE => queue.back = younger,
            older => self.0[older as usize].younger = younger,
        }
        match younger {
            NONE => queue.front = older,
            younger => self.0[younger as usize].older = older,
        }
    }

    /// The oldest, taken out.
    pub fn pop(&mut self, queue: &mut Queue) -> Option<(u32, Row)> {
        let handle = queue.back;
        let row = *self.get(handle)?;
        self.take(queue, handle);
        Some((handle, row))
    }
}
