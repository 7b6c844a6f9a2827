//! A port and its protocol, as one text: `443/TCP`.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(super) struct Port {
    number: i32,
    protocol: String,
}

impl Port {
    /// Without a protocol it is of TCP, as in a policy.
    pub(super) fn new(number: i32, protocol: Option<&str>) -> Self {
        Self {
            number,
            protocol: protocol.unwrap_or("TCP").to_owned(),
        }
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.protocol)
    }
}

impl From<Port> for String {
    fn from(port: Port) -> Self {
        port.to_string()
    }
}

impl TryFrom<String> for Port {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let parts = text.split_once('/');
        let port = parts.and_then(|(number, protocol)| {
            let is_known = ["TCP", "UDP"].contains(&protocol);
            let number = number.parse().ok().filter(|_| is_known)?;
            Some(Self::new(number, Some(protocol)))
        });
        port.filter(|port| port.to_string() == text).ok_or_else(|| {
            format!("invalid port '{text}': write a number and TCP or UDP, for example 443/TCP")
        })
    }
}
