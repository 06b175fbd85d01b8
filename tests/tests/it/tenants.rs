//! I11: nothing crosses tenants, wherever an id is placed in a request. Made from the table of routes.

use std::collections::BTreeMap;

use assay_api::routes::{On, ROUTES, Role, Route, call};
use assay_api::types::*;
use assay_client::RawRequest;
use assay_tests::host::Host;
use assay_tests::lab::Paired;
use assay_tests::lab::{Lab, certificate_ask, reason};
use assay_tests::person::{Person, idempotency_key};
use assay_tests::ssh::{SshClient, me};
use assay_tests::wait::secs;
use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::{Value, json};

use crate::ready;

/// What the victim's tenant has, by kind; an id and, where it has one, a name.
type Loot = BTreeMap<&'static str, Vec<String>>;

fn loot(lab: &Lab) -> Loot {
    let device = lab.dpu("victim-dpu");
    lab.good(&device);
    let ca = SshCaCreate {
        tenant: Some("acme".into()),
        name: "victim-ca".into(),
    };
    let ca = lab.admin.must::<call::create_ssh_ca>(None, &ca);
    let host = Host::new("victim-host", &device.agent);
    let pair = HostPair {
        dpu: "victim-dpu".into(),
        name: "victim-host".into(),
        principals: vec!["victim.test".into()],
        request: B64(host.init()),
    };
    let another = Host::new("another", &device.agent).init();
    let pairing = lab.admin.must::<call::pair_host>(None, &pair).host;
    let host = Paired {
        host,
        id: pairing.id.clone(),
        fqdn: "victim.test".into(),
    };
    lab.admin.must::<call::push>(
        Some("victim-dpu"),
        &PushAsk {
            ssh_ca: "victim-ca".into(),
        },
    );
    let olga = lab.person("Olga Operator", PersonRole::Operator);
    let now = lab.admin.must::<call::whoami>(None, &Empty {}).time;
    let grant = GrantCreate {
        operator: olga.joined.operator_id.clone(),
        ssh_ca: "victim-ca".into(),
        host: Some("victim-host".into()),
        dpu: None,
        logins: vec![me()],
        expires_at: Time(now.0.plus_millis(3_600_000)),
    };
    let grant = lab.admin.must::<call::create_grant>(None, &grant);
    let ask = certificate_ask(&[&host], &SshClient::new().public_key);
    let certificate = lab
        .admin
        .must::<call::sign_certificate>(Some("victim-ca"), &ask);
    let secret = SecretPut {
        dpu: "victim-dpu".into(),
        name: "key".into(),
        value: SecretB64(vec![1; 32].into()),
    };
    let secret = lab.admin.must::<call::put_secret>(None, &secret);
    let reference = lab
        .admin
        .must::<call::list_references>(None, &InTenant::default())
        .items
        .remove(0);
    BTreeMap::from([
        ("tenant", vec![lab.tenant.id.to_string(), "acme".into()]),
        ("operator", vec![olga.joined.operator_id.to_string()]),
        ("key", vec![olga.joined.key_id.to_string()]),
        ("grant", vec![grant.id.to_string()]),
        ("device", vec![device.id.to_string(), "victim-dpu".into()]),
        ("host", vec![pairing.id.to_string(), "victim-host".into()]),
        ("reference", vec![reference.id.to_string()]),
        ("ca", vec![ca.id.to_string(), "victim-ca".into()]),
        ("certificate", vec![certificate.info.id]),
        ("secret", vec![secret.id.to_string()]),
        ("request", vec![Base64UrlUnpadded::encode_string(&another)]),
    ])
}

fn kind(on: On) -> &'static str {
    match on {
        On::Nexus => "nexus",
        On::Tenant => "tenant",
        On::Operator => "operator",
        On::Key => "key",
        On::Grant => "grant",
        On::Device => "device",
        On::Host => "host",
        On::Reference => "reference",
        On::SshCa => "ca",
        On::Certificate => "certificate",
        On::Secret => "secret",
    }
}

