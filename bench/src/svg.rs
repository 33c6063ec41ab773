//! Plots as SVG: lines over two axes, and bars that have a name each. Nothing in them comes from elsewhere.

use std::fmt::Write as _;

/// Width and height of a plot, in pixels.
const SIZE: (f64, f64) = (760.0, 300.0);
/// Room for the axes: left, right, top, bottom.
const ROOM: (f64, f64, f64, f64) = (84.0, 28.0, 28.0, 44.0);
/// Names of lines stand below the plot, where no line runs through them: so many in a row, and height of a row.
const LEGEND: (u8, f64) = (3, 16.0);
/// Height of a bar with its gap, where bars begin at least, and room for what is written behind them.
const BAR: (f64, f64, f64) = (20.0, 200.0, 190.0);
/// Width of a letter: rather too much than too little, as nobody knows the font.
const LETTER: f64 = 6.8;
/// Ticks of the axis of values.
const TICKS: u32 = 5;
/// Colours that are told apart by those who see few, and on paper.
const COLOURS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];

/// A line of a plot.
#[derive(Debug)]
pub(crate) struct Line {
    /// Its name, for the legend.
    pub(crate) name: String,
    /// Points from left to right.
    pub(crate) points: Vec<(f64, f64)>,
}

/// A plot of lines; both axes begin at 0 unless the first tick lies elsewhere.
#[derive(Debug)]
pub(crate) struct Plot<'a> {
    /// What it shows.
    pub(crate) title: &'a str,
    /// Below the axis of positions.
    pub(crate) across: &'a str,
    /// Positions that are named, in order, the first and the last being the ends of the axis; at least two.
    pub(crate) ticks: Vec<(f64, String)>,
    /// How a value is written.
    pub(crate) value: fn(f64) -> String,
    /// The lines.
    pub(crate) lines: Vec<Line>,
}

/// `text` as text of a page.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The least of 1, 2, 5, 10, 20, … that is not below `value`.
fn round_up(value: f64) -> f64 {
    if value.is_nan() || value <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0];
    steps.iter().map(|step| step * power).find(|step| *step >= value * (1.0 - 1e-9)).unwrap_or(value)
}

fn text(out: &mut String, (x, y): (f64, f64), anchor: &str, words: &str) {
    let words = escaped(words);
    let _ = write!(out, r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{words}</text>"#);
}

fn open(out: &mut String, height: f64, title: &str) {
    let (width, name) = (SIZE.0, escaped(title));
    let _ = write!(
        out,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:.0}" role="img"><title>{name}</title>"#
    );
    text(out, (ROOM.0, ROOM.2 - 12.0), "start", title);
}

