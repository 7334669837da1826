//! The few SVG primitives that the charts need, with escaping.
//!
//! A layer of our own, because of what was weighed: `plotters` draws no labels at a line's end, no
//! variant for a dark ground, and fixes fonts and positions in pixels; `charming` needs a JavaScript
//! engine or a browser to make an SVG; both bring more dependencies than the rest of the program.
//! What is needed here is text, lines and rectangles, and where to put them.

use super::theme::Theme;
use std::fmt::Write;

/// Width of every chart, in user units; the view box scales it to any size.
pub const WIDTH: f64 = 960.0;
/// Height of a chart that does not ask for another.
pub const HEIGHT: f64 = 540.0;

const FONTS: &str =
    "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'Noto Sans', sans-serif";

/// Where a text stands in relation to its x.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// Begins there.
    Start,
    /// Is centred there.
    Middle,
    /// Ends there.
    End,
}

/// A piece of text in one style.
#[derive(Clone, Debug)]
pub struct Span<'a> {
    /// What it says.
    pub content: &'a str,
    /// Its colour.
    pub fill: &'a str,
    /// Its size.
    pub size: f64,
    /// Whether it is bold.
    pub is_bold: bool,
}

/// How a line or an outline is drawn.
#[derive(Clone, Copy, Debug)]
pub struct Stroke<'a> {
    /// Its colour.
    pub colour: &'a str,
    /// Its width.
    pub width: f64,
    /// Its dashes, in SVG's words; empty for a full line.
    pub dashes: &'a str,
    /// Its opacity.
    pub opacity: f64,
}

impl<'a> Stroke<'a> {
    /// A full line.
    pub fn solid(colour: &'a str, width: f64) -> Self {
        Self {
            colour,
            width,
            dashes: "",
            opacity: 1.0,
        }
    }

    fn attributes(&self) -> String {
        let mut text = format!(
            " stroke=\"{}\" stroke-width=\"{}\"",
            self.colour, self.width
        );
        if !self.dashes.is_empty() {
            let _ = write!(text, " stroke-dasharray=\"{}\"", self.dashes);
        }
        if self.opacity < 1.0 {
            let _ = write!(text, " stroke-opacity=\"{}\"", self.opacity);
        }
        text
    }
}

/// A chart in the making.
pub struct Svg {
    /// Its colours.
    pub theme: Theme,
    /// Its height.
    pub height: f64,
    definitions: String,
    body: String,
}

impl Svg {
    /// An empty chart.
    pub fn new(theme: &Theme) -> Self {
        Self {
            theme: *theme,
            height: HEIGHT,
            definitions: String::new(),
            body: String::new(),
        }
    }

