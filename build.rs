//! Tells the program which target triple it is built for.

fn main() {
    // Cargo sets TARGET for every build script.
    println!("cargo::rustc-env=BUILD_TARGET_TRIPLE={}", std::env::var("TARGET").unwrap_or_default());
    println!("cargo::rerun-if-changed=build.rs");
}
