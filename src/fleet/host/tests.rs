mod attacks;
mod plan;
mod random;
mod slots;
mod store;
