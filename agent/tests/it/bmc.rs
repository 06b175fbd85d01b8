//! A management controller on loopback: the shapes of BlueField-3's, real TLS, and the lab's software root behind it, which
//! signs its SPDM measurements. What can go wrong with one can be switched on.

use assay_attest::attester::dice::SoftwareDice;
use assay_attest::attester::spdm::{BlueField, Responder, record};
use assay_attest::codec::spdm::Version;
use assay_attest::codec::spdm::measurements::Operation;
use assay_attest::refusal::Refusal;
use base64ct::{Base64, Encoding as _};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// The account that the controller knows.
pub(crate) const USER: &str = "assay";
pub(crate) const PASSWORD: &str = "correct horse";

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// Firmware before 25.04: no ComponentIntegrity at all.
    OldFirmware,
    /// Measurements are switched off.
    Disabled,
    /// The task ends as Exception.
    FailedTask,
    /// The connection breaks in the middle of the measurements.
    Cut,
    /// Measurements for another nonce.
    OtherNonce,
    /// Every GET is sent elsewhere.
    Redirect,
    /// The component's links lead to another server.
    ForeignLink,
    /// An answer without end.
    Giant,
    /// The measurements are there, their last byte is not.
    Truncated,
    /// JSON that is none.
    Garbage,
    /// 503 to everything, whoever asks.
    Unwell,
}

/// What the controller saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) requests: Vec<String>,
    pub(crate) unauthorized: usize,
}

struct World {
    fault: Fault,
    /// Looks at a task before it is done.
    slow: usize,
    password: String,
    dice: SoftwareDice,
    looks: usize,
    result: Option<Value>,
    seen: Seen,
}

/// The controller.
pub(crate) struct Bmc {
    port: u16,
    pin: [u8; 32],
    world: Arc<Mutex<World>>,
}

impl Bmc {
    pub(crate) fn start(
        dice: SoftwareDice,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["whatever".into()]).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let certificate = made.cert.der().clone();
        let parsed: x509_cert::Certificate = der::Decode::from_der(&certificate).unwrap();
        let spki = der::Encode::to_der(parsed.tbs_certificate().subject_public_key_info()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let world = Arc::new(Mutex::new(World {
            fault: Fault::None,
            slow: 2,
            password: PASSWORD.into(),
            dice,
            looks: 0,
            result: None,
            seen: Seen::default(),
        }));
        let shared = Arc::clone(&world);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (config, world) = (Arc::clone(&config), Arc::clone(&shared));
                std::thread::spawn(move || serve(stream, config, &world));
            }
        });
        let pin = assay_tls::spki_pin(&spki);
        Self { port, pin, world }
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) fn pin(&self) -> String {
        base16ct::lower::encode_string(&self.pin)
    }

    pub(crate) fn set(&self, fault: Fault) {
        self.world.lock().unwrap().fault = fault;
    }

    pub(crate) fn slow(&self, looks: usize) {
        self.world.lock().unwrap().slow = looks;
    }

    pub(crate) fn set_password(&self, password: &str) {
        self.world.lock().unwrap().password = password.into();
    }

    /// What it saw since the last call.
    pub(crate) fn seen(&self) -> Seen {
        std::mem::take(&mut self.world.lock().unwrap().seen)
    }
}

fn serve(stream: TcpStream, config: Arc<ServerConfig>, world: &Mutex<World>) -> Option<()> {
    let connection = ServerConnection::new(config).unwrap();
    let mut reader = BufReader::new(StreamOwned::new(connection, stream));
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let mut words = line.split_whitespace();
        let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
        let (mut length, mut authorization) = (0, String::new());
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).ok()?;
            let header = header.trim_end();
            if header.is_empty() {
                break;
            }
            let (name, value) = header.split_once(':').unwrap();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse().unwrap(),
                "authorization" => authorization = value.trim().to_owned(),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let (status, headers, answer) = {
            let mut world = world.lock().unwrap();
            world.seen.requests.push(format!("{method} {path}"));
            world.answer(&method, &path, &authorization, &body)
        };
        let out = reader.get_mut();
        if answer == b"cut" {
            out.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4096\r\n\r\n{\"Signed")
                .ok()?;
            out.flush().ok()?;
            return None;
        }
        if answer == b"giant" {
            out.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
                .ok()?;
            loop {
                out.write_all(format!("1000\r\n{}\r\n", "x".repeat(0x1000)).as_bytes())
                    .ok()?;
            }
        }
        let head = format!(
            "HTTP/1.1 {status} Said\r\n{headers}content-length: {}\r\n\r\n",
            answer.len()
        );
        out.write_all(head.as_bytes()).ok()?;
        out.write_all(&answer).ok()?;
        out.flush().ok()?;
    }
}

