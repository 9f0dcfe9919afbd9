//! Did-you-mean.

/// The name that `written` is one slip away from: a letter too many, too few, wrong, swapped with its neighbour, or a
/// difference of case, dashes and underscores only.
pub(crate) fn slip<'n>(written: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    names.into_iter().find(|name| {
        *name != written
            && (bare(name) == bare(written) || (written.chars().count() > 3 && distance(written, name, 1) <= 1))
    })
}

/// The name that is nearest to `written`, if one is near.
pub(crate) fn nearest<'n>(written: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    // BOUND: more edits than these suggest another name rather than the same one.
    let limit = (written.chars().count() / 3).min(3);
    let written = bare(written);
    names
        .into_iter()
        .filter(|name| name.len().abs_diff(written.len()) <= limit + 2)
        .map(|name| (distance(&written, &bare(name), limit), name))
        .filter(|(d, _)| *d <= limit)
        .min()
        .map(|(_, name)| name)
}

fn bare(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '_' | '-')).flat_map(char::to_lowercase).collect()
}

/// Edits between two names, a swap of neighbours counting one; more than `limit` is `limit + 1`.
fn distance(a: &str, b: &str, limit: usize) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len().abs_diff(b.len()) > limit {
        return limit + 1;
    }
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    for (j, cell) in rows[0].iter_mut().enumerate() {
        *cell = j;
    }
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let changed = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (rows[i - 1][j] + 1).min(rows[i][j - 1] + 1).min(rows[i - 1][j - 1] + changed);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()].min(limit + 1)
}
