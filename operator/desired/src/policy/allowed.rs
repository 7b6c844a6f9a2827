//! Whether a tenant's rule is within one that an administrator wrote. Must not widen: what cannot
//! be told is not within.

use std::collections::BTreeMap;

use langop_api::policy::{EgressRule, LabelValue, Port};

use super::cidr::Cidr;

/// Whether all that `rule` means is meant by `allowed`, too.
pub(crate) fn allows(allowed: &EgressRule, rule: &EgressRule) -> bool {
    let ports = rule
        .ports
        .iter()
        .all(|port| allowed.ports.iter().any(|one| is_same(one, port)));
    let peers = match (&allowed.cidr, &rule.cidr) {
        (Some(_), Some(_)) => within(allowed, rule).unwrap_or(false),
        (None, None) => {
            narrows(
                allowed.namespace_labels.as_ref(),
                rule.namespace_labels.as_ref(),
            ) && allowed.namespace_labels.is_some() == rule.namespace_labels.is_some()
                && narrows(allowed.pod_labels.as_ref(), rule.pod_labels.as_ref())
        }
        _ => false,
    };
    ports && !rule.ports.is_empty() && peers
}

/// How narrow a rule's range is; 0 without one.
pub(crate) fn prefix_length(rule: &EgressRule) -> u8 {
    let length = rule.cidr.as_ref().and_then(|range| range.split_once('/'));
    length
        .and_then(|(_, length)| length.parse().ok())
        .unwrap_or(0)
}

/// Whether a selector has all labels of the other.
fn narrows(
    allowed: Option<&BTreeMap<String, LabelValue>>,
    rule: Option<&BTreeMap<String, LabelValue>>,
) -> bool {
    let mut wanted = allowed.into_iter().flatten();
    wanted.all(|(key, value)| rule.and_then(|labels| labels.get(key)) == Some(value))
}

/// Whether the range is within, and leaves out all that is left out there.
fn within(allowed: &EgressRule, rule: &EgressRule) -> Option<bool> {
    let parse = |text: &String| text.parse::<Cidr>().ok();
    let (frame, range) = (parse(allowed.cidr.as_ref()?)?, parse(rule.cidr.as_ref()?)?);
    let parts: Vec<Cidr> = rule.except.iter().map(parse).collect::<Option<_>>()?;
    let closed: Vec<Cidr> = allowed.except.iter().map(parse).collect::<Option<_>>()?;
    let kept =
        |closed: &Cidr| !range.meets(*closed) || parts.iter().any(|part| part.holds(*closed));
    Some(frame.holds(range) && closed.iter().all(kept))
}

/// A protocol that is not said is TCP.
fn is_same(one: &Port, other: &Port) -> bool {
    let protocol = |port: &Port| port.protocol.unwrap_or_default();
    one.port == other.port && protocol(one) == protocol(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_within_another_or_not() {
        let rule = |yaml: &str| -> EgressRule { serde_saphyr::from_str(yaml).unwrap() };
        let web =
            "{cidr: 203.0.113.0/24, except: [203.0.113.64/26], ports: [{port: 443}, {port: 80}]}";
        let pods = "{namespaceLabels: {team: b}, ports: [{port: 1}]}";
        for (allowed, asked, is_within) in [
            (web, "{cidr: 203.0.113.0/26, ports: [{port: 443}]}", true),
            (
                web,
                "{cidr: 203.0.113.0/26, ports: [{port: 443, protocol: TCP}]}",
                true,
            ),
            (web, web, true),
            (
                web,
                "{cidr: 203.0.113.0/24, except: [203.0.113.0/25], ports: [{port: 80}]}",
                true,
            ),
            (web, "{cidr: 203.0.113.0/24, ports: [{port: 443}]}", false),
            (web, "{cidr: 203.0.113.64/27, ports: [{port: 443}]}", false),
            (web, "{cidr: 203.0.112.0/23, ports: [{port: 443}]}", false),
            (web, "{cidr: 203.0.113.0/26, ports: [{port: 8443}]}", false),
            (
                web,
                "{cidr: 203.0.113.0/26, ports: [{port: 443, protocol: UDP}]}",
                false,
            ),
            (web, "{cidr: 203.0.113.0/26}", false),
            (web, "{podLabels: {a: b}, ports: [{port: 443}]}", false),
            (web, "{cidr: no, ports: [{port: 443}]}", false),
            (
                pods,
                "{namespaceLabels: {team: b}, podLabels: {app: db}, ports: [{port: 1}]}",
                true,
            ),
            (
                pods,
                "{namespaceLabels: {team: b, x: y}, ports: [{port: 1}]}",
                true,
            ),
            (
                pods,
                "{namespaceLabels: {team: c}, ports: [{port: 1}]}",
                false,
            ),
            (pods, "{podLabels: {app: db}, ports: [{port: 1}]}", false),
            (
                "{podLabels: {app: db}, ports: [{port: 1}]}",
                "{namespaceLabels: {team: b}, podLabels: {app: db}, ports: [{port: 1}]}",
                false,
            ),
        ] {
            assert_eq!(
                allows(&rule(allowed), &rule(asked)),
                is_within,
                "{asked} in {allowed}"
            );
        }
    }
}
