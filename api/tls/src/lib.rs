//! TLS 1.3 with pinned keys.
#![forbid(unsafe_code)]