    /// The whole document. `title` and `description` are what a screen reader says.
    pub fn finish(self, title: &str, description: &str) -> String {
        let height = self.height;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
             aria-labelledby=\"title description\" font-family=\"{FONTS}\" \
             style=\"font-variant-numeric: tabular-nums\">\n\
             <title id=\"title\">{}</title>\n<desc id=\"description\">{}</desc>\n\
             <defs>{}</defs>\n\
             <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"{}\"/>\n{}</svg>\n",
            escape(title),
            escape(description),
            self.definitions,
            self.theme.background,
            self.body
        )
    }

    /// A text in one style.
    pub fn text(&mut self, x: f64, y: f64, anchor: Anchor, span: Span<'_>) {
        self.spans(x, y, anchor, false, &[span]);
    }

    /// A text of several styles on one line; a halo in the ground's colour keeps it readable over lines.
    pub fn spans(&mut self, x: f64, y: f64, anchor: Anchor, has_halo: bool, spans: &[Span<'_>]) {
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        let halo = if has_halo {
            format!(
                " paint-order=\"stroke\" stroke=\"{}\" stroke-width=\"5\" stroke-linejoin=\"round\"",
                self.theme.background
            )
        } else {
            String::new()
        };
        let _ = write!(
            self.body,
            "<text x=\"{}\" y=\"{}\"{anchor}{halo}>",
            round(x),
            round(y)
        );
        for (index, span) in spans.iter().enumerate() {
            let weight = if span.is_bold {
                " font-weight=\"600\""
            } else {
                ""
            };
            // Renderers differ in which spaces between spans they keep: a shift is the same in all.
            let shift = if index > 0 { " dx=\"6\"" } else { "" };
            let _ = write!(
                self.body,
                "<tspan{shift} fill=\"{}\" font-size=\"{}\"{weight}>{}</tspan>",
                span.fill,
                span.size,
                escape(span.content)
            );
        }
        self.body.push_str("</text>\n");
    }

    /// A straight line.
    pub fn line(&mut self, from: (f64, f64), to: (f64, f64), stroke: Stroke<'_>) {
        self.polyline(&[from, to], stroke);
    }

    /// A line through all the points.
    pub fn polyline(&mut self, points: &[(f64, f64)], stroke: Stroke<'_>) {
        let _ = writeln!(
            self.body,
            "<path d=\"{}\" fill=\"none\" stroke-linejoin=\"round\" stroke-linecap=\"round\"{}/>",
            path(points),
            stroke.attributes()
        );
    }

    /// A filled area with no outline.
    pub fn area(&mut self, points: &[(f64, f64)], fill: &str, opacity: f64) {
        let _ = writeln!(
            self.body,
            "<path d=\"{}Z\" fill=\"{fill}\" fill-opacity=\"{opacity}\"/>",
            path(points)
        );
    }

    /// A circle with an outline.
    pub fn circle(&mut self, centre: (f64, f64), radius: f64, fill: &str, stroke: Stroke<'_>) {
        let _ = writeln!(
            self.body,
            "<circle cx=\"{}\" cy=\"{}\" r=\"{radius}\" fill=\"{fill}\"{}/>",
            round(centre.0),
            round(centre.1),
            stroke.attributes()
        );
    }

    /// A filled rectangle.
    pub fn rect(&mut self, corner: (f64, f64), size: (f64, f64), fill: &str) {
        let _ = writeln!(
            self.body,
            "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"{fill}\"/>",
            round(corner.0),
            round(corner.1),
            round(size.0),
            round(size.1)
        );
    }

    /// Defines a hatching of this colour and returns the fill that names it.
    pub fn hatching(&mut self, name: &str, colour: &str, degrees: i32) -> String {
        let _ = write!(
            self.definitions,
            "<pattern id=\"{name}\" width=\"7\" height=\"7\" patternUnits=\"userSpaceOnUse\" \
             patternTransform=\"rotate({degrees})\"><rect width=\"7\" height=\"7\" fill=\"{colour}\" \
             fill-opacity=\"0.25\"/><rect width=\"3\" height=\"7\" fill=\"{colour}\"/></pattern>"
        );
        format!("url(#{name})")
    }
}

/// Text that XML, and so Markdown's HTML, takes as text.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            // XML 1.0 has no way at all to write most control characters.
            control if control.is_control() => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}

fn path(points: &[(f64, f64)]) -> String {
    let mut text = String::new();
    for (index, (x, y)) in points.iter().enumerate() {
        let command = if index == 0 { 'M' } else { 'L' };
        let _ = write!(text, "{command}{} {}", round(*x), round(*y));
    }
    text
}

/// A tenth of a unit is finer than any screen shows, and keeps files small and their differences readable.
fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::super::theme::LIGHT;
    use super::*;

    #[test]
    fn text_cannot_break_out_of_its_element() {
        let mut svg = Svg::new(&LIGHT);
        let span = Span {
            content: "<script> & \"q\"\u{1}",
            fill: "#000000",
            size: 13.0,
            is_bold: false,
        };
        svg.text(1.0, 2.0, Anchor::Middle, span);
        let document = svg.finish("a < b", "c & d");
        assert!(
            document.contains("&lt;script&gt; &amp; &quot;q&quot; </tspan>"),
            "{document}"
        );
        assert!(document.contains("<title id=\"title\">a &lt; b</title>"));
        assert!(document.contains("<desc id=\"description\">c &amp; d</desc>"));
    }

    #[test]
    fn coordinates_are_written_to_a_tenth() {
        assert_eq!(path(&[(1.0, 2.0 / 3.0), (10.04, 7.0)]), "M1 0.7L10 7");
    }
}
