use super::error::{Error, Place};

/// One setting of a properties file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    /// The key.
    pub key: String,
    /// The value.
    pub value: String,
    /// The line where it begins, counted from one.
    pub line: usize,
}

/// Reads a properties file as Java does: comments after `#` and `!`, keys ended by `=`, `:` or space, lines continued
/// by a backslash at their end, and escapes, `\uXXXX` among them. Settings stand in their order, repeated keys too.
///
/// `name` is only for errors.
///
/// # Errors
///
/// [`Error::Syntax`] for an escape that is not four hexadecimal digits, with its line.
pub fn read_properties(name: &str, text: &str) -> Result<Vec<Property>, Error> {
    let mut properties = Vec::new();
    let mut lines = natural_lines(text).into_iter().zip(1..);
    while let Some((first, line)) = lines.next() {
        let mut logical = first.trim_start_matches(is_space).to_owned();
        if logical.is_empty() || logical.starts_with(['#', '!']) {
            continue;
        }
        while is_continued(&logical) {
            logical.pop();
            let Some((next, _)) = lines.next() else { break };
            logical.push_str(next.trim_start_matches(is_space));
        }
        let (key, value) = split(&logical);
        let unescaped = |text: &str| {
            unescape(text).ok_or_else(|| Error::Syntax {
                place: Place::File { name: name.to_owned(), line },
                reason: "malformed \\uxxxx encoding",
            })
        };
        properties.push(Property { key: unescaped(key)?, value: unescaped(value)?, line });
    }
    Ok(properties)
}

/// Lines end with a line feed, a carriage return or both.
fn natural_lines(text: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(end) = rest.find(['\n', '\r']) {
        let (line, tail) = rest.split_at(end);
        lines.push(line);
        rest =
            tail.strip_prefix("\r\n").or_else(|| tail.strip_prefix(['\n', '\r'])).unwrap_or(tail);
    }
    lines.push(rest);
    lines
}

const fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\x0c')
}

/// An odd number of backslashes at the end; an even number is escaped backslashes.
fn is_continued(line: &str) -> bool {
    line.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

/// Key and value, still escaped.
fn split(line: &str) -> (&str, &str) {
    let mut is_escaped = false;
    let end = line.find(|character| {
        let ends = !is_escaped && (is_space(character) || matches!(character, '=' | ':'));
        is_escaped = character == '\\' && !is_escaped;
        ends
    });
    let (key, rest) = line.split_at(end.unwrap_or(line.len()));
    let rest = rest.trim_start_matches(is_space);
    let value = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (key, value.trim_start_matches(is_space))
}

/// `None` for a broken `\u`. Code units are joined, so that surrogate pairs make one character.
fn unescape(text: &str) -> Option<String> {
    let mut units: Vec<u16> = Vec::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        let plain = match character {
            '\\' => match characters.next() {
                None => break,
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('f') => '\x0c',
                Some('u') => {
                    let mut unit = 0_u16;
                    for _ in 0..4 {
                        let digit = characters.next()?.to_digit(16)?;
                        unit = unit << 4 | u16::try_from(digit).ok()?;
                    }
                    units.push(unit);
                    continue;
                }
                Some(other) => other,
            },
            other => other,
        };
        units.extend_from_slice(plain.encode_utf16(&mut [0; 2]));
    }
    Some(String::from_utf16_lossy(&units))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        let properties = read_properties("test", text).unwrap();
        properties.into_iter().map(|property| (property.key, property.value)).collect()
    }

    #[test]
    fn keys_end_where_java_ends_them() {
        let check = |line: &str, key: &str, value: &str| {
            assert_eq!(pairs(line), [(key.to_owned(), value.to_owned())], "{line:?}");
        };
        check("a=b", "a", "b");
        check("a = b ", "a", "b ");
        check("  a:b", "a", "b");
        check("a b c", "a", "b c");
        check("a   =   b", "a", "b");
        check("a==b", "a", "=b");
        check("a", "a", "");
        check("a=", "a", "");
        check("=b", "", "b");
        check(r"a\=b=c", "a=b", "c");
        check(r"a\ b=c", "a b", "c");
        check(r"a=c:\\d\te\q", "a", "c:\\d\teq");
        check(r"a=\u00e9\ud83d\ude00", "a", "é😀");
        check("a=é", "a", "é");
        check("a=b\\", "a", "b");
    }

    #[test]
    fn lines_continue_and_comments_do_not() {
        let text =
            "# comment \\\na=1,\\\r\n   2,\\\n\t3\n\n! other\n  # indented\nb=x\\\\\nc=y\r\rd=z";
        assert_eq!(
            pairs(text),
            [("a", "1,2,3"), ("b", "x\\"), ("c", "y"), ("d", "z")]
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
        );
    }

    #[test]
    fn settings_know_their_lines() {
        let properties = read_properties("test", "#\na=1\\\n2\n\nb=3\n").unwrap();
        assert_eq!(properties.iter().map(|property| property.line).collect::<Vec<_>>(), [2, 5]);
    }

    #[test]
    fn a_broken_escape_names_its_line() {
        let error = read_properties("server.properties", "a=1\nb=\\u12g4").unwrap_err();
        assert_eq!(error.to_string(), "server.properties:2: malformed \\uxxxx encoding");
    }
}
