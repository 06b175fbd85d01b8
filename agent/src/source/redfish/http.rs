//! One conversation with the controller: pinned TLS, bounded answers, no redirect, and no path but its own.

use super::credentials::Credentials;
use super::shapes::{self, Component, Task};
use super::{Bmc, BmcError};
use assay_tls::leaf_pinned_client;
use serde_json::Value;
use std::fmt;
use std::time::Duration;
use zeroize::Zeroizing;

/// The longest answer: a chain of six certificates and 255 measurements have room in it several times.
const BODY: usize = 512 * 1024;
/// The longest path of the controller's own.
const PATH: usize = 512;
/// How long one request may take.
const REQUEST: Duration = Duration::from_secs(20);
const CONNECT: Duration = Duration::from_secs(5);

/// A conversation.
pub(super) struct Session<'a> {
    http: reqwest::Client,
    settings: &'a Bmc,
    credentials: &'a Credentials,
    password: Zeroizing<String>,
}

/// An answer within its bounds.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) retry_after: Option<Duration>,
    path: String,
    location: Option<String>,
    body: Vec<u8>,
}

/// `HOST` or `HOST:PORT`; a scheme or a path would be somebody else's idea of what is asked.
pub(super) fn check_address(address: &str) -> Result<(), BmcError> {
    let url = format!("https://{address}/");
    let parsed = reqwest::Url::parse(&url).ok().filter(|parsed| {
        parsed.path() == "/"
            && parsed.query().is_none()
            && parsed.fragment().is_none()
            && parsed.username().is_empty()
            && parsed.password().is_none()
            && parsed.host().is_some()
            && !address.contains(['/', '@', '?', '#'])
    });
    parsed.map(|_good| ()).ok_or_else(|| BmcError::Config {
        why: format!("`{address}` is no HOST or HOST:PORT"),
    })
}

/// A path on the controller itself: what an answer names is not followed anywhere else.
pub(super) fn own_path(path: &str) -> Option<&str> {
    let good = |c: char| c.is_ascii_alphanumeric() || "/._-~=,:()".contains(c);
    let clean = path.len() <= PATH
        && path.starts_with("/redfish/v1")
        && !path.contains("//")
        && !path.contains("..")
        && path.chars().all(good);
    clean.then_some(path)
}

impl<'a> Session<'a> {
    /// Reads the password and gets ready; nothing is sent yet.
    pub(super) fn open(
        settings: &'a Bmc,
        pins: &[[u8; 32]],
        credentials: &'a Credentials,
    ) -> Result<Self, BmcError> {
        let password = credentials.password(&settings.user)?;
        let config = |why: String| BmcError::Config { why };
        let tls = leaf_pinned_client(pins.to_vec()).map_err(|e| config(e.to_string()))?;
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .https_only(true)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT)
            .timeout(REQUEST)
            .build()
            .map_err(|e| config(e.to_string()))?;
        Ok(Self {
            http,
            settings,
            credentials,
            password,
        })
    }

    pub(super) async fn get(&self, path: &str) -> Result<Answer, BmcError> {
        let url = self.url(path)?;
        self.send(path, self.http.get(url)).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Answer, BmcError> {
        let url = self.url(path)?;
        let request = self
            .http
            .post(url)
            .header("content-type", "application/json")
            .body(body.to_string());
        self.send(path, request).await
    }

    fn url(&self, path: &str) -> Result<String, BmcError> {
        let path = own_path(path).ok_or_else(|| BmcError::Answer {
            path: self.settings.address.clone(),
            what: "a link that leads elsewhere".into(),
        })?;
        Ok(format!("https://{}{path}", self.settings.address))
    }

    async fn send(&self, path: &str, request: reqwest::RequestBuilder) -> Result<Answer, BmcError> {
        let address = || self.settings.address.clone();
        let mut response = request
            .basic_auth(&self.settings.user, Some(self.password.as_str()))
            .header("accept", "application/json")
            .send()
            .await
            .map_err(|error| fault(&error, address()))?;
        let status = response.status().as_u16();
        match status {
            401 => {
                self.credentials.refuse(&self.password);
                return Err(BmcError::Refused {
                    user: self.settings.user.clone(),
                });
            }
            403 => {
                return Err(BmcError::Forbidden {
                    user: self.settings.user.clone(),
                });
            }
            // Anything else may have been said before the password was looked at.
            200..300 => self.credentials.accept(),
            _ => {}
        }
        let header = |name: &str| {
            let value = response.headers().get(name)?.to_str().ok()?;
            Some(value.to_owned())
        };
        let location = header("location");
        let retry_after = header("retry-after").and_then(|text| text.parse().ok());
        let mut body = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| fault(&error, address()))?
        {
            if body.len().saturating_add(chunk.len()) > BODY {
                return Err(BmcError::Answer {
                    path: path.to_owned(),
                    what: format!("more than {BODY} bytes"),
                });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer {
            status,
            retry_after: retry_after.map(Duration::from_secs),
            path: path.to_owned(),
            location,
            body,
        })
    }
}

