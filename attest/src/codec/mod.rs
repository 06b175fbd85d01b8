//! Bytes to structures and back, with no opinion about what they mean. Every decoder is total and bounded.
