//! What the controller's JSON says, as far as it is asked: total, bounded by the answer's bound, no opinion about trust.

use super::http::own_path;
use assay_attest::limits;
use base64ct::{Base64, Encoding as _};
use serde::Deserialize;
use x509_cert::Certificate;

/// Members of a collection that are looked at.
const MEMBERS: usize = 256;
/// The longest word that is repeated to a person.
const TOLD: usize = 200;

/// A component whose integrity can be asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Component {
    pub(super) id: String,
    pub(super) enabled: bool,
    pub(super) certificate: String,
    pub(super) action: String,
}

/// How far a task is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Task {
    Running,
    Done { location: Option<String> },
    Failed { why: String },
}

#[derive(Deserialize)]
struct Link {
    #[serde(rename = "@odata.id")]
    id: String,
}

#[derive(Deserialize)]
struct Collection {
    #[serde(rename = "Members")]
    members: Vec<Link>,
}

/// The paths of a collection's members.
pub(super) fn members(body: &[u8]) -> Option<Vec<String>> {
    let list: Collection = serde_json::from_slice(body).ok()?;
    let paths = list.members.into_iter().map(|link| link.id);
    Some(paths.take(MEMBERS).collect())
}

/// The path by which an object calls itself.
pub(super) fn itself(body: &[u8]) -> Option<String> {
    let link: Link = serde_json::from_slice(body).ok()?;
    own_path(&link.id).map(str::to_owned)
}

/// The path of a Location: the standard allows an absolute URL, of which only the path counts, since only this
/// controller is asked.
pub(super) fn path_of(location: &str) -> Option<String> {
    let path = match location.split_once("://") {
        Some((_scheme, rest)) => rest.get(rest.find('/')?..)?,
        None => location,
    };
    own_path(path).map(str::to_owned)
}

/// ComponentIntegrity (DSP2046): measurements that can be asked for by SPDM.
pub(super) fn component(body: &[u8]) -> Result<Component, &'static str> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Wire {
        id: String,
        component_integrity_enabled: Option<bool>,
        component_integrity_type: Option<String>,
        #[serde(rename = "SPDM")]
        spdm: Option<Spdm>,
        actions: Option<Actions>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Spdm {
        identity_authentication: Option<Identity>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Identity {
        responder_authentication: Option<Responder>,
        component_certificate: Option<Link>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Responder {
        component_certificate: Option<Link>,
    }
    #[derive(Deserialize)]
    struct Actions {
        #[serde(rename = "#ComponentIntegrity.SPDMGetSignedMeasurements")]
        measure: Option<Action>,
    }
    #[derive(Deserialize)]
    struct Action {
        target: String,
    }
    let wire: Wire = serde_json::from_slice(body).map_err(|_e| "no component")?;
    if wire.component_integrity_type.is_some_and(|t| t != "SPDM") {
        return Err("a component that does not speak spdm");
    }
    let identity = wire.spdm.and_then(|spdm| spdm.identity_authentication);
    let certificate = identity.and_then(|identity| {
        let responder = identity.responder_authentication;
        responder
            .and_then(|responder| responder.component_certificate)
            .or(identity.component_certificate)
    });
    let action = wire.actions.and_then(|actions| actions.measure);
    Ok(Component {
        id: told(&wire.id),
        enabled: wire.component_integrity_enabled == Some(true),
        certificate: certificate.ok_or("a component without a certificate")?.id,
        action: action
            .ok_or("a component without signed measurements")?
            .target,
    })
}

/// A certificate resource with a chain in PEM; DER, root first.
pub(super) fn chain(body: &[u8]) -> Result<Vec<Vec<u8>>, &'static str> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Wire {
        certificate_string: String,
        certificate_type: Option<String>,
    }
    let wire: Wire = serde_json::from_slice(body).map_err(|_e| "no certificate")?;
    let kind = wire.certificate_type.unwrap_or_else(|| "PEMchain".into());
    if !["pemchain", "pem"].contains(&kind.to_ascii_lowercase().as_str()) {
        return Err("certificates in another form than pem");
    }
    let pem = wire.certificate_string.into_bytes();
    let chain = Certificate::load_pem_chain(&pem).map_err(|_e| "a chain that is no pem")?;
    if chain.is_empty() || chain.len() > limits::CHAIN_CERTIFICATES {
        return Err("a chain of too many certificates, or of none");
    }
    // The leaf stands first in what is known of the field; which end is the root shows in the names.
    let root_first = chain.first().is_some_and(|first| {
        let first = first.tbs_certificate();
        first.issuer() == first.subject()
    });
    let encode = |certificate: &Certificate| der::Encode::to_der(certificate);
    let mut encoded = chain
        .iter()
        .map(encode)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_e| "a certificate that can't be read")?;
    if !root_first {
        encoded.reverse();
    }
    Ok(encoded)
}