/// What went wrong with the connection, by its innermost cause.
fn fault(error: &reqwest::Error, address: String) -> BmcError {
    match cause(error) {
        Cause::OtherKey => BmcError::OtherKey { address },
        Cause::Says(why) => BmcError::Unreachable { address, why },
    }
}

enum Cause {
    OtherKey,
    Says(String),
}

/// An `io::Error` does not count what it carries among its sources.
fn cause(error: &(dyn std::error::Error + 'static)) -> Cause {
    if let Some(rustls::Error::InvalidCertificate(_)) = error.downcast_ref() {
        return Cause::OtherKey;
    }
    let carried = error
        .downcast_ref::<std::io::Error>()
        .and_then(std::io::Error::get_ref);
    match (carried, error.source()) {
        (Some(carried), _) => cause(carried),
        (None, Some(source)) => cause(source),
        (None, None) => Cause::Says(error.to_string()),
    }
}

impl Answer {
    /// The answer, if it has that status.
    pub(super) fn expect(self, status: u16) -> Result<Self, BmcError> {
        if self.status == status {
            return Ok(self);
        }
        let said = shapes::message(&self.body).map_or_else(String::new, |m| format!(": {m}"));
        Err(self.other(format!("status {}{said}", self.status)))
    }

    pub(super) fn members(&self) -> Result<Vec<String>, BmcError> {
        let list = shapes::members(&self.body);
        list.ok_or_else(|| self.other("no list of members"))
    }

    pub(super) fn component(&self) -> Result<Component, BmcError> {
        shapes::component(&self.body).map_err(|what| self.other(what))
    }

    pub(super) fn chain(&self) -> Result<Vec<Vec<u8>>, BmcError> {
        shapes::chain(&self.body).map_err(|what| self.other(what))
    }

    pub(super) fn task(&self) -> Result<Task, BmcError> {
        shapes::task(&self.body).map_err(|what| self.other(what))
    }

    /// Where the accepted task is: the Location header, or what the body calls itself.
    pub(super) fn task_path(&self) -> Result<String, BmcError> {
        let path = match &self.location {
            Some(location) => shapes::path_of(location),
            None => shapes::itself(&self.body),
        };
        path.ok_or_else(|| self.other("no task"))
    }

    pub(super) fn has_measurements(&self) -> bool {
        shapes::signed_measurements(&self.body).is_ok()
    }

    pub(super) fn signed_measurements(&self) -> Result<Vec<u8>, BmcError> {
        shapes::signed_measurements(&self.body).map_err(|what| self.other(what))
    }

    pub(super) fn firmware(&self) -> Option<(String, String)> {
        shapes::firmware(&self.body)
    }

    fn other(&self, what: impl Into<String>) -> BmcError {
        BmcError::Answer {
            path: self.path.clone(),
            what: what.into(),
        }
    }
}

impl fmt::Debug for Session<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_perhaps_a_port() {
        for good in [
            "192.168.240.1",
            "bmc.example:8443",
            "[fe80::1]:443",
            "127.0.0.1:1",
        ] {
            assert_eq!(check_address(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "https://bmc",
            "bmc/x",
            "root:calvin@bmc",
            "bmc?x",
            "bmc#x",
            "bmc:99999",
            "a b",
        ] {
            assert!(check_address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_link_stays_on_the_controller() {
        assert!(own_path("/redfish/v1/TaskService/Tasks/12").is_some());
        assert!(own_path("/redfish/v1/ComponentIntegrity/x/Actions/ComponentIntegrity.SPDMGetSignedMeasurements").is_some());
        for bad in [
            "https://elsewhere/redfish/v1",
            "//elsewhere/redfish/v1",
            "/redfish/v1//elsewhere",
            "/redfish/v1/../../etc",
            "/other",
            "/redfish/v1/\r\nhost: x",
            "/redfish/v1/a?b",
            "/redfish/v1/%2e%2e/%2e%2e/x",
        ] {
            assert_eq!(own_path(bad), None, "{bad}");
        }
    }
}
