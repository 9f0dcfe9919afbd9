//! What may be changed at a place: the value that stands there, those below it, and those that could stand there.

use std::ops::Range;

use meshproof_import::{Parts, Step, Written, document_at};
use meshproof_model::{Finding, LATE_WAVE, Location, Sources};

use super::edit::{Edit, Shape};

/// A field with a value that may be another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lever {
    pub(super) at: Location,
    /// The way to the field in its document, for people.
    pub(super) path: String,
    site: Site,
    pub(super) domain: Domain,
}

/// Where a field's value goes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Site {
    /// In place of what is written; `off`: what stands there instead where the field is zero, its neighbours with it.
    Written { range: Range<usize>, old: String, quote: &'static str, off: Option<(Range<usize>, String)> },
    /// As new keys of a mapping.
    Absent { shape: Shape, keys: Vec<&'static str> },
}

/// What values a field takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Domain {
    /// Whole numbers.
    Count { old: u64, least: u64, most: u64, way: Way },
    /// Times in milliseconds.
    Time { old: u64 },
    /// This word and no other.
    Word(String),
}

/// When Argo CD applies an object.
const WAVE: &str = "argocd.argoproj.io/sync-wave";

/// Numbers that may change, by their key: the least and the most.
const COUNTS: [(&str, u64, u64); 20] = [
    (WAVE, 0, 1000),
    ("attempts", 0, 100),
    ("maxEjectionPercent", 1, 100),
    ("minHealthPercent", 0, 100),
    ("consecutive5xxErrors", 1, 10_000),
    ("consecutiveGatewayErrors", 1, 10_000),
    ("http1MaxPendingRequests", 1, 1 << 30),
    ("http2MaxRequests", 1, 1 << 30),
    ("maxConnections", 1, 1 << 30),
    ("maxRetries", 0, 1 << 30),
    ("setWeight", 1, 100),
    ("stepWeight", 1, 100),
    ("maxWeight", 1, 100),
    ("failureLimit", 0, 1000),
    ("consecutiveErrorLimit", 0, 1000),
    ("inconclusiveLimit", 0, 1000),
    ("threshold", 1, 1000),
    ("count", 1, 1000),
    ("minAvailable", 0, 1000),
    ("maxUnavailable", 1, 1000),
];

/// Numbers that go one way only, by rule (empty: any) and key: more retries mend nothing, a check is not made laxer, and a
/// limit that lets too much through is not raised until it is none.
const WAYS: [(&str, &str, Way); 12] = [
    ("", "attempts", Way::Down),
    ("", "failureLimit", Way::Down),
    ("", "consecutiveErrorLimit", Way::Down),
    ("", "inconclusiveLimit", Way::Down),
    ("", "threshold", Way::Down),
    ("", "count", Way::Up),
    ("MP0502", "http2MaxRequests", Way::Down),
    ("MP0502", "http1MaxPendingRequests", Way::Down),
    ("MP0502", "maxConnections", Way::Down),
    ("MP0503", "http2MaxRequests", Way::Up),
    ("MP0503", "http1MaxPendingRequests", Way::Up),
    ("MP0503", "maxConnections", Way::Up),
];

/// Where a number may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Down,
    Up,
    Both,
}

/// Times that may change, by their key.
const TIMES: [&str; 9] = [
    "timeout",
    "perTryTimeout",
    "request",
    "backendRequest",
    "baseEjectionTime",
    "interval",
    "initialDelay",
    "duration",
    "connectTimeout",
];

/// What may be written where it is not: of the mapping under this key, these keys, with Istio's default.
const ABSENT: [(&str, &[&str], u64); 3] = [
    ("outlierDetection", &["maxEjectionPercent"], 10),
    ("outlierDetection", &["consecutive5xxErrors"], 5),
    ("http", &["retries", "attempts"], 2),
];

/// Words that make a link inside of the mesh safer, by kind, the key above and the key. Nothing here makes one less safe.
const WORDS: [(&str, &str, &str, &str); 2] =
    [("PeerAuthentication", "mtls", "mode", "STRICT"), ("DestinationRule", "tls", "mode", "ISTIO_MUTUAL")];

/// The rules about links inside of the mesh.
const LINKS: [&str; 3] = ["MP0601", "MP0602", "MP0609"];

