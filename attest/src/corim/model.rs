//! The maps of a CoRIM, as values. Nothing here is trusted.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;

use super::profile::Profile;
use super::values::{AlgDigest, CryptoKey, Measurement};
use crate::digest::hex;
use crate::time::Timestamp;

/// A corim-map (draft-ietf-rats-corim-11, 4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corim {
    /// Its name.
    pub id: TagId,
    /// At least one.
    pub tags: Vec<Tag>,
    /// Manifests and certificates that it leans on.
    pub dependent: Vec<Locator>,
    /// What gives meaning to its extensions.
    pub profile: Option<Profile>,
    /// When it counts.
    pub validity: Option<Validity>,
    /// Who made it.
    pub entities: Vec<Entity>,
    /// Where it departs from the draft.
    pub relaxed: BTreeSet<Relaxed>,
}

impl Corim {
    /// Its CoMIDs, without those that another one of this file replaces, and of one tag id only the newest.
    pub fn comids(&self) -> impl Iterator<Item = &Comid> {
        let all = || {
            self.tags.iter().filter_map(|tag| match tag {
                Tag::Comid(comid) => Some(&**comid),
                Tag::Coswid(_) | Tag::Cotl(_) => None,
            })
        };
        all().filter(move |comid| {
            !all().any(|other| {
                let replaces = other.linked.iter().any(|(id, relation)| {
                    *relation == Relation::Replaces && *id == comid.id && other.id != comid.id
                });
                let newer = other.id == comid.id && other.version > comid.version;
                replaces || newer
            })
        })
    }
}

/// One tag of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tag {
    /// Module identity, measurements, endorsements (tag 506).
    Comid(Box<Comid>),
    /// A software identity (RFC 9393, tag 505): named, not judged by.
    Coswid(Coswid),
    /// Which tags count together (tag 508).
    Cotl(Cotl),
}

/// What is read of a CoSWID: enough to list it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coswid {
    /// Its id.
    pub id: TagId,
    /// The software's name.
    pub name: String,
    /// The software's version.
    pub version: Option<String>,
}

/// A concise tag list: all of its tags, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cotl {
    /// Its id.
    pub id: TagId,
    /// The tags that it activates, with their versions.
    pub tags: Vec<(TagId, u64)>,
    /// When.
    pub validity: Validity,
}

/// The id of a manifest or tag.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TagId {
    /// A text.
    Text(String),
    /// A UUID, 16 bytes.
    Uuid([u8; 16]),
}

impl fmt::Display for TagId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Uuid(bytes) => f.write_str(&uuid(bytes)),
        }
    }
}

/// A corim-locator-map: where something lies, and its digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locator {
    /// URIs.
    pub href: Vec<String>,
    /// Digests of what lies there; NVIDIA's are over the text of a PEM file.
    pub thumbprint: Vec<AlgDigest>,
}

/// A validity-map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// From then on.
    pub not_before: Option<Timestamp>,
    /// Until then.
    pub not_after: Timestamp,
}

/// Who made a manifest or tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entity {
    /// The name.
    pub name: String,
    /// A URI.
    pub reg_id: Option<String>,
    /// The roles, as the map that holds the entity numbers them.
    pub roles: Vec<u64>,
}

/// A concise-mid-tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comid {
    /// Language of its texts.
    pub language: Option<String>,
    /// Its id.
    pub id: TagId,
    /// Its version, 0 where none is stated.
    pub version: u64,
    /// Who made it.
    pub entities: Vec<Entity>,
    /// Other tags.
    pub linked: Vec<(TagId, Relation)>,
    /// What it says.
    pub triples: Triples,
}

/// How a tag stands to another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// It adds to it.
    Supplements,
    /// It takes its place.
    Replaces,
}

