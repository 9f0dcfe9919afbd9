//! Finds the routes whose path condition holds, without looking at the others: exact paths, prefixes and whole-segment
//! prefixes lie in one radix tree; the rest (patterns, templates, paths whose case does not count) is a list.

use super::path_match::PathMatch;

/// The routes of one virtual host by their paths. Routes are numbered in their order, from 0.
#[derive(Debug, Default)]
pub(crate) struct PathIndex {
    nodes: Vec<Node>,
    others: Vec<(u32, PathMatch)>,
}

/// A place in the tree. Its label is what paths have in common here, beyond its parent's.
#[derive(Debug)]
struct Node {
    label: Box<[u8]>,
    /// First bytes of the children's labels, ascending, and their nodes.
    children: Box<[(u8, u32)]>,
    /// Routes whose text ends here, ascending.
    ends: Box<[(u32, Extent)]>,
}

/// What may follow a route's text in a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Extent {
    /// Nothing.
    Whole,
    /// Anything.
    Prefix,
    /// Nothing, or a slash and anything.
    Segments,
}

impl Extent {
    pub(crate) fn allows(self, rest: &[u8]) -> bool {
        match self {
            Self::Whole => rest.is_empty(),
            Self::Prefix => true,
            Self::Segments => rest.first().is_none_or(|byte| *byte == b'/'),
        }
    }
}

impl PathIndex {
    /// Indexes path conditions in the order of their routes.
    pub(crate) fn new(paths: impl Iterator<Item = PathMatch>) -> Self {
        let (mut texts, mut others) = (Vec::new(), Vec::new());
        for (route, path) in (0..).zip(paths) {
            match path.into_text() {
                Ok((text, extent)) => texts.push((text.into_boxed_bytes(), route, extent)),
                Err(path) => others.push((route, path)),
            }
        }
        texts.sort_unstable();
        let mut index = Self { nodes: Vec::new(), others };
        if !texts.is_empty() {
            index.build(&texts, 0);
        }
        index
    }

    /// Builds the node of these texts, which are sorted and agree in their first `depth` bytes; returns its place.
    fn build(&mut self, texts: &[(Box<[u8]>, u32, Extent)], depth: usize) -> u32 {
        let (first, last) = (&texts[0].0[depth..], &texts[texts.len() - 1].0[depth..]);
        let common = first.iter().zip(last).take_while(|(a, b)| a == b).count();
        let (label, end) = (first[..common].into(), depth + common);
        let ends_here = texts.partition_point(|(text, ..)| text.len() == end);
        let mut ends: Vec<_> = texts[..ends_here].iter().map(|(_, route, extent)| (*route, *extent)).collect();
        ends.sort_unstable();
        let place = self.nodes.len();
        self.nodes.push(Node { label, children: Box::default(), ends: ends.into() });
        let groups = texts[ends_here..].chunk_by(|a, b| a.0[end] == b.0[end]);
        let children: Vec<_> = groups.map(|group| (group[0].0[end], self.build(group, end))).collect();
        self.nodes[place].children = children.into();
        u32::try_from(place).unwrap_or(u32::MAX)
    }

    /// The first route whose path condition holds for `path` (without its query) and that `accepts`.
    pub(crate) fn first(&self, path: &str, accepts: impl Fn(u32) -> bool) -> Option<u32> {
        let mut best = u32::MAX;
        let mut rest = path.as_bytes();
        let mut next = self.nodes.first();
        while let Some(node) = next {
            let Some(after) = rest.strip_prefix(&*node.label) else { break };
            rest = after;
            for (route, extent) in &node.ends {
                if *route >= best {
                    break;
                }
                if extent.allows(rest) && accepts(*route) {
                    best = *route;
                }
            }
            next = rest.first().and_then(|byte| {
                let child = node.children.binary_search_by_key(byte, |(first, _)| *first).ok()?;
                self.nodes.get(node.children[child].1 as usize)
            });
        }
        for (route, path_match) in &self.others {
            if *route >= best {
                break;
            }
            if path_match.matches(path) && accepts(*route) {
                best = *route;
            }
        }
        (best != u32::MAX).then_some(best)
    }
}
