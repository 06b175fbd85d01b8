//! A conversation with the nexus of a context: pinned, signed, and with pins that follow the nexus's announcements.

use std::sync::Arc;
use std::time::Duration;

use assay_api::routes::{Endpoint, call};
use assay_api::signer::RequestSigner;
use assay_api::types::*;
use assay_client::{Answer, Client, Extra, Settings};
use assay_tls::Pins;

use crate::app::Cx;
use crate::clock;
use crate::fault::Fault;
use crate::home::{Context, Hex32};
use crate::key;

/// How long pins are believed to be the newest.
const PINS_FOR: u64 = 3600;
/// The most pages that one list is read in.
const MAX_PAGES: usize = 2000;

/// An open conversation.
#[derive(Debug)]
pub(crate) struct Session {
    /// The client.
    pub(crate) client: Client,
    /// The context's name.
    pub(crate) name: String,
    /// The context.
    pub(crate) context: Context,
}

impl Session {
    /// Opens the context that the caller means.
    ///
    /// # Errors
    /// Those of the context and the key. Nothing has been sent but, at most once an hour, a question for the pins.
    pub(crate) async fn open(cx: &Cx) -> Result<Self, Fault> {
        let name = cx.home.pick(cx.context.as_deref())?;
        let context = cx.home.load(&name)?;
        let signer = key::open(&context.key, &context.key_id)?;
        let client = client(cx, &context, context.pins(), Some(Arc::clone(&signer)))?;
        let mut session = Self {
            client,
            name,
            context,
        };
        if session.follow_pins(cx).await {
            session.client = client_of(cx, &session.context, signer)?;
        }
        Ok(session)
    }

    /// Calls a route.
    ///
    /// # Errors
    /// As the nexus or the network has it.
    pub(crate) async fn call<E: Endpoint>(
        &self,
        id: Option<&str>,
        request: &E::Request,
    ) -> Result<E::Response, Fault> {
        Ok(self.client.call::<E>(id, request).await?.body)
    }

    /// Calls a release route, past the freshness of the proof where a reason is given.
    ///
    /// # Errors
    /// As [`Session::call`].
    pub(crate) async fn release<E: Endpoint>(
        &self,
        id: Option<&str>,
        request: &E::Request,
        bypass: Option<&str>,
    ) -> Result<E::Response, Fault> {
        let extra = Extra {
            bypass,
            wait: Duration::ZERO,
        };
        Ok(self.client.call_with::<E>(id, request, extra).await?.body)
    }

    /// Every row of a list, whatever pages it comes in.
    ///
    /// # Errors
    /// As [`Session::call`].
    pub(crate) async fn all<E>(
        &self,
        tenant: Option<&str>,
    ) -> Result<Vec<<E::Response as Page>::Item>, Fault>
    where
        E: Endpoint<Request = InTenant>,
        E::Response: Page,
    {
        let mut rows = Vec::new();
        let mut after = None;
        for _ in 0..MAX_PAGES {
            let ask = InTenant {
                tenant: tenant.map(str::to_owned),
                after: after.take(),
                limit: Some(500),
            };
            let (items, next) = self.call::<E>(None, &ask).await?.split();
            rows.extend(items);
            match next {
                Some(next) => after = Some(next),
                None => return Ok(rows),
            }
        }
        Err(Fault::new("client.list", "the list does not end").hint("narrow it with `--tenant`"))
    }

    /// Asks for the pins where they are old, and keeps what the nexus says under a pinned root. `true` where they changed.
    async fn follow_pins(&mut self, cx: &Cx) -> bool {
        let now = clock::now().0.as_secs();
        if now.saturating_sub(self.context.pins_checked) < PINS_FOR
            && self.context.pins_checked <= now
        {
            return false;
        }
        // Whatever goes wrong here, the command itself will meet and report.
        let Ok(answer) = self.client.call::<call::trust>(None, &Empty {}).await else {
            return false;
        };
        let before = self.context.pins();
        take_pins(&mut self.context, &answer, now);
        if let Ok(_lock) = cx.home.lock()
            && let Err(fault) = cx.home.save(&self.name, &self.context, false)
        {
            cx.out.warn(&format!("the pins were not kept: {fault}"));
        }
        self.context.pins() != before
    }
}

