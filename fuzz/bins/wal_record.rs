#![no_main]
#[path = "../wal_targets.rs"]
#[allow(dead_code)]
mod targets;
libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::wal_record(data));
