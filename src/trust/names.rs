//! Which names a product, a channel and a target may have.

/// Whether `name` can be a product: 1 to 64 of `A-Z a-z 0-9 . _ -`, beginning with a letter or digit.
pub fn is_product(name: &str) -> bool {
    is_name(name)
}

/// Whether `name` can be a channel; the same characters as a product.
pub fn is_channel(name: &str) -> bool {
    is_name(name)
}

/// Whether `name` can be a target triple; the same characters as a product.
pub fn is_target(name: &str) -> bool {
    is_name(name)
}

fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}
