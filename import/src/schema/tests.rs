//! The data itself.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

#[test]
fn every_file_reads_to_a_kind_with_fields() {
    let schemas = schemas();
    assert!(schemas.kinds.len() > 45);
    for (name, fields) in &schemas.kinds {
        assert!(!fields.is_empty(), "{name}");
    }
    for (_, text) in data::FILES {
        assert!(text.starts_with("# ") && text.lines().nth(1).unwrap().starts_with("# "), "{text}");
    }
}

#[test]
fn every_shared_type_exists() {
    fn visit(shape: &Shape, schemas: &Schemas) {
        match shape {
            Shape::Shared(name) => assert!(schemas.kinds.contains_key(name), "{name}"),
            Shape::List(inner) | Shape::Map(inner) => visit(inner, schemas),
            Shape::Object(fields) => fields.values().for_each(|field| visit(&field.shape, schemas)),
            _ => {}
        }
    }
    let schemas = schemas();
    for fields in schemas.kinds.values() {
        for field in fields.values() {
            visit(&field.shape, schemas);
        }
    }
}

#[test]
fn a_line_is_a_name_and_a_type() {
    let (name, fields) = parse("# K\n# s\nK\n  a! int\n  b [string]\n  c {}\n    d A|B\n  e @T\n").remove(0);
    assert_eq!(name, "K");
    assert_eq!(fields["a"], FieldType { shape: Shape::Int, required: true });
    assert_eq!(fields["b"].shape, Shape::List(Box::new(Shape::Text)));
    let Shape::Map(inner) = &fields["c"].shape else { unreachable!("a map") };
    let Shape::Object(inner) = inner.as_ref() else { unreachable!("of objects") };
    assert_eq!(inner["d"].shape, Shape::OneOf(vec!["A", "B"]));
    assert_eq!(fields["e"].shape, Shape::Shared("T"));
}

#[test]
fn slips_are_one_edit_or_a_change_of_case() {
    let names = ["timeout", "retries", "maxRetries", "tcp", "http"];
    for (written, meant) in [
        ("timout", Some("timeout")),
        ("timeotu", Some("timeout")),
        ("max_retries", Some("maxRetries")),
        ("MAXRETRIES", Some("maxRetries")),
        ("tcpp", Some("tcp")),
        ("tpc", None),
        ("retry", None),
        ("timeout", None),
    ] {
        assert_eq!(slip(written, names), meant, "{written}");
    }
    assert_eq!(nearest("timeoutt_s", names), Some("timeout"));
    assert_eq!(nearest("x", names), None);
}
