//! Trees, places, and what is refused.
#![allow(clippy::unwrap_used, clippy::panic, clippy::format_push_string, reason = "tests")]

use super::*;

/// A tree as one line, each scalar with its place.
fn show(node: &Node<'_>) -> String {
    match &node.value {
        Value::Scalar { .. } => format!("{:?}@{}:{}", node.plain().unwrap(), node.mark.line, node.mark.column),
        Value::Sequence(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(", ")),
        Value::Mapping(entries) => {
            let pairs =
                entries.iter().map(|e| format!("{}@{}:{}={}", e.key, e.mark.line, e.mark.column, show(&e.value)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
        }
    }
}

/// Documents, then what is broken.
fn check(text: &str, documents: &[&str], broken: &[&str]) {
    let parsed = parse(text);
    let shown: Vec<String> = parsed.documents.iter().map(|document| show(&document.root)).collect();
    assert_eq!(shown, documents, "{text:?}");
    let faults: Vec<String> = parsed
        .broken
        .iter()
        .map(|b| {
            format!("{}:{} {}{}", b.mark.line, b.mark.column, if b.template { "template: " } else { "" }, b.message)
        })
        .collect();
    assert_eq!(faults.len(), broken.len(), "{faults:?}");
    for (fault, start) in faults.iter().zip(broken) {
        assert!(fault.starts_with(start), "{fault} does not start with {start}");
    }
}

#[test]
fn places_are_lines_and_columns_of_keys_and_values() {
    check(
        "a: 1\nb:\n  - x\n  - {c: d}\n",
        &["{a@1:1=Int(1)@1:4, b@2:1=[Text(\"x\")@3:5, {c@4:6=Text(\"d\")@4:9}]}"],
        &[],
    );
    check("ä: é\nb: c\n", &["{ä@1:1=Text(\"é\")@1:4, b@2:1=Text(\"c\")@2:4}"], &[]);
}

#[test]
fn a_byte_order_mark_and_carriage_returns_change_no_place() {
    check(
        "\u{feff}a: 1\r\nb: 2\r\n---\r\nc: 3\r\n",
        &["{a@1:1=Int(1)@1:4, b@2:1=Int(2)@2:4}", "{c@4:1=Int(3)@4:4}"],
        &[],
    );
    let parsed = parse("\u{feff}a: 1\n");
    assert_eq!(parsed.documents[0].root.entries()[0].mark.offset, 3);
}

#[test]
fn json_is_yaml() {
    check(
        "{\"a\": [1, true, null, \"x\"]}",
        &["{a@1:2=[Int(1)@1:8, Bool(true)@1:11, Null@1:17, Text(\"x\")@1:23]}"],
        &[],
    );
}

#[test]
fn a_broken_document_leaves_the_others() {
    let text = "a: 1\n---\nb: [1, 2\n---\nc: 3\n---\nd: \"x\n---\ne: 5\n";
    check(text, &["{a@1:1=Int(1)@1:4}", "{c@5:1=Int(3)@5:4}", "{e@9:1=Int(5)@9:4}"], &["3:", "7:"]);
}

#[test]
fn empty_documents_are_none() {
    check("", &[], &[]);
    check("# nothing\n---\n---\n# still\n...\n---\n", &[], &[]);
    check("%YAML 1.2\n---\na: 1\n", &["{a@3:1=Int(1)@3:4}"], &[]);
    check("--- {a: 1}\n--- # b\nb: 1\n", &["{a@1:6=Int(1)@1:9}", "{b@3:1=Int(1)@3:4}"], &[]);
    check("a: |\n  ---\n  x\n", &["{a@1:1=Text(\"---\\nx\\n\")@2:3}"], &[]);
}

#[test]
fn plain_scalars_follow_yaml_1_1() {
    let rows: &[(&str, Plain<'_>)] = &[
        ("on", Plain::Bool(true)),
        ("No", Plain::Bool(false)),
        ("yes", Plain::Bool(true)),
        ("'on'", Plain::Text("on")),
        ("!!str on", Plain::Text("on")),
        ("oN", Plain::Text("oN")),
        ("1.10", Plain::Float(1.1)),
        ("010", Plain::Int(8)),
        ("0o10", Plain::Int(8)),
        ("08", Plain::Float(8.0)),
        ("0x1F", Plain::Int(31)),
        ("1_000", Plain::Int(1000)),
        ("-5", Plain::Int(-5)),
        ("1e3", Plain::Float(1000.0)),
        ("1.2.3", Plain::Text("1.2.3")),
        ("10s", Plain::Text("10s")),
        ("-", Plain::Text("-")),
        ("~", Plain::Null),
        ("2026-11-21", Plain::Text("2026-11-21")),
        ("001:db8", Plain::Text("001:db8")),
    ];
    for (text, wanted) in rows.iter().filter(|(text, _)| *text != "-") {
        let source = format!("k: {text}\n");
        let parsed = parse(&source);
        let node = &parsed.documents[0].root.entries()[0].value;
        assert_eq!(node.plain().unwrap(), *wanted, "{text}");
    }
}

#[test]
fn aliases_and_merge_keys_are_followed() {
    check("a: &x {p: 1}\nb: *x\n", &["{a@1:1={p@1:8=Int(1)@1:11}, b@2:1={p@1:8=Int(1)@1:11}}"], &[]);
    check(
        "base: &b {p: 1, q: 2}\nc:\n  <<: *b\n  q: 3\n",
        &["{base@1:1={p@1:11=Int(1)@1:14, q@1:17=Int(2)@1:20}, c@2:1={q@4:3=Int(3)@4:6, p@1:11=Int(1)@1:14}}"],
        &[],
    );
}

#[test]
fn bombs_and_towers_are_refused() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for i in 1..12 {
        let of = format!("*a{}, ", i - 1).repeat(10);
        bomb.push_str(&format!("a{i}: &a{i} [{}]\n", of.trim_end_matches(", ")));
    }
    check(&bomb, &[], &["5:"]);
    check(&format!("{}1{}", "[".repeat(5000), "]".repeat(5000)), &[], &["1:"]);
    let mut deep = String::from("a: &a ");
    deep.push_str(&"[".repeat(150));
    deep.push_str(&"]".repeat(150));
    deep.push_str("\nb: ");
    deep.push_str(&"[".repeat(100));
    deep.push_str("*a");
    deep.push_str(&"]".repeat(100));
    check(&deep, &[], &["2:"]);
    check("a: &a [*a]\n", &[], &["1:"]);
    check("a: *nobody\n", &[], &["1:"]);
}

#[test]
fn templates_are_recognised() {
    check("a: {{ .Values.x }}\n", &[], &["1:4 template"]);
    check("{{- if .Values.x }}\na: 1\n{{- end }}\n---\nb: 1\n", &["{b@5:1=Int(1)@5:4}"], &["1:1 template"]);
    check("# {{ x }}\na: [1\n", &[], &["2:4"]);
    for (text, wanted) in [
        ("{{ .Values.name }}", true),
        ("x-{{ include \"a\" . }}", true),
        ("{{inputs.parameters.x}}", false),
        ("{{ $labels.pod }}", false),
        ("{a}", false),
    ] {
        assert_eq!(template_in_scalar(text), wanted, "{text}");
    }
}

#[test]
fn keys_written_twice_are_told() {
    let parsed = parse("a:\n  - b: 1\n    b: 2\n");
    let [duplicate] = parsed.documents[0].duplicates.as_slice() else { panic!("one duplicate") };
    assert_eq!((duplicate.path.as_str(), duplicate.first.line, duplicate.second.line), ("a[0].b", 2, 3));
    assert_eq!(parsed.documents[0].root.entry("a").unwrap().value.items()[0].entry("b").unwrap().value.mark.line, 3);
}

#[test]
fn comments_keep_their_place() {
    let parsed = parse("# above\na: 1 # right\n---\n# b\nb: 2\n");
    let shown: Vec<_> = parsed.comments.iter().map(|c| (c.text.trim(), c.mark.line, c.mark.column, c.alone)).collect();
    assert_eq!(shown, [("above", 1, 1, true), ("right", 2, 6, false), ("b", 4, 1, true)]);
}

#[test]
fn a_literal_block_is_read_where_it_stands() {
    let text = "data:\n  mesh: |-\n    a: 1\n    b:\n      c: on\n";
    let parsed = parse(text);
    let node = &parsed.documents[0].root.entry("data").unwrap().value.entry("mesh").unwrap().value;
    let inner = parse_part(text, block_lines(text, node.mark).unwrap());
    assert_eq!(show(&inner.documents[0].root), "{a@3:5=Int(1)@3:8, b@4:5={c@5:7=Bool(true)@5:10}}");
}
