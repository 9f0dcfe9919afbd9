//! Two texts as a unified diff, which `patch -p1` and `git apply` understand.

use std::fmt::Write as _;

/// Lines around a change.
const CONTEXT: usize = 3;

/// BOUND: cells of the table of common lines; where two texts differ in more, all that differs is one change.
const CELLS_MAX: usize = 1 << 24;

/// A line of a diff.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line<'a> {
    Same(&'a str),
    Gone(&'a str),
    New(&'a str),
}

/// The diff of a file; empty where nothing differs.
pub(super) fn patch(path: &str, before: &str, after: &str) -> String {
    let lines = compared(before, after);
    let is_change = |line: &Line<'_>| !matches!(line, Line::Same(_));
    let changes: Vec<usize> = (0..lines.len()).filter(|at| is_change(&lines[*at])).collect();
    let mut out = String::new();
    let mut rest = changes.as_slice();
    while let Some(first) = rest.first() {
        // What is near enough shares its context.
        let together = rest.windows(2).take_while(|pair| pair[1] - pair[0] <= 2 * CONTEXT).count() + 1;
        let (hunk, further) = rest.split_at(together);
        rest = further;
        let last = hunk.last().unwrap_or(first);
        if out.is_empty() {
            let (old, new) = if path.starts_with('/') { ("", "") } else { ("a/", "b/") };
            let _ = write!(out, "--- {old}{path}\n+++ {new}{path}\n");
        }
        write_hunk(&lines, first.saturating_sub(CONTEXT)..(last + 1 + CONTEXT).min(lines.len()), &mut out);
    }
    out
}

fn write_hunk(lines: &[Line<'_>], range: std::ops::Range<usize>, out: &mut String) {
    let count = |lines: &[Line<'_>], of_old: bool| {
        lines.iter().filter(|line| !matches!((line, of_old), (Line::New(_), true) | (Line::Gone(_), false))).count()
    };
    let (before, own) = (&lines[..range.start], &lines[range]);
    let side = |of_old: bool| {
        let length = count(own, of_old);
        // A side without lines is named by the line before it.
        let start = count(before, of_old) + usize::from(length > 0);
        if length == 1 { start.to_string() } else { format!("{start},{length}") }
    };
    let _ = writeln!(out, "@@ -{} +{} @@", side(true), side(false));
    for line in own {
        let (sign, text) = match line {
            Line::Same(text) => (' ', text),
            Line::Gone(text) => ('-', text),
            Line::New(text) => ('+', text),
        };
        let _ = write!(out, "{sign}{text}");
        if !text.ends_with('\n') {
            out.push_str("\n\\ No newline at end of file\n");
        }
    }
}

/// The lines of both texts, those that are the same once.
fn compared<'a>(before: &'a str, after: &'a str) -> Vec<Line<'a>> {
    let (old, new): (Vec<&str>, Vec<&str>) =
        (before.split_inclusive('\n').collect(), after.split_inclusive('\n').collect());
    let start = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let end = old[start..].iter().rev().zip(new[start..].iter().rev()).take_while(|(a, b)| a == b).count();
    let (a, b) = (&old[start..old.len() - end], &new[start..new.len() - end]);
    let mut lines: Vec<Line<'a>> = old[..start].iter().copied().map(Line::Same).collect();
    if a.len().saturating_mul(b.len()) > CELLS_MAX {
        lines.extend(a.iter().copied().map(Line::Gone).chain(b.iter().copied().map(Line::New)));
    } else {
        align(a, b, &mut lines);
    }
    lines.extend(old[old.len() - end..].iter().copied().map(Line::Same));
    lines
}

/// A longest common subsequence; of several the one that takes lines away before it adds some.
fn align<'a>(a: &[&'a str], b: &[&'a str], lines: &mut Vec<Line<'a>>) {
    let width = b.len() + 1;
    let mut common = vec![0_u32; (a.len() + 1) * width];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            common[i * width + j] = if a[i] == b[j] {
                common[(i + 1) * width + j + 1] + 1
            } else {
                common[(i + 1) * width + j].max(common[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    while i < a.len() || j < b.len() {
        if i < a.len() && j < b.len() && a[i] == b[j] {
            lines.push(Line::Same(a[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == b.len() || i < a.len() && common[(i + 1) * width + j] >= common[i * width + j + 1] {
            lines.push(Line::Gone(a[i]));
            i += 1;
        } else {
            lines.push(Line::New(b[j]));
            j += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn changes_have_their_context() {
        let before = "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n13\n14\n15\nend";
        let after = before.replace("\n2\n", "\ntwo\n").replace("14\n", "");
        insta::assert_snapshot!(patch("a.yaml", before, &after), @r"
        --- a/a.yaml
        +++ b/a.yaml
        @@ -1,5 +1,5 @@
         1
        -2
        +two
         3
         4
         5
        @@ -11,6 +11,5 @@
         11
         12
         13
        -14
         15
         end
        \ No newline at end of file
        ");
        assert_eq!(patch("a", "", "x\n"), "--- a/a\n+++ b/a\n@@ -0,0 +1 @@\n+x\n");
        assert_eq!(patch("/a", "x\n", "x\n"), "");
    }

    proptest! {
        #[test]
        fn both_texts_can_be_read_from_the_lines(a in "([abc]\n){0,12}[ab]?", b in "([abc]\n){0,12}[ab]?") {
            let lines = compared(&a, &b);
            let side = |of_old: bool| lines.iter().filter_map(|line| match line {
                Line::Same(text) => Some(*text),
                Line::Gone(text) => of_old.then_some(*text),
                Line::New(text) => (!of_old).then_some(*text),
            }).collect::<String>();
            prop_assert_eq!(side(true), a.as_str());
            prop_assert_eq!(side(false), b.as_str());
        }
    }
}
