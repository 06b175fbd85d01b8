//! One-time tokens: bootstrap, invite, claim. The store keeps a hash; a failed attempt burns nothing; exactly one wins.

use assay_attest::time::Timestamp;

crate::column_enum! {
    /// What a token lets in.
    pub enum TokenKind {
        /// The first admin.
        Bootstrap = "bootstrap",
        /// A person.
        Invite = "invite",
        /// A DPU.
        Claim = "claim",
    }
}

crate::column_enum! {
    /// Whether a token still opens anything.
    pub enum TokenState {
        /// It does, until it expires.
        Open = "open",
        /// It has.
        Spent = "spent",
        /// It was taken back.
        Void = "void",
    }
}

crate::trust_row! {
    /// A one-time token, without its secret.
    pub struct Token in "token" {
        key {
            /// What it lets in.
            kind: TokenKind,
            /// The first 16 bytes of `hash`.
            id: [u8; 16],
        }
        columns {
            /// SHA-256 of the secret.
            hash: [u8; 32],
            /// The tenant; empty for what is global.
            tenant: String,
            /// What it is for: the caller's words, such as the id of an invited operator or of a claim.
            subject: String,
            /// From when on it opens nothing.
            expires: Timestamp,
            /// Whether it still opens anything.
            state: TokenState,
        }
        index { tenant }
    }
}
