//! The region of a source file that a chapter shows, between mdBook's own `ANCHOR: shown` and
//! `ANCHOR_END: shown`. The table checks it, the page folds everything around it away.

/// One line of a listing, without the anchors.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    pub(crate) text: &'a str,
    pub(crate) shown: bool,
}

/// The lines of `source` without those that hold anchors. A file without anchors is shown whole.
pub(crate) fn lines(source: &str) -> Result<Vec<Line<'_>>, String> {
    let anchored = source.lines().any(|line| anchor(line).is_some());
    let mut lines = Vec::new();
    let mut other = None;
    let mut regions = 0;
    let mut open: Option<usize> = None;
    for (at, text) in source.lines().enumerate() {
        let at = at + 1;
        match anchor(text) {
            Some((Edge::Start, "shown")) => {
                if let Some(since) = open.replace(at) {
                    return Err(format!(
                        "line {at} starts the region `shown`, which line {since} started already: \
                         close it with `ANCHOR_END: shown` first"
                    ));
                }
                regions += 1;
            }
            Some((Edge::End, "shown")) => {
                if open.take().is_none() {
                    return Err(format!(
                        "line {at} ends the region `shown`, which no line started: put \
                         `ANCHOR: shown` above what is to be shown"
                    ));
                }
            }
            Some((_, name)) => other = other.or(Some(name)),
            None => lines.push(Line { text, shown: open.is_some() || !anchored }),
        }
    }
    if let Some(since) = open {
        return Err(format!(
            "the region `shown` that line {since} starts has no end: put `ANCHOR_END: shown` below \
             what is to be shown"
        ));
    }
    if let (Some(name), 0) = (other, regions) {
        return Err(format!(
            "it has a region `{name}` but none called `shown`, which is the one that chapters \
             show: rename it, or remove the anchors to show the whole file"
        ));
    }
    if !lines.iter().any(|line| line.shown && !line.text.trim().is_empty()) {
        return Err("there is nothing to show: the file or its region `shown` is empty".to_owned());
    }
    Ok(lines)
}

enum Edge {
    Start,
    End,
}

fn anchor(line: &str) -> Option<(Edge, &str)> {
    for (mark, edge) in [("ANCHOR:", Edge::Start), ("ANCHOR_END:", Edge::End)] {
        if let Some((_, rest)) = line.split_once(mark) {
            let name = rest.trim_start();
            let end = name.find(|c: char| !(c.is_alphanumeric() || c == '-' || c == '_')).unwrap_or(name.len());
            return Some((edge, &name[..end]));
        }
    }
    None
}
