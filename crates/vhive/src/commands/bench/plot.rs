//! Bar plots as SVG, and what all plots are made of.

use std::fmt::Write as _;

pub(super) const WIDTH: f64 = 820.0;
pub(super) const HEIGHT: f64 = 300.0;
pub(super) const LEFT: f64 = 70.0;
pub(super) const RIGHT: f64 = 20.0;
pub(super) const TOP: f64 = 60.0;
pub(super) const BOTTOM: f64 = 40.0;
pub(super) const COLOURS: [&str; 3] = ["#4477aa", "#ee6677", "#777777"];
/// Steps on the axis, about.
const STEPS: f64 = 5.0;

/// One bar, with the spread of what it stands for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bar {
    pub(super) median: f64,
    pub(super) lower: f64,
    pub(super) upper: f64,
}

/// One panel: groups of bars, one bar per series in each.
#[derive(Debug)]
pub(super) struct Bars {
    pub(super) title: String,
    pub(super) series: Vec<&'static str>,
    pub(super) groups: Vec<(&'static str, Vec<Option<Bar>>)>,
}

/// Panels below each other, whose vertical axes are in `unit`.
pub(super) fn svg(title: &str, unit: &str, panels: &[Bars]) -> String {
    let mut out = begin(title, panels.len());
    for (index, panel) in panels.iter().enumerate() {
        let top = TOP + index as f64 * (HEIGHT + TOP);
        draw(&mut out, panel, unit, top);
    }
    out.push_str("</svg>\n");
    out
}

/// The beginning of a document of so many panels.
pub(super) fn begin(title: &str, panels: usize) -> String {
    let height = TOP + panels as f64 * (HEIGHT + TOP);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    text(&mut out, WIDTH / 2.0, 24.0, "middle", title);
    out
}

fn draw(out: &mut String, panel: &Bars, unit: &str, top: f64) {
    let bars = || panel.groups.iter().flat_map(|(_, bars)| bars).flatten();
    let highest = bars().map(|bar| bar.upper).fold(0.0, f64::max);
    let step = step(highest);
    let end = (highest / step).ceil().max(1.0) * step;
    let (bottom, plot) = (top + HEIGHT - BOTTOM, HEIGHT - BOTTOM);
    let y = |value: f64| bottom - value / end * plot;

    text(out, LEFT, top - 10.0, "start", &panel.title);
    for (index, name) in panel.series.iter().enumerate() {
        let x = WIDTH / 2.0 + index as f64 * 130.0 - 60.0;
        rectangle(out, (x, top - 20.0), (10.0, 10.0), index);
        text(out, x + 14.0, top - 11.0, "start", name);
    }
    let mut value = 0.0;
    while value <= end + step / 2.0 {
        line(out, (LEFT, y(value)), (WIDTH - RIGHT, y(value)), "#dddddd");
        text(
            out,
            LEFT - 6.0,
            y(value) + 4.0,
            "end",
            &format!("{value} {unit}"),
        );
        value += step;
    }
    let group = (WIDTH - LEFT - RIGHT) / panel.groups.len().max(1) as f64;
    for (index, (name, bars)) in panel.groups.iter().enumerate() {
        let left = LEFT + index as f64 * group;
        text(out, left + group / 2.0, bottom + 18.0, "middle", name);
        let there: Vec<_> = bars
            .iter()
            .enumerate()
            .filter_map(|(series, bar)| Some((series, (*bar)?)))
            .collect();
        let width = group * 0.7 / there.len().max(1) as f64;
        for (place, (series, bar)) in there.into_iter().enumerate() {
            let x = left + group * 0.15 + place as f64 * width;
            let size = (width * 0.9, bottom - y(bar.median));
            rectangle(out, (x, y(bar.median)), size, series);
            let middle = x + width * 0.45;
            line(
                out,
                (middle, y(bar.lower)),
                (middle, y(bar.upper)),
                "#000000",
            );
            let label = format!("{:.0}", bar.median);
            text(out, middle, y(bar.upper) - 4.0, "middle", &label);
        }
    }
    line(out, (LEFT, bottom), (WIDTH - RIGHT, bottom), "#000000");
}

/// A round step: 1, 2 or 5 times a power of ten.
pub(super) fn step(highest: f64) -> f64 {
    let rough = (highest / STEPS).max(f64::MIN_POSITIVE);
    let power = 10f64.powf(rough.log10().floor());
    let factor = [1.0, 2.0, 5.0]
        .into_iter()
        .find(|factor| factor * power >= rough);
    factor.unwrap_or(10.0) * power
}

pub(super) fn text(out: &mut String, x: f64, y: f64, anchor: &str, text: &str) {
    let text = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    let _ = writeln!(
        out,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>"
    );
}

pub(super) fn rectangle(
    out: &mut String,
    (x, y): (f64, f64),
    (width, height): (f64, f64),
    series: usize,
) {
    let colour = COLOURS.get(series).copied().unwrap_or("#000000");
    let _ = writeln!(
        out,
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{colour}\"/>"
    );
}

pub(super) fn line(out: &mut String, (x1, y1): (f64, f64), (x2, y2): (f64, f64), colour: &str) {
    let _ = writeln!(
        out,
        "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{colour}\"/>"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round_and_some_five_of_them_reach_the_top() {
        for (highest, expected) in [(10.0, 2.0), (99.0, 20.0), (1323.0, 500.0), (4.0, 1.0)] {
            assert!((step(highest) - expected).abs() < 1e-9, "{highest}");
        }
    }

    #[test]
    fn names_cannot_break_the_document_and_each_bar_is_there() {
        let bar = Bar {
            median: 5.0,
            lower: 4.0,
            upper: 6.0,
        };
        let panel = Bars {
            title: "a<b & c".into(),
            series: vec!["one", "two"],
            groups: vec![("x", vec![Some(bar), None]), ("y", vec![Some(bar); 2])],
        };
        let drawn = svg("t", "ms", &[panel]);
        assert!(drawn.contains("a&lt;b &amp; c") && drawn.ends_with("</svg>\n"));
        // The background, two of the legend, three bars.
        assert_eq!(drawn.matches("<rect").count(), 6);
        assert_eq!(
            drawn.matches("<text").count(),
            drawn.matches("</text>").count()
        );
    }
}
