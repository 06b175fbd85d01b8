//! A TPM as far as evidence sees one: it marshals the structures and signs with P-256, as a real AK would.

use assay_attest::claims::{PcrBanks, TpmClock};
use assay_attest::codec::tpm::{self, Attributes, Public, alg_of};
use assay_attest::digest::{Digest, HashAlg};
use assay_attest::expected::Name;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};

pub(crate) const AK_ATTRIBUTES: u32 = Attributes::FIXED_TPM
    | Attributes::FIXED_PARENT
    | Attributes::SENSITIVE_DATA_ORIGIN
    | Attributes::RESTRICTED
    | Attributes::SIGN;
pub(crate) const KEY_ATTRIBUTES: u32 = AK_ATTRIBUTES & !Attributes::RESTRICTED;

/// One TPM with one AK.
#[derive(Clone)]
pub(crate) struct SoftTpm {
    pub(crate) ak: SigningKey,
    pub(crate) ak_attributes: u32,
    pub(crate) parent: Option<Name>,
    pub(crate) pcrs: PcrBanks,
    pub(crate) clock: TpmClock,
    /// TPM_ALG_ID of the hash that the AK's scheme names.
    pub(crate) hash: u16,
    pub(crate) magic: u32,
}

impl SoftTpm {
    pub(crate) fn new(seed: u8) -> Self {
        let bank = (0..8).map(|pcr| (pcr, HashAlg::Sha256.hash(&[&[seed, pcr]])));
        Self {
            ak: signing_key(seed),
            ak_attributes: AK_ATTRIBUTES,
            parent: None,
            pcrs: PcrBanks::from([(HashAlg::Sha256, bank.collect())]),
            clock: TpmClock {
                clock: 1000,
                reset_count: 7,
                restart_count: 1,
                safe: true,
            },
            hash: alg_of(HashAlg::Sha256),
            magic: tpm::GENERATED,
        }
    }

    pub(crate) fn ak_public(&self) -> Vec<u8> {
        public_area(&self.ak, self.ak_attributes, Some(self.hash))
    }

    pub(crate) fn ak_name(&self) -> Name {
        Public::parse(&self.ak_public()).unwrap().name().unwrap()
    }

    /// TPM2_Quote over all PCRs it has: TPMS_ATTEST and TPMT_SIGNATURE.
    pub(crate) fn quote(&self, qualifying: &[u8]) -> (Vec<u8>, Vec<u8>) {
        self.quote_banks(qualifying, 1)
    }

    /// The same with all banks this many times.
    pub(crate) fn quote_banks(&self, qualifying: &[u8], times: usize) -> (Vec<u8>, Vec<u8>) {
        let banks = || (0..times).flat_map(|_| &self.pcrs);
        let mut body = be32(banks().count());
        for (hash, values) in banks() {
            body.extend(alg_of(*hash).to_be_bytes());
            let mut map = [0_u8; 3];
            for pcr in values.keys() {
                map[usize::from(pcr / 8)] |= 1 << (pcr % 8);
            }
            body.push(3);
            body.extend(map);
        }
        let values: Vec<&Digest> = banks().flat_map(|(_, bank)| bank.values()).collect();
        body.extend(sized(tpm::pcr_digest(HashAlg::Sha256, &values).bytes()));
        self.attest(tpm::ATTEST_QUOTE, qualifying, &body)
    }

    /// TPM2_Certify of the object with that public area.
    pub(crate) fn certify(&self, public: &[u8], qualifying: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let name = Public::parse(public).unwrap().name().unwrap();
        let qualified = tpm::qualified_name(None, &name).unwrap();
        let body = [sized(name.as_bytes()), sized(qualified.as_bytes())].concat();
        self.attest(tpm::ATTEST_CERTIFY, qualifying, &body)
    }

    fn attest(&self, kind: u16, qualifying: &[u8], body: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let signer = tpm::qualified_name(self.parent.as_ref(), &self.ak_name()).unwrap();
        let mut attest = self.magic.to_be_bytes().to_vec();
        attest.extend(kind.to_be_bytes());
        attest.extend(sized(signer.as_bytes()));
        attest.extend(sized(qualifying));
        attest.extend(self.clock.clock.to_be_bytes());
        attest.extend(self.clock.reset_count.to_be_bytes());
        attest.extend(self.clock.restart_count.to_be_bytes());
        attest.push(u8::from(self.clock.safe));
        attest.extend(0x2016_0511_0016_2800_u64.to_be_bytes());
        attest.extend(body);
        let signature = self.sign(&attest);
        (attest, signature)
    }

    /// TPMT_SIGNATURE, ECDSA.
    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let raw: Signature = self.ak.sign(message);
        let (r, s) = raw.split_bytes();
        let mut out = 0x0018_u16.to_be_bytes().to_vec();
        out.extend(self.hash.to_be_bytes());
        out.extend(sized(&r));
        out.extend(sized(&s));
        out
    }
}

/// TPMT_PUBLIC of a P-256 key; `hash` gives it an ECDSA scheme.
pub(crate) fn public_area(key: &SigningKey, attributes: u32, hash: Option<u16>) -> Vec<u8> {
    let point = point(key);
    let mut out = vec![0x00, 0x23, 0x00, 0x0b];
    out.extend(attributes.to_be_bytes());
    out.extend([0, 0]); // authPolicy
    out.extend([0x00, 0x10]); // symmetric: none
    match hash {
        Some(hash) => {
            out.extend([0x00, 0x18]);
            out.extend(hash.to_be_bytes());
        }
        None => out.extend([0x00, 0x10]),
    }
    out.extend([0x00, 0x03, 0x00, 0x10]); // P-256, no kdf
    out.extend(sized(&point[1..33]));
    out.extend(sized(&point[33..]));
    out
}

pub(crate) fn signing_key(seed: u8) -> SigningKey {
    SigningKey::from_slice(&[seed.max(1); 32]).unwrap()
}

pub(crate) fn point(key: &SigningKey) -> [u8; 65] {
    key.verifying_key()
        .to_sec1_point(false)
        .as_bytes()
        .try_into()
        .unwrap()
}

fn sized(bytes: &[u8]) -> Vec<u8> {
    let mut out = u16::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
    out.extend(bytes);
    out
}

fn be32(count: usize) -> Vec<u8> {
    u32::try_from(count).unwrap().to_be_bytes().to_vec()
}
