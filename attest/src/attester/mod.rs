//! The building side (Attester, RFC 9334): claims, members and envelope; keys sign by closure, so none comes in here.