/// The fields that a finding blames, its own place first.
pub(super) fn levers(sources: &Sources, finding: &Finding) -> Vec<Lever> {
    let mut found: Vec<Lever> = Vec::new();
    for at in places(finding) {
        let Some(text) = sources.get(at.file).map(|source| source.text.as_str()) else { continue };
        let Some(root) = document_at(text, at.offset as usize) else { continue };
        let Some(way) = root.way_to(at.offset as usize) else { continue };
        let view = View { text, root: &root, at, code: finding.rule.code, slip: meant(finding) };
        view.collect(&way, 0, &mut found);
        if finding.rule.code == LATE_WAVE.code {
            let wave = ["metadata", "annotations", WAVE].map(|key| Step::Key(key.to_owned()));
            view.collect(&wave, 0, &mut found);
        }
    }
    found
}

/// The name that a reference to nothing may have meant: `did you mean` and the name.
fn meant(finding: &Finding) -> Option<String> {
    let help = finding.help.as_deref().filter(|_| finding.rule.code.starts_with("MP02"))?;
    let (word, _) = help.split_once("did you mean `")?.1.split_once('`')?;
    Some(word.to_owned())
}

/// Whether one name is a slip for the other, and not another version's: their digits are the same.
fn is_slip(written: &str, meant: &str) -> bool {
    let digits = |name: &str| name.chars().filter(char::is_ascii_digit).collect::<String>();
    written != meant && written.len() > 2 && digits(written) == digits(meant)
}

/// The finding's places, its own first.
pub(super) fn places(finding: &Finding) -> impl Iterator<Item = &Location> {
    finding.location.iter().chain(finding.related.iter().map(|(at, _)| at))
}

/// BOUND: how far below a blamed value fields are looked for.
const DEPTH: usize = 2;

struct View<'a> {
    text: &'a str,
    root: &'a Written,
    at: &'a Location,
    /// The rule that is broken.
    code: &'a str,
    /// The name that was meant, where the finding has a guess.
    slip: Option<String>,
}

impl View<'_> {
    fn collect(&self, way: &[Step], depth: usize, found: &mut Vec<Lever>) {
        let Some(value) = self.root.at(way) else { return };
        match &value.parts {
            Parts::Scalar(old) => {
                if let Some(domain) = self.domain(way, old) {
                    let quote = match self.text[value.range.clone()].chars().next() {
                        Some('"') => "\"",
                        Some('\'') => "'",
                        _ => "",
                    };
                    let range = value.range.clone();
                    self.add(way, Site::Written { range, old: old.clone(), quote, off: self.off(way) }, domain, found);
                }
            }
            Parts::Map(entries) => {
                for (key, _, _) in entries.iter().filter(|_| depth < DEPTH) {
                    let below: Vec<Step> = way.iter().cloned().chain([Step::Key(key.clone())]).collect();
                    self.collect(&below, depth + 1, found);
                }
                self.absent(way, value, found);
            }
            Parts::List(_) => {}
        }
    }

    /// A retry policy that is switched off has no other fields: Istio refuses them.
    fn off(&self, way: &[Step]) -> Option<(Range<usize>, String)> {
        let (Step::Key(key), above) = way.split_last()? else { return None };
        let policy = self.root.at(above).filter(|_| key == "attempts")?;
        let alone = format!("{key}: 0");
        Some((policy.range.clone(), if policy.is_flow(self.text) { format!("{{{alone}}}") } else { alone }))
    }

    /// Fields that could stand in a mapping.
    fn absent(&self, way: &[Step], value: &Written, found: &mut Vec<Lever>) {
        let Some(name) = named(way) else { return };
        for (_, keys, old) in ABSENT.iter().filter(|(above, keys, _)| *above == name && value.get(keys[0]).is_none()) {
            let Some(shape) = Shape::of(self.text, value) else { continue };
            let Some((_, least, most)) = keys.last().and_then(|last| COUNTS.iter().find(|(key, _, _)| key == last))
            else {
                continue;
            };
            let below: Vec<Step> =
                way.iter().cloned().chain(keys.iter().map(|key| Step::Key((*key).to_owned()))).collect();
            let domain = self.count(keys[keys.len() - 1], *old, *least, *most);
            self.add(&below, Site::Absent { shape, keys: keys.to_vec() }, domain, found);
        }
    }

    fn add(&self, way: &[Step], site: Site, domain: Domain, found: &mut Vec<Lever>) {
        let lever = Lever { at: self.at.clone(), path: shown(way), site, domain };
        let is_same = |known: &Lever| known.at.file == lever.at.file && known.site == lever.site;
        if !found.iter().any(is_same) {
            found.push(lever);
        }
    }

    fn count(&self, key: &str, old: u64, least: u64, most: u64) -> Domain {
        let is_meant = |(code, known, _): &&(&str, &str, Way)| (code.is_empty() || *code == self.code) && *known == key;
        let way = WAYS.iter().find(is_meant).map_or(Way::Both, |(_, _, way)| *way);
        Domain::Count { old, least, most, way }
    }

    /// What a written value may become.
    fn domain(&self, way: &[Step], old: &str) -> Option<Domain> {
        let key = match way.last()? {
            Step::Key(key) => key.as_str(),
            Step::Item(_) => return None,
        };
        let above = way.iter().rev().nth(1).and_then(|step| match step {
            Step::Key(key) => Some(key.as_str()),
            Step::Item(_) => None,
        });
        if let Some(word) = self.slip.as_ref().filter(|word| is_slip(old, word)) {
            return Some(Domain::Word(word.clone()));
        }
        let kind = self.root.get("kind").and_then(Written::scalar).unwrap_or_default();
        let word = WORDS.iter().find(|(of, under, known, _)| *of == kind && Some(*under) == above && *known == key);
        if let Some((_, _, _, word)) = word {
            return (*word != old && LINKS.contains(&self.code)).then(|| Domain::Word((*word).to_owned()));
        }
        if let (Some((_, least, most)), Ok(old)) = (COUNTS.iter().find(|(known, _, _)| *known == key), old.parse()) {
            // Retries go altogether only where they are too many.
            let least = if key == "attempts" && self.code != "MP0401" { 1 } else { *least };
            return Some(self.count(key, old, least, *most));
        }
        let old = TIMES.contains(&key).then(|| milliseconds(old))?.filter(|old| *old > 0)?;
        Some(Domain::Time { old })
    }
}