/// A body that is good but for whose things it names: with the rival's own, and then with each of the victim's in its place.
/// `None` where the body names nothing of anybody's.
fn bodies(route: &Route, own: &Loot, loot: &Loot) -> Vec<Value> {
    let mine = |kind: &str| own[kind][0].clone();
    let later = Time("2027-01-01T00:00:00Z".parse::<Time>().unwrap().0);
    let key = SshClient::new().public_key;
    let plain = json!({ "reason": "because we can" });
    // The good body, and which of its members name things.
    let (good, named): (Value, &[(&str, &str)]) = match route.name {
        "create_invite" => (
            json!({ "tenant": mine("tenant"), "name": "Eve", "role": "operator" }),
            &[("tenant", "tenant")],
        ),
        "create_claims" => {
            let item = json!({ "name": "eve", "serial": "1", "rekey": mine("device") });
            (
                json!({ "tenant": mine("tenant"), "items": [item] }),
                &[("tenant", "tenant"), ("items/0/rekey", "device")],
            )
        }
        "create_grant" => (
            json!({ "operator": mine("operator"), "ssh_ca": mine("ca"), "host": mine("host"), "logins": [me()], "expires_at": later }),
            &[("operator", "operator"), ("ssh_ca", "ca"), ("host", "host")],
        ),
        "push" | "withdraw" => (json!({ "ssh_ca": mine("ca") }), &[("ssh_ca", "ca")]),
        "pair_host" => (
            json!({ "dpu": mine("device"), "name": "eve", "principals": ["eve.test"], "request": loot["request"][0] }),
            &[("dpu", "device")],
        ),
        "take_reference" => (
            json!({ "dpu": mine("device"), "name": "eve", "applies_to": [mine("device")] }),
            &[("dpu", "device"), ("applies_to/0", "device")],
        ),
        "import_reference" => (
            json!({ "tenant": mine("tenant"), "name": "eve", "manifest": "AQEB", "applies_to": [] }),
            &[("tenant", "tenant")],
        ),
        "pin_reference_signer" => (
            json!({ "tenant": mine("tenant"), "name": "eve", "kind": "key", "der": "MCowBQYDK2VwAyEA11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" }),
            &[("tenant", "tenant")],
        ),
        "activate_reference" | "retire_reference" => (json!({ "accept_failures": 0 }), &[]),
        "retire_reference_signer" => (
            json!({ "tenant": mine("tenant"), "name": "eve" }),
            &[("tenant", "tenant")],
        ),
        "create_ssh_ca" => (
            json!({ "tenant": mine("tenant"), "name": "eve" }),
            &[("tenant", "tenant")],
        ),
        "rotate_ssh_ca" => (json!({ "step": "prepare" }), &[]),
        "sign_certificate" => (
            json!({ "public_key": key, "hosts": [mine("host")], "logins": [me()], "idempotency_key": idempotency_key() }),
            &[("hosts/0", "host")],
        ),
        "put_secret" => (
            json!({ "dpu": mine("device"), "name": "eve", "value": "AQEB" }),
            &[("dpu", "device")],
        ),
        "create_tenant" => (json!({ "name": "eve" }), &[]),
        _ => (plain, &[]),
    };
    let mut all = vec![good.clone()];
    for (at, kind) in named {
        for theirs in &loot[kind] {
            let mut body = good.clone();
            *body.pointer_mut(&format!("/{at}")).unwrap() = Value::String(theirs.clone());
            all.push(body);
        }
    }
    all
}

fn request(route: &Route, path: String, query: String, body: &Value) -> RawRequest {
    let reads = route.method == "GET";
    RawRequest {
        method: route.method,
        path,
        query,
        body: if reads {
            Vec::new()
        } else {
            serde_json::to_vec(body).unwrap()
        },
        with_proof: true,
        with_digest: !reads,
        bypass: None,
        wait: secs(0),
    }
}

