//! The values that a column of a trust row may hold, and how each is stored.

use assay_attest::time::Timestamp;

/// One value as SQLite holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell<'a> {
    /// No value; not the same as an empty one.
    Null,
    /// INTEGER.
    Integer(i64),
    /// TEXT.
    Text(&'a str),
    /// BLOB.
    Blob(&'a [u8]),
}

/// A type that a column of a trust row may have. For names and ids use [`column_text!`](crate::column_text), for states
/// [`column_enum!`](crate::column_enum).
pub trait Column: Sized {
    /// The SQL type: `TEXT`, `INTEGER` or `BLOB`.
    const SQL: &'static str;
    /// Whether NULL is one of its values.
    const NULLABLE: bool = false;

    /// As stored.
    fn cell(&self) -> Cell<'_>;

    /// As read; `None` where the cell holds nothing that this type can be.
    fn read(cell: Cell<'_>) -> Option<Self>;
}

impl Column for String {
    const SQL: &'static str = "TEXT";

    fn cell(&self) -> Cell<'_> {
        Cell::Text(self)
    }

    fn read(cell: Cell<'_>) -> Option<Self> {
        if let Cell::Text(text) = cell {
            Some(text.to_owned())
        } else {
            None
        }
    }
}

impl Column for i64 {
    const SQL: &'static str = "INTEGER";

    fn cell(&self) -> Cell<'_> {
        Cell::Integer(*self)
    }

    fn read(cell: Cell<'_>) -> Option<Self> {
        if let Cell::Integer(n) = cell {
            Some(n)
        } else {
            None
        }
    }
}

/// All 64 bits are kept; above `i64::MAX` they don't sort as numbers.
impl Column for u64 {
    const SQL: &'static str = "INTEGER";

    fn cell(&self) -> Cell<'_> {
        Cell::Integer(i64::from_be_bytes(self.to_be_bytes()))
    }

    fn read(cell: Cell<'_>) -> Option<Self> {
        i64::read(cell).map(|n| Self::from_be_bytes(n.to_be_bytes()))
    }
}

impl Column for u32 {
    const SQL: &'static str = "INTEGER";

    fn cell(&self) -> Cell<'_> {
        Cell::Integer(i64::from(*self))
    }

    fn read(cell: Cell<'_>) -> Option<Self> {
        i64::read(cell).and_then(|n| n.try_into().ok())
    }
}

impl Column for bool {
    const SQL: &'static str = "INTEGER";

    fn cell(&self) -> Cell<'_> {
        Cell::Integer(i64::from(*self))
    }

    fn read(cell: Cell<'_>) -> Option<Self> {
        match cell {
            Cell::Integer(0) => Some(false),
            Cell::Integer(1) => Some(true),
            _ => None,
        }
    }
}

/// Milliseconds. `i64::MAX` and everything later is [`Timestamp::MAX`], so that SQL may compare.
impl Column for Timestamp {
    const SQL: &'static str = "INTEGER";

    fn cell(&self) -> Cell<'_> {
        Cell::Integer(i64::try_from(self.as_millis()).unwrap_or(i64::MAX))
    }

    fn read(cell: Cell<'_>) -> Option<Self> {
        match i64::read(cell)? {
            i64::MAX => Some(Self::MAX),
            n => n.try_into().ok().map(Self::from_millis),
        }
    }
}

impl Column for Vec<u8> {
    const SQL: &'static str = "BLOB";

    fn cell(&self) -> Cell<'_> {
        Cell::Blob(self)
    }

    fn read(cell: Cell<'_>) -> Option<Self> {
        if let Cell::Blob(bytes) = cell {
            Some(bytes.to_vec())
        } else {
            None
        }
    }
}

impl<const N: usize> Column for [u8; N] {
    const SQL: &'static str = "BLOB";

    fn cell(&self) -> Cell<'_> {
        Cell::Blob(self)
    }

    fn read(cell: Cell<'_>) -> Option<Self> {
        if let Cell::Blob(bytes) = cell {
            bytes.try_into().ok()
        } else {
            None
        }
    }
}

impl<T: Column> Column for Option<T> {
    const SQL: &'static str = T::SQL;
    const NULLABLE: bool = true;

    fn cell(&self) -> Cell<'_> {
        self.as_ref().map_or(Cell::Null, Column::cell)
    }

    fn read(cell: Cell<'_>) -> Option<Self> {
        if cell == Cell::Null {
            Some(None)
        } else {
            T::read(cell).map(Some)
        }
    }
}

/// An enum that is stored as text: `column_enum! { /// doc pub enum State { /// doc Active = "active" } }`.
/// Gives `as_str` and `parse`; unknown text in the database is a forged row, never a default.
#[macro_export]
macro_rules! column_enum {
    ($(#[$meta:meta])* $vis:vis enum $name:ident { $( $(#[$vmeta:meta])* $variant:ident = $text:literal ),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        $vis enum $name { $( $(#[$vmeta])* $variant, )+ }

        impl $name {
            /// As stored and shown.
            #[must_use]
            $vis const fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $text, )+ }
            }

            /// What [`Self::as_str`] gave.
            #[must_use]
            $vis fn parse(text: &str) -> Option<Self> {
                match text { $( $text => Some(Self::$variant), )+ _ => None }
            }
        }

        impl $crate::store::Column for $name {
            const SQL: &'static str = "TEXT";

            fn cell(&self) -> $crate::store::Cell<'_> {
                $crate::store::Cell::Text(self.as_str())
            }

            fn read(cell: $crate::store::Cell<'_>) -> Option<Self> {
                if let $crate::store::Cell::Text(text) = cell { Self::parse(text) } else { None }
            }
        }
    };
}

/// Makes a column of a text newtype that has `as_str(&self) -> &str` and `parse(&str) -> Result<Self, _>`:
/// `column_text!(DeviceId, HostId);`
#[macro_export]
macro_rules! column_text {
    ($($name:ty),+ $(,)?) => { $(
        impl $crate::store::Column for $name {
            const SQL: &'static str = "TEXT";

            fn cell(&self) -> $crate::store::Cell<'_> {
                $crate::store::Cell::Text(self.as_str())
            }

            fn read(cell: $crate::store::Cell<'_>) -> Option<Self> {
                if let $crate::store::Cell::Text(text) = cell { <$name>::parse(text).ok() } else { None }
            }
        }
    )+ };
}
