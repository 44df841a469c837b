# Each recipe is one line that can be typed by hand.

# Everything that has to hold before a change is taken.
ci:
    .ci/run

# What the pre-commit hook runs: format, lints, unit tests.
quick:
    cargo fmt --all --check && cargo clippy --workspace --all-targets -- -D warnings && cargo test --workspace --lib

# Repairs what can be repaired by itself, the generated pages included.
fix:
    cargo clippy --workspace --all-targets --fix --allow-dirty --allow-staged && cargo fmt --all && UPDATE_SNAPSHOTS=1 cargo test --test docs --test config

# Good and bad releases arrive under load, on the screen.
demo:
    cargo run --release -- demo

# All tests.
test:
    cargo test --workspace

# All benchmarks, and one page with ratios against peers measured in the same run; `just bench --quick` is the short one.
bench *options:
    cargo bench --bench report -- {{options}}

# Fuzzes each target for so many seconds of CPU time; needs nightly and cargo-fuzz.
fuzz seconds="300":
    fuzz/run {{seconds}}
