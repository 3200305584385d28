//! Laws of the properties file reader and of the configuration made from it.

use ottla::config::{
    Error, NodeConfig, Settings, node_keys, read_properties, topic_key, topic_keys,
};
use proptest::prelude::*;

/// Writes a text so that it is read back as it is.
fn escaped(text: &str, is_key: bool) -> String {
    let mut out = String::new();
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x0c' => out.push_str("\\f"),
            ' ' | '=' | ':' | '#' | '!' if is_key || out.is_empty() => {
                out.push('\\');
                out.push(character);
            }
            other if u32::from(other) > 0x7e || u32::from(other) < 0x20 => {
                for unit in other.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
            other => out.push(other),
        }
    }
    out
}

/// Like text that people write: keys of the table, broken lines, escapes.
fn lines() -> impl Strategy<Value = String> {
    let keys: Vec<_> = node_keys().map(|key| key.name).collect();
    let key =
        prop_oneof![prop::sample::select(keys).prop_map(str::to_owned), "[a-z.=: \\\\]{0,20}"];
    let line = (key, "[=: ]{0,3}", "[-a-zA-Z0-9:/,. \\\\]{0,20}")
        .prop_map(|(key, by, value)| key + &by + &value);
    prop::collection::vec(line, 0..6).prop_map(|lines| lines.join("\n"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn what_is_written_is_read(pairs in prop::collection::vec((".{1,12}", ".{0,20}"), 0..8), separator in "[ ]?[=:][ \t]?") {
        let mut text = String::new();
        for (key, value) in &pairs {
            text += &format!("{}{separator}{}\n", escaped(key, true), escaped(value, false));
        }
        let read = read_properties("test", &text)?;
        prop_assert_eq!(read.iter().map(|property| property.line).collect::<Vec<_>>(), (1..=pairs.len()).collect::<Vec<_>>());
        let read: Vec<_> = read.into_iter().map(|property| (property.key, property.value)).collect();
        prop_assert_eq!(read, pairs);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC*|[\\\\u=:#! \n\r\ta0]{0,60}") {
        match read_properties("test", &text) {
            Ok(properties) => prop_assert!(properties.len() <= text.len()),
            Err(error) => prop_assert!(matches!(error, Error::Syntax { .. }), "{:?}", error),
        }
    }

    #[test]
    fn any_file_makes_a_node_or_an_error_that_says_something(text in lines()) {
        let base = "node.id=1\nprocess.roles=broker\ncontroller.listener.names=C\ncontroller.quorum.bootstrap.servers=c:1\n";
        match NodeConfig::read(Some(("test", &format!("{base}{text}"))), &[]) {
            Ok(config) => prop_assert!(!config.log_dirs.is_empty() && (config.roles.broker || config.roles.controller)),
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }

    #[test]
    fn a_value_printed_is_the_same_value(index in any::<prop::sample::Index>(), text in "-?[0-9]{1,12}|[0-9]\\.[0-9]{1,3}|true|delete|LogAppendTime|\\*|[0-9]:[0-9]") {
        let keys: Vec<_> = topic_keys().chain(node_keys()).collect();
        let key = keys[index.index(keys.len())];
        if let Ok(value) = key.parse(&text) {
            let printed = value.to_text().unwrap_or_default();
            prop_assert_eq!(key.parse(&printed), Ok(value));
        }
    }

    #[test]
    fn one_swapped_letter_is_recognized(index in any::<prop::sample::Index>(), at in any::<prop::sample::Index>()) {
        let keys: Vec<_> = node_keys().map(|key| key.name).filter(|name| name.len() > 8).collect();
        let key = keys[index.index(keys.len())];
        let at = at.index(key.len());
        let misspelt: String = key.chars().enumerate().map(|(place, letter)| if place == at { '_' } else { letter }).collect();
        match Settings::read(None, &[(misspelt, "1".to_owned())]) {
            Err(Error::UnknownKey { suggestion: Some(_), .. }) => {}
            other => prop_assert!(false, "{:?}", other.err()),
        }
    }
}

#[test]
fn topics_know_the_key_that_only_tests_set() {
    assert!(topic_key("internal.segment.bytes").is_some());
}