impl Plot<'_> {
    /// The plot; a sentence instead, if there is nothing to plot.
    pub(crate) fn draw(&self) -> String {
        let (left, right, top, bottom) = ROOM;
        let (width, height) = (SIZE.0 - left - right, SIZE.1 - top - bottom);
        let values = self.lines.iter().flat_map(|line| &line.points).map(|(_, value)| *value);
        let most = values.fold(0.0, f64::max);
        let (Some((first, _)), Some((last, _))) = (self.ticks.first(), self.ticks.last()) else {
            return String::new();
        };
        if most <= 0.0 || last <= first {
            return format!("<p>{}: too few samples.</p>", escaped(self.title));
        }
        let step = round_up(most / f64::from(TICKS));
        let highest = (most / step).ceil() * step;
        let x = |at: f64| left + (at - first) / (last - first) * width;
        let y = |value: f64| top + height - value / highest * height;
        let mut out = String::new();
        let (in_a_row, row) = LEGEND;
        let rows = self.lines.len().div_ceil(in_a_row.into());
        open(&mut out, SIZE.1 + row * rows as f64, self.title);
        let mut tick = 0.0;
        while tick <= highest * (1.0 + 1e-9) {
            let at = y(tick);
            let end = left + width;
            let _ = write!(out, r#"<line class="grid" x1="{left}" y1="{at:.1}" x2="{end}" y2="{at:.1}"/>"#);
            text(&mut out, (left - 6.0, at + 4.0), "end", &(self.value)(tick));
            tick += step;
        }
        let floor = top + height;
        for (position, name) in &self.ticks {
            let at = x(*position);
            let _ = write!(out, r#"<line class="grid" x1="{at:.1}" y1="{top}" x2="{at:.1}" y2="{floor}"/>"#);
            text(&mut out, (at, floor + 16.0), "middle", name);
        }
        text(&mut out, (left + width / 2.0, floor + 34.0), "middle", self.across);
        for (line, (number, colour)) in self.lines.iter().zip((0_u8..).zip(COLOURS.iter().cycle())) {
            let points: Vec<String> =
                line.points.iter().map(|(at, value)| format!("{:.1},{:.1}", x(*at), y(*value))).collect();
            // Dashes tell a seventh from the first.
            let dash = if usize::from(number) >= COLOURS.len() { r#" stroke-dasharray="5 3""# } else { "" };
            let points = points.join(" ");
            let _ = write!(
                out,
                r#"<polyline fill="none" stroke="{colour}" stroke-width="1.6"{dash} points="{points}"/>"#
            );
            let (column, line_of_names) = (f64::from(number % in_a_row), f64::from(number / in_a_row));
            let at = (left + width / f64::from(in_a_row) * column, SIZE.1 + row * line_of_names + 8.0);
            let (rx, ry) = (at.0, at.1 - 9.0);
            let _ = write!(out, r#"<rect x="{rx}" y="{ry}" width="10" height="10" fill="{colour}"/>"#);
            text(&mut out, (at.0 + 15.0, at.1), "start", &line.name);
        }
        out.push_str("</svg>");
        out
    }
}

/// A bar: its name, its value, one further out that is drawn thinly, and what is written behind it.
pub(crate) type Bar = (String, Option<f64>, Option<f64>, String);

/// Bars from top to bottom, all on one scale. One without a value is a name.
pub(crate) fn bars(title: &str, bars: &[Bar]) -> String {
    let (height, least, behind) = BAR;
    let longest = bars.iter().map(|(name, ..)| name.chars().count()).max().unwrap_or(0);
    let left = (longest as f64 * LETTER + 16.0).clamp(least, SIZE.0 - behind - 100.0);
    let most = bars.iter().filter_map(|(_, value, thin, _)| thin.or(*value)).fold(0.0, f64::max);
    let width = SIZE.0 - left - behind;
    let mut out = String::new();
    open(&mut out, ROOM.2 + height * bars.len() as f64 + 6.0, title);
    for (number, (name, value, thin, words)) in (0_u32..).zip(bars) {
        let y = ROOM.2 + height * f64::from(number);
        let length =
            |value: Option<f64>| value.filter(|_| most > 0.0).map_or(0.0, |value| value / most * width);
        let (thick, thin) = (length(*value), length(*thin));
        text(&mut out, (left - 8.0, y + 13.0), "end", name);
        let colour = COLOURS[0];
        let _ = write!(
            out,
            r#"<rect x="{left}" y="{:.1}" width="{thin:.1}" height="4" fill="{colour}"/>"#,
            y + 6.0
        );
        let _ = write!(
            out,
            r#"<rect x="{left}" y="{:.1}" width="{thick:.1}" height="14" fill="{colour}"/>"#,
            y + 1.0
        );
        text(&mut out, (left + thick.max(thin) + 6.0, y + 13.0), "start", words);
    }
    out.push_str("</svg>");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_numbers_that_reach_as_far_as_the_values() {
        let rounded = [0.0, 0.003, 1.0, 1.1, 49.0, 5.0, 700.0].map(round_up);
        assert_eq!(rounded, [1.0, 0.005, 1.0, 2.0, 50.0, 5.0, 1000.0]);
    }

    fn plot(points: Vec<(f64, f64)>) -> String {
        let ticks = vec![(0.0, "0".to_owned()), (10.0, "10".to_owned())];
        let lines = vec![Line { name: "a < b & c".to_owned(), points }];
        Plot { title: "t", across: "s", ticks, value: |value| format!("{value}"), lines }.draw()
    }

    #[test]
    fn a_plot_puts_points_where_they_belong_and_is_well_formed() {
        let drawn = plot(vec![(0.0, 0.0), (5.0, 5.0), (10.0, 10.0)]);
        assert!(drawn.contains(r#"points="84.0,256.0 408.0,142.0 732.0,28.0""#), "{drawn}");
        let parsed = roxmltree::Document::parse(&drawn).unwrap();
        assert!(parsed.descendants().any(|node| node.text() == Some("a < b & c")));
    }

    #[test]
    fn nothing_to_plot_is_a_sentence() {
        assert_eq!(plot(Vec::new()), "<p>t: too few samples.</p>");
    }

    /// All texts of a drawing, with the box of each: left, right, baseline.
    fn boxes(drawn: &str) -> Vec<(String, f64, f64, f64)> {
        let document = roxmltree::Document::parse(drawn).unwrap();
        let texts = document.descendants().filter(|node| node.has_tag_name("text"));
        let number =
            |node: &roxmltree::Node<'_, '_>, name| node.attribute(name).unwrap().parse::<f64>().unwrap();
        let of = |node: roxmltree::Node<'_, '_>| {
            let (words, at) = (node.text().unwrap().to_owned(), number(&node, "x"));
            let width = words.chars().count() as f64 * 6.6;
            let left = match node.attribute("text-anchor") {
                Some("end") => at - width,
                Some("middle") => at - width / 2.0,
                _ => at,
            };
            (words, left, left + width, number(&node, "y"))
        };
        texts.map(of).collect()
    }

    #[test]
    fn no_text_is_cut_off_or_stands_on_another() {
        let lines = |count| {
            let line = |number| Line {
                name: format!("skeleton, a put, run {number}"),
                points: vec![(0.0, 9.0), (4.0, 9.0)],
            };
            (1..=count).map(line).collect()
        };
        let ticks = vec![(0.0, "0 %".to_owned()), (4.0, "99.99 %".to_owned())];
        let value: fn(f64) -> String = |value| format!("{value:.1} ms");
        let plot = Plot { title: "t", across: "percentile", ticks, value, lines: lines(8) }.draw();
        let name = "8 outstanding: a sync of the log, p99.9".to_owned();
        let bar = || (name.clone(), Some(1.0), Some(2.0), "166.2 µs, highest 3996.1 µs".to_owned());
        let bars = bars("Times: median, thin the highest", &[bar(), bar()]);
        for drawn in [plot, bars] {
            let boxes = boxes(&drawn);
            for (at, (words, left, right, y)) in boxes.iter().enumerate() {
                assert!(*left >= 0.0 && *right <= SIZE.0, "{words} is cut off: {left} to {right}");
                let stands_on = |other: &&(String, f64, f64, f64)| {
                    *left < other.2 && other.1 < *right && (y - other.3).abs() < 11.0
                };
                assert_eq!(boxes[at + 1..].iter().find(stands_on), None, "{words}");
            }
        }
    }

    #[test]
    fn a_title_is_text_and_no_markup() {
        let drawn = bars("a < b & c", &[]);
        assert_eq!(boxes(&drawn)[0].0, "a < b & c");
    }

    #[test]
    fn a_bar_without_a_value_is_a_name() {
        let drawn = bars("t", &[("5 Sync".to_owned(), None, None, "none".to_owned())]);
        assert!(drawn.contains("5 Sync") && !drawn.contains("NaN"), "{drawn}");
        roxmltree::Document::parse(&drawn).unwrap();
    }
}
