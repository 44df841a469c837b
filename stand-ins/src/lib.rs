//! Servers that stand in for S3 and GitHub in tests and benchmarks: on loopback, port 0.
