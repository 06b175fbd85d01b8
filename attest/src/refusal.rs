//! THE table of refusals: every way in which evidence can be refused, its stable code, its class and its message.
//!
//! To add one, add a row. A code never changes and is never reused: machines and audit logs rely on it.

use alloc::string::String;

/// What kind of refusal this is. Whoever answers a request maps this and only this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The bytes do not have the shape they must have.
    Malformed,
    /// The shape is right; a signature, chain or binding is not.
    Untrusted,
    /// Right once, too late or too early now.
    Stale,
    /// Authentic, and says something that policy does not accept.
    Contraindicated,
    /// A kind, version or algorithm that is not supported.
    Unsupported,
}

/// One row per refusal: `variant { fields } = "code", class, "message"`.
macro_rules! refusals {
    ($( $(#[$doc:meta])* $name:ident $({ $($field:ident : $ty:ty),* })? = $code:literal, $class:ident, $msg:literal; )*) => {
        /// Why evidence was refused.
        #[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
        #[non_exhaustive]
        pub enum Refusal {
            $( $(#[$doc])* #[error($msg)] $name $({ $(
                #[doc = concat!("See the message of `", $code, "`.")]
                $field: $ty
            ),* })?, )*
        }

        impl Refusal {
            /// Every code there is, in the order of the table.
            pub const CODES: &'static [&'static str] = &[$($code),*];

            /// The name that machines may rely on.
            #[must_use]
            pub const fn code(&self) -> &'static str {
                match self { $( Self::$name { .. } => $code, )* }
            }

            /// What kind of refusal this is.
            #[must_use]
            pub const fn class(&self) -> Class {
                match self { $( Self::$name { .. } => Class::$class, )* }
            }
        }
    };
}

refusals! {
    // -- shape ------------------------------------------------------------------------------------------------------
    /// The bytes end before the structure does.
    Truncated { what: &'static str, offset: usize } = "evidence.truncated", Malformed, "{what} ends early, at byte {offset}";
    /// Bytes follow the structure.
    TrailingBytes { what: &'static str, offset: usize } = "evidence.trailing_bytes", Malformed, "{what} is followed by unexpected bytes, at byte {offset}";
    /// A length, count or depth is over its bound.
    TooLarge { what: &'static str, limit: usize } = "evidence.too_large", Malformed, "{what} is over its limit of {limit}";
    /// The structure is not what its format says.
    Malformed { what: &'static str, why: String } = "evidence.malformed", Malformed, "{what} is malformed: {why}";
    /// A kind, version or algorithm that is not supported.
    Unsupported { what: &'static str, found: String } = "evidence.unsupported", Unsupported, "{what} `{found}` is not supported";

    // -- the collection -----------------------------------------------------------------------------------------------
    /// A label that does not exist.
    LabelUnknown { label: String } = "evidence.label_unknown", Unsupported, "there is no evidence member `{label}`";
    /// A member of a kind that is not known, or that may not stand under its label.
    KindUnknown { label: String, kind: String } = "evidence.kind_unknown", Unsupported, "evidence member `{label}` has the kind `{kind}`, which is not accepted there";
    /// Two members under one label.
    MemberTwice { label: String } = "evidence.member_twice", Malformed, "evidence member `{label}` is there twice";
    /// Members out of their fixed order.
    MemberOrder { label: String, after: String } = "evidence.member_order", Malformed, "evidence member `{label}` stands after `{after}`, against the fixed order";

    // -- certificate chains -------------------------------------------------------------------------------------------
    /// A certificate's signature does not verify under its issuer's key.
    ChainSignature { index: usize } = "chain.signature", Untrusted, "the signature of certificate {index} (0 is the root's side) does not verify";
    /// Issuer and subject names do not chain, compared as DER.
    ChainName { index: usize } = "chain.name", Untrusted, "certificate {index} does not name the one above it as its issuer";
}

#[cfg(test)]
mod tests {
    use super::Refusal;

    #[test]
    fn codes_are_unique() {
        let mut seen = alloc::collections::BTreeSet::new();
        assert!(Refusal::CODES.iter().all(|c| seen.insert(c)));
    }
}
