//! THE table of commands: each with the routes it calls and an example. Help, man pages and the tests of both directions
//! (every command has a row, every route for people has a command) come from it.

use assay_api::routes::{Endpoint, Role, Route, call};
use assay_api::types::PersonRole;
use clap::Command;

/// A command.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// As it is typed, without `assay`.
    pub(crate) command: &'static str,
    /// What it calls; empty where it stays on this machine.
    pub(crate) routes: &'static [&'static Route],
    /// How it is used.
    pub(crate) example: &'static str,
}

macro_rules! rows {
    ($( $command:literal [$($route:ident)*] $example:literal; )*) => {
        /// Every command.
        pub(crate) const ROWS: &[Row] = &[$(Row {
            command: $command,
            routes: &[$(<call::$route as Endpoint>::ROUTE),*],
            example: $example,
        }),*];
    };
}

rows! {
    "bootstrap" [begin_join complete_join trust] "assay bootstrap /var/lib/assay-nexus/bootstrap.token --name 'Ada Lovelace'";
    "join" [begin_join complete_join trust] "assay join ada.token --context prod\n  assay join - --agent SHA256:Wx...";
    "whoami" [whoami] "assay whoami -o json";
    "context list" [] "assay context list";
    "context use" [] "assay context use prod";
    "tenant create" [create_tenant] "assay tenant create acme";
    "tenant list" [list_tenants] "assay tenant list";
    "invite create" [create_invite] "assay invite create --name 'Bob' --role operator --tenant acme --out bob.token";
    "invite list" [list_invites] "assay invite list";
    "operator list" [list_operators] "assay operator list --tenant acme";
    "operator show" [list_operators show_operator] "assay operator show Bob";
    "operator suspend" [list_operators suspend_operator] "assay operator suspend Bob --reason 'left the company' --yes";
    "operator unsuspend" [list_operators unsuspend_operator] "assay operator unsuspend Bob --reason 'is back'";
    "key revoke" [revoke_key] "assay key revoke k-b3v5... --reason 'laptop stolen'";
    "grant create" [whoami list_operators create_grant] "assay grant create --operator Bob --ca lab --host gpu-a --login root --expires 30d";
    "grant list" [list_grants] "assay grant list";
    "grant revoke" [revoke_grant] "assay grant revoke g-b3v5... --reason 'project over' --yes";
    "dpu claim" [create_claims] "assay dpu claim --serial MT2243X00001 --name bf3-a --out bf3-a.token\n  assay dpu claim --from inventory.csv --out tokens/";
    "dpu claims" [list_claims] "assay dpu claims";
    "dpu list" [list_dpus] "assay dpu list";
    "dpu show" [show_dpu] "assay dpu show bf3-a";
    "dpu confirm" [confirm_dpu] "assay dpu confirm bf3-a --reason 'EK name read off the card'";
    "dpu demand" [demand_proof show_demand show_dpu] "assay dpu demand bf3-a --reason 'after the update' --wait";
    "dpu decommission" [decommission_dpu] "assay dpu decommission bf3-a --reason 'card replaced' --yes";
    "dpu quarantine" [quarantine_dpu] "assay dpu quarantine bf3-a --reason 'strange traffic' --yes";
    "dpu release" [release_dpu] "assay dpu release bf3-a --reason 'was a cabling test'";
    "dpu result" [show_result show_evidence trust] "assay dpu result bf3-a -o json\n  assay dpu result bf3-a --bundle bf3-a.bundle --key-out nexus.jwk";
    "status" [show_dpu show_result show_host] "assay status bf3-a";
    "host pair" [pair_host] "assay host pair --dpu bf3-a --name gpu-a --principal gpu-a.example --out gpu-a.pairing gpu-a.request";
    "host list" [list_hosts] "assay host list";
    "host show" [show_host] "assay host show gpu-a";
    "reference take" [take_reference] "assay reference take --dpu bf3-a --name golden --pcr 0,2,4,7";
    "reference list" [list_references] "assay reference list";
    "reference show" [show_reference] "assay reference show golden";
    "reference import" [import_reference] "assay reference import cx7-28.39.corim --name cx7 --scope irot";
    "reference impact" [show_reference_impact] "assay reference impact rv-b3v5...";
    "reference activate" [activate_reference] "assay reference activate rv-b3v5... --accept-failures 2";
    "reference retire" [retire_reference] "assay reference retire golden --accept-failures 0";
    "reference diff" [show_reference] "assay reference diff golden rv-b3v5...";
    "reference export" [show_reference] "assay reference export golden --out golden.corim";
    "reference sign" [] "assay reference sign golden.corim --out golden.signed.corim --ends 2027-11-22T21:00:00Z";
    "reference convert" [] "assay reference convert driver.xml --root rim_root.crt --out driver.corim";
    "reference pin" [pin_reference_signer] "assay reference pin nvidia-cx7 --certificate signer.pem";
    "reference signers" [list_reference_signers] "assay reference signers";
    "reference unpin" [retire_reference_signer] "assay reference unpin nvidia-cx7";
    "ssh-ca create" [create_ssh_ca] "assay ssh-ca create lab";
    "ssh-ca list" [list_ssh_cas] "assay ssh-ca list";
    "ssh-ca show" [show_ssh_ca] "assay ssh-ca show lab";
    "ssh-ca rotate prepare" [rotate_ssh_ca] "assay ssh-ca rotate prepare lab";
    "ssh-ca rotate activate" [rotate_ssh_ca] "assay ssh-ca rotate activate lab";
    "ssh-ca rotate retire" [rotate_ssh_ca] "assay ssh-ca rotate retire lab --yes";
    "push" [push show_demand show_host] "assay push --ca lab bf3-a --wait";
    "withdraw" [withdraw show_host] "assay withdraw --ca lab bf3-a --yes";
    "cert sign" [sign_certificate show_host show_demand] "assay cert sign --ca lab --host gpu-a --login root --lifetime 1h --wait ~/.ssh/id_ed25519.pub";
    "cert list" [list_certificates] "assay cert list";
    "cert revoke" [revoke_certificate] "assay cert revoke ca-b3v5....17 --reason 'laptop stolen' --yes";
    "ssh trust" [show_ssh_ca ssh_trust] "assay ssh trust --ca lab >> ~/.ssh/config";
    "secret put" [put_secret] "assay secret put --dpu bf3-a --name ib-key ./ib.key";
    "secret list" [list_secrets] "assay secret list";
    "secret withdraw" [withdraw_secret] "assay secret withdraw s-b3v5... --reason 'rotated' --yes";
    "audit list" [audit_head audit_consistency list_audit] "assay audit list --event certificate.sign --limit 20";
    "audit follow" [audit_head audit_consistency list_audit] "assay audit follow -o json | jq .";
    "audit head" [audit_head audit_consistency] "assay audit head > today.head";
    "audit key" [] "assay audit key > log.key";
    "audit export" [audit_head audit_consistency list_audit] "assay audit export log.jsonl";
    "audit verify" [] "assay audit verify log.jsonl --key log.key --head today.head";
    "evidence inspect" [] "assay evidence inspect bf3-irot-chain.pem";
    "evidence kinds" [] "assay evidence kinds\n  assay evidence kinds eat";
    "evidence verify" [] "assay evidence verify --kind eat nitro.b64 --root nitro-root.pem --at 2023-09-18T15:03:30Z -o json\n  assay evidence verify --kind ear result.jwt --key nexus.jwk --nonce 00ff...";
    "completions" [] "assay completions bash > /etc/bash_completion.d/assay";
    "man" [] "assay man /usr/local/share/man/man1";
    "version" [ready] "assay version";
}

