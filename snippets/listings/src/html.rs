//! Text that goes into the HTML and the fences of a page unharmed.

/// Text for an element or an attribute, in HTML that stands in Markdown.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            // mdBook's own preprocessor comes after this one and would take `{{#…}}` for its own.
            '{' => escaped.push_str("&#123;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A fenced code block that no line of `code` can end.
pub(crate) fn fence(info: &str, code: &str) -> String {
    let longest = code.split(|c| c != '`').map(str::len).max().unwrap_or_default();
    let ticks = "`".repeat(longest.max(2) + 1);
    // As in `escape`; here the escape is mdBook's, which it takes away again.
    let code = code.replace("{{#", "\\{{#");
    format!("{ticks}{info}\n{}\n{ticks}\n", code.trim_end_matches('\n'))
}
