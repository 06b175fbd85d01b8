//! Contexts: which nexus, and who one is there.

use clap::Subcommand;
use serde::Serialize;

use crate::app::Cx;
use crate::fault::Fault;
use crate::home::KeyPlace;
use crate::out::Row;

/// What can be done with contexts.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the contexts.
    List,
    /// Make one the current one.
    Use {
        /// Its name.
        name: String,
    },
}

#[derive(Serialize)]
struct Shown {
    name: String,
    current: bool,
    url: String,
    person: String,
    operator_id: String,
    key: String,
    pin: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_pin: Option<String>,
}

impl Row for Shown {
    const HEAD: &'static [&'static str] = &["", "NAME", "URL", "PERSON", "KEY"];
    fn cells(&self) -> Vec<String> {
        let mark = if self.current { "*" } else { " " };
        vec![
            mark.into(),
            self.name.clone(),
            self.url.clone(),
            self.person.clone(),
            self.key.clone(),
        ]
    }
}

pub(super) fn run(cx: &Cx, command: Command) -> Result<(), Fault> {
    match command {
        Command::List => {
            let current = cx.home.pick(cx.context.as_deref()).ok();
            let mut shown = Vec::new();
            for name in cx.home.names()? {
                let context = cx.home.load(&name)?;
                shown.push(Shown {
                    current: current.as_ref() == Some(&name),
                    name,
                    url: context.url,
                    person: context.name,
                    operator_id: context.operator_id.to_string(),
                    key: match context.key {
                        KeyPlace::File(path) => path.display().to_string(),
                        KeyPlace::Agent(fingerprint) => format!("ssh-agent {fingerprint}"),
                    },
                    pin: context.pin.to_string(),
                    next_pin: context.next_pin.map(|p| p.to_string()),
                });
            }
            cx.out.list(&shown)
        }
        Command::Use { name } => {
            let name = cx.home.pick(Some(&name))?;
            cx.home.set_current(&name)?;
            cx.out.done(
                &format!("context `{name}` is the current one"),
                &serde_json::json!({ "current": name }),
            )
        }
    }
}
