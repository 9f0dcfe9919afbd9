//! Comments and annotations that suppress.

use super::{findings, read};
use crate::SuppressionScope;

#[test]
fn comments_cover_their_line_or_the_next() {
    let text = "# meshproof: ignore MP0401 until=2027-01-01 reason=\"agreed; see the plan\"
# another word

a: 1
b: 2 # meshproof: ignore MP0102,MP0103 reason=\"legacy\"
";
    let imported = read(text);
    assert_eq!(findings(&imported), Vec::<String>::new());
    let shown: Vec<_> = imported
        .suppressions
        .iter()
        .map(|s| (s.code.as_str(), s.until.as_deref(), s.reason.as_deref().unwrap(), s.scope.clone(), s.at.line))
        .collect();
    assert_eq!(
        shown,
        [
            ("MP0401", Some("2027-01-01"), "agreed; see the plan", SuppressionScope::Line(4), 1),
            ("MP0102", None, "legacy", SuppressionScope::Line(5), 5),
            ("MP0103", None, "legacy", SuppressionScope::Line(5), 5),
        ]
    );
}

#[test]
fn annotations_cover_their_object() {
    let text = "apiVersion: v1\nkind: Service\nmetadata:\n  name: a\n  annotations:\n    meshproof.dev/ignore: \
                'MP0201 reason=\"elsewhere\"; MP0301 reason=\"x\"'\nspec: {}\n";
    let imported = read(text);
    let codes: Vec<_> = imported.suppressions.iter().map(|s| s.code.as_str()).collect();
    assert_eq!((codes, imported.suppressions[0].at.line), (vec!["MP0201", "MP0301"], 6));
    assert!(matches!(&imported.suppressions[0].scope, SuppressionScope::Resource(r) if r.name == "a"));
}

#[test]
fn what_cannot_be_read_suppresses_nothing_and_is_told() {
    for bad in [
        "ignore MP0401",
        "ignore reason=\"x\"",
        "ignore MP9999 reason=\"x\"",
        "ignore MP0401 until=soon reason=\"x\"",
        "ignore MP0401 until=2027-13-01 reason=\"x\"",
        "hide MP0401 reason=\"x\"",
    ] {
        let imported = read(&format!("# meshproof: {bad}\na: 1\n"));
        assert_eq!((imported.suppressions.len(), imported.findings.len()), (0, 1), "{bad}");
    }
}
