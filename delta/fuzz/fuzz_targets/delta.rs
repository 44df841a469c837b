#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    fetchd_delta::fuzz::delta(data);
});
