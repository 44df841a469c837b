#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    fetchd::fuzz::http(data);
});
