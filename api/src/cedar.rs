//! The table of routes as the action half of the Cedar schema. Entity types stand in `nexus/policy/`.

use crate::routes::{On, ROUTES, Role, Route};

/// The actions, one a line, each in the groups of its least roles (`for-admin`) and of what it does (`does-release`).
#[must_use]
pub fn actions() -> String {
    let mut out = String::new();
    for group in [
        "for-newkey",
        "for-device",
        "for-operator",
        "for-admin",
        "for-super",
        "does-read",
        "does-change",
        "does-release",
    ] {
        out.push_str(&format!("action \"{group}\";\n"));
    }
    for r in ROUTES.iter().filter(|r| !r.is_open()) {
        out.push_str(&action(r));
    }
    out
}

fn action(r: &Route) -> String {
    let mut groups: Vec<&str> = r.roles.iter().map(|role| group(*role)).collect();
    groups.push(match r.does {
        crate::routes::Does::Read => "does-read",
        crate::routes::Does::Change => "does-change",
        crate::routes::Does::Release => "does-release",
    });
    let mut principals: Vec<&str> = r.roles.iter().map(|role| principal(*role)).collect();
    principals.sort_unstable();
    principals.dedup();
    let quoted: Vec<String> = groups.iter().map(|g| format!("\"{g}\"")).collect();
    format!(
        "action \"{}\" in [{}] appliesTo {{ principal: [{}], resource: [{}], context: Context }};\n",
        r.name,
        quoted.join(", "),
        principals.join(", "),
        resource(r.on)
    )
}

const fn group(role: Role) -> &'static str {
    match role {
        Role::NewKey => "for-newkey",
        Role::Device => "for-device",
        Role::Operator => "for-operator",
        Role::Admin => "for-admin",
        Role::Super => "for-super",
    }
}

const fn principal(role: Role) -> &'static str {
    match role {
        Role::NewKey => "NewKey",
        Role::Device => "Device",
        Role::Operator | Role::Admin | Role::Super => "Operator",
    }
}

/// The Cedar entity type of a kind of thing.
#[must_use]
pub const fn resource(on: On) -> &'static str {
    match on {
        On::Nexus => "Nexus",
        On::Tenant => "Tenant",
        On::Operator => "Operator",
        On::Key => "Key",
        On::Grant => "Grant",
        On::Device => "Device",
        On::Host => "Host",
        On::Reference => "Reference",
        On::SshCa => "SshCa",
        On::Certificate => "Certificate",
        On::Secret => "Secret",
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_action_names_who_and_what() {
        let all = super::actions();
        assert!(all.contains("action \"create_tenant\" in [\"for-super\", \"does-change\"] appliesTo { principal: [Operator], resource: [Nexus], context: Context };"));
        assert!(all.contains("action \"audit_head\" in [\"for-operator\", \"for-device\", \"does-read\"] appliesTo { principal: [Device, Operator]"));
        assert!(!all.contains("\"health\""));
    }
}
