//! Servers that stand in for S3 and GitHub in tests and benchmarks: on loopback, port 0.

pub mod github;
pub mod prism;
pub mod s3;
pub mod seaweed;