const IROT: &str = "/redfish/v1/ComponentIntegrity/BlueField_DPU_IRoT";
const ACTION: &str = "/redfish/v1/ComponentIntegrity/BlueField_DPU_IRoT/Actions/ComponentIntegrity.SPDMGetSignedMeasurements";
const CHAIN: &str = "/redfish/v1/Chassis/Bluefield_DPU_IRoT/Certificates/CertChain";
const TASK: &str = "/redfish/v1/TaskService/Tasks/7";

type Said = (u16, String, Vec<u8>);

fn said(value: &Value) -> Said {
    (200, String::new(), value.to_string().into_bytes())
}

impl World {
    fn answer(&mut self, method: &str, path: &str, authorization: &str, body: &[u8]) -> Said {
        if self.fault == Fault::Unwell {
            return (503, String::new(), b"{}".to_vec());
        }
        let right = Base64::encode_string(format!("{USER}:{}", self.password).as_bytes());
        if authorization != format!("Basic {right}") {
            self.seen.unauthorized += 1;
            return (401, String::new(), b"{}".to_vec());
        }
        if self.fault == Fault::Redirect && method == "GET" {
            let elsewhere = "location: https://127.0.0.1:1/redfish/v1\r\n".to_owned();
            return (307, elsewhere, Vec::new());
        }
        match (method, path) {
            ("GET", "/redfish/v1/ComponentIntegrity") => match self.fault {
                Fault::OldFirmware => (404, String::new(), b"{}".to_vec()),
                Fault::Giant => (200, String::new(), b"giant".to_vec()),
                Fault::Garbage => (200, String::new(), b"<html>".to_vec()),
                _ => said(&json!({
                    "@odata.id": path,
                    "Members": [
                        {"@odata.id": "/redfish/v1/ComponentIntegrity/BlueField_ERoT"},
                        {"@odata.id": IROT},
                    ],
                    "Members@odata.count": 2,
                })),
            },
            ("GET", IROT) => {
                let target = match self.fault {
                    Fault::ForeignLink => format!("https://127.0.0.1:1{ACTION}"),
                    _ => ACTION.to_owned(),
                };
                said(&json!({
                    "@odata.id": IROT,
                    "@odata.type": "#ComponentIntegrity.v1_2_1.ComponentIntegrity",
                    "Actions": {"#ComponentIntegrity.SPDMGetSignedMeasurements": {
                        "@Redfish.ActionInfo": "/redfish/v1/ComponentIntegrity/BlueField_DPU_IRoT/SPDMGetSignedMeasurementsActionInfo",
                        "target": target,
                    }},
                    "ComponentIntegrityEnabled": self.fault != Fault::Disabled,
                    "ComponentIntegrityType": "SPDM",
                    "ComponentIntegrityTypeVersion": "1.1.0",
                    "Id": "Bluefield_DPU_IRoT",
                    "Name": "SPDM Integrity for Bluefield_DPU_IRoT",
                    "SPDM": {
                        "IdentityAuthentication": {"ResponderAuthentication": {"ComponentCertificate": {"@odata.id": CHAIN}}},
                        "Requester": {"@odata.id": "/redfish/v1/Managers/Bluefield_BMC"},
                    },
                }))
            }
            ("GET", CHAIN) => said(&json!({
                "@odata.id": CHAIN,
                "@odata.type": "#Certificate.v1_5_0.Certificate",
                "CertificateString": pem_leaf_first(self.dice.certificates()),
                "CertificateType": "PEMchain",
                "CertificateUsageTypes": ["Device"],
                "Id": "CertChain",
                "SPDM": {"SlotId": 0},
            })),
            ("POST", ACTION) => {
                self.result = Some(self.measure(body));
                self.looks = 0;
                let task = json!({"@odata.id": TASK, "Id": "7", "TaskState": "Running", "TaskStatus": "OK"});
                (
                    202,
                    format!("location: {TASK}\r\nretry-after: 0\r\n"),
                    task.to_string().into_bytes(),
                )
            }
            ("GET", TASK) => {
                self.looks += 1;
                let (state, status) = match self.fault {
                    _ if self.looks <= self.slow => ("Running", "OK"),
                    Fault::FailedTask => ("Exception", "Critical"),
                    _ => ("Completed", "OK"),
                };
                said(&json!({
                    "@odata.id": TASK,
                    "Id": "7",
                    "Messages": [{"Message": if status == "OK" { "started" } else { "the responder did not answer" }}],
                    "Payload": {"HttpHeaders": ["Host: bmc", format!("Location: {ACTION}/data")], "HttpOperation": "POST"},
                    "TaskState": state,
                    "TaskStatus": status,
                }))
            }
            (
                "GET",
                "/redfish/v1/ComponentIntegrity/BlueField_DPU_IRoT/Actions/ComponentIntegrity.SPDMGetSignedMeasurements/data",
            ) => match self.fault {
                Fault::Cut => (200, String::new(), b"cut".to_vec()),
                _ => said(&self.result.clone().unwrap()),
            },
            ("GET", "/redfish/v1/UpdateService/FirmwareInventory") => said(&json!({
                "Members": [{"@odata.id": "/redfish/v1/UpdateService/FirmwareInventory/DPU_NIC"}],
            })),
            ("GET", "/redfish/v1/UpdateService/FirmwareInventory/DPU_NIC") => {
                said(&json!({"Id": "DPU_NIC", "Version": "32.43.1014"}))
            }
            _ => (404, String::new(), b"{}".to_vec()),
        }
    }

