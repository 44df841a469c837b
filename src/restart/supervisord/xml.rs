//! The part of XML-RPC that supervisord speaks, and no more.
//!
//! A crate would bring an XML parser for any document, with namespaces, entities and encodings, to read
//! `<value><int>1</int></value>`. This reads six elements, refuses the rest, and allocates no more than it was given.

use std::collections::BTreeMap;

/// A value in an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Int(i64),
    Bool(bool),
    Text(String),
    Struct(BTreeMap<String, Value>),
}

impl Value {
    /// The text of a member of a struct.
    pub(super) fn text(&self, member: &str) -> Option<&str> {
        match self.member(member)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The number of a member of a struct.
    pub(super) fn int(&self, member: &str) -> Option<i64> {
        match self.member(member)? {
            Value::Int(number) => Some(*number),
            _ => None,
        }
    }

    fn member(&self, name: &str) -> Option<&Value> {
        match self {
            Value::Struct(members) => members.get(name),
            _ => None,
        }
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// What the method returns.
    Value(Value),
    /// Why it does not.
    Fault { code: i64, text: String },
}

/// The call of `method` with a text and, if one is given, a switch.
pub(super) fn call(method: &str, name: &str, switch: Option<bool>) -> String {
    let switch =
        switch.map_or(String::new(), |on| format!("<param><value><boolean>{}</boolean></value></param>", u8::from(on)));
    let name = name.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    format!(
        "<?xml version=\"1.0\"?><methodCall><methodName>{method}</methodName><params><param><value><string>{name}\
         </string></value></param>{switch}</params></methodCall>"
    )
}

/// Reads a whole answer; `None` if it is not one, or holds what supervisord does not send.
pub(super) fn answer(text: &str) -> Option<Answer> {
    let mut reader = Reader { rest: text.trim() };
    if reader.rest.starts_with("<?xml") {
        reader.rest = reader.rest.split_once("?>")?.1;
    }
    reader.open("methodResponse")?;
    let answer = if reader.open("fault").is_some() {
        let fault = reader.value(0)?;
        reader.close("fault")?;
        Answer::Fault { code: fault.int("faultCode")?, text: fault.text("faultString")?.to_owned() }
    } else {
        reader.open("params")?;
        reader.open("param")?;
        let value = reader.value(0)?;
        reader.close("param")?;
        reader.close("params")?;
        Answer::Value(value)
    };
    reader.close("methodResponse")?;
    reader.rest.trim().is_empty().then_some(answer)
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    /// Takes `<name>`, with space before it, or nothing.
    fn open(&mut self, name: &str) -> Option<()> {
        self.tag("<", name)
    }

    fn close(&mut self, name: &str) -> Option<()> {
        self.tag("</", name)
    }

    fn tag(&mut self, begin: &str, name: &str) -> Option<()> {
        let rest = self.rest.trim_start().strip_prefix(begin)?.strip_prefix(name)?;
        self.rest = rest.strip_prefix('>')?;
        Some(())
    }

    /// The characters up to the next tag.
    fn text(&mut self) -> Option<&'a str> {
        let (text, _) = self.rest.split_once('<')?;
        self.rest = &self.rest[text.len()..];
        Some(text)
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        if depth > MOST_DEPTH {
            return None;
        }
        self.open("value")?;
        let value = if self.open("struct").is_some() {
            let mut members = BTreeMap::new();
            while self.open("member").is_some() {
                self.open("name")?;
                let name = plain(self.text()?)?;
                self.close("name")?;
                members.insert(name, self.value(depth + 1)?);
                self.close("member")?;
            }
            self.close("struct")?;
            Value::Struct(members)
        } else if self.open("string").is_some() {
            let text = plain(self.text()?)?;
            self.close("string")?;
            Value::Text(text)
        } else if self.open("int").is_some() {
            let number = self.text()?.trim().parse().ok()?;
            self.close("int")?;
            Value::Int(number)
        } else if self.open("boolean").is_some() {
            let on = match self.text()?.trim() {
                "0" => false,
                "1" => true,
                _ => return None,
            };
            self.close("boolean")?;
            Value::Bool(on)
        } else {
            return None;
        };
        self.close("value")?;
        Some(value)
    }
}

/// Text with its references resolved: the five of XML, and numbers.
fn plain(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let mut parts = text.split('&');
    plain.push_str(parts.next()?);
    for part in parts {
        let (name, rest) = part.split_once(';')?;
        plain.push(match name {
            "lt" => '<',
            "gt" => '>',
            "amp" => '&',
            "quot" => '"',
            "apos" => '\'',
            name => {
                let number = name.strip_prefix('#')?;
                let code = match number.strip_prefix('x') {
                    Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                    None => number.parse().ok()?,
                };
                char::from_u32(code)?
            }
        });
        plain.push_str(rest);
    }
    Some(plain)
}

const MOST_DEPTH: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = "<?xml version='1.0'?>\n<methodResponse>\n<params>\n<param>\n<value><struct>\n<member>\n\
        <name>statename</name>\n<value><string>RUNNING</string></value>\n</member>\n<member>\n<name>pid</name>\n\
        <value><int>42</int></value>\n</member>\n<member>\n<name>spawnerr</name>\n<value><string>a &lt;b&gt; &amp;amp; \
        &#x41;&#66;</string></value>\n</member>\n</struct></value>\n</param>\n</params>\n</methodResponse>\n";

