//! The memory of a guest: blocks of 2ⁿ bytes, and for each size a list of the free ones.
//!
//! One call of a policy allocates and frees a few blocks of the same few sizes, over and over. Taking one off a list is all
//! that needs; an allocator that splits and joins blocks was a fifth of the time of such a call and a third of a policy's
//! code. The price: a block is up to twice what was asked for, and what is freed serves its own size only. Invariant: every
//! block is aligned to its size (or to a page, if it is larger) and is either handed out or in the list of its size.

#![allow(unsafe_code, reason = "an allocator deals in raw memory")]

use std::alloc::{GlobalAlloc, Layout};
use std::cell::UnsafeCell;
use std::ptr::null_mut;

/// A page of linear memory, in bytes (WebAssembly core specification §2.3).
pub const PAGE_BYTES: usize = 1 << 16;
/// The smallest block, in bytes: room for the pointer to the next one.
const BLOCK_BYTES_MIN: usize = 16;
/// Sizes that an address can hold.
const SIZES: usize = usize::BITS as usize;

/// Where pages come from.
///
/// # Safety
/// The pages given are one after another, aligned to [`PAGE_BYTES`], and belong to nobody else for ever.
pub unsafe trait Pages {
    /// So many pages more; null when there are none.
    fn grow(&self, pages: usize) -> *mut u8;
}

/// Pages at the end of the guest's linear memory, up to the limit that the operator gave it.
#[cfg(target_arch = "wasm32")]
pub struct Linear;

#[cfg(target_arch = "wasm32")]
// SAFETY: `memory.grow` appends pages that nothing used before, and linear memory never shrinks.
unsafe impl Pages for Linear {
    fn grow(&self, pages: usize) -> *mut u8 {
        match std::arch::wasm32::memory_grow::<0>(pages) {
            usize::MAX => null_mut(),
            before => (before * PAGE_BYTES) as *mut u8,
        }
    }
}

/// The allocator.
pub struct Blocks<P> {
    pages: P,
    lists: UnsafeCell<Lists>,
}

// SAFETY: a guest of ours has one thread (the host turns the threads proposal off), so no two calls meet.
#[cfg(all(target_arch = "wasm32", not(target_feature = "atomics")))]
unsafe impl Sync for Blocks<Linear> {}

struct Lists {
    /// The first free block of 2ⁿ bytes at place n.
    free: [*mut Free; SIZES],
    /// What is left of the newest page.
    fresh: *mut u8,
    fresh_bytes: usize,
}

struct Free {
    next: *mut Free,
}

impl<P: Pages> Blocks<P> {
    /// An allocator with no memory yet.
    pub const fn new(pages: P) -> Self {
        let lists = Lists { free: [null_mut(); SIZES], fresh: null_mut(), fresh_bytes: 0 };
        Self { pages, lists: UnsafeCell::new(lists) }
    }
}

/// The place of the blocks that serve `layout`.
fn place(layout: Layout) -> usize {
    let bytes = layout.size().max(layout.align()).max(BLOCK_BYTES_MIN);
    bytes.next_power_of_two().trailing_zeros() as usize
}

impl Lists {
    fn take(&mut self, place: usize, pages: &impl Pages) -> *mut u8 {
        let first = self.free[place];
        if first.is_null() {
            return self.cut(place, pages);
        }
        // SAFETY: a block in a list is ours, large enough for a `Free`, and `put` wrote one there.
        self.free[place] = unsafe { (*first).next };
        first.cast()
    }

    /// # Safety
    /// `block` has the size of `place` and nobody uses it any more.
    unsafe fn put(&mut self, place: usize, block: *mut u8) {
        let block: *mut Free = block.cast();
        // SAFETY: the caller gives the block up, and every block has room and alignment for a `Free`.
        unsafe { block.write(Free { next: self.free[place] }) };
        self.free[place] = block;
    }

    /// A block that was never used, from the newest page or, if it needs one or more of its own, from new ones.
    #[cold]
    fn cut(&mut self, place: usize, pages: &impl Pages) -> *mut u8 {
        let bytes = 1 << place;
        if bytes >= PAGE_BYTES {
            return pages.grow(bytes / PAGE_BYTES);
        }
        // What lies before the next multiple of the size goes to the lists of smaller blocks.
        while self.fresh_bytes > 0 && !self.fresh.addr().is_multiple_of(bytes) {
            let gap = self.fresh.addr().trailing_zeros() as usize;
            let block = self.fresh_block(1 << gap);
            // SAFETY: the block was just cut and is nobody's.
            unsafe { self.put(gap, block) };
        }
        if self.fresh_bytes == 0 {
            self.fresh = pages.grow(1);
            if self.fresh.is_null() {
                return null_mut();
            }
            self.fresh_bytes = PAGE_BYTES;
        }
        self.fresh_block(bytes)
    }

    /// The next `bytes` of the newest page, which has them: what is left of it starts at a multiple of `bytes` and ends at a
    /// page's end.
    fn fresh_block(&mut self, bytes: usize) -> *mut u8 {
        let block = self.fresh;
        self.fresh = block.wrapping_add(bytes);
        self.fresh_bytes -= bytes;
        block
    }
}

// SAFETY: a block is as large as its layout asks and in one pair of hands at a time. Its alignment is its size, which is not
// below the layout's alignment, or a page's; a layout that wants more than a page's is refused.
unsafe impl<P: Pages> GlobalAlloc for Blocks<P> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.align() > PAGE_BYTES {
            return null_mut();
        }
        // SAFETY: no other reference to the lists is alive: one thread, and nothing here calls out.
        let lists = unsafe { &mut *self.lists.get() };
        lists.take(place(layout), &self.pages)
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as in `alloc`; and the caller gives back a block that `alloc` gave for this layout.
        unsafe { (*self.lists.get()).put(place(layout), block) };
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        // SAFETY: the caller promises that `bytes` and the alignment make a layout.
        let wanted = unsafe { Layout::from_size_align_unchecked(bytes, layout.align()) };
        if place(wanted) == place(layout) {
            return block;
        }
        // SAFETY: both blocks are ours and apart, and the old one goes back for the layout it was given for.
        unsafe {
            let moved = self.alloc(wanted);
            if !moved.is_null() {
                moved.copy_from_nonoverlapping(block, layout.size().min(bytes));
                self.dealloc(block, layout);
            }
            moved
        }
    }
}

#[cfg(test)]
mod tests;