    /// The measurements, as the root of trust signs them for this nonce.
    fn measure(&self, body: &[u8]) -> Value {
        let ask: Value = serde_json::from_slice(body).unwrap();
        assert_eq!(ask["SlotId"], 0);
        let mut nonce = [0; 32];
        base16ct::lower::decode(ask["Nonce"].as_str().unwrap(), &mut nonce).unwrap();
        if self.fault == Fault::OtherNonce {
            nonce[31] ^= 1;
        }
        let firmware = BlueField {
            psc: b"psc",
            nic: b"nic",
            arm: b"arm",
            configuration: b"locked",
        };
        let mut responder = Responder::new(&self.dice, Version::V11, firmware.blocks());
        let mut transcript = record(Version::V11, &nonce, &[Operation::All], |request| {
            Ok::<_, Refusal>(responder.respond(request, &[5; 32]))
        })
        .unwrap();
        if self.fault == Fault::Truncated {
            transcript.pop();
        }
        json!({
            "HashingAlgorithm": "TPM_ALG_SHA_512",
            "SignedMeasurements": Base64::encode_string(&transcript),
            "SigningAlgorithm": "TPM_ALG_ECDSA_ECC_NIST_P384",
            "Version": "1.1.0",
        })
    }
}

/// As BlueField-3's controller gives it: the leaf first.
fn pem_leaf_first(certificates: &[Vec<u8>]) -> String {
    pem(certificates.iter().rev())
}

pub(crate) fn pem<'a>(certificates: impl Iterator<Item = &'a Vec<u8>>) -> String {
    let one = |der: &Vec<u8>| {
        let body = Base64::encode_string(der);
        let lines: Vec<&str> = (0..body.len())
            .step_by(64)
            .map(|at| &body[at..body.len().min(at + 64)])
            .collect();
        format!(
            "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
            lines.join("\n")
        )
    };
    certificates.map(one).collect()
}
