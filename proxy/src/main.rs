//! The `littoral` command.

use std::process::ExitCode;

/// Fewer system calls and less fragmentation than the C library's, with many objects of many sizes.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    littoral::cli::main()
}
