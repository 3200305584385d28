use std::collections::BTreeMap;

use super::deciding::Refusal;
use crate::model::ErrorCode;

/// What a subscription may select clients by.
const SELECTORS: [&str; 6] = [
    "client_instance_id",
    "client_id",
    "client_software_name",
    "client_software_version",
    "client_source_address",
    "client_source_port",
];

/// The shortest and the longest time between two pushes, in milliseconds.
const INTERVAL_MS: std::ops::RangeInclusive<i32> = 100..=3_600_000;

/// Judges a client metrics subscription. Source: KIP-714.
pub(super) fn judge(name: &str, entries: &BTreeMap<String, String>) -> Result<(), Refusal> {
    let refuse = |message: String| Err(Refusal::new(ErrorCode::InvalidRequest, message));
    if name.is_empty() {
        return refuse("Subscription name can't be empty".to_owned());
    }
    for (key, value) in entries {
        match key.as_str() {
            "metrics" => {}
            "interval.ms" => {
                let interval = value.trim().parse::<i32>();
                if !interval.is_ok_and(|interval| INTERVAL_MS.contains(&interval)) {
                    return refuse(format!(
                        "Invalid value {value} for interval.ms, interval must be between 100 and 3600000 (1 hour)"
                    ));
                }
            }
            "match" => {
                let is_selector = |pattern: &str| {
                    let selector = pattern.split_once('=').map(|(selector, _)| selector.trim());
                    selector.is_some_and(|selector| SELECTORS.contains(&selector))
                };
                let patterns = value.split(',').map(str::trim).filter(|text| !text.is_empty());
                if let Some(wrong) = { patterns }.find(|pattern| !is_selector(pattern)) {
                    let message = format!("Illegal client matching pattern: {wrong}");
                    return Err(Refusal::new(ErrorCode::InvalidConfig, message));
                }
            }
            unknown => return refuse(format!("Unknown client metrics configuration: {unknown}")),
        }
    }
    Ok(())
}