/// The connection's own root is current, whatever is stated; the next one is what was announced over it.
fn take_pins(context: &mut Context, answer: &Answer<Trust>, now: u64) {
    let next: Option<[u8; 32]> = answer
        .body
        .next_root
        .as_ref()
        .and_then(|n| n.0.as_slice().try_into().ok())
        .filter(|n| *n != answer.nexus_id);
    context.pin = Hex32(answer.nexus_id);
    context.next_pin = next.map(Hex32);
    context.pins_checked = now;
}

/// A client for a context, without any question asked first.
///
/// # Errors
/// Where the URL or TLS can't be set up.
pub(crate) fn client(
    cx: &Cx,
    context: &Context,
    pins: Pins,
    signer: Option<Arc<dyn RequestSigner>>,
) -> Result<Client, Fault> {
    let mut settings = Settings::new(context.url()?, pins, signer);
    settings.timeout = cx.timeout;
    settings.user_agent = concat!("assay/", env!("CARGO_PKG_VERSION")).to_owned();
    Ok(Client::new(settings)?)
}

fn client_of(cx: &Cx, context: &Context, signer: Arc<dyn RequestSigner>) -> Result<Client, Fault> {
    client(cx, context, context.pins(), Some(signer))
}

/// A list as the API answers it.
pub(crate) trait Page {
    /// Its rows.
    type Item;
    /// The rows, and where the next page starts.
    fn split(self) -> (Vec<Self::Item>, Option<String>);
}

macro_rules! pages {
    ($($list:ty => $row:ty),* $(,)?) => { $(
        impl Page for $list {
            type Item = $row;
            fn split(self) -> (Vec<$row>, Option<String>) {
                (self.items, self.next)
            }
        }
    )* };
}
pages! {
    Tenants => Tenant, Invites => Invite, Operators => Operator, Grants => Grant, Claims => Claim, Dpus => Dpu,
    References => Reference, ReferenceSigners => ReferenceSigner, Secrets => Secret, Hosts => Host, SshCas => SshCa, Certificates => CertificateInfo,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::home::example;

    fn trust(nexus_id: u8, next: Option<u8>) -> Answer<Trust> {
        let bytes = |b: u8| B64(vec![b; 32]);
        Answer {
            body: Trust {
                // What is stated as the current root does not count.
                root: bytes(0xee),
                next_root: next.map(bytes),
                log_origin: "log".into(),
                log_key: bytes(0),
                result_key: bytes(0),
                delivery_key: bytes(0),
                next_delivery_key: None,
            },
            nexus_id: [nexus_id; 32],
            date: None,
        }
    }

    #[test]
    fn the_next_root_is_taken_under_a_pinned_one_and_becomes_current_by_use() {
        let mut context = example();
        let pins = |c: &Context| (c.pin.0[0], c.next_pin.map(|p| p.0[0]));
        take_pins(&mut context, &trust(0xa1, Some(0xb2)), 5);
        assert_eq!(
            (pins(&context), context.pins_checked),
            ((0xa1, Some(0xb2)), 5)
        );
        // The nexus has moved on: its next is now its own.
        take_pins(&mut context, &trust(0xb2, None), 6);
        assert_eq!(pins(&context), (0xb2, None));
        take_pins(&mut context, &trust(0xb2, Some(0xb2)), 7);
        assert_eq!(pins(&context), (0xb2, None));
    }

    #[test]
    fn an_announcement_that_is_taken_back_is_forgotten() {
        let mut context = example();
        take_pins(&mut context, &trust(0xa1, Some(0xb2)), 5);
        take_pins(&mut context, &trust(0xa1, None), 6);
        assert_eq!(context.next_pin, None);
    }
}
