//! THE list of row types that decide trust. A type that is not here is not checked against its table.

use super::claims::{Claim, Enrolment};
use super::clock_accept::ClockAccept;
use super::devices::{Demand, Device, DeviceKey};
use super::people::{Door, GrantRow, InviteRow, OperatorKey, OperatorRow};
use super::references::{Reference, ReferenceSigner};
use super::secrets::{Bypass, Secret};
use super::signing_key::SigningKey;
use super::ssh::{CertificateRow, HostRow, KrlRow, ManifestRow, PushRow, SshCaRow};
use super::tenant::Tenant;
use super::token::Token;
use super::{ColumnSpec, TrustRow};

/// What the list knows of a row type.
#[derive(Clone, Copy, Debug)]
pub struct RowType {
    /// The table.
    pub table: &'static str,
    /// How many of the columns make the key.
    pub keys: usize,
    /// All columns but `log_index` and `mac`.
    pub columns: &'static [ColumnSpec],
    /// The indexed ones.
    pub index: &'static [&'static str],
}

const fn row_type<R: TrustRow>() -> RowType {
    RowType {
        table: R::TABLE,
        keys: R::KEYS,
        columns: R::COLUMNS,
        index: R::INDEX,
    }
}

/// Every row type.
pub const ROW_TYPES: &[RowType] = &[
    row_type::<ClockAccept>(),
    row_type::<Tenant>(),
    row_type::<SigningKey>(),
    row_type::<Token>(),
    row_type::<OperatorRow>(),
    row_type::<OperatorKey>(),
    row_type::<InviteRow>(),
    row_type::<GrantRow>(),
    row_type::<Door>(),
    row_type::<Device>(),
    row_type::<DeviceKey>(),
    row_type::<Claim>(),
    row_type::<Enrolment>(),
    row_type::<Demand>(),
    row_type::<Reference>(),
    row_type::<ReferenceSigner>(),
    row_type::<Secret>(),
    row_type::<Bypass>(),
    row_type::<SshCaRow>(),
    row_type::<KrlRow>(),
    row_type::<PushRow>(),
    row_type::<HostRow>(),
    row_type::<ManifestRow>(),
    row_type::<CertificateRow>(),
];
