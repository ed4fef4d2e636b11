//! Segment templates (ISO/IEC 23009-1 §5.3.9.4.4): `$RepresentationID$`, `$Number$`, `$Time$`, `$Bandwidth$`, `$$`, each
//! number with an optional `%0Nd`.

use crate::limits::{FORMAT_WIDTH_MAX, URL_BYTES_MAX};

/// What a template is filled with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Values<'a> {
    pub(crate) id: &'a str,
    pub(crate) bandwidth: u64,
    pub(crate) number: Option<u64>,
    pub(crate) time: Option<u64>,
}

/// Fills a template; `None` when it is malformed, too long, or asks for what there is not.
pub(crate) fn expand(template: &str, values: Values<'_>) -> Option<String> {
    let mut out = String::with_capacity(template.len() + 16);
    let mut parts = template.split('$');
    out.push_str(parts.next()?);
    while let Some(identifier) = parts.next() {
        // A lone dollar has no end.
        let literal = parts.next()?;
        let (name, format) =
            identifier.split_once('%').map_or((identifier, None), |(name, format)| (name, Some(format)));
        match name {
            "" if format.is_none() => out.push('$'),
            "RepresentationID" if format.is_none() => out.push_str(values.id),
            "Number" => push(&mut out, values.number?, format)?,
            "Time" => push(&mut out, values.time?, format)?,
            "Bandwidth" => push(&mut out, values.bandwidth, format)?,
            _ => return None,
        }
        out.push_str(literal);
        if out.len() > URL_BYTES_MAX {
            return None;
        }
    }
    Some(out)
}

/// Writes a number, padded when `format` is `0Nd`.
fn push(out: &mut String, number: u64, format: Option<&str>) -> Option<()> {
    let width = match format {
        None => 1,
        Some(format) => format.strip_prefix('0')?.strip_suffix('d')?.parse().ok()?,
    };
    (width <= FORMAT_WIDTH_MAX).then(|| out.push_str(&format!("{number:0width$}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(template: &str, expected: Option<&str>) {
        let values = Values { id: "v1", bandwidth: 500, number: Some(7), time: Some(90_000) };
        assert_eq!(expand(template, values).as_deref(), expected, "{template}");
    }

    #[test]
    fn identifiers_and_formats_are_filled_in() {
        check("seg-$RepresentationID$-$Number%05d$.m4s", Some("seg-v1-00007.m4s"));
        check("$Bandwidth$/$Time$.mp4", Some("500/90000.mp4"));
        check("a$$b", Some("a$b"));
        check("plain", Some("plain"));
    }

    #[test]
    fn malformed_templates_are_refused() {
        for template in ["$Number", "$Nonsense$", "$Number%5d$", "$Number%099d$", "$RepresentationID%02d$"] {
            check(template, None);
        }
        assert_eq!(expand("$Number$", Values { id: "", bandwidth: 0, number: None, time: None }), None);
    }
}
