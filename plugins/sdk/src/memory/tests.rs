//! The allocator over a region of the test's own: what it hands out, takes back and refuses.

use std::alloc::System;
use std::cell::Cell;

use proptest::prelude::*;

use super::*;

/// Pages of a region of the test's own, as many as fit.
struct Region {
    first: *mut u8,
    pages: usize,
    used: Cell<usize>,
}

impl Region {
    fn of(pages: usize) -> Self {
        // SAFETY: the size is not zero.
        let first = unsafe { System.alloc(Self::layout(pages)) };
        assert!(!first.is_null());
        Self { first, pages, used: Cell::new(0) }
    }

    fn layout(pages: usize) -> Layout {
        Layout::from_size_align(pages * PAGE_BYTES, PAGE_BYTES).expect("a layout")
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: `of` took it with this layout.
        unsafe { System.dealloc(self.first, Self::layout(self.pages)) };
    }
}

// SAFETY: the region is this value's alone and its pages are given once each.
unsafe impl Pages for Region {
    fn grow(&self, pages: usize) -> *mut u8 {
        let used = self.used.get();
        if pages > self.pages - used {
            return null_mut();
        }
        self.used.set(used + pages);
        self.first.wrapping_add(used * PAGE_BYTES)
    }
}

fn layout(bytes: usize, align: usize) -> Layout {
    Layout::from_size_align(bytes, align).expect("a layout")
}

/// A block in use, full of one byte.
struct Held {
    block: *mut u8,
    layout: Layout,
    fill: u8,
}

impl Held {
    fn new(block: *mut u8, layout: Layout, fill: u8) -> Self {
        assert!(block.addr().is_multiple_of(layout.align()), "{layout:?} at {block:?}");
        // SAFETY: the allocator says that so much is there.
        unsafe { block.write_bytes(fill, layout.size()) };
        Self { block, layout, fill }
    }

    fn assert_untouched(&self, bytes: usize) {
        // SAFETY: as in `new`.
        let content = unsafe { std::slice::from_raw_parts(self.block, bytes.min(self.layout.size())) };
        assert!(content.iter().all(|byte| *byte == self.fill), "{:?} was written to by somebody else", self.layout);
    }
}

#[derive(Debug, Clone)]
enum Step {
    Take(usize, u32),
    Resize(prop::sample::Index, usize),
    Give(prop::sample::Index),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let bytes = prop_oneof![8 => 1..600_usize, 2 => 1..20_000_usize, 1 => 1..200_000_usize];
    let step = prop_oneof![
        3 => (bytes.clone(), 0..13_u32).prop_map(|(bytes, align)| Step::Take(bytes, align)),
        1 => (any::<prop::sample::Index>(), bytes).prop_map(|(which, bytes)| Step::Resize(which, bytes)),
        2 => any::<prop::sample::Index>().prop_map(Step::Give),
    ];
    prop::collection::vec(step, 1..200)
}

proptest! {
    #[test]
    fn blocks_are_aligned_and_apart_and_keep_what_is_in_them(steps in steps()) {
        let blocks = Blocks::new(Region::of(400));
        let mut held: Vec<Held> = Vec::new();
        for (number, step) in steps.into_iter().enumerate() {
            let fill = number as u8;
            match step {
                Step::Take(bytes, align) => {
                    let layout = layout(bytes, 1 << align);
                    // SAFETY: its size is not zero.
                    let block = unsafe { blocks.alloc(layout) };
                    if !block.is_null() {
                        held.push(Held::new(block, layout, fill));
                    }
                }
                Step::Resize(which, bytes) if !held.is_empty() => {
                    let which = which.index(held.len());
                    let old = held.swap_remove(which);
                    // SAFETY: the block is in use with this layout and the size is not zero.
                    let block = unsafe { blocks.realloc(old.block, old.layout, bytes) };
                    if block.is_null() {
                        held.push(old);
                    } else {
                        let moved = Held { block, layout: layout(bytes, old.layout.align()), fill: old.fill };
                        moved.assert_untouched(old.layout.size());
                        held.push(Held::new(block, moved.layout, fill));
                    }
                }
                Step::Give(which) if !held.is_empty() => {
                    let given = held.swap_remove(which.index(held.len()));
                    given.assert_untouched(usize::MAX);
                    // SAFETY: the block is in use with this layout.
                    unsafe { blocks.dealloc(given.block, given.layout) };
                }
                Step::Resize(..) | Step::Give(_) => {}
            }
        }
        held.iter().for_each(|block| block.assert_untouched(usize::MAX));
    }
}

#[test]
fn what_is_given_back_is_used_again() {
    let blocks = Blocks::new(Region::of(8));
    for _ in 0..1000 {
        // SAFETY: no size is zero, and each block goes back with its layout.
        unsafe {
            let sizes = [640, 64, 5, 70_000].map(|bytes| layout(bytes, 8));
            let taken = sizes.map(|layout| blocks.alloc(layout));
            assert!(taken.iter().all(|block| !block.is_null()));
            taken.into_iter().zip(sizes).for_each(|(block, layout)| blocks.dealloc(block, layout));
        }
    }
    assert_eq!(blocks.pages.used.get(), 3, "a page for the small ones, two for 70 000 bytes");
}

#[test]
fn a_page_is_cut_to_the_last_byte() {
    let blocks = Blocks::new(Region::of(1));
    // SAFETY: no size is zero.
    let take = |bytes| unsafe { blocks.alloc(layout(bytes, 1)) };
    // 16 bytes, then half the page: what lies between serves the rest.
    assert!(!take(16).is_null() && !take(PAGE_BYTES / 2).is_null());
    let between = (4..15).map(|place| take(1 << place));
    assert!(between.into_iter().all(|block| !block.is_null()));
    assert!(take(1).is_null(), "the page is full");
}

#[test]
fn what_cannot_be_had_is_null() {
    let blocks = Blocks::new(Region::of(4));
    // SAFETY: no size is zero.
    let take = |bytes, align| unsafe { blocks.alloc(layout(bytes, align)) };
    assert!(take(5 * PAGE_BYTES, 1).is_null());
    assert!(take(1, 2 * PAGE_BYTES).is_null(), "an alignment that pages do not have");
    assert!(!take(4 * PAGE_BYTES, PAGE_BYTES).is_null(), "refusals cost nothing");
    assert!(take(1, 1).is_null());
}

#[test]
fn a_block_that_is_large_enough_stays_where_it_is() {
    let blocks = Blocks::new(Region::of(1));
    // SAFETY: no size is zero, and each block is resized with its layout.
    unsafe {
        let block = blocks.alloc(layout(33, 1));
        let same = blocks.realloc(block, layout(33, 1), 64);
        assert_eq!(same, block);
        assert_ne!(blocks.realloc(same, layout(64, 1), 65), block);
    }
}