/// A task (DSP2046, Task): `TaskState`, and what it says where it failed.
pub(super) fn task(body: &[u8]) -> Result<Task, &'static str> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Wire {
        task_state: String,
        task_status: Option<String>,
        payload: Option<Payload>,
        #[serde(default)]
        messages: Vec<Message>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Payload {
        #[serde(default)]
        http_headers: Vec<String>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Message {
        message: Option<String>,
    }
    let wire: Wire = serde_json::from_slice(body).map_err(|_e| "no task")?;
    let headers = wire.payload.map(|payload| payload.http_headers);
    let location = headers.unwrap_or_default().iter().find_map(|header| {
        let (name, value) = header.split_once(':')?;
        let ours = name.trim().eq_ignore_ascii_case("location");
        ours.then(|| path_of(value.trim())).flatten()
    });
    let failed = wire.task_status.is_some_and(|status| status != "OK");
    match wire.task_state.as_str() {
        "Completed" if !failed => Ok(Task::Done { location }),
        "New" | "Starting" | "Running" | "Pending" | "Service" | "Stopping" | "Suspended" => {
            Ok(Task::Running)
        }
        state => {
            let said = wire.messages.into_iter().rev().find_map(|m| m.message);
            let why = said.unwrap_or_else(|| format!("the task ended as `{state}`"));
            Ok(Task::Failed { why: told(&why) })
        }
    }
}

/// The answer to SPDMGetSignedMeasurements: the transcript as it was exchanged. What it says of algorithms is not looked at: the
/// transcript and its key decide.
pub(super) fn signed_measurements(body: &[u8]) -> Result<Vec<u8>, &'static str> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Wire {
        signed_measurements: String,
    }
    let wire: Wire = serde_json::from_slice(body).map_err(|_e| "no signed measurements")?;
    let text: String = wire.signed_measurements.split_whitespace().collect();
    let bytes = Base64::decode_vec(&text).map_err(|_e| "measurements that are no base64")?;
    if bytes.is_empty() || bytes.len() > limits::SPDM_TRANSCRIPT_BYTES {
        return Err("measurements that are empty or too long");
    }
    Ok(bytes)
}

/// Id and version of a SoftwareInventory.
pub(super) fn firmware(body: &[u8]) -> Option<(String, String)> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Wire {
        id: String,
        version: String,
    }
    let wire: Wire = serde_json::from_slice(body).ok()?;
    Some((told(&wire.id), told(&wire.version)))
}

/// What an error says of itself (DSP0266, error responses).
pub(super) fn message(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Wire {
        error: Inner,
    }
    #[derive(Deserialize)]
    struct Inner {
        message: Option<String>,
    }
    let wire: Wire = serde_json::from_slice(body).ok()?;
    wire.error.message.as_deref().map(told)
}

/// A controller's word, fit to be shown: short, and nothing that moves a cursor.
fn told(text: &str) -> String {
    let shown = text.chars().take(TOLD);
    shown
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
