//! JSON text with line breaks (`_pretty=true`), every character of its values as it was.

/// `json` must be a JSON text: what is not is copied as it comes.
pub fn pretty_json(json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len() + json.len() / 2);
    let mut depth = 0_usize;
    let mut bytes = json.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => {}
            b'"' => {
                out.push(byte);
                while let Some(inner) = bytes.next() {
                    out.push(inner);
                    match inner {
                        b'\\' => out.extend(bytes.next()),
                        b'"' => break,
                        _ => {}
                    }
                }
            }
            b'{' | b'[' => {
                out.push(byte);
                while bytes.next_if(|next| next.is_ascii_whitespace()).is_some() {}
                match bytes.next_if(|next| matches!(next, b'}' | b']')) {
                    Some(close) => out.push(close),
                    None => {
                        depth += 1;
                        line(&mut out, depth);
                    }
                }
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(byte);
            }
            b',' => {
                out.push(byte);
                line(&mut out, depth);
            }
            b':' => out.extend_from_slice(b": "),
            other => out.push(other),
        }
    }
    out.push(b'\n');
    out
}

/// A new line at a depth.
pub(super) fn line(out: &mut Vec<u8>, depth: usize) {
    out.push(b'\n');
    out.extend(std::iter::repeat_n(b' ', 2 * depth));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_nothing_else() {
        let text = r#"{"a":[1.10,{"b":"x,{\"} : \\"},[], { }],"c":1.0E2}"#;
        let pretty = String::from_utf8(pretty_json(text.as_bytes())).unwrap();
        let expected = "{\n  \"a\": [\n    1.10,\n    {\n      \"b\": \"x,{\\\"} : \\\\\"\n    },\n    [],\n    {}\n  ],\n  \"c\": 1.0E2\n}\n";
        assert_eq!(pretty, expected);
        assert_eq!(pretty_json(pretty.as_bytes()), pretty.as_bytes());
        for broken in ["", "{", "}", "\"\\", "[[", "]]}"] {
            pretty_json(broken.as_bytes());
        }
    }
}
