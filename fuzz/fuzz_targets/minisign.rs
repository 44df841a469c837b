#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if fetchd::fuzz::minisign(data) {
        // What we read, a reader written by somebody else can read.
        let text = std::str::from_utf8(data).expect("a signature is UTF-8");
        assert!(minisign_verify::Signature::decode(text).is_ok(), "we read what minisign-verify does not");
    }
});
