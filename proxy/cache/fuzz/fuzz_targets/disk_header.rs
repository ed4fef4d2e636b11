//! Any bytes as the header of an object on disk: refused, or read as what would be written again. They are tried as they are,
//! and with length and checksum made right, to come to what lies behind these.
#![no_main]

use littoral_cache::disk::format::{Header, LENGTHS_BYTES};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    try_as_header(bytes);
    if bytes.len() >= LENGTHS_BYTES {
        let mut sealed = bytes.to_vec();
        sealed[12..16].copy_from_slice(&(bytes.len() as u32 + 4).to_le_bytes());
        sealed.extend_from_slice(&crc32c::crc32c(&sealed).to_le_bytes());
        try_as_header(&sealed);
    }
});

fn try_as_header(bytes: &[u8]) {
    if let Ok(header) = Header::decode(bytes) {
        assert_eq!(header.checksums.len() as u64, header.body.div_ceil(littoral_cache::limits::DISK_BLOCK_BYTES));
        let again = header.encode().expect("it was short enough to be read");
        assert_eq!(Header::decode(&again).as_ref(), Ok(&header));
    }
}
