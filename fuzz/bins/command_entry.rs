#![no_main]
#[path = "../command_targets.rs"]
#[allow(dead_code)]
mod targets;
libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::command_entry(data));
