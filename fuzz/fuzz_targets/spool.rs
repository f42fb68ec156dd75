#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| exptap_fuzz::spool(bytes));