/// A triples-map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Triples {
    /// Reference Values (0).
    pub reference: Vec<ValueTriple>,
    /// Endorsed values (1).
    pub endorsed: Vec<ValueTriple>,
    /// Device identity keys (2).
    pub identity: Vec<KeyTriple>,
    /// Attestation keys (3).
    pub attest_key: Vec<KeyTriple>,
    /// Who depends on whom (4).
    pub dependency: Vec<DomainTriple>,
    /// Who belongs to whom (5).
    pub membership: Vec<DomainTriple>,
    /// Software of an environment (6).
    pub coswid: Vec<(Environment, Vec<TagId>)>,
    /// Conditional endorsement series (8).
    pub series: Vec<Series>,
    /// Conditional endorsements (10).
    pub conditional: Vec<Conditional>,
}

/// An environment and what is measured, or endorsed, there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueTriple {
    /// Where.
    pub environment: Environment,
    /// What; at least one.
    pub measurements: Vec<Measurement>,
}

/// An environment and its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyTriple {
    /// Where.
    pub environment: Environment,
    /// At least one.
    pub keys: Vec<CryptoKey>,
}

/// An environment and others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainTriple {
    /// The domain.
    pub domain: Environment,
    /// Its trustees or members.
    pub others: Vec<Environment>,
}

/// A conditional-endorsement-series-triple-record: the first record whose selection matches adds its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series {
    /// What must hold; its list may be empty.
    pub condition: ValueTriple,
    /// Selection and addition.
    pub records: Vec<(Vec<Measurement>, Vec<Measurement>)>,
}

/// A conditional-endorsement-triple-record: where all conditions hold, all endorsements do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conditional {
    /// What must hold.
    pub conditions: Vec<ValueTriple>,
    /// What follows.
    pub endorsements: Vec<ValueTriple>,
}

/// An environment-map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// The class.
    pub class: Option<Class>,
    /// The instance.
    pub instance: Option<Instance>,
    /// The group.
    pub group: Option<Group>,
}

/// A class-map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Class {
    /// class-id.
    pub id: Option<ClassId>,
    /// The maker.
    pub vendor: Option<String>,
    /// The model.
    pub model: Option<String>,
    /// The layer.
    pub layer: Option<u64>,
    /// Which of several alike.
    pub index: Option<u64>,
}

/// A class-id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClassId {
    /// An object identifier, its DER content as it came (tag 111).
    Oid(Vec<u8>),
    /// A UUID (tag 37).
    Uuid([u8; 16]),
    /// Bytes (tag 560).
    Bytes(Vec<u8>),
    /// A PSA implementation id, 32 bytes (tag 600, before the profiles of 2025).
    ImplementationId(Vec<u8>),
}

/// An instance-id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Instance {
    /// A UEID, 7 to 33 bytes (tag 550).
    Ueid(Vec<u8>),
    /// A UUID (tag 37).
    Uuid([u8; 16]),
    /// Bytes (tag 560).
    Bytes(Vec<u8>),
    /// A key.
    Key(CryptoKey),
}

/// A group-id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Group {
    /// A UUID (tag 37).
    Uuid([u8; 16]),
    /// Bytes (tag 560).
    Bytes(Vec<u8>),
}

/// Where a file departs from draft 11, and is read all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Relaxed {
    /// Wrapped in tags 500 and 502, as drafts up to 06 had it.
    OldWrapping,
    /// The payload is a corim-map without tag 501.
    BareMap,
    /// A tag inside of the byte string rather than around it.
    SwappedTag,
    /// One measurement without its list.
    SingleMeasurement,
    /// A time without tag 1.
    BareTime,
    /// A raw value mask of its own (key 5, deprecated).
    RawValueMask,
}

impl Relaxed {
    /// A stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OldWrapping => "old-wrapping",
            Self::BareMap => "bare-map",
            Self::SwappedTag => "swapped-tag",
            Self::SingleMeasurement => "single-measurement",
            Self::BareTime => "bare-time",
            Self::RawValueMask => "raw-value-mask",
        }
    }
}

pub(super) fn uuid(bytes: &[u8; 16]) -> String {
    let all = hex(bytes);
    let part = |from, to| all.get(from..to).unwrap_or_default().to_string();
    let parts = [
        part(0, 8),
        part(8, 12),
        part(12, 16),
        part(16, 20),
        part(20, 32),
    ];
    parts.join("-")
}
