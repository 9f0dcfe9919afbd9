//! Where in a RON text a value stands, by the path that a [`ScenarioError`](crate::ScenarioError) names.

/// The line and the column, from 1, of the value at a path such as `faults[1].workload` or
/// `workloads.default/a.calls[0][1].to`; of what is nearest to it on the way, where the text leaves it out. `None`: the
/// text has nothing of it.
pub fn locate(text: &str, path: &str) -> Option<(u32, u32)> {
    let mut reader = Reader { text, at: 0 };
    let start = reader.value_start();
    let at = reader.find(path)?;
    (at > start).then(|| position(text, at))
}

fn position(text: &str, at: usize) -> (u32, u32) {
    let before = &text[..at];
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (count(line), count(column))
}

/// Reads values without keeping them. The text has been read before, so nothing in it is malformed.
struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Reader<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    /// Blanks and comments.
    fn blanks(&mut self) {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start();
            self.at += rest.len() - trimmed.len();
            let skipped = if trimmed.starts_with("//") {
                trimmed.find('\n').unwrap_or(trimmed.len())
            } else if trimmed.starts_with("/*") {
                trimmed.find("*/").map_or(trimmed.len(), |end| end + 2)
            } else if trimmed.starts_with("#!") {
                trimmed.find(']').map_or(trimmed.len(), |end| end + 1)
            } else {
                return;
            };
            self.at += skipped;
        }
    }

    fn value_start(&mut self) -> usize {
        self.blanks();
        self.at
    }

    fn next(&mut self) -> Option<char> {
        self.blanks();
        self.rest().chars().next()
    }

    /// Takes a character if it comes next.
    fn take(&mut self, wanted: char) -> bool {
        let comes = self.next() == Some(wanted);
        if comes {
            self.at += wanted.len_utf8();
        }
        comes
    }

    /// A name, or the contents of a text.
    fn word(&mut self) -> &'t str {
        self.blanks();
        let rest = self.rest();
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut escaped = false;
            let end = quoted.find(|c: char| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            });
            let end = end.unwrap_or(quoted.len());
            self.at += (end + 2).min(rest.len());
            return &quoted[..end];
        }
        let end = rest.find(|c: char| !(c.is_alphanumeric() || "_-+.#".contains(c))).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    /// Leaves the next value behind.
    fn skip(&mut self) {
        match self.next() {
            Some('(' | '[' | '{') => self.skip_all(),
            None => {}
            Some(_) => {
                let before = self.at;
                self.word();
                if self.at == before {
                    self.at += self.rest().chars().next().map_or(0, char::len_utf8);
                } else if self.next() == Some('(') {
                    self.skip_all();
                }
            }
        }
    }

    /// Leaves a bracket and what is in it behind.
    fn skip_all(&mut self) {
        let mut depth = 0_u32;
        while let Some(next) = self.next() {
            match next {
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' => depth -= 1,
                '"' => {
                    self.word();
                    continue;
                }
                _ => {}
            }
            self.at += next.len_utf8();
            if depth == 0 {
                return;
            }
        }
    }

    /// Where the value at a path begins, from the value that comes next.
    fn find(&mut self, path: &str) -> Option<usize> {
        let start = self.value_start();
        let path = path.strip_prefix('.').unwrap_or(path);
        if path.is_empty() {
            return Some(start);
        }
        if let Some(index) = path.strip_prefix('[') {
            let (index, rest) = index.split_once(']')?;
            return Some(self.element(index.parse().ok()?, rest).unwrap_or(start));
        }
        if !matches!(self.next(), Some('(' | '{')) {
            self.word();
        }
        Some(self.field(path).unwrap_or(start))
    }

    fn element(&mut self, index: usize, rest: &str) -> Option<usize> {
        if !self.take('[') {
            return None;
        }
        for _ in 0..index {
            self.skip();
            self.take(',');
        }
        if self.next() == Some(']') { None } else { self.find(rest) }
    }

    fn field(&mut self, path: &str) -> Option<usize> {
        if !self.take('(') && !self.take('{') {
            return None;
        }
        // Names of workloads have dots in them: the longest one that fits is meant.
        let mut best: Option<(usize, &str)> = None;
        while !matches!(self.next(), None | Some(')' | '}')) {
            let name = self.word();
            if !self.take(':') {
                return None;
            }
            let rest = path.strip_prefix(name).filter(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
            if let Some(rest) = rest.filter(|rest| best.is_none_or(|(_, known)| rest.len() < known.len())) {
                best = Some((self.at, rest));
            }
            self.skip();
            self.take(',');
        }
        let (at, rest) = best?;
        self.at = at;
        self.find(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::locate;

    const SCENARIO: &str = r#"// A comment, with (brackets].
Scenario(
    version: 1,
    load: [Open(client: "a:b, (c\"", rate: [Hold(rate: "1rps", during: "1s")])],
    faults: [
        Crash(workload: "default/a", at: "1s", during: "1s"), /* another */
        Slow(workload: "default/z", replicas: Count(9), at: "1s", during: "1s", factor: 2),
    ],
    objectives: ["x < 1", "y > 2"],
)"#;

    const MESH: &str = r#"Mesh(version: 1,
    clients: {"b": (from: Workload("n/x"), to: "n/y:80", requests: [(name: "r", path: "x")])},
    workloads: {
        "n/a": (concurrency: 0),
        "n/a.b": (calls: [[(to: "q:1")], [(to: "r:1"), (to: "s:1")]], service_time: Constant("1ms")),
    },
)"#;

    #[test]
    fn values_are_found_where_they_stand() {
        // The text at the place that is found; nothing: it is nowhere.
        let table = [
            (SCENARIO, "faults[1].workload", "\"default/z\""),
            (SCENARIO, "faults[1].replicas", "Count(9)"),
            (SCENARIO, "faults[0].during", "\"1s\"), /*"),
            (SCENARIO, "load[0].client", "\"a:b, (c"),
            (SCENARIO, "load", "[Open"),
            (SCENARIO, "objectives[1]", "\"y > 2\""),
            // What is left out is shown at what it belongs to.
            (SCENARIO, "faults[0].replicas", "Crash("),
            (SCENARIO, "horizon", ""),
            (MESH, "workloads.n/a.concurrency", "0)"),
            (MESH, "workloads.n/a.b.calls[1][1].to", "\"s:1\""),
            (MESH, "workloads.n/a.b.service_time", "Constant("),
            (MESH, "clients.b.requests[0].path", "\"x\")]"),
            (MESH, "clients.b.from", "Workload("),
            (MESH, "network.proxy", ""),
        ];
        for (text, path, expect) in table {
            let found = locate(text, path).map(|(line, column)| {
                let line = text.lines().nth(line as usize - 1).unwrap_or_default();
                line.chars().skip(column as usize - 1).collect::<String>()
            });
            assert!(found.as_ref().map_or(expect.is_empty(), |at| at.starts_with(expect)), "{path}: {found:?}");
        }
    }
}
