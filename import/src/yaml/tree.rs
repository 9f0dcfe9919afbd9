//! From parser events to the tree, without recursion and within limits.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use granit_parser::{Event, Marker, Parser, Placement, ScalarStyle, Span, StrInput, Tag};

use super::{Broken, Comment, Document, Duplicate, Entry, Flag, Mark, Node, Parsed, Value, split::Chunk, template};

// BOUND: nesting of values; Kubernetes' own types stay below 40.
const DEPTH_MAX: usize = 200;
// BOUND: values that the aliases of one document stand for.
const ALIASED_MAX: usize = 100_000;
// BOUND: comments without a value between them.
const COMMENTS_MAX: usize = 1 << 20;

/// Reads one chunk into `parsed`; a chunk with an error ends there.
pub(super) fn read<'a>(chunk: Chunk<'a>, parsed: &mut Parsed<'a>) {
    let options = granit_parser::options! {
        max_buffered_comment_events: COMMENTS_MAX,
        flow_nesting_limit: DEPTH_MAX,
        block_nesting_limit: DEPTH_MAX,
    };
    let mut parser = Parser::new_from_str_with_options(chunk.text, options);
    let mut builder = Builder::new(chunk);
    if let Err(failure) = builder.run(&mut parser, parsed) {
        parsed.broken.push(explain(chunk, failure));
    }
}

/// Why a document is no tree.
struct Failure {
    mark: Mark,
    message: String,
    template: bool,
}

fn explain(chunk: Chunk<'_>, failure: Failure) -> Broken {
    let at = template::in_text(chunk.text);
    match at {
        Some(at) => Broken { mark: mark_of(chunk, at), message: failure.message, template: true },
        // What breaks at the end is shown on the last line that says something.
        None if failure.mark.offset as usize >= chunk.offset + chunk.text.len() => {
            let last = chunk.text.trim_end();
            let start = last.rfind('\n').map_or(0, |i| i + 1);
            Broken { mark: mark_of(chunk, start), message: failure.message, template: failure.template }
        }
        None => Broken { mark: failure.mark, message: failure.message, template: failure.template },
    }
}

/// The place of a byte of the chunk.
fn mark_of(chunk: Chunk<'_>, at: usize) -> Mark {
    let before = &chunk.text[..at];
    let line_start = before.rfind('\n').map_or(0, |i| i + 1);
    Mark {
        line: narrow(chunk.lines + before.matches('\n').count() + 1),
        column: narrow(before[line_start..].chars().count() + 1),
        offset: narrow(chunk.offset + at),
        length: narrow(chunk.text[at..].lines().next().map_or(1, str::len).max(1)),
    }
}

fn narrow(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// A collection that is still open.
struct Open<'a> {
    mark: Mark,
    anchor: usize,
    depth: usize,
    nodes: usize,
    content: Content<'a>,
}

/// What a collection is, and where its part of the builder's values begins.
enum Content<'a> {
    Sequence { first: usize },
    Mapping { first: usize, key: Option<(Cow<'a, str>, Mark)> },
}

/// A value that an alias may repeat.
struct Anchored<'a> {
    node: Node<'a>,
    depth: usize,
    nodes: usize,
}

struct Builder<'a> {
    chunk: Chunk<'a>,
    stack: Vec<Open<'a>>,
    /// Values of the open sequences, the innermost one's last: each gets a list of its own once its length is known.
    items: Vec<Node<'a>>,
    /// Likewise, entries of the open mappings.
    entries: Vec<Entry<'a>>,
    anchors: BTreeMap<usize, Anchored<'a>>,
    aliased: usize,
    root: Option<Node<'a>>,
    duplicates: Vec<Duplicate>,
    braces: bool,
}

impl<'a> Builder<'a> {
    fn new(chunk: Chunk<'a>) -> Self {
        Self {
            chunk,
            stack: Vec::new(),
            items: Vec::new(),
            entries: Vec::new(),
            anchors: BTreeMap::new(),
            aliased: 0,
            root: None,
            duplicates: Vec::new(),
            braces: chunk.text.contains("{{"),
        }
    }

