//! Enveloped XML signatures (W3C XML Signature 1.1) of one profile: the signature is a child of the root and covers all else.

use assay_attest::digest::HashAlg;
use assay_attest::key::{CheckSignature, PublicKey, Scheme};
use base64ct::{Base64, Encoding as _};

use super::super::Rejection;
use super::c14n::{Method, canonical};
use super::read::{Element, Node, XML};

const DSIG: &str = "http://www.w3.org/2000/09/xmldsig#";
const ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";

/// A signature that nobody has checked.
#[derive(Debug)]
pub(crate) struct Signature {
    /// The key's certificates as they came, leaf first.
    pub(crate) certificates: Vec<Vec<u8>>,
    signed_info: Vec<u8>,
    scheme: Scheme,
    value: Vec<u8>,
    digest: (HashAlg, Vec<u8>),
    content: Vec<u8>,
}

/// Parts a document into what is signed and its signature. What is read afterwards is what the signature covers: there
/// is no reference by id that could point elsewhere.
///
/// # Errors
/// `xml.*`.
pub(crate) fn split(mut document: Element) -> Result<(Element, Signature), Rejection> {
    no_base(&document)?;
    let is_signature =
        |node: &Node| matches!(node, Node::Element(element) if element.is(DSIG, "Signature"));
    let places: Vec<usize> = document
        .children
        .iter()
        .enumerate()
        .filter(|(_, node)| is_signature(node))
        .map(|(place, _)| place)
        .collect();
    let [place] = places.as_slice() else {
        return Err(match places.len() {
            0 => Rejection::new("xml.unsigned", "the manifest has no signature"),
            _ => bad("there is more than one signature"),
        });
    };
    let Node::Element(signature) = document.children.remove(*place) else {
        return Err(bad("the signature is no element"));
    };
    let [info, value, key_info] = three(&signature)?;
    let [method, algorithm, reference] = three(info)?;
    let canonicalization = method_of(expect(method, "CanonicalizationMethod")?)?;
    let scheme = scheme(algorithm_of(expect(algorithm, "SignatureMethod")?)?)?;
    let (content_method, digest) = reference_of(expect(reference, "Reference")?)?;
    expect(info, "SignedInfo")?;
    let signed_info = canonical(info, &[&document, &signature], canonicalization);
    let value = decode(expect(value, "SignatureValue")?)?;
    let certificates = certificates(expect(key_info, "KeyInfo")?)?;
    let content = canonical(&document, &[], content_method);
    Ok((
        document,
        Signature {
            certificates,
            signed_info,
            scheme,
            value,
            digest,
            content,
        },
    ))
}

impl Signature {
    /// Whether `key` signed the document.
    ///
    /// # Errors
    /// `xml.digest`, `xml.signature`.
    pub(crate) fn verify(
        &self,
        key: &PublicKey,
        check: &dyn CheckSignature,
    ) -> Result<(), Rejection> {
        let (alg, stated) = &self.digest;
        if alg.hash(&[&self.content]).bytes() != stated.as_slice() {
            return Err(Rejection::new(
                "xml.digest",
                "the manifest is not what its signature covers",
            ));
        }
        check
            .check(key, self.scheme, &self.signed_info, &self.value)
            .map_err(|_| {
                Rejection::new(
                    "xml.signature",
                    "the signature of the manifest does not verify under its key",
                )
            })
    }
}

fn bad(why: &str) -> Rejection {
    Rejection::new(
        "xml.signature_form",
        format!("the signature can't be used: {why}"),
    )
}

/// Attributes that the two versions of canonical XML treat differently.
fn no_base(element: &Element) -> Result<(), Rejection> {
    let differs = ["base", "id"]
        .iter()
        .any(|name| element.attribute(XML, name).is_some());
    if differs {
        return Err(bad("`xml:base` and `xml:id` are not accepted"));
    }
    element.elements().try_for_each(no_base)
}