    #[test]
    fn an_answer_of_supervisord_is_read() {
        let Some(Answer::Value(info)) = answer(INFO) else { panic!("{INFO}") };
        assert_eq!(info.text("statename"), Some("RUNNING"));
        assert_eq!(info.int("pid"), Some(42));
        assert_eq!(info.text("spawnerr"), Some("a <b> &amp; AB"));
        assert_eq!((info.text("pid"), info.int("none")), (None, None));
    }

    #[test]
    fn a_fault_is_an_answer() {
        let fault = "<methodResponse><fault><value><struct><member><name>faultCode</name><value><int>10</int></value>\
                     </member><member><name>faultString</name><value><string>BAD_NAME: web</string></value></member>\
                     </struct></value></fault></methodResponse>";
        assert_eq!(answer(fault), Some(Answer::Fault { code: 10, text: "BAD_NAME: web".to_owned() }));
    }

    #[test]
    fn whatever_else_is_refused() {
        let wrapped = |value: &str| {
            format!("<methodResponse><params><param><value>{value}</value></param></params></methodResponse>")
        };
        assert_eq!(answer(&wrapped("<boolean>1</boolean>")), Some(Answer::Value(Value::Bool(true))));
        for value in [
            "<boolean>2</boolean>",
            "<int>1.5</int>",
            "<int a=\"b\">1</int>",
            "<array></array>",
            "<string>&unknown;</string>",
            "<string>&#xD800;</string>",
            "<string><![CDATA[x]]></string>",
            "<struct><member><name>a</name></member></struct>",
            "bare",
        ] {
            assert_eq!(answer(&wrapped(value)), None, "{value}");
        }
        let deep = |depth: usize| {
            let (open, close) = ("<struct><member><name>a</name><value>", "</value></member></struct>");
            wrapped(&format!("{}<int>1</int>{}", open.repeat(depth), close.repeat(depth)))
        };
        assert!(answer(&deep(MOST_DEPTH)).is_some());
        assert_eq!(answer(&deep(10_000)), None);
        assert_eq!(answer(""), None);
        for end in 0..INFO.trim_end().len() {
            assert_eq!(answer(&INFO[..end]), None, "{end}");
        }
        assert_eq!(answer(&format!("{INFO}<x>")), None);
    }

    #[test]
    fn a_name_cannot_end_its_element() {
        let written = call("supervisor.startProcess", "a<b>&c", Some(false));
        assert!(written.contains("<string>a&lt;b&gt;&amp;c</string>"), "{written}");
        assert!(written.contains("<boolean>0</boolean>"), "{written}");
    }
}