    fn run(&mut self, parser: &mut Parser<'a, StrInput<'a>>, parsed: &mut Parsed<'a>) -> Result<(), Failure> {
        while let Some(next) = parser.next_event() {
            let (event, span) = next.map_err(|error| Failure {
                mark: self.mark(error.marker(), None),
                message: error.info(),
                template: false,
            })?;
            match event {
                Event::Comment(text, placement) => {
                    let mark = self.span(&span);
                    parsed.comments.push(Comment { text, mark, alone: placement != Placement::Right });
                }
                Event::DocumentEnd => self.end(parsed),
                Event::Scalar(text, style, anchor, tag) => self.scalar(text, style, anchor, tag.as_deref(), &span)?,
                Event::Alias(id) => self.alias(id, &span)?,
                Event::SequenceStart(_, anchor, _) => {
                    self.open(anchor, &span, Content::Sequence { first: self.items.len() })?;
                }
                Event::MappingStart(_, anchor, _) => {
                    self.open(anchor, &span, Content::Mapping { first: self.entries.len(), key: None })?;
                }
                Event::SequenceEnd | Event::MappingEnd => self.close(&span)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn end(&mut self, parsed: &mut Parsed<'a>) {
        self.anchors.clear();
        self.aliased = 0;
        let duplicates = std::mem::take(&mut self.duplicates);
        if let Some(root) = self.root.take()
            && !root.is_null()
        {
            parsed.documents.push(Document { root, duplicates, braces: self.braces });
        }
    }

    fn scalar(
        &mut self,
        text: Cow<'a, str>,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
        span: &Span,
    ) -> Result<(), Failure> {
        let forced = tag.is_some_and(|tag| matches!(tag.core_suffix(), Some("str" | "binary")));
        let plain = style == ScalarStyle::Plain && !forced;
        let node = Node { mark: self.span(span), value: Value::Scalar { text, plain } };
        if anchor != 0 {
            self.anchors.insert(anchor, Anchored { node: node.clone(), depth: 0, nodes: 1 });
        }
        self.put(node, 0, 1)
    }

    fn alias(&mut self, id: usize, span: &Span) -> Result<(), Failure> {
        let mark = self.span(span);
        let Some(anchored) = self.anchors.get(&id) else {
            return Err(Failure { mark, message: "an alias inside of its own anchor".to_owned(), template: false });
        };
        self.aliased += anchored.nodes;
        if self.aliased > ALIASED_MAX {
            let message = format!("aliases that stand for more than {ALIASED_MAX} values");
            return Err(Failure { mark, message, template: false });
        }
        let (node, depth, nodes) = (anchored.node.clone(), anchored.depth, anchored.nodes);
        self.limit(depth, mark)?;
        self.put(node, depth, nodes)
    }

    fn open(&mut self, anchor: usize, span: &Span, content: Content<'a>) -> Result<(), Failure> {
        let mark = self.span(span);
        self.limit(1, mark)?;
        if let Some(Open { content: Content::Mapping { key: None, .. }, .. }) = self.stack.last() {
            let template = self.chunk.text[(mark.offset as usize) - self.chunk.offset..].starts_with('{');
            return Err(Failure { mark, message: "a key that is not a text".to_owned(), template });
        }
        self.stack.push(Open { mark, anchor, depth: 0, nodes: 1, content });
        Ok(())
    }

    fn close(&mut self, span: &Span) -> Result<(), Failure> {
        let Some(open) = self.stack.pop() else { return Ok(()) };
        let mut mark = open.mark;
        if let (Some(end), 0..=1) = (span.end.byte_offset(), mark.length) {
            mark.length = narrow((self.chunk.offset + end).saturating_sub(mark.offset as usize)).max(1);
        }
        let value = match open.content {
            Content::Sequence { first } => Value::Sequence(self.items.drain(first..).collect()),
            Content::Mapping { first, .. } => {
                let entries: Vec<Entry<'a>> = self.entries.drain(first..).collect();
                self.note_duplicates(&entries);
                Value::Mapping(merge(entries))
            }
        };
        let node = Node { mark, value };
        if open.anchor != 0 {
            let anchored = Anchored { node: node.clone(), depth: open.depth + 1, nodes: open.nodes };
            self.anchors.insert(open.anchor, anchored);
        }
        self.put(node, open.depth + 1, open.nodes)
    }

    /// Puts a finished value where it belongs; `depth` is that of the value itself.
    fn put(&mut self, node: Node<'a>, depth: usize, nodes: usize) -> Result<(), Failure> {
        self.limit(depth, node.mark)?;
        let Some(open) = self.stack.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        open.depth = open.depth.max(depth);
        open.nodes += nodes;
        match &mut open.content {
            Content::Sequence { .. } => self.items.push(node),
            Content::Mapping { key, .. } => match key.take() {
                Some((key, mark)) => self.entries.push(Entry { key, mark, value: node, read: Flag::default() }),
                None => {
                    if let Value::Scalar { text, .. } = node.value {
                        *key = Some((text, node.mark));
                    } else {
                        let message = "a key that is not a text".to_owned();
                        return Err(Failure { mark: node.mark, message, template: false });
                    }
                }
            },
        }
        Ok(())
    }

    fn limit(&self, depth: usize, mark: Mark) -> Result<(), Failure> {
        if self.stack.len() + depth <= DEPTH_MAX {
            return Ok(());
        }
        Err(Failure { mark, message: format!("values nested more than {DEPTH_MAX} deep"), template: false })
    }

    fn note_duplicates(&mut self, entries: &[Entry<'a>]) {
        if all_differ(entries) {
            return;
        }
        let path = self.path();
        let mut first: BTreeMap<&str, Mark> = BTreeMap::new();
        for entry in entries {
            if let Some(mark) = first.get(entry.key.as_ref()) {
                let path = if path.is_empty() { entry.key.to_string() } else { format!("{path}.{}", entry.key) };
                let key = entry.key.to_string();
                self.duplicates.push(Duplicate { path, key, first: *mark, second: entry.mark });
            }
            first.entry(&entry.key).or_insert(entry.mark);
        }
    }

    /// The way to the collection that is being closed.
    fn path(&self) -> String {
        let mut path = String::new();
        for (i, open) in self.stack.iter().enumerate() {
            match &open.content {
                Content::Sequence { first } => {
                    let inner = self.stack[i + 1..].iter().find_map(|open| match open.content {
                        Content::Sequence { first } => Some(first),
                        Content::Mapping { .. } => None,
                    });
                    crate::object::push_index(&mut path, inner.unwrap_or(self.items.len()) - first);
                }
                Content::Mapping { key, .. } => {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(key.as_ref().map_or("", |(key, _)| key.as_ref()));
                }
            }
        }
        path
    }

    fn span(&self, span: &Span) -> Mark {
        self.mark(&span.start, span.end.byte_offset())
    }

    fn mark(&self, marker: &Marker, end: Option<usize>) -> Mark {
        let offset = marker.byte_offset().unwrap_or(0);
        Mark {
            line: narrow(self.chunk.lines + marker.line()),
            column: narrow(marker.col() + 1),
            offset: narrow(self.chunk.offset + offset),
            length: narrow(end.unwrap_or(offset).saturating_sub(offset)),
        }
    }
}

/// Whether no key is written twice. Most mappings are short, and cheaper to compare than to collect.
fn all_differ(entries: &[Entry<'_>]) -> bool {
    let mut keys = entries.iter().map(|entry| entry.key.as_ref()).filter(|key| *key != "<<");
    if entries.len() > 16 {
        let mut seen = BTreeSet::new();
        return keys.all(|key| seen.insert(key));
    }
    entries
        .iter()
        .enumerate()
        .all(|(i, entry)| entry.key == "<<" || entries[..i].iter().all(|earlier| earlier.key != entry.key))
}

/// Applies `<<`: what the mapping says itself wins.
fn merge(mut entries: Vec<Entry<'_>>) -> Vec<Entry<'_>> {
    let Some(at) = entries.iter().position(|entry| entry.key == "<<") else { return entries };
    let merged = entries.remove(at);
    let sources: Vec<Node<'_>> = match merged.value.value {
        Value::Sequence(items) => items,
        _ => vec![merged.value],
    };
    for source in sources {
        if let Value::Mapping(inherited) = source.value {
            for entry in inherited {
                if !entries.iter().any(|own| own.key == entry.key) {
                    entries.push(entry);
                }
            }
        }
    }
    entries
}