/// The three elements that it must hold, and nothing else but white space.
fn three(element: &Element) -> Result<[&Element; 3], Rejection> {
    let stray = |node: &Node| matches!(node, Node::Text(text) if !text.trim().is_empty());
    let all: Vec<&Element> = element.elements().collect();
    match <[&Element; 3]>::try_from(all) {
        Ok(three) if !element.children.iter().any(stray) => Ok(three),
        _ => Err(bad("an element has other parts than the profile")),
    }
}

fn expect<'a>(element: &'a Element, local: &str) -> Result<&'a Element, Rejection> {
    if element.is(DSIG, local) {
        Ok(element)
    } else {
        Err(bad("its elements are not in their order"))
    }
}

fn algorithm_of(element: &Element) -> Result<&str, Rejection> {
    element
        .attribute("", "Algorithm")
        .ok_or_else(|| bad("an algorithm has no name"))
}

fn method_of(element: &Element) -> Result<Method, Rejection> {
    let method = Method::of(algorithm_of(element)?)
        .ok_or_else(|| bad("its canonicalization is not supported"))?;
    // An InclusiveNamespaces list would change what exclusive canonicalization writes.
    if element.elements().next().is_some() {
        return Err(bad("a canonicalization has parameters"));
    }
    Ok(method)
}

/// The scheme is the message's word: it must be the one that the key has, which the check sees to.
fn scheme(uri: &str) -> Result<Scheme, Rejection> {
    match uri {
        "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256" => Ok(Scheme::EcdsaSha256),
        "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384" => Ok(Scheme::EcdsaSha384),
        "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256" => Ok(Scheme::RsaPkcs1Sha256),
        "http://www.w3.org/2001/04/xmldsig-more#rsa-sha384" => Ok(Scheme::RsaPkcs1Sha384),
        _ => Err(bad("its algorithm is not supported")),
    }
}

fn reference_of(reference: &Element) -> Result<(Method, (HashAlg, Vec<u8>)), Rejection> {
    if reference.attribute("", "URI") != Some("") {
        return Err(bad("it covers something else than the document"));
    }
    let [transforms, method, value] = three(reference)?;
    let steps: Vec<&Element> = expect(transforms, "Transforms")?.elements().collect();
    let content = match steps.as_slice() {
        [enveloped] if algorithm_of(enveloped)? == ENVELOPED => Method::Inclusive,
        [enveloped, last] if algorithm_of(enveloped)? == ENVELOPED => method_of(last)?,
        _ => return Err(bad("its transforms are not the profile's")),
    };
    if steps.iter().any(|step| !step.is(DSIG, "Transform")) {
        return Err(bad("its transforms are not the profile's"));
    }
    let alg = match algorithm_of(expect(method, "DigestMethod")?)? {
        "http://www.w3.org/2001/04/xmlenc#sha256" => HashAlg::Sha256,
        "http://www.w3.org/2001/04/xmldsig-more#sha384" => HashAlg::Sha384,
        "http://www.w3.org/2001/04/xmlenc#sha512" => HashAlg::Sha512,
        _ => return Err(bad("its digest is not supported")),
    };
    Ok((content, (alg, decode(expect(value, "DigestValue")?)?)))
}

fn certificates(key_info: &Element) -> Result<Vec<Vec<u8>>, Rejection> {
    let data: Vec<&Element> = key_info.elements().collect();
    let [data] = data.as_slice() else {
        return Err(bad("it brings no certificates"));
    };
    expect(data, "X509Data")?
        .elements()
        .filter(|element| element.is(DSIG, "X509Certificate"))
        .map(decode)
        .collect()
}

fn decode(element: &Element) -> Result<Vec<u8>, Rejection> {
    let text = element.text().ok_or_else(|| bad("a value is no text"))?;
    let packed: String = text.split_ascii_whitespace().collect();
    Base64::decode_vec(&packed).map_err(|_| bad("a value is no base64"))
}