#[test]
fn i11_anothers_ids_are_not_found_wherever_they_stand() {
    if !ready::hosts() {
        return;
    }
    let lab = Lab::new();
    let loot = loot(&lab);
    lab.admin.must::<call::create_tenant>(
        None,
        &TenantCreate {
            name: "rival".into(),
        },
    );
    let invite = InviteCreate {
        tenant: Some("rival".into()),
        name: "Eve".into(),
        role: PersonRole::TenantAdmin,
    };
    let token = lab.admin.must::<call::create_invite>(None, &invite).token.0;
    let eve = Person::join(&lab.nexus, &token, None).unwrap();
    let own_ca = eve.must::<call::create_ssh_ca>(
        None,
        &SshCaCreate {
            tenant: None,
            name: "own-ca".into(),
        },
    );
    // Eve has a CA and herself; of the rest she names things that there are not.
    let mut own: Loot = loot
        .keys()
        .map(|kind| (*kind, vec![format!("no-such-{kind}")]))
        .collect();
    own.insert("tenant", vec!["rival".into()]);
    own.insert("operator", vec![eve.joined.operator_id.to_string()]);
    own.insert("ca", vec![own_ca.id.to_string()]);
    let before = picture(&lab);

    let mut asked = 0;
    for route in ROUTES
        .iter()
        .filter(|r| !r.is_open() && !r.roles.contains(&Role::NewKey))
    {
        if route.roles == [Role::Device] {
            continue;
        }
        let mut tries: Vec<RawRequest> = Vec::new();
        let bodies = bodies(route, &own, &loot);
        if route.path.contains("{id}") {
            for theirs in &loot[kind(route.on)] {
                tries.push(request(
                    route,
                    route.path_with(theirs),
                    String::new(),
                    &bodies[0],
                ));
            }
            // Her own in the path, theirs in the body.
            let mine = &own[kind(route.on)][0];
            tries.extend(
                bodies[1..]
                    .iter()
                    .map(|body| request(route, route.path_with(mine), String::new(), body)),
            );
        } else if route.method == "GET" {
            if !matches!(
                route.name,
                "whoami" | "audit_head" | "audit_consistency" | "list_audit"
            ) {
                for theirs in &loot["tenant"] {
                    tries.push(request(
                        route,
                        route.path.into(),
                        format!("tenant={theirs}"),
                        &Value::Null,
                    ));
                }
            }
        } else {
            tries.extend(
                bodies[1..]
                    .iter()
                    .map(|body| request(route, route.path.into(), String::new(), body)),
            );
        }
        for attempt in tries {
            asked += 1;
            let answer = eve.send(&attempt).unwrap();
            let code = answer.problem().map(|p| p.code).unwrap_or_default();
            let shown = format!(
                "{} {}?{} {}",
                route.name,
                attempt.path,
                attempt.query,
                String::from_utf8_lossy(&attempt.body)
            );
            // What only a super:admin may do is refused whoever's the id is.
            let over_her = route.roles == [Role::Super];
            assert!(
                (answer.status, code.as_str()) == (404, "not_found")
                    || over_her && answer.status == 403,
                "{shown}: {} {code}",
                answer.status
            );
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            assert!(
                !text.contains("SN-victim") && !text.contains("victim.test"),
                "{shown}: {text}"
            );
        }
    }
    assert!(asked > 60, "{asked}");
    println!("{asked} requests across tenants, none went through");
    // What she may list holds nothing of theirs.
    let everything = [
        eve.must::<call::list_dpus>(None, &InTenant::default())
            .items
            .len(),
        eve.must::<call::list_hosts>(None, &InTenant::default())
            .items
            .len(),
        eve.must::<call::list_grants>(None, &InTenant::default())
            .items
            .len(),
        eve.must::<call::list_secrets>(None, &InTenant::default())
            .items
            .len(),
        eve.must::<call::list_certificates>(None, &InTenant::default())
            .items
            .len(),
        eve.must::<call::list_references>(None, &InTenant::default())
            .items
            .len(),
    ];
    assert_eq!(everything, [0; 6]);
    let seen = eve.must::<call::list_audit>(
        None,
        &AuditAsk {
            limit: Some(500),
            ..AuditAsk::default()
        },
    );
    let seen: Vec<String> = seen
        .items
        .iter()
        .map(|e| String::from_utf8_lossy(&e.entry.0).into_owned())
        .collect();
    assert!(
        !seen.is_empty() && !seen.iter().any(|e| e.contains(&loot["tenant"][0])),
        "{seen:?}"
    );
    assert_eq!(picture(&lab), before, "nothing of theirs has changed");
    lab.admin
        .must::<call::demand_proof>(Some("victim-dpu"), &reason("is it still there?"));
}

/// The victim's things as they stand.
fn picture(lab: &Lab) -> String {
    let ask = || InTenant {
        tenant: Some("acme".into()),
        ..InTenant::default()
    };
    let admin = &lab.admin;
    let mut dpus = admin.must::<call::list_dpus>(None, &ask());
    for dpu in &mut dpus.items {
        // What goes on by itself.
        (dpu.fresh_until, dpu.proved_at, dpu.seen_at, dpu.result_id) = (None, None, None, None);
    }
    format!(
        "{dpus:?}{:?}{:?}{:?}{:?}{:?}{:?}{:?}",
        admin.must::<call::list_hosts>(None, &ask()),
        admin.must::<call::list_grants>(None, &ask()),
        admin
            .must::<call::list_secrets>(None, &ask())
            .items
            .iter()
            .map(|s| (&s.id, &s.state))
            .collect::<Vec<_>>(),
        admin.must::<call::list_certificates>(None, &ask()),
        admin.must::<call::list_references>(None, &ask()),
        admin.must::<call::list_ssh_cas>(None, &ask()),
        admin.must::<call::list_operators>(None, &ask()),
    )
}
