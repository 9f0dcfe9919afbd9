//! Which virtual host an authority belongs to: exact, then `*suffix`, then `prefix*`, then `*`, the longest first
//! (Envoy: `RouteMatcher::findVirtualHost`).

use super::name_map::NameMap;
use crate::error::{CompileFault, Faults};

/// Domains in lower case and the numbers of their virtual hosts.
#[derive(Debug, Default)]
pub(crate) struct Domains {
    exact: NameMap,
    suffixes: Wildcards,
    prefixes: Wildcards,
    any: Option<u32>,
}

/// Wildcards by the length of their text, the longest first.
#[derive(Debug, Default)]
struct Wildcards(Vec<(usize, Texts)>);

/// Texts of one length, sorted, and their virtual hosts.
type Texts = Vec<(Box<str>, u32)>;

impl Domains {
    /// Indexes the domains; each belongs to one virtual host.
    pub(crate) fn new<'a>(domains: impl Iterator<Item = (&'a str, u32)>, faults: &mut Faults) -> Self {
        let mut this = Self::default();
        let mut exact = Vec::new();
        let mut duplicate = |domain: &str| faults.push(CompileFault::DuplicateDomain { domain: domain.to_owned() });
        for (domain, host) in domains {
            let domain = domain.to_ascii_lowercase();
            let is_new = match (domain.strip_prefix('*'), domain.strip_suffix('*')) {
                (Some(""), _) => this.any.replace(host).is_none(),
                (Some(suffix), _) => this.suffixes.insert(suffix, host),
                (None, Some(prefix)) => this.prefixes.insert(prefix, host),
                (None, None) => {
                    exact.push((domain, host));
                    continue;
                }
            };
            if !is_new {
                duplicate(&domain);
            }
        }
        this.exact = NameMap::new(exact.iter().map(|(domain, host)| (domain.as_str(), *host)), duplicate);
        this
    }

    /// The virtual host of an authority in lower case.
    pub(crate) fn find(&self, host: &str) -> Option<u32> {
        self.exact
            .get(host)
            .or_else(|| self.suffixes.find(host, |len| host.get(host.len() - len..)))
            .or_else(|| self.prefixes.find(host, |len| host.get(..len)))
            .or(self.any)
    }
}

impl Wildcards {
    fn insert(&mut self, text: &str, host: u32) -> bool {
        let place = self.0.partition_point(|(len, _)| *len > text.len());
        if self.0.get(place).is_none_or(|(len, _)| *len != text.len()) {
            self.0.insert(place, (text.len(), Vec::new()));
        }
        let texts = &mut self.0[place].1;
        match texts.binary_search_by(|(other, _)| (**other).cmp(text)) {
            Ok(_) => false,
            Err(place) => {
                texts.insert(place, (text.into(), host));
                true
            }
        }
    }

    /// A wildcard stands for at least one character.
    fn find<'h>(&self, host: &'h str, part: impl Fn(usize) -> Option<&'h str>) -> Option<u32> {
        self.0.iter().filter(|(len, _)| *len < host.len()).find_map(|(len, texts)| {
            let part = part(*len)?;
            let place = texts.binary_search_by(|(text, _)| (**text).cmp(part)).ok()?;
            Some(texts[place].1)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_domain_wins() {
        let domains = ["*", "*.bar.com", "*-x.bar.com", "foo.*", "foo.bar.com", "a.b.*", "*.b.test", "a.b.test", "API"];
        let mut faults = Faults::default();
        let index = Domains::new(domains.iter().copied().zip(0..), &mut faults);
        assert!(faults.into_found().is_empty());
        let table = [
            ("foo.bar.com", "foo.bar.com"),
            ("foo.bar.com:80", "foo.*"),
            ("y-x.bar.com", "*-x.bar.com"),
            ("-x.bar.com", "*.bar.com"),
            ("z.bar.com", "*.bar.com"),
            (".bar.com", "*"),
            ("bar.com", "*"),
            ("foo.", "*"),
            ("foo.x", "foo.*"),
            ("a.b.test", "a.b.test"),
            ("x.b.test", "*.b.test"),
            ("a.b.other", "a.b.*"),
            ("a.b.", "*"),
            ("api", "API"),
            ("", "*"),
        ];
        for (host, expect) in table {
            let got = index.find(host).map(|index| domains[index as usize]);
            assert_eq!(got, Some(expect), "{host}");
        }
    }

    #[test]
    fn a_domain_belongs_to_one_virtual_host() {
        for domains in [["a", "A"], ["*", "*"], ["*.a", "*.a"], ["a.*", "A.*"]] {
            let mut faults = Faults::default();
            Domains::new(domains.into_iter().zip(0..), &mut faults);
            assert_eq!(faults.into_found().len(), 1, "{domains:?}");
        }
    }
}
