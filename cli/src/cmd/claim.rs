//! Claims: the right of one DPU to enrol.

use std::path::{Path, PathBuf};

use assay_api::routes::call;
use assay_api::types::*;
use clap::ArgGroup;
use serde::Serialize;

use super::inventory;
use super::invite::write_token;
use crate::app::Cx;
use crate::clock;
use crate::fault::Fault;
use crate::files;
use crate::home::Hex32;
use crate::out::{Row, until};
use crate::session::Session;

/// Claim one DPU, or many from an inventory.
#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("what").required(true).args(["serial", "from"])))]
pub(crate) struct Args {
    /// Serial number from the inventory.
    #[arg(long, value_name = "SERIAL", requires = "name")]
    serial: Option<String>,
    /// Name in the tenant: 1 to 63 characters of a-z, 0-9, `-` and `.`.
    #[arg(long, value_name = "NAME", conflicts_with = "from")]
    name: Option<String>,
    /// SHA-256 of the EK's SubjectPublicKeyInfo, where it is known: 64 hexadecimal digits.
    #[arg(long, value_name = "HEX", value_parser = digest, conflicts_with = "from")]
    ek: Option<Hex32>,
    /// SHA-256 of the DICE device key's SubjectPublicKeyInfo, where it is known: 64 hexadecimal digits.
    #[arg(long, value_name = "HEX", value_parser = digest, conflicts_with = "from")]
    dice: Option<Hex32>,
    /// Give this DPU a new key, rather than creating one.
    #[arg(long, value_name = "DPU", conflicts_with = "from")]
    rekey: Option<String>,
    /// CSV with the columns name, serial and, where known, ek, dice, rekey.
    #[arg(long, value_name = "CSV")]
    from: Option<PathBuf>,
    /// Tenant, by name or id; your own where absent.
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// Write the token into this new file of mode 0600; with `--from`, one file a DPU (NAME.token) into this directory.
    #[arg(long, value_name = "PATH")]
    out: Option<PathBuf>,
}

fn digest(text: &str) -> Result<Hex32, String> {
    Hex32::parse(text).ok_or_else(|| "expected 64 hexadecimal digits".to_owned())
}

impl Row for Claim {
    const HEAD: &'static [&'static str] = &["ID", "NAME", "SERIAL", "IDENTITY", "STATE", "EXPIRES"];
    fn cells(&self) -> Vec<String> {
        let identity = if self.identity_known { "known" } else { "tofu" };
        vec![
            self.id.to_string(),
            self.name.clone(),
            self.serial.clone(),
            identity.to_owned(),
            self.state.clone(),
            until(self.expires_at, clock::now()),
        ]
    }
}

impl Row for ClaimCreated {
    const HEAD: &'static [&'static str] = &["NAME", "SERIAL", "TOKEN"];
    fn cells(&self) -> Vec<String> {
        vec![
            self.claim.name.clone(),
            self.claim.serial.clone(),
            (*self.token.0).clone(),
        ]
    }
}

/// A claim whose token went into a file.
#[derive(Serialize)]
struct InFile<'a> {
    claim: &'a Claim,
    token_file: String,
}

impl Row for InFile<'_> {
    const HEAD: &'static [&'static str] = &["NAME", "SERIAL", "TOKEN FILE"];
    fn cells(&self) -> Vec<String> {
        vec![
            self.claim.name.clone(),
            self.claim.serial.clone(),
            self.token_file.clone(),
        ]
    }
}

pub(super) async fn run(cx: &Cx, args: Args) -> Result<(), Fault> {
    let many = args.from.is_some();
    let items = items(&args)?;
    let places = places(&args, &items)?;
    let session = Session::open(cx).await?;
    let ask = ClaimsCreate {
        tenant: args.tenant,
        items,
    };
    let created = session.call::<call::create_claims>(None, &ask).await?;
    if created.items.iter().any(|c| !c.claim.identity_known) {
        cx.out.note("where the claim names no hardware identity, the DPU stays pending until `assay dpu confirm`");
    }
    if let Some(places) = places {
        let mut shown = Vec::new();
        for (created, path) in created.items.iter().zip(&places) {
            write_token(path, &created.token)?;
            shown.push(InFile {
                claim: &created.claim,
                token_file: path.display().to_string(),
            });
        }
        return match shown.as_slice() {
            [one] if !many => {
                let until = until(one.claim.expires_at, clock::now());
                cx.out.done(
                    &format!(
                        "claim {} for dpu `{}`, good once, until {until}; token in {}",
                        one.claim.id, one.claim.name, one.token_file
                    ),
                    &serde_json::json!({ "items": shown }),
                )
            }
            all => cx.out.list(all),
        };
    }
    match created.items.as_slice() {
        [one] if !many => {
            let until = until(one.claim.expires_at, clock::now());
            cx.out.note(&format!(
                "claim {} for dpu `{}`, good once, until {until}; take this token to its agent:",
                one.claim.id, one.claim.name
            ));
            cx.out.raw(&one.token.0, &created)
        }
        all => cx.out.list(all),
    }
}

fn items(args: &Args) -> Result<Vec<ClaimItem>, Fault> {
    if let Some(path) = &args.from {
        let bytes = if path == Path::new("-") {
            files::read_stdin(inventory::LIMIT)?
        } else {
            files::read(path, inventory::LIMIT)?
        };
        let text = std::str::from_utf8(&bytes)
            .map_err(|_| Fault::new("inventory", "the inventory is not UTF-8"))?;
        return inventory::parse(text);
    }
    let b64 = |hex: Option<Hex32>| hex.map(|h| B64(h.0.to_vec()));
    Ok(vec![ClaimItem {
        name: args.name.clone().unwrap_or_default(),
        serial: args.serial.clone().unwrap_or_default(),
        ek: b64(args.ek),
        dice: b64(args.dice),
        rekey: args.rekey.clone(),
    }])
}

/// Where the tokens go; that each place is free is found out before they are made.
fn places(args: &Args, items: &[ClaimItem]) -> Result<Option<Vec<PathBuf>>, Fault> {
    let Some(out) = &args.out else {
        return Ok(None);
    };
    let places = if args.from.is_some() {
        files::private_dir(out)?;
        let mut places = Vec::new();
        for item in items {
            let plain =
                |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.');
            if !item.name.bytes().all(plain) || item.name.starts_with('.') {
                return Err(Fault::new(
                    "inventory",
                    format!("`{}` can't be the name of a file", item.name),
                ));
            }
            places.push(out.join(format!("{}.token", item.name)));
        }
        places
    } else {
        vec![out.clone()]
    };
    for place in &places {
        files::check_free(place)?;
    }
    Ok(Some(places))
}
