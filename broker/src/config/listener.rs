use std::collections::BTreeMap;
use std::fmt;

use crate::model::NodeId;

/// How a listener talks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SecurityProtocol {
    /// Neither encrypted nor authenticated.
    Plaintext,
    /// TLS.
    Ssl,
    /// SASL without encryption.
    SaslPlaintext,
    /// SASL over TLS.
    SaslSsl,
}

impl SecurityProtocol {
    /// The number in registrations of brokers and controllers.
    #[must_use]
    pub const fn id(self) -> i16 {
        match self {
            Self::Plaintext => 0,
            Self::Ssl => 1,
            Self::SaslPlaintext => 2,
            Self::SaslSsl => 3,
        }
    }

    /// Kafka's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plaintext => "PLAINTEXT",
            Self::Ssl => "SSL",
            Self::SaslPlaintext => "SASL_PLAINTEXT",
            Self::SaslSsl => "SASL_SSL",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        let all = [Self::Plaintext, Self::Ssl, Self::SaslPlaintext, Self::SaslSsl];
        all.into_iter().find(|protocol| protocol.name().eq_ignore_ascii_case(name))
    }
}

/// A named address: where a node listens, or where others are told to connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerAddress {
    /// The listener's name, in upper case.
    pub name: String,
    /// How it talks.
    pub protocol: SecurityProtocol,
    /// Host name or address; `None` for every address, or, when advertised, for this machine's own name.
    pub host: Option<String>,
    /// The port; 0 for any that is free.
    pub port: u16,
}

impl fmt::Display for ListenerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.as_deref() {
            Some(host) if host.contains(':') => write!(f, "{}://[{host}]:{}", self.name, self.port),
            host => write!(f, "{}://{}:{}", self.name, host.unwrap_or_default(), self.port),
        }
    }
}

/// A host and a port, as bootstrap servers are written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostPort {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// A voter of a static quorum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaticVoter {
    /// The node.
    pub id: NodeId,
    /// Where it listens for other controllers.
    pub address: HostPort,
}

/// Reads `listener.security.protocol.map`.
pub(super) fn parse_protocol_map(text: &str) -> Result<BTreeMap<String, SecurityProtocol>, String> {
    let mut map = BTreeMap::new();
    for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        let wrong = || format!("Invalid entry `{entry}` in listener.security.protocol.map");
        let (name, protocol) = entry.rsplit_once(':').ok_or_else(wrong)?;
        let protocol = SecurityProtocol::from_name(protocol.trim()).ok_or_else(wrong)?;
        map.insert(name.trim().to_uppercase(), protocol);
    }
    Ok(map)
}

/// Reads `name://host:port`.
pub(super) fn parse_listener(
    text: &str,
    protocols: &BTreeMap<String, SecurityProtocol>,
) -> Result<ListenerAddress, String> {
    let unparsable = || format!("Unable to parse {text} to a broker endpoint");
    let (name, address) = text.split_once("://").ok_or_else(unparsable)?;
    let name = name.to_uppercase();
    let (host, port) = split_host_port(address).ok_or_else(unparsable)?;
    let protocol = protocols.get(&name).copied();
    let protocol = protocol.ok_or_else(|| {
        format!(
            "No security protocol defined for listener {name} in listener.security.protocol.map"
        )
    })?;
    Ok(ListenerAddress {
        name,
        protocol,
        host: Some(host.to_owned()).filter(|host| !host.is_empty()),
        port,
    })
}

/// Reads `host:port`.
pub(super) fn parse_host_port(text: &str) -> Option<HostPort> {
    let (host, port) = split_host_port(text).filter(|(host, _)| !host.is_empty())?;
    Some(HostPort { host: host.to_owned(), port })
}

/// Reads `id@host:port`.
pub(super) fn parse_voter(text: &str) -> Option<StaticVoter> {
    let (id, address) = text.split_once('@')?;
    let id = id.trim().parse().ok().filter(|id| *id >= 0)?;
    Some(StaticVoter { id: NodeId(id), address: parse_host_port(address.trim())? })
}

/// An address of IP 6 stands in brackets.
fn split_host_port(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    if bare.is_none() && host.contains(':') {
        return None;
    }
    Some((bare.unwrap_or(host), port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_are_read_as_they_are_written() {
        let protocols = parse_protocol_map("PLAINTEXT:PLAINTEXT, internal:SASL_SSL").unwrap();
        let check = |text: &str, host: Option<&str>, port: u16| {
            let listener = parse_listener(text, &protocols).unwrap();
            assert_eq!((listener.host.as_deref(), listener.port), (host, port));
            assert_eq!(listener.to_string(), text);
        };
        check("PLAINTEXT://:9092", None, 9092);
        check("PLAINTEXT://localhost:0", Some("localhost"), 0);
        check("INTERNAL://[::1]:9093", Some("::1"), 9093);
        let internal = parse_listener("internal://host:1", &protocols).unwrap();
        assert_eq!(
            (internal.name.as_str(), internal.protocol),
            ("INTERNAL", SecurityProtocol::SaslSsl)
        );
    }

    #[test]
    fn other_texts_are_no_listeners() {
        let protocols = parse_protocol_map("PLAINTEXT:PLAINTEXT").unwrap();
        for text in [
            "",
            "PLAINTEXT",
            "PLAINTEXT://host",
            "PLAINTEXT://host:x",
            "PLAINTEXT://host:70000",
            "PLAINTEXT://::1:2",
        ] {
            let message = parse_listener(text, &protocols).unwrap_err();
            assert_eq!(message, format!("Unable to parse {text} to a broker endpoint"));
        }
        let message = parse_listener("OTHER://host:1", &protocols).unwrap_err();
        assert_eq!(
            message,
            "No security protocol defined for listener OTHER in listener.security.protocol.map"
        );
        assert!(parse_protocol_map("PLAINTEXT:NOTHING").is_err());
    }

    #[test]
    fn voters_have_ids() {
        let voter = parse_voter("3@controller-3:9093").unwrap();
        assert_eq!(
            (voter.id, voter.address.host.as_str(), voter.address.port),
            (NodeId(3), "controller-3", 9093)
        );
        for text in ["", "3", "x@host:1", "-1@host:1", "3@:1", "3@host"] {
            assert_eq!(parse_voter(text), None, "{text}");
        }
    }
}