/// The row of a command.
#[must_use]
pub(crate) fn row(command: &str) -> Option<&'static Row> {
    ROWS.iter().find(|r| r.command == command)
}

/// Puts the examples into the help of each command.
pub(crate) fn with_examples(command: Command) -> Command {
    walk(command, "")
}

/// The least role that every route of the command is open to.
fn role(row: &Row) -> String {
    let roles = || row.routes.iter().flat_map(|r| r.roles);
    let least = if roles().any(|r| *r == Role::Super) {
        PersonRole::SuperAdmin
    } else if roles().any(|r| *r == Role::Admin) {
        PersonRole::TenantAdmin
    } else if roles().any(|r| *r == Role::Operator) {
        PersonRole::Operator
    } else {
        return String::new();
    };
    format!("\n\nLeast role: {}", least.as_str())
}

fn walk(command: Command, path: &str) -> Command {
    let names: Vec<String> = command
        .get_subcommands()
        .map(|c| c.get_name().to_owned())
        .collect();
    let mut command = match row(path) {
        Some(row) => command.after_help(format!("Example:\n  {}{}", row.example, role(row))),
        None => command,
    };
    for name in names {
        let inner = if path.is_empty() {
            name.clone()
        } else {
            format!("{path} {name}")
        };
        command = command.mut_subcommand(name, |c| {
            let c = if c.has_subcommands() {
                c.arg_required_else_help(true).subcommand_required(true)
            } else {
                c
            };
            walk(c.disable_help_subcommand(true), &inner)
        });
    }
    command
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use assay_api::routes::ROUTES;

    use super::*;

    fn leaves(command: &Command, path: &str, out: &mut Vec<String>) {
        for c in command.get_subcommands() {
            let inner = format!("{path} {}", c.get_name()).trim().to_owned();
            if c.has_subcommands() {
                leaves(c, &inner, out);
            } else {
                out.push(inner);
            }
        }
    }

    #[test]
    fn every_command_has_one_row_and_every_row_a_command() {
        let mut commands = Vec::new();
        leaves(&crate::app::command(), "", &mut commands);
        let rows: Vec<&str> = ROWS.iter().map(|r| r.command).collect();
        let unique: BTreeSet<&str> = rows.iter().copied().collect();
        assert_eq!(unique.len(), rows.len(), "a row is there twice");
        assert_eq!(
            commands.iter().map(String::as_str).collect::<BTreeSet<_>>(),
            unique
        );
    }

    #[test]
    fn every_route_for_people_has_a_command() {
        let reached: BTreeSet<&str> = ROWS.iter().flat_map(|r| r.routes).map(|r| r.name).collect();
        let person = |r: &Role| matches!(r, Role::Operator | Role::Admin | Role::Super);
        for route in ROUTES.iter().filter(|r| r.roles.iter().any(person)) {
            assert!(
                reached.contains(route.name),
                "no command calls `{}`",
                route.name
            );
        }
    }

    #[test]
    fn what_is_documented_parses() {
        for row in ROWS {
            for line in row.example.lines() {
                let line = line.trim().split([' ']).collect::<Vec<_>>().join(" ");
                let line = line.split(['>', '|']).next().unwrap().trim().to_owned();
                let words = words(&line);
                let parsed = crate::app::command().try_get_matches_from(&words);
                assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
                let said = row.command.split(' ').collect::<Vec<_>>();
                assert_eq!(words[1..=said.len()], said, "{line}");
            }
        }
    }

    /// Words as a shell cuts them, single quotes only.
    fn words(line: &str) -> Vec<String> {
        let mut words = vec![String::new()];
        let mut quoted = false;
        for c in line.chars() {
            match c {
                '\'' => quoted = !quoted,
                ' ' if !quoted => words.push(String::new()),
                other => words.last_mut().unwrap().push(other),
            }
        }
        words
    }

    #[test]
    fn the_command_line_is_sound() {
        crate::app::command().debug_assert();
    }
}
