//! Recognises templates that were not rendered.

/// Where a text that is no YAML holds a template's action: a `{{` outside of comments, with its `}}` on the same line
/// or later.
pub(super) fn in_text(text: &str) -> Option<usize> {
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        if !line.trim_start().starts_with('#')
            && let Some(at) = line.find("{{")
            && text[offset + at..].contains("}}")
        {
            return Some(offset + at);
        }
        offset += line.len();
    }
    None
}

/// Whether a scalar holds an action of a Helm chart. Other tools use `{{ }}` in values that are meant to stay.
pub(crate) fn in_scalar(text: &str) -> bool {
    let Some((_, rest)) = text.split_once("{{") else { return false };
    let action = rest.trim_start_matches('-').trim_start();
    let roots = [".Values", ".Release", ".Chart", ".Capabilities", ".Files", ".Template", "$.Values", "$.Release"];
    let words = ["include", "template", "tpl", "toYaml"];
    let word = action.split(|c: char| !c.is_alphanumeric()).next().unwrap_or("");
    rest.contains("}}") && (roots.iter().any(|root| action.starts_with(root)) || words.contains(&word))
}