impl Lever {
    /// What writes this value.
    pub(super) fn edit(&self, value: &str) -> Edit {
        match &self.site {
            Site::Written { off: Some((range, text)), .. } if value == "0" => {
                Edit { file: self.at.file, range: range.clone(), text: text.clone() }
            }
            Site::Written { range, quote, .. } => {
                // What stands in quotes stays in them.
                Edit { file: self.at.file, range: range.clone(), text: format!("{quote}{value}{quote}") }
            }
            Site::Absent { shape, keys } => Edit { file: self.at.file, ..shape.insert(self.at.file, keys, value) },
        }
    }

    /// What is written there; `None`: nothing.
    pub(super) fn old(&self) -> Option<&str> {
        match &self.site {
            Site::Written { old, .. } => Some(old),
            Site::Absent { .. } => None,
        }
    }
}

#[cfg(test)]
impl Lever {
    /// A field of nowhere.
    pub(super) fn of_domain(domain: Domain) -> Self {
        let file = Sources::default().add("", "");
        let at = Location { file, line: 1, column: 1, offset: 0, length: 0, path: "".into() };
        Self {
            at,
            path: String::new(),
            site: Site::Written { range: 0..0, old: String::new(), quote: "", off: None },
            domain,
        }
    }
}

/// The key of a mapping, or of the list that it is an item of.
fn named(way: &[Step]) -> Option<&str> {
    way.iter().rev().find_map(|step| match step {
        Step::Key(key) => Some(key.as_str()),
        Step::Item(_) => None,
    })
}

/// `spec.http[0].timeout`.
fn shown(way: &[Step]) -> String {
    let step = |step: &Step| match step {
        Step::Key(key) if key.contains('.') => format!("[{key}]"),
        Step::Key(key) => format!(".{key}"),
        Step::Item(at) => format!("[{at}]"),
    };
    way.iter().map(step).collect::<String>().trim_start_matches('.').to_owned()
}

/// A time such as `1.5s`, `1m30s`, `250ms`, if it is whole milliseconds.
fn milliseconds(text: &str) -> Option<u64> {
    let (mut rest, mut total) = (text.trim(), 0_u64);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').filter(|end| *end > 0)?;
        let unit_end = rest[digits..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |end| digits + end);
        let unit = match &rest[digits..unit_end] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return None,
        };
        let (whole, part) = rest[..digits].split_once('.').unwrap_or((&rest[..digits], ""));
        let scale = 10_u64.checked_pow(u32::try_from(part.len()).ok()?)?;
        let number = whole.parse::<u64>().ok()?.checked_mul(scale)?;
        let number = number.checked_add(if part.is_empty() { 0 } else { part.parse().ok()? })?.checked_mul(unit)?;
        total = total.checked_add((number % scale == 0).then_some(number / scale)?)?;
        rest = &rest[unit_end..];
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_milliseconds() {
        for (text, read) in [
            ("2s", Some(2_000)),
            ("1.5s", Some(1_500)),
            ("1m30s", Some(90_000)),
            ("250ms", Some(250)),
            ("0.0005s", None),
            ("s", None),
            ("", None),
            ("5", None),
        ] {
            assert_eq!(milliseconds(text), read, "{text}");
        }
    }
}
